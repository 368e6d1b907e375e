//! The steps of a driver's turn on the shared machine: it feeds the machine, and takes what is to be done next or waits.
//! Each step takes the lock once, because the locks of a short message cost a visible part of its time. So a step also
//! reports what the driver did since the step before.

use std::task::Context;
use std::time::Instant;

use bytes::Buf;
use ws_proto::{Connection as Machine, Outgoing, State};

use super::{Clock, Inner, SharedMachine, Status};
use crate::driver::workspace;
use crate::util::sync::MutexGuard;

/// Bytes that are taken from the machine to be written at once. Control frames cannot overtake bytes that were taken,
/// so this bounds how long a pong waits behind data.
const WRITE_LEN: usize = 256 << 10;

/// What the driver did since its last step, and the machine does not know yet.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    /// The bytes that have left.
    pub(crate) written: usize,
    /// Whether the stream was flushed since the last bytes left.
    pub(crate) is_flushed: bool,
}

/// What the driver can do at once. For everything else something will wake it.
pub(crate) struct Able {
    /// Whether it may wait for that.
    pub(crate) to_wait: bool,
    /// Whether the stream is open. The rest matters only then.
    pub(crate) is_open: bool,
    pub(crate) to_read: bool,
    /// Whether it can write, and flush.
    pub(crate) to_write: bool,
    pub(crate) to_shut_down: bool,
    /// Whether its timer may have run out.
    pub(crate) to_time_out: bool,
    /// The deadline at which its timer runs out.
    pub(crate) armed: Option<Instant>,
}

/// What a driver finds at a step. Handles can change it at any time, so the driver waits only under the lock of a step
/// that finds nothing to do.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) wants_read: bool,
    pub(crate) is_aborted: bool,
    /// Whether the driver is to poll its handler: something arrived, and the receiver waits in the driver's own task.
    pub(crate) calls_handler: bool,
    /// Whether the handler waits only to let others run, and the driver is to give way.
    pub(crate) gives_way: bool,
}

/// What a driver finds when it is woken.
#[derive(Clone, Copy)]
pub(crate) struct Awake {
    /// Whether it runs in the task in which it waited last, so that wakers from then still wake it.
    pub(crate) is_same_task: bool,
}

/// What the driver is to do next.
pub(crate) enum Next {
    /// It writes the bytes in `writing`, or flushes the stream if there are none.
    Write {
        /// Whether no other bytes waited behind those.
        is_last: bool,
        /// Whether a task waits for the stream to be flushed.
        is_flush_awaited: bool,
    },
    /// It does what the machine wants besides.
    Work(Work),
    /// It waits, and is woken.
    Wait,
}

/// What the machine wants of the driver besides reading and writing.
pub(crate) struct Work {
    pub(crate) shutdown: bool,
    pub(crate) deadline: Option<Instant>,
    /// Whether the stream is to be closed.
    pub(crate) is_finished: bool,
}

impl SharedMachine {
    /// Notes that the driver runs and needs no waking. Attaches the thread's workspace to the machine until the driver
    /// [waits](Self::next) or [releases](Self::release) it.
    pub(crate) fn note_awake(&self, cx: &Context<'_>) -> (Awake, Found) {
        let mut inner = self.lock();
        (inner.wake_up(cx), inner.found(false))
    }

    /// Has the driver change the machine, and wakes the tasks that this concerns. Notes that it is
    /// [awake](Self::note_awake), too.
    pub(crate) fn drive<T>(
        &self,
        cx: &Context<'_>,
        report: Report,
        work: impl FnOnce(&mut Machine) -> T,
    ) -> (T, Awake, Found) {
        let (mut inner, before) = self.begin(report);
        let awake = inner.wake_up(cx);
        // An end of the connection drops the queue, and a flush must not take that for written.
        let mark = inner.mark();
        let result = workspace::with_streams(&mut inner.machine, work);
        inner.note_lost_since(mark);
        (result, awake, self.finish(cx, inner, before))
    }

    /// Moves the next bytes to `writing` if it is empty, and returns what is to be done and the state. If nothing is, the
    /// driver waits from then on: a handle that makes work later finds a driver to wake.
    // Inlined into its only caller, because its results would go through memory otherwise.
    #[inline(always)]
    pub(crate) fn next(
        &self,
        cx: &Context<'_>,
        report: Report,
        able: &Able,
        writing: &mut Outgoing,
    ) -> (Next, State, Found) {
        let (mut inner, before) = self.begin(report);
        inner.discard_events(&self.clock);
        inner.refill();
        if !writing.has_remaining() {
            inner.machine.take_outgoing_into(WRITE_LEN, writing);
        }
        let next = inner.decide(cx, report, able, writing.has_remaining());
        let replaced = if matches!(next, Next::Wait) {
            inner.release(writing);
            inner.driver.wait(cx)
        } else {
            None
        };
        let state = inner.machine.state();
        let found = self.finish(cx, inner, before);
        // Only here, where nothing is locked.
        drop(replaced);
        (next, state, found)
    }

    /// Detaches the thread's workspace, because the driver gives way to other tasks, whose connections need it.
    pub(crate) fn release(&self, cx: &Context<'_>, report: Report, writing: &mut Outgoing) {
        let (mut inner, before) = self.begin(report);
        inner.release(writing);
        // What was written can make capacity for a task that waits. The driver's own handler is polled when it goes on.
        self.finish(cx, inner, before);
    }

    /// Begins a step: takes the lock, and what the driver reports. Returns the status before that, for listeners.
    #[inline(always)]
    fn begin(&self, report: Report) -> (MutexGuard<'_, Inner>, Option<Status>) {
        let mut inner = self.lock();
        let before = inner.status_for_listeners();
        inner.take_report(report);
        if report.written > 0 {
            if let Some(measured) = self.facts.measured() {
                measured.note_written(inner.machine.bytes_written(), || self.clock.now());
            }
        }
        (inner, before)
    }

    /// Ends a step: releases the lock, and wakes the tasks that it concerns.
    #[inline(always)]
    fn finish(
        &self,
        cx: &Context<'_>,
        mut inner: MutexGuard<'_, Inner>,
        before: Option<Status>,
    ) -> Found {
        inner.refill();
        let has_news = inner.has_news_since(before) | inner.progress.take_news();
        let (calls_handler, receiver) = if !inner.concerns_receiver() {
            (false, None)
        } else if inner.receiver.is(cx) {
            // In the driver's own task a wake would cost another poll, so the driver polls the handler in this one.
            (inner.receiver.resume(), None)
        } else {
            (false, inner.receiver.take())
        };
        let found = inner.found(calls_handler);
        drop(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        found
    }

    /// Notes that the stream is closed.
    pub(crate) fn note_ended(&self, is_flushed: bool) {
        if let Some(measured) = self.facts.measured() {
            measured.note_ended(self.clock.now());
        }
        let mut inner = self.lock();
        inner.has_ended = true;
        if is_flushed {
            inner.note_flushed();
        }
        let receiver = inner.receiver.take();
        drop(inner);
        self.changed.notify(usize::MAX);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// Notes that the driver is done. Handles that live on then keep no memory of its task.
    pub(crate) fn note_driven(&self) {
        // In a statement of its own, at whose end the lock is released.
        let waker = self.lock().driver.take_last();
        drop(waker);
    }
}

impl Inner {
    /// Notes that the driver runs. Attaches the thread's workspace, if it is not attached.
    #[inline]
    fn wake_up(&mut self, cx: &Context<'_>) -> Awake {
        workspace::with(|workspace| self.machine.attach(workspace));
        self.driver.resume();
        Awake {
            is_same_task: self.driver.is(cx),
        }
    }

    /// Takes what the driver reports.
    #[inline]
    fn take_report(&mut self, report: Report) {
        if report.written > 0 {
            self.machine.handle_written(report.written);
        }
        if report.is_flushed {
            self.note_flushed();
        }
    }

    /// Discards what has arrived, if there is no receiver. The machine would otherwise stop reading once it fills its
    /// queue, and would never see the peer's close.
    #[inline]
    fn discard_events(&mut self, clock: &Clock) {
        if self.has_receiver {
            return;
        }
        // Asked also if nothing waits: a batch that the receiver had counts until somebody asks again.
        while self.machine.take_event().is_some() {}
        // Only an end that waited for that is left, and only that needs the time.
        if self.machine.has_events() {
            let now = clock.now();
            let mark = self.mark();
            while self.machine.poll_event(now).is_some() {}
            self.note_lost_since(mark);
        }
    }

    /// Decides what the driver does next. `has_bytes` says whether there are bytes to write.
    #[inline]
    fn decide(&mut self, cx: &Context<'_>, report: Report, able: &Able, has_bytes: bool) -> Next {
        if able.to_write && (has_bytes || !report.is_flushed) {
            return Next::Write {
                is_last: self.machine.outgoing().is_empty(),
                is_flush_awaited: self.progress.is_awaited(),
            };
        }
        let shutdown = self.machine.wants_shutdown();
        let is_finished = self.machine.is_finished();
        let deadline = self.machine.poll_timeout();
        let arms = deadline.is_some_and(|deadline| able.armed.is_none_or(|armed| deadline < armed));
        let has_work = able.to_read && self.machine.wants_read()
            || able.to_shut_down && shutdown
            || able.to_time_out
            || arms
            || is_finished;
        let calls_handler =
            self.concerns_receiver() && self.receiver.waits() && self.receiver.is(cx);
        if !able.to_wait
            || self.aborted
            || self.gives_way
            || calls_handler
            || able.is_open && has_work
        {
            return Next::Work(Work {
                shutdown,
                deadline,
                is_finished,
            });
        }
        Next::Wait
    }

    #[inline]
    fn found(&mut self, calls_handler: bool) -> Found {
        Found {
            wants_read: self.machine.wants_read(),
            is_aborted: self.aborted,
            calls_handler,
            gives_way: std::mem::take(&mut self.gives_way),
        }
    }

    /// Returns whether there is something for a receiver.
    #[inline]
    fn concerns_receiver(&self) -> bool {
        self.machine.has_events() || self.is_over()
    }

    /// Detaches the thread's workspace. Bytes that wait for a slow peer or handler move to memory of their own.
    fn release(&mut self, writing: &mut Outgoing) {
        workspace::with(|workspace| {
            workspace.recycle(writing);
            self.machine.detach(workspace);
        });
    }
}
