//! Adapts the streams and timers of a [`Runtime`] to the traits of hyper.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Sleep, Write};

use super::gate::{AHEAD_LIMIT, Flushed, Gate, HandedBack, Step};
use super::pace::Pace;
use crate::driver::deadline::DeadlineTimer;
use crate::driver::fairness::SharedBudget;
use crate::driver::workspace;
use crate::runtime::Runtime;

/// The cost of a request in the budget of a poll, besides its bytes. A pipelined request gets a poll of its own. hyper
/// would answer up to 16 in one poll and then wake itself at once.
const REQUEST_COST: usize = 8 << 10;

/// The maximum length of one write, so that a fast peer cannot keep the thread in one poll.
const WRITE_LIMIT: usize = 256 << 10;

/// A stream for hyper, with a gate in front of it. A write fails if the peer takes no byte for the write timeout, or
/// takes too few for its pace. hyper itself has a limit only for the wait for a request (X11).
pub(crate) struct HyperIo<R: Runtime, S> {
    stream: S,
    /// Without a gate hyper gets all bytes.
    gate: Option<Gate>,
    runtime: R,
    write_timeout: Option<Duration>,
    /// Runs while the stream takes nothing.
    write_timer: Option<DeadlineTimer<R>>,
    /// The pace at which the peer takes an answer.
    pace: Option<Pace>,
    /// What one poll of hyper may move. Once it is spent, only the task that polls hyper wakes it again.
    budget: Option<SharedBudget>,
    is_late: bool,
}

impl<R: Runtime, S> HyperIo<R, S> {
    pub(crate) fn new(
        runtime: R,
        stream: S,
        gate: Option<Gate>,
        write_timeout: Option<Duration>,
        pace: Option<Pace>,
    ) -> Self {
        Self {
            stream,
            gate,
            runtime,
            write_timeout,
            write_timer: None,
            pace,
            budget: None,
            is_late: false,
        }
    }

    /// Sets a budget: once it is spent, reads and writes are pending until it is renewed.
    pub(crate) fn with_budget(mut self, budget: SharedBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    fn spend(&self, bytes: usize) {
        if let Some(budget) = &self.budget {
            budget.spend(bytes);
        }
    }

    fn is_spent(&self) -> bool {
        self.budget.as_ref().is_some_and(SharedBudget::is_spent)
    }

    /// Returns whether a write failed because the peer was too slow.
    pub(crate) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Handles a request that did not arrive in time.
    pub(super) fn handle_timeout(&mut self) {
        let now = self.runtime.now();
        if let Some(gate) = &mut self.gate {
            gate.handle_timeout(now);
        }
    }

    /// Returns the stream, and the request that is not for hyper, if one arrived.
    pub(super) fn into_parts(self) -> (S, Option<HandedBack>) {
        (self.stream, self.gate.and_then(Gate::into_taken))
    }

    /// Makes a write fail that waits for too long. `len` returns the number of bytes that a finished write has moved.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        len: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &written {
            // The next wait gets the whole timeout. The pace catches a peer that takes a byte now and then.
            self.write_timer = None;
            if let Some(pace) = &mut self.pace {
                pace.note_moved(result.as_ref().map_or(0, len));
            }
            return written;
        }
        let error = ready!(self.poll_late(cx));
        self.is_late = true;
        Poll::Ready(Err(error))
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(len)) = written {
            self.spend(*len);
        }
    }

    /// Is ready once the stream has taken no byte, or too few, for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(timeout) = self.write_timeout {
            let timer = self.write_timer.get_or_insert_with(|| {
                let mut timer = DeadlineTimer::new(&self.runtime);
                if let Some(deadline) = self.runtime.now().checked_add(timeout) {
                    timer.set(deadline);
                }
                timer
            });
            if timer.poll(&self.runtime, cx).is_ready() {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
        }
        match &mut self.pace {
            Some(pace) => pace.poll_late(cx),
            None => Poll::Pending,
        }
    }
}

/// No field is pinned structurally, so a runtime need not be `Unpin`.
impl<R: Runtime, S: Unpin> Unpin for HyperIo<R, S> {}

impl<R: Runtime, S: AsyncRead + Unpin> Read for HyperIo<R, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // No waker is registered: `serve` sees that the budget is spent and gives way.
        if self.is_spent() {
            return Poll::Pending;
        }
        let this = &mut *self;
        while let Some(gate) = &mut this.gate {
            match gate.step(this.runtime.now(), cursor.remaining())? {
                Step::Pass(bytes) => {
                    cursor.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Step::Read => {
                    let stream = Pin::new(&mut this.stream);
                    ready!(workspace::with_buffer(|buffer| {
                        // The gate keeps the bytes, so their number is bounded here.
                        let room = buffer.len().min(AHEAD_LIMIT);
                        let read = stream.poll_read(cx, &mut buffer[..room]);
                        read.map_ok(|len| {
                            gate.handle_read(&buffer[..len]);
                            if let Some(budget) = &this.budget {
                                budget.spend(len);
                            }
                        })
                    }))?;
                }
                Step::Wait => return Poll::Pending,
                Step::End => return Poll::Ready(Ok(())),
            }
        }
        workspace::with_buffer(|buffer| {
            let room = cursor.remaining().min(buffer.len());
            let stream = Pin::new(&mut this.stream);
            let read = stream.poll_read(cx, &mut buffer[..room]);
            read.map_ok(|len| {
                cursor.put_slice(&buffer[..len]);
                if let Some(budget) = &this.budget {
                    budget.spend(len);
                }
            })
        })
    }
}

impl<R: Runtime, S: AsyncWrite + Unpin> Write for HyperIo<R, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_spent() {
            return Poll::Pending;
        }
        let bytes = &bytes[..bytes.len().min(WRITE_LIMIT)];
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_written(&written);
        self.bounded(cx, written, |len| *len)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Leading empty slices are skipped: a write of nothing returns zero, which hyper takes for an error.
        let start = slices.iter().position(|slice| !slice.is_empty());
        let slices = &slices[start.unwrap_or(slices.len())..];
        let mut len = 0;
        let fits = |slice: &&io::IoSlice<'_>| {
            len += slice.len();
            len <= WRITE_LIMIT
        };
        let count = slices.iter().take_while(fits).count();
        // The first slice alone is longer than the limit. `poll_write` takes the begin of it.
        if let (0, Some(long)) = (count, slices.first()) {
            return self.poll_write(cx, long);
        }
        if self.is_spent() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]);
        self.note_written(&written);
        self.bounded(cx, written, |len| *len)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        let done = match (&flushed, &mut self.gate) {
            (Poll::Ready(Ok(())), Some(gate)) => gate.handle_flush(),
            (_, _) => Flushed::Part,
        };
        match done {
            Flushed::Part => {}
            Flushed::Answer => self.spend(REQUEST_COST),
            // Spends all: hyper waits for the next request without a waker, so it must be polled again after the
            // task has given way.
            Flushed::AnswerBefore => self.spend(usize::MAX),
        }
        self.bounded(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_close(cx);
        self.bounded(cx, closed, |()| 0)
    }
}

/// Makes the timers of hyper out of those of a runtime.
pub(crate) struct HyperTimer<R>(pub(crate) R);

impl<R: Runtime> hyper::rt::Timer for HyperTimer<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.0.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let mut timer = DeadlineTimer::new(&self.0);
        timer.set(deadline);
        Box::pin(HyperSleep {
            runtime: self.0.clone(),
            timer: Mutex::new(timer),
        })
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

struct HyperSleep<R: Runtime> {
    runtime: R,
    /// In a mutex because hyper requires `Sync`. It is never contended.
    timer: Mutex<DeadlineTimer<R>>,
}

/// No field is pinned structurally, so a runtime need not be `Unpin`.
impl<R: Runtime> Unpin for HyperSleep<R> {}

impl<R: Runtime> Future for HyperSleep<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { runtime, timer } = &mut *self;
        let timer = timer.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A `DeadlineTimer` must be polled after the stream. hyper does so: it polls a timer when a read is pending.
        timer.poll(runtime, cx)
    }
}

impl<R: Runtime> Sleep for HyperSleep<R> {}
