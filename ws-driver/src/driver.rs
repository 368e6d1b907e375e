//! Drives one open connection: polls its stream, its timer and the handler of its user in one task
//! (P1). What is protocol is done by the machine in the mailbox; what is order and fairness, here.
//!
//! One turn is: read, poll the handler, write, shut down, look at the timer. Turns are repeated as
//! long as they get somewhere, up to a limit; then the other tasks of the thread have theirs.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Connection as Machine, Outgoing};

use crate::mailbox::Mailbox;
use crate::panics::{self, Panicked};
use crate::runtime::{Runtime, Timer};
use crate::scratch;

/// Turns in one poll of the task.
const TURN_LIMIT: usize = 16;

/// Bytes that are taken from the machine to be written at once; what is taken can not be overtaken
/// by control frames any more.
const WRITE_LEN: usize = 256 << 10;

/// Pieces in one gather write; Linux takes up to 1024.
const SLICE_LIMIT: usize = 64;

/// What a driver tells the one who started it.
pub(crate) trait Watch {
    /// The state of the machine may have changed.
    fn stirred(&mut self, mailbox: &Mailbox);
    /// The stream is closed.
    fn ended(&mut self, mailbox: &Mailbox);
    /// The handler panicked.
    fn panicked(&mut self, mailbox: &Mailbox);
}

/// Drives a connection to its end, and `handler` to its own.
pub(crate) async fn drive<R, S, H>(
    runtime: R,
    stream: S,
    mailbox: Arc<Mailbox>,
    handler: Option<H>,
    watch: impl Watch,
) where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future<Output = ()>,
{
    let mut handler = pin!(handler);
    let timer = runtime.timer();
    let mut driver = Driver {
        runtime,
        stream: Some(stream),
        read_ended: false,
        read_waits: false,
        writing: Outgoing::new(),
        needs_flush: false,
        write_ended: false,
        timer,
        armed: None,
        mailbox,
        watch,
    };
    poll_fn(|cx| driver.poll(cx, handler.as_mut())).await;
}

struct Driver<R: Runtime, S, W> {
    runtime: R,
    /// `None` once it is closed.
    stream: Option<S>,
    read_ended: bool,
    /// Whether the stream will wake the task when there is something to read.
    read_waits: bool,
    /// Taken from the machine, not written yet.
    writing: Outgoing,
    needs_flush: bool,
    write_ended: bool,
    timer: R::Timer,
    /// What the timer is set to.
    armed: Option<Instant>,
    mailbox: Arc<Mailbox>,
    watch: W,
}

impl<R, S, W> Driver<R, S, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    W: Watch,
{
    fn poll<H>(&mut self, cx: &mut Context<'_>, mut handler: Pin<&mut Option<H>>) -> Poll<()>
    where
        H: Future<Output = ()>,
    {
        self.mailbox.note_awake();
        if self.mailbox.is_aborted() {
            handler.set(None);
            self.reset(cx);
        }
        for _ in 0..TURN_LIMIT {
            let now = self.runtime.now();
            let mut moved = self.poll_read(cx, now);
            self.poll_handler(cx, handler.as_mut());
            self.mailbox.discard_if_abandoned(now);
            moved |= self.poll_write(cx);
            moved |= self.poll_shutdown(cx);
            moved |= self.poll_timer(cx, now);
            self.watch.stirred(&self.mailbox);
            self.close_if_finished(cx);
            if self.stream.is_none() && handler.is_none() {
                return Poll::Ready(());
            }
            if !moved && self.mailbox.park(cx, |machine| self.has_work(machine)) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells whether somebody gave the driver work that it does not wait for.
    fn has_work(&self, machine: &mut Machine) -> bool {
        let writes = !self.writing.has_remaining() && !machine.outgoing().is_empty();
        let reads = !self.read_ended && !self.read_waits && machine.wants_read();
        self.stream.is_some() && (writes || reads)
    }

    /// Reads once; tells whether anything came of it.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.read_ended) else {
            return false;
        };
        self.read_waits = false;
        if !self.mailbox.drive(cx, |machine| machine.wants_read()) {
            return false;
        }
        let mailbox = &self.mailbox;
        let read = scratch::with(|buffer| {
            let read = Pin::new(stream).poll_read(cx, buffer);
            read.map_ok(|len| {
                mailbox.drive(cx, |machine| match len {
                    0 => machine.handle_eof(now),
                    _ => machine.handle_read(now, &buffer[..len]),
                });
                len
            })
        });
        match read {
            Poll::Ready(Ok(len)) => {
                self.read_ended = len == 0;
                true
            }
            Poll::Ready(Err(error)) => self.handle_error(cx, &error),
            Poll::Pending => {
                self.read_waits = true;
                false
            }
        }
    }

    /// Polls the handler. If it panics only this connection ends (P8).
    fn poll_handler<H>(&mut self, cx: &mut Context<'_>, mut handler: Pin<&mut Option<H>>)
    where
        H: Future<Output = ()>,
    {
        let Some(running) = handler.as_mut().as_pin_mut() else {
            return;
        };
        match panics::poll(running, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => handler.set(None),
            Poll::Ready(Err(Panicked)) => {
                self.mailbox.abandon(CloseCode::SERVER_ERROR);
                self.watch.panicked(&self.mailbox);
                // What it held may panic again when it is dropped; that changes nothing any more.
                let _ = panics::catch(|| handler.set(None));
            }
        }
    }

    /// Writes until all is written or the stream takes no more; tells whether anything was written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) {
            if !self.writing.has_remaining() {
                self.writing = self
                    .mailbox
                    .drive(cx, |machine| machine.take_outgoing(WRITE_LEN));
            }
            let polled = if self.writing.has_remaining() {
                let mut slices = [IoSlice::new(&[]); SLICE_LIMIT];
                let count = self.writing.chunks_vectored(&mut slices);
                Pin::new(stream).poll_write_vectored(cx, &slices[..count])
            } else if self.needs_flush {
                Pin::new(stream).poll_flush(cx).map_ok(|()| {
                    self.needs_flush = false;
                    0
                })
            } else {
                break;
            };
            match polled {
                Poll::Ready(Ok(0)) if self.writing.has_remaining() => {
                    return self.handle_error(cx, &io::ErrorKind::WriteZero.into());
                }
                Poll::Ready(Ok(len)) => {
                    self.writing.advance(len);
                    self.needs_flush |= len > 0;
                    self.mailbox
                        .drive(cx, |machine| machine.handle_written(len));
                    moved |= len > 0;
                }
                Poll::Ready(Err(error)) => return self.handle_error(cx, &error),
                Poll::Pending => break,
            }
        }
        moved
    }

    /// Shuts the write side down once that is wanted; tells whether anything changed.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) else {
            return false;
        };
        if !self.mailbox.drive(cx, |machine| machine.wants_shutdown()) {
            return false;
        }
        match Pin::new(stream).poll_close(cx) {
            Poll::Ready(Ok(())) => {
                self.write_ended = true;
                true
            }
            Poll::Ready(Err(error)) => self.handle_error(cx, &error),
            Poll::Pending => false,
        }
    }

    /// Tells the machine the time if its deadline has passed; tells whether it had.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let deadline = self.mailbox.drive(cx, |machine| machine.poll_timeout());
        let Some(deadline) = deadline.filter(|_| self.stream.is_some()) else {
            return false;
        };
        // A timer that runs out early does no harm; setting it for each small change would.
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.timer.set(deadline);
            self.armed = Some(deadline);
        }
        if self.timer.poll(cx).is_pending() {
            return false;
        }
        let now = now.max(self.armed.take().unwrap_or(now));
        self.mailbox
            .drive(cx, |machine| machine.handle_timeout(now));
        true
    }

    fn close_if_finished(&mut self, cx: &mut Context<'_>) {
        if self.stream.is_some() && self.mailbox.drive(cx, |machine| machine.is_finished()) {
            self.stream = None;
            self.watch.ended(&self.mailbox);
            self.mailbox.note_ended();
        }
    }

    /// Takes an error of the stream; tells whether anything changed.
    fn handle_error(&mut self, cx: &mut Context<'_>, error: &io::Error) -> bool {
        if error.kind() != io::ErrorKind::Interrupted {
            self.reset(cx);
        }
        true
    }

    /// Gives the stream up.
    fn reset(&mut self, cx: &mut Context<'_>) {
        self.read_ended = true;
        self.write_ended = true;
        self.writing = Outgoing::new();
        let now = self.runtime.now();
        self.mailbox.drive(cx, |machine| machine.handle_reset(now));
    }
}
