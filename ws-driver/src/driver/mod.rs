//! Drives one open connection: polls its stream, its timer and its handler in one task (P1). Order and fairness are
//! decided here. The protocol is the business of the machine in the shared machine.
//!
//! One turn is: read, poll the handler, write, shut down, look at the timer. Turns are repeated until a step of one finds
//! nothing to do, within the budget of a poll. Then the other tasks of the thread run.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `observe`.

pub(crate) mod deadline;
pub(crate) mod fairness;
pub(crate) mod head;
pub(crate) mod opening;
mod read;
pub(crate) mod round_trip;
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

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Connection as Machine, Outgoing, State};

use self::deadline::DeadlineTimer;
use self::fairness::Budget;
use self::shared_driver::Drive;
use self::shared_machine::{Able, Awake, Found, Next, Report, SharedMachine};
use crate::runtime::Runtime;
use crate::util::panics::{self, Panicked};

/// Turns in one poll of the task. It bounds polls that read and write little, which their budget does not.
const TURN_LIMIT: usize = 16;

/// What a driver reports to the code that started it.
pub(crate) trait Watch {
    /// The machine is in this state, which may be the same as before.
    fn note_state(&mut self, state: State);
    /// The stream is closed.
    fn ended(&mut self);
    /// The handler panicked.
    fn panicked(&mut self);
}

/// One poll of the task, or one use of the driver by a sender.
struct Pass {
    budget: Budget,
    /// The time of the last read. The clock is asked once for each read, because it costs as much as a message.
    now: Option<Instant>,
    /// Bytes that were written, and the machine does not know yet.
    written: usize,
    /// Whether the timer was polled, and has not run out.
    has_polled_timer: bool,
    /// Whether the handler is to be polled in this turn.
    calls_handler: bool,
    /// Whether the connection is to be dropped as it is.
    is_aborted: bool,
}

impl Pass {
    const fn new() -> Self {
        Self {
            budget: Budget::of_messages(),
            now: None,
            written: 0,
            has_polled_timer: false,
            // A waker does not say for which part of the task it was, so the handler is polled in the first turn.
            calls_handler: true,
            is_aborted: false,
        }
    }

    /// Takes what the machine is to be told at the next step.
    const fn report(&mut self, needs_flush: bool) -> Report {
        Report {
            written: std::mem::replace(&mut self.written, 0),
            is_flushed: !needs_flush,
        }
    }
}

/// A future that drives a connection and its handler, each to its end.
///
/// If it is dropped earlier the connection ends; see [`Drop`].
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
    /// Bytes that were read from the stream, but not taken by the machine yet. Boxed, because there are seldom any, and
    /// every idle connection would have a place for them.
    unread: Option<Box<Bytes>>,
    /// Whether the machine wanted to read when it was last asked. Between two polls it can begin to want that, and never
    /// ceases to: only what arrives fills its queue or ends the reading.
    wants_read: bool,
    read_ended: bool,
    /// Whether the stream will wake the task when there is something to read.
    read_waits: bool,
    /// Bytes that were taken from the machine, but not written yet.
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
    /// Boxed, because it is moved through several functions until it gets here, and each would keep memory for it.
    handler: Option<Pin<Box<H>>>,
    machine: Arc<SharedMachine>,
    watch: W,
}

/// Only boxed fields are pinned.
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
            wants_read: true,
            read_ended: false,
            read_waits: false,
            writing: Outgoing::new(),
            needs_flush: false,
            write_waits: false,
            shutdown_waits: false,
            write_ended: false,
            timer_waits: false,
            handler: None,
            machine,
            watch,
        }
    }

    /// Uses the timer of the opening handshake instead of a new one.
    pub(crate) fn with_timer(mut self, timer: DeadlineTimer<R>) -> Self {
        self.timer = timer;
        self
    }

    pub(crate) const fn runtime(&self) -> &R {
        &self.runtime
    }

    /// Calls the handler, and drives the future that it returns together with the connection.
    pub(crate) fn with_handler(mut self, handler: impl FnOnce() -> H) -> Self {
        match panics::catch(handler) {
            Ok(handler) => self.handler = Some(Box::pin(handler)),
            Err(Panicked) => self.watch.panicked(),
        }
        self
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.read_waits = false;
        self.write_waits = false;
        self.shutdown_waits = false;
        let mut pass = Pass::new();
        for turn in 0..TURN_LIMIT {
            // Read first, so that the handler answers what has arrived in the same turn, and the answers leave
            // together.
            let has_read = self.poll_read(cx, &mut pass);
            // Most wakes are for something to read, and the step that took it has noted that the driver is awake.
            if turn == 0 && !has_read {
                let (awake, found) = self.machine.note_awake(cx);
                self.note_awake(awake);
                self.note_found(&mut pass, found);
            }
            if pass.is_aborted {
                self.handler = None;
                self.reset(cx, &mut pass);
            }
            if std::mem::take(&mut pass.calls_handler) {
                self.poll_handler(cx);
            }
            if self.stream.is_none() && self.handler.is_none() {
                self.release(cx, &mut pass);
                self.machine.note_driven();
                return Poll::Ready(());
            }
            let (next, state) = self.poll_write(cx, &mut pass, true);
            let mut is_finished = false;
            match next {
                // What the machine wants once that is written, the next turn finds out under the lock that lets the
                // driver wait.
                Next::Write { .. } => {}
                Next::Work(work) => {
                    if work.shutdown {
                        self.poll_shutdown(cx, &mut pass);
                    }
                    self.set_timer(work.deadline);
                    is_finished = work.is_finished;
                }
                Next::Wait => {
                    self.watch.note_state(state);
                    return Poll::Pending;
                }
            }
            if self.may_time_out(&pass) {
                self.poll_timer(cx, &mut pass);
            }
            self.watch.note_state(state);
            if is_finished && self.stream.is_some() {
                self.close();
            }
            // Asked at the end of a turn, so that what was read is answered before the task gives way.
            if pass.budget.is_spent() {
                break;
            }
        }
        self.release(cx, &mut pass);
        fairness::give_way(&self.runtime, cx);
        Poll::Pending
    }

    fn note_awake(&mut self, awake: Awake) {
        self.timer_waits &= awake.is_same_task;
    }

    fn note_found(&mut self, pass: &mut Pass, found: Found) {
        self.wants_read = found.wants_read;
        pass.is_aborted = found.is_aborted;
        pass.calls_handler |= found.calls_handler;
        if found.gives_way {
            pass.budget.spend_all();
        }
    }

    /// Polls the handler. If it panics, only this connection ends (P8).
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
                // A value that it held may panic again when it is dropped. That changes nothing any more.
                let _ = panics::catch(|| self.handler = None);
            }
        }
    }

    /// Sets the timer for a deadline of the machine.
    fn set_timer(&mut self, deadline: Option<Instant>) {
        let armed = self.timer.deadline();
        // Only for an earlier deadline: most deadlines move later with each read, and a timer that runs out early costs
        // less than one that is moved each time.
        if let Some(deadline) = deadline.filter(|deadline| armed.is_none_or(|at| *deadline < at)) {
            self.timer.set(deadline);
            self.timer_waits = false;
        }
    }

    /// Returns whether the timer may have run out. If not, it wakes the task for that.
    #[inline]
    fn may_time_out(&self, pass: &Pass) -> bool {
        let is_ahead = |armed| pass.has_polled_timer || pass.now.is_some_and(|now| now < armed);
        let armed = self.timer.deadline();
        armed.is_some_and(|armed| !(self.timer_waits && is_ahead(armed)))
    }

    /// Reports the time to the machine if the timer has run out.
    #[inline(never)]
    fn poll_timer(&mut self, cx: &mut Context<'_>, pass: &mut Pass) {
        let Some(armed) = self.timer.deadline().filter(|_| self.stream.is_some()) else {
            return;
        };
        self.timer_waits = self.timer.poll(&self.runtime, cx).is_pending();
        pass.has_polled_timer = self.timer_waits;
        if self.timer_waits {
            return;
        }
        // A clock that is a little behind the timer would have the machine do nothing, and the timer run out again.
        let now = self.runtime.now().max(armed);
        pass.now = Some(now);
        self.drive(cx, pass, |machine| machine.handle_timeout(now));
    }

    /// Returns what the driver can do at once.
    #[inline]
    fn able(&self, pass: &Pass, to_wait: bool) -> Able {
        let is_open = self.stream.is_some();
        Able {
            to_wait,
            is_open,
            to_read: self.unread.is_some() || !self.read_ended && !self.read_waits,
            to_write: is_open && !self.write_ended && !self.write_waits,
            to_shut_down: !self.write_ended && !self.shutdown_waits,
            to_time_out: self.may_time_out(pass),
            armed: self.timer.deadline(),
        }
    }

    /// Has the machine take something other than bytes.
    fn drive(&mut self, cx: &Context<'_>, pass: &mut Pass, work: impl FnOnce(&mut Machine)) {
        let report = pass.report(self.needs_flush);
        let ((), awake, found) = self.machine.drive(cx, report, work);
        self.note_awake(awake);
        self.note_found(pass, found);
    }

    /// Gives the memory of the thread back.
    fn release(&mut self, cx: &Context<'_>, pass: &mut Pass) {
        let report = pass.report(self.needs_flush);
        self.machine.release(cx, report, &mut self.writing);
    }

    fn close(&mut self) {
        self.stream = None;
        self.unread = None;
        self.watch.ended();
        self.machine.note_ended(!self.needs_flush);
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, pass: &mut Pass, error: &io::Error) {
        // An interrupted call is made again. Any other error ends the stream.
        if error.kind() != io::ErrorKind::Interrupted {
            self.reset(cx, pass);
        }
    }

    /// Gives the stream up: nothing is read or written any more.
    fn reset(&mut self, cx: &mut Context<'_>, pass: &mut Pass) {
        self.read_ended = true;
        self.write_ended = true;
        workspace::with(|workspace| workspace.recycle(&mut self.writing));
        self.writing = Outgoing::new();
        let now = self.runtime.now();
        self.drive(cx, pass, |machine| machine.handle_reset(now));
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
            // The stream wakes the task once it takes more, and the task then takes all that is queued.
            return false;
        }
        let mut pass = Pass::new();
        // The timer wakes the task by itself.
        pass.has_polled_timer = true;
        // A task that was not polled yet sees what is left in its first poll, and has no waker to wait with.
        let next = self.write_rounds(cx, &mut pass, was_polled);
        if matches!(next, Next::Wait) {
            return false;
        }
        self.release(cx, &mut pass);
        true
    }
}

/// A driver is dropped before it is done if its runtime ends or something in it panicked. It ends the connection
/// then, so that no task waits for it for ever.
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
            let mut pass = Pass::new();
            // This is the last chance for what was sent: it leaves if the stream takes it at once. A stream that
            // panicked is not called again, and a panic now ends here (P8).
            if !std::thread::panicking() {
                let _ = panics::catch(|| {
                    let next = self.write_rounds(&mut cx, &mut pass, false);
                    if matches!(next, Next::Work(work) if work.shutdown) {
                        self.poll_shutdown(&mut cx, &mut pass);
                    }
                });
            }
            self.reset(&mut cx, &mut pass);
            let stream = self.stream.take();
            let _ = panics::catch(|| drop(stream));
            let _ = panics::catch(|| self.watch.ended());
            self.machine.note_ended(!self.needs_flush);
        }
        self.release(&Context::from_waker(Waker::noop()), &mut Pass::new());
        self.machine.note_driven();
        // Dropped last, so that its destructors find the connection ended.
        let handler = self.handler.take();
        let _ = panics::catch(|| drop(handler));
    }
}

#[cfg(test)]
mod tests;
