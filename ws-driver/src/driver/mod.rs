//! Drives one open connection: polls its stream, its timer and its handler in one task (P1). Order and fairness are
//! decided here. The protocol is the business of the machine in the shared machine.
//!
//! One turn is: read, poll the handler, write, shut down, look at the timer. Turns are repeated while they make
//! progress, within the budget of a poll. Then the other tasks of the thread run.
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
    /// Whether the handler is to be polled in this turn.
    calls_handler: bool,
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
        let Awake {
            mut is_aborted,
            mut wants_read,
            is_same_task,
        } = self.machine.note_awake(cx);
        self.read_waits = false;
        self.write_waits = false;
        self.shutdown_waits = false;
        self.timer_waits &= is_same_task;
        // The time of the last read. The clock is asked once for each read, because it costs as much as a message.
        let mut now = None;
        // A waker does not say for which part of the task it was, so the handler is polled in the first turn.
        self.calls_handler = true;
        let mut budget = Budget::of_messages();
        for _ in 0..TURN_LIMIT {
            if is_aborted {
                self.handler = None;
                self.reset(cx);
            }
            // Read first, so that the handler answers what has arrived in the same turn, and the answers leave
            // together.
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
            // No timer for a stream that is about to be closed, because to set one can cost a system call.
            let deadline = wants.deadline.filter(|_| !wants.is_finished);
            self.poll_timer(cx, deadline, &mut now);
            self.watch.note_state(wants.state);
            if wants.is_finished && self.stream.is_some() {
                self.close();
            }
            if self.stream.is_none() && self.handler.is_none() {
                self.machine.release(&mut self.writing);
                self.machine.note_driven();
                return Poll::Ready(());
            }
            // Asked at the end of a turn, so that what was read is answered before the task gives way.
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

    /// Reads once; returns whether anything was read or failed.
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
            let (taken, calls_handler) =
                machine.drive(cx, |machine| machine.handle_read_some(now, rest));
            rest.advance(taken);
            if rest.is_empty() {
                *unread = None;
            }
            // The machine may have taken as many frames as one call takes, even if no byte is left.
            budget.spend_all();
            *last = Some(now);
            self.calls_handler |= calls_handler;
            return true;
        }
        let Some(stream) = self.stream.as_mut().filter(|_| !waits) else {
            return false;
        };
        let read = workspace::with_buffer(|buffer| {
            let read = Pin::new(stream).poll_read(cx, buffer);
            // Parsed right out of the thread's buffer: the bytes are copied once, into their message.
            read.map_ok(|len| {
                let now = runtime.now();
                let (taken, calls_handler) = machine.drive(cx, |machine| match len {
                    0 => {
                        machine.handle_eof(now);
                        0
                    }
                    _ => machine.handle_read_some(now, &buffer[..len]),
                });
                if taken < len {
                    // The machine took as many frames as one call takes, or its queue is full. The rest is copied,
                    // because the buffer is the thread's.
                    budget.spend_all();
                    *unread = Some(Box::new(Bytes::copy_from_slice(&buffer[taken..len])));
                }
                (len, now, calls_handler)
            })
        });
        match read {
            Poll::Ready(Ok((len, now, calls_handler))) => {
                budget.note_read(now);
                budget.spend(len);
                self.read_ended = len == 0;
                *last = Some(now);
                self.calls_handler |= calls_handler;
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

    /// Reports the time to the machine if its deadline has passed.
    fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        last: &mut Option<Instant>,
    ) {
        let Some(deadline) = deadline.filter(|_| self.stream.is_some()) else {
            return;
        };
        // Set only for an earlier deadline: most deadlines move later with each read, and a timer that runs out early
        // costs less than one that is moved each time.
        let armed = match self.timer.deadline() {
            Some(armed) if armed <= deadline => armed,
            Some(_) | None => {
                self.timer.set(deadline);
                self.timer_waits = false;
                deadline
            }
        };
        // A timer that has not run out need not be polled again: it wakes the task.
        if self.timer_waits && last.is_some_and(|now| now < armed) {
            return;
        }
        if self.timer.poll(&self.runtime, cx).is_pending() {
            self.timer_waits = true;
            return;
        }
        self.timer_waits = false;
        // A clock that is a little behind the timer would have the machine do nothing, and the timer run out again.
        let now = self.runtime.now().max(armed);
        *last = Some(now);
        let ((), calls_handler) = self
            .machine
            .drive(cx, |machine| machine.handle_timeout(now));
        self.calls_handler |= calls_handler;
    }

    /// Notes that the task waits, unless there is work that nothing would wake it for: a handle can change the
    /// machine at any time in a turn, also after the step that looks at it. Returns whether the task waits.
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
        // An interrupted call is made again. Any other error ends the stream.
        if error.kind() != io::ErrorKind::Interrupted {
            self.reset(cx);
        }
    }

    /// Gives the stream up: nothing is read or written any more.
    fn reset(&mut self, cx: &mut Context<'_>) {
        self.read_ended = true;
        self.write_ended = true;
        workspace::with(|workspace| workspace.recycle(&mut self.writing));
        self.writing = Outgoing::new();
        let now = self.runtime.now();
        let ((), calls_handler) = self.machine.drive(cx, |machine| machine.handle_reset(now));
        self.calls_handler |= calls_handler;
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
        self.write_rounds(cx);
        let takes_more = self.writing.has_remaining() && !self.write_waits;
        if was_polled && !takes_more {
            return !self.park(cx);
        }
        // A task that was not polled yet sees what is left in its first poll.
        self.machine.release(&mut self.writing);
        takes_more
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
            // This is the last chance for what was sent: it leaves if the stream takes it at once. A stream that
            // panicked is not called again, and a panic now ends here (P8).
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
        // Dropped last, so that its destructors find the connection ended.
        let handler = self.handler.take();
        let _ = panics::catch(|| drop(handler));
    }
}

#[cfg(test)]
mod tests;
