//! The steps of a driver's turn on the shared machine: it wakes up, feeds the machine, takes what is to be written, and
//! waits. Each step takes the lock once, because the locks of a short message cost a visible part of its time.

use std::task::Context;
use std::time::Instant;

use bytes::Buf;
use ws_proto::{Connection as Machine, Outgoing, State};

use super::{Inner, SharedMachine};
use crate::driver::workspace;

/// Bytes that are taken from the machine to be written at once. Control frames cannot overtake bytes that were taken,
/// so this bounds how long a pong waits behind data.
const WRITE_LEN: usize = 256 << 10;

/// What the driver is to do. Handles can change it at any time, so [`SharedMachine::park`] looks once more.
pub(crate) struct Wants {
    pub(crate) read: bool,
    pub(crate) shutdown: bool,
    /// Whether a task waits for the stream to be flushed.
    pub(crate) flush: bool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) is_finished: bool,
    pub(crate) is_aborted: bool,
    pub(crate) state: State,
}

/// What a driver finds when it is woken.
pub(crate) struct Awake {
    pub(crate) is_aborted: bool,
    pub(crate) wants_read: bool,
    /// Whether it runs in the task of its last poll, so that wakers from then still wake it.
    pub(crate) is_same_task: bool,
}

impl SharedMachine {
    /// Notes that the driver runs and needs no waking. Attaches the thread's workspace to the machine until the driver
    /// [parks](Self::park) or [releases](Self::release) it.
    pub(crate) fn note_awake(&self, cx: &Context<'_>) -> Awake {
        let mut inner = self.lock();
        inner.attach();
        inner.driver.resume();
        Awake {
            is_same_task: inner.driver.is(cx),
            is_aborted: inner.aborted,
            wants_read: inner.machine.wants_read(),
        }
    }

    /// Has the driver change the machine, and wakes the tasks that this concerns. Returns whether the driver is to poll
    /// its handler: something arrived, and the receiver waits in the driver's own task.
    pub(crate) fn drive<T>(
        &self,
        cx: &Context<'_>,
        work: impl FnOnce(&mut Machine) -> T,
    ) -> (T, bool) {
        self.work(cx, |inner| {
            // Not each step is in a turn, which attaches it: a sender that writes and a driver that is dropped can
            // reset the machine.
            inner.attach();
            // An end of the connection drops the queue, and a flush must not take that for written.
            let mark = inner.mark();
            let result = workspace::with_streams(&mut inner.machine, work);
            inner.note_lost_since(mark);
            result
        })
    }

    /// Goes on with the writing: reports that `written` bytes have left, moves the next bytes to `writing` if it is
    /// empty, and returns what the machine wants. `is_flushed` means that the stream was flushed since the last bytes
    /// left. The second result is the same as that of [`drive`](Self::drive).
    ///
    /// One call for all of it, because each would take the lock.
    pub(crate) fn next_outgoing(
        &self,
        cx: &Context<'_>,
        written: usize,
        is_flushed: bool,
        writing: &mut Outgoing,
    ) -> (Wants, bool) {
        self.work(cx, |inner| {
            // Without a receiver events are discarded here. The machine would otherwise stop reading once they fill its
            // queue, and would never see the peer's close.
            if !inner.has_receiver {
                // Asked also if nothing waits: a batch that the receiver had counts until somebody asks again.
                while inner.machine.take_event().is_some() {}
                // Only an end that waited for that is left, and only that needs the time.
                if inner.machine.has_events() {
                    let now = (self.clock)();
                    let mark = inner.mark();
                    while inner.machine.poll_event(now).is_some() {}
                    inner.note_lost_since(mark);
                }
            }
            inner.machine.handle_written(written);
            // Bytes that have just left were not flushed yet.
            if is_flushed && written == 0 {
                inner.note_flushed();
            }
            if !writing.has_remaining() {
                inner.machine.take_outgoing_into(WRITE_LEN, writing);
            }
            inner.wants()
        })
    }

    /// Does one step of the driver under one lock, and wakes the tasks that it concerns once that is released.
    fn work<T>(&self, cx: &Context<'_>, work: impl FnOnce(&mut Inner) -> T) -> (T, bool) {
        let mut inner = self.lock();
        let before = inner.status_for_listeners();
        let result = work(&mut inner);
        inner.refill();
        let has_news = inner.has_news_since(before) | inner.progress.take_news();
        let concerns_receiver = inner.machine.has_events() || inner.is_over();
        let (calls_handler, receiver) = if !concerns_receiver {
            (false, None)
        } else if inner.receiver.is(cx) {
            // In the driver's own task a wake would cost another poll, so the driver polls the handler in this one.
            (inner.receiver.resume(), None)
        } else {
            (false, inner.receiver.take())
        };
        drop(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        (result, calls_handler)
    }

    /// Notes that the driver waits, unless there is work for it; returns whether it waits.
    pub(crate) fn park(
        &self,
        cx: &Context<'_>,
        is_flushed: bool,
        writing: &mut Outgoing,
        has_work: impl FnOnce(&mut Machine, &Outgoing) -> bool,
    ) -> bool {
        let mut inner = self.lock();
        // One look under the lock that also notes the wait: a handle that makes work later finds a driver to wake.
        let discards = !inner.has_receiver && inner.machine.has_events();
        if inner.aborted || discards || has_work(&mut inner.machine, writing) {
            return false;
        }
        let replaced = inner.driver.wait(cx);
        inner.release(writing);
        if is_flushed {
            inner.note_flushed();
        }
        let has_news = inner.progress.take_news();
        drop(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        // Only here, where nothing is locked.
        drop(replaced);
        true
    }

    /// Detaches the thread's workspace, because the driver gives way to other tasks, whose connections need it.
    pub(crate) fn release(&self, writing: &mut Outgoing) {
        self.lock().release(writing);
    }

    /// Notes that the stream is closed.
    pub(crate) fn note_ended(&self, is_flushed: bool) {
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
    /// Attaches the thread's workspace, if it is not attached.
    fn attach(&mut self) {
        workspace::with(|workspace| self.machine.attach(workspace));
    }

    fn wants(&self) -> Wants {
        Wants {
            read: self.machine.wants_read(),
            shutdown: self.machine.wants_shutdown(),
            flush: self.progress.is_awaited(),
            deadline: self.machine.poll_timeout(),
            is_finished: self.machine.is_finished(),
            is_aborted: self.aborted,
            state: self.machine.state(),
        }
    }

    /// Detaches the thread's workspace. Bytes that wait for a slow peer or handler move to memory of their own.
    fn release(&mut self, writing: &mut Outgoing) {
        workspace::with(|workspace| {
            workspace.recycle(writing);
            self.machine.detach(workspace);
        });
    }
}
