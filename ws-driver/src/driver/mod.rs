//! Drives one open connection: polls its stream, its timer and the handler of its user in one task
//! (P1). What is protocol is done by the machine in the shared machine; what is order and fairness, here.
//!
//! One turn is: read, poll the handler, write, shut down, look at the timer. Turns are repeated as
//! long as they get somewhere, within the budget of a poll; then the other tasks of the thread have theirs.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `observe`.

pub(crate) mod deadline;
pub(crate) mod fairness;
pub(crate) mod head;
pub(crate) mod opening;
pub(crate) mod shared_driver;
pub(crate) mod shared_machine;
pub(crate) mod slow_peer;
pub(crate) mod try_send;
pub(crate) mod workspace;
mod write;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Connection as Machine, Outgoing, State};

use self::deadline::DeadlineTimer;
use self::fairness::Budget;
use self::shared_driver::Drive;
use self::shared_machine::{Awake, SharedMachine};
use crate::runtime::Runtime;
use crate::util::panics::{self, Panicked};

/// Turns in one poll of the task, if they read and write little.
const TURN_LIMIT: usize = 16;

/// What a driver tells the one who started it.
pub(crate) trait Watch {
    /// The state of the machine may have changed.
    fn stirred(&mut self, state: State);
    /// The stream is closed.
    fn ended(&mut self);
    /// The handler panicked.
    fn panicked(&mut self);
}

/// A future that drives a connection to its end, and the handler to its own.
///
/// When it is dropped before that, the connection ends: see [`Drop`].
pub(crate) struct Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    runtime: R,
    /// `None` once it is closed.
    stream: Option<S>,
    /// Was read from the stream, but not taken by the machine yet; there is seldom any, so it takes no room
    /// here.
    unread: Option<Box<Bytes>>,
    read_ended: bool,
    /// Whether the stream will wake the task when there is something to read.
    read_waits: bool,
    /// Taken from the machine, not written yet.
    writing: Outgoing,
    needs_flush: bool,
    /// Whether the stream will wake the task when it takes more.
    write_waits: bool,
    /// Whether the stream will wake the task when its write side can be shut down.
    shutdown_waits: bool,
    write_ended: bool,
    timer: DeadlineTimer<R>,
    /// Whether the timer will wake the task when it runs out.
    timer_waits: bool,
    /// Boxed, as it is moved from hand to hand until it gets here, and each keeps room for it.
    handler: Option<Pin<Box<H>>>,
    /// Whether something came that concerns the handler.
    calls_handler: bool,
    machine: Arc<SharedMachine>,
    watch: W,
}

/// Nothing is pinned in place but what is boxed.
impl<R, S, H, W> Unpin for Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
}

impl<R, S, H, W> Future for Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().poll_turns(cx)
    }
}

impl<R, S, H, W> Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    /// Drives a connection. `unread` was read from the stream before.
    pub(crate) fn new(
        runtime: R,
        stream: S,
        unread: Bytes,
        machine: Arc<SharedMachine>,
        watch: W,
    ) -> Self {
        Self {
            timer: DeadlineTimer::new(&runtime),
            runtime,
            stream: Some(stream),
            unread: Some(unread)
                .filter(|unread| !unread.is_empty())
                .map(Box::new),
            read_ended: false,
            read_waits: false,
            writing: Outgoing::new(),
            needs_flush: false,
            write_waits: false,
            shutdown_waits: false,
            write_ended: false,
            timer_waits: false,
            handler: None,
            calls_handler: false,
            machine,
            watch,
        }
    }

    /// Goes on with a timer that was used before, instead of a new one.
    pub(crate) fn with_timer(mut self, timer: DeadlineTimer<R>) -> Self {
        self.timer = timer;
        self
    }

    pub(crate) const fn runtime(&self) -> &R {
        &self.runtime
    }

    /// Calls the handler and drives what it returns, too.
    pub(crate) fn with_handler(mut self, handler: impl FnOnce() -> H) -> Self {
        match panics::catch(handler) {
            Ok(handler) => self.handler = Some(Box::pin(handler)),
            Err(Panicked) => self.watch.panicked(),
        }
        self
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Awake {
            mut is_aborted,
            mut wants_read,
            is_same_task,
        } = self.machine.note_awake(cx);
        self.read_waits = false;
        self.write_waits = false;
        self.shutdown_waits = false;
        self.timer_waits &= is_same_task;
        // When something was last read; the time is asked for once, as a clock costs as much as a message.
        let mut now = None;
        // Whoever woke the task may have meant the handler.
        self.calls_handler = true;
        let mut budget = Budget::of_messages();
        for _ in 0..TURN_LIMIT {
            if is_aborted {
                self.handler = None;
                self.reset(cx);
            }
            let has_read = wants_read && self.poll_read(cx, &mut budget, &mut now);
            if std::mem::take(&mut self.calls_handler) {
                self.poll_handler(cx);
            } else if !has_read && self.park(cx) {
                return Poll::Pending;
            }
            let wants = self.poll_write(cx, &mut budget);
            if wants.shutdown {
                self.poll_shutdown(cx);
            }
            // To set a timer can cost a system call, and a stream that is about to be closed waits for none.
            let deadline = wants.deadline.filter(|_| !wants.is_finished);
            self.poll_timer(cx, deadline, &mut now);
            self.watch.stirred(wants.state);
            if wants.is_finished && self.stream.is_some() {
                self.close();
            }
            if self.stream.is_none() && self.handler.is_none() {
                self.machine.release(&mut self.writing);
                self.machine.note_driven();
                return Poll::Ready(());
            }
            if budget.is_spent() {
                break;
            }
            wants_read = wants.read;
            is_aborted = wants.is_aborted;
        }
        self.machine.release(&mut self.writing);
        fairness::give_way(&self.runtime, cx);
        Poll::Pending
    }

    /// Reads once; tells whether anything came of it.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        last: &mut Option<Instant>,
    ) -> bool {
        let waits = self.read_ended || self.read_waits;
        let (machine, runtime, unread) = (&self.machine, &self.runtime, &mut self.unread);
        if let Some(rest) = unread {
            let now = runtime.now();
            let (taken, is_stirred) =
                machine.drive(cx, |machine| machine.handle_read_some(now, rest));
            rest.advance(taken);
            if rest.is_empty() {
                *unread = None;
            }
            // It may be as many frames as one call looks at, also if nothing is left of it.
            budget.spend_all();
            *last = Some(now);
            self.calls_handler |= is_stirred;
            return true;
        }
        let Some(stream) = self.stream.as_mut().filter(|_| !waits) else {
            return false;
        };
        let read = workspace::with_buffer(|buffer| {
            let read = Pin::new(stream).poll_read(cx, buffer);
            read.map_ok(|len| {
                let now = runtime.now();
                let (taken, is_stirred) = machine.drive(cx, |machine| match len {
                    0 => {
                        machine.handle_eof(now);
                        0
                    }
                    _ => machine.handle_read_some(now, &buffer[..len]),
                });
                if taken < len {
                    // The machine took as many frames as one call may bring, or its queue is full.
                    budget.spend_all();
                    *unread = Some(Box::new(Bytes::copy_from_slice(&buffer[taken..len])));
                }
                (len, now, is_stirred)
            })
        });
        match read {
            Poll::Ready(Ok((len, now, is_stirred))) => {
                budget.note_read(now);
                budget.spend(len);
                self.read_ended = len == 0;
                *last = Some(now);
                self.calls_handler |= is_stirred;
                true
            }
            Poll::Ready(Err(error)) => {
                self.handle_error(cx, &error);
                true
            }
            Poll::Pending => {
                self.read_waits = true;
                false
            }
        }
    }

    /// Polls the handler. If it panics only this connection ends (P8).
    fn poll_handler(&mut self, cx: &mut Context<'_>) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        match panics::poll(handler.as_mut(), cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.handler = None,
            Poll::Ready(Err(Panicked)) => {
                self.machine.abandon(CloseCode::SERVER_ERROR);
                self.watch.panicked();
                // What it held may panic again when it is dropped; that changes nothing any more.
                let _ = panics::catch(|| self.handler = None);
            }
        }
    }

    /// Tells the machine the time if its deadline has passed.
    fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        last: &mut Option<Instant>,
    ) {
        let Some(deadline) = deadline.filter(|_| self.stream.is_some()) else {
            return;
        };
        // A timer that runs out early does no harm; setting it for each small change would.
        let armed = match self.timer.deadline() {
            Some(armed) if armed <= deadline => armed,
            Some(_) | None => {
                self.timer.set(deadline);
                self.timer_waits = false;
                deadline
            }
        };
        // One that has not run out need not be asked: it wakes the task.
        if self.timer_waits && last.is_some_and(|now| now < armed) {
            return;
        }
        if self.timer.poll(&self.runtime, cx).is_pending() {
            self.timer_waits = true;
            return;
        }
        self.timer_waits = false;
        let now = self.runtime.now().max(armed);
        *last = Some(now);
        let ((), is_stirred) = self
            .machine
            .drive(cx, |machine| machine.handle_timeout(now));
        self.calls_handler |= is_stirred;
    }

    /// Waits, unless there is anything to do that nobody will wake the task for: others can change the
    /// machine at any time of a turn, also after the step that would have seen it.
    fn park(&mut self, cx: &Context<'_>) -> bool {
        let is_open = self.stream.is_some();
        let may_read = self.unread.is_some() || !self.read_ended && !self.read_waits;
        let may_shut_down = !self.write_ended && !self.shutdown_waits;
        let armed = self.timer.deadline();
        let has_work = |machine: &mut Machine, writing: &Outgoing| {
            let writes = !writing.has_remaining() && !machine.outgoing().is_empty();
            let reads = may_read && machine.wants_read();
            let shuts_down = may_shut_down && machine.wants_shutdown();
            let deadline = machine.poll_timeout();
            let arms = deadline.is_some_and(|deadline| armed.is_none_or(|armed| deadline < armed));
            is_open && (writes || reads || shuts_down || arms || machine.is_finished())
        };
        self.machine
            .park(cx, !self.needs_flush, &mut self.writing, has_work)
    }

    fn close(&mut self) {
        self.stream = None;
        self.unread = None;
        self.watch.ended();
        self.machine.note_ended(!self.needs_flush);
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        if error.kind() != io::ErrorKind::Interrupted {
            self.reset(cx);
        }
    }

    /// Gives the stream up.
    fn reset(&mut self, cx: &mut Context<'_>) {
        self.read_ended = true;
        self.write_ended = true;
        workspace::with(|workspace| workspace.recycle(&mut self.writing));
        self.writing = Outgoing::new();
        let now = self.runtime.now();
        let ((), is_stirred) = self.machine.drive(cx, |machine| machine.handle_reset(now));
        self.calls_handler |= is_stirred;
    }
}

impl<R, S, H, W> Drive for Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    fn write_queued(&mut self, cx: &mut Context<'_>, was_polled: bool) -> bool {
        if self.write_waits || self.stream.is_none() {
            // The stream wakes the task, which then takes all that is queued.
            return false;
        }
        self.write_rounds(cx);
        let takes_more = self.writing.has_remaining() && !self.write_waits;
        if was_polled && !takes_more {
            return !self.park(cx);
        }
        // If the task was not polled yet its first poll is still to come and sees what is left.
        self.machine.release(&mut self.writing);
        takes_more
    }
}

/// A driver that is dropped before it is done leaves nobody to wait for ever: its runtime ends, or
/// something in it panicked.
impl<R, S, H, W> Drop for Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    fn drop(&mut self) {
        if self.stream.is_some() {
            let mut cx = Context::from_waker(Waker::noop());
            // What was sent leaves if the stream takes it at once: there is no other chance. A stream that
            // panicked is left alone, and one that panics now harms nobody (P8).
            if !std::thread::panicking() {
                let _ = panics::catch(|| {
                    if self.write_rounds(&mut cx).shutdown {
                        self.poll_shutdown(&mut cx);
                    }
                });
            }
            self.reset(&mut cx);
            let stream = self.stream.take();
            let _ = panics::catch(|| drop(stream));
            let _ = panics::catch(|| self.watch.ended());
            self.machine.note_ended(!self.needs_flush);
        }
        self.machine.release(&mut self.writing);
        self.machine.note_driven();
        // Dropped when the end is known, so that what it does then finds it.
        let handler = self.handler.take();
        let _ = panics::catch(|| drop(handler));
    }
}

#[cfg(test)]
mod tests;
