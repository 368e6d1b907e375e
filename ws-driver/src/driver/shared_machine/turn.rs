//! What the driver does with the shared machine: it is awake, it works on the machine, it hears what the
//! machine wants, it waits. Each step takes the lock once, as a message costs little more than that.

use std::task::Context;
use std::time::Instant;

use bytes::Buf;
use ws_proto::{Connection as Machine, Outgoing, State};

use super::{Inner, SharedMachine};
use crate::driver::workspace;

/// Bytes that are taken from the machine to be written at once; what is taken can not be overtaken
/// by control frames any more.
const WRITE_LEN: usize = 256 << 10;

/// What the driver is to do. Others can change it at any time; [`SharedMachine::park`] looks once more.
pub(crate) struct Wants {
    pub(crate) read: bool,
    pub(crate) shutdown: bool,
    /// Whether somebody waits for the stream to be flushed.
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
    /// Whether it runs in the task that it ran in before.
    pub(crate) is_same_task: bool,
}

impl SharedMachine {
    /// Notes that the driver is at work and needs no waking. Lends the machine the thread's buffer
    /// until it [parks](Self::park).
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

    /// Lets the driver work on the machine; tells those who wait what came of it. Tells whether the
    /// one who waits to receive runs in the driver's own task, so that the driver is to poll it.
    pub(crate) fn drive<T>(
        &self,
        cx: &Context<'_>,
        work: impl FnOnce(&mut Machine) -> T,
    ) -> (T, bool) {
        self.work(cx, |inner| {
            inner.attach();
            // What ends the connection drops what is queued.
            let mark = inner.mark();
            let result = workspace::with_streams(&mut inner.machine, work);
            inner.note_lost_since(mark);
            result
        })
    }

    /// Says that `written` bytes of what was taken have left, takes more if there is none in `writing`,
    /// and asks what the machine wants. `is_flushed` says that the stream has been flushed since the last
    /// bytes left. Discards what was received if nobody can take it. Tells, too,
    /// what [`drive`](Self::drive) does.
    pub(crate) fn consult(
        &self,
        cx: &Context<'_>,
        written: usize,
        is_flushed: bool,
        writing: &mut Outgoing,
    ) -> (Wants, bool) {
        self.work(cx, |inner| {
            if !inner.has_receiver {
                // Asked also if nothing waits: a batch that the receiver had counts until somebody asks again.
                while inner.machine.take_event().is_some() {}
                // Only an end that waited for that is left, and only that needs the time.
                if inner.machine.has_events() {
                    let now = (self.clock)();
                    // What ends the connection drops what is queued.
                    let mark = inner.mark();
                    while inner.machine.poll_event(now).is_some() {}
                    inner.note_lost_since(mark);
                }
            }
            inner.machine.handle_written(written);
            // What has just been written cannot have been flushed before.
            if is_flushed && written == 0 {
                inner.note_flushed();
            }
            if !writing.has_remaining() {
                inner.machine.take_outgoing_into(WRITE_LEN, writing);
            }
            inner.wants()
        })
    }

    fn work<T>(&self, cx: &Context<'_>, work: impl FnOnce(&mut Inner) -> T) -> (T, bool) {
        let mut inner = self.lock();
        let before = inner.status();
        let result = work(&mut inner);
        inner.refill();
        let has_news = inner.status().is_news(before) | inner.progress.take_news();
        let concerns_receiver = inner.machine.has_events() || inner.is_over();
        let is_own = inner.receiver.is(cx);
        let (calls_handler, receiver) = match concerns_receiver {
            true if is_own => (inner.receiver.resume(), None),
            true => (false, inner.receiver.take()),
            false => (false, None),
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

    /// Notes that the driver waits, unless it has work; tells whether it may.
    pub(crate) fn park(
        &self,
        cx: &Context<'_>,
        is_flushed: bool,
        writing: &mut Outgoing,
        has_work: impl FnOnce(&mut Machine, &Outgoing) -> bool,
    ) -> bool {
        let mut inner = self.lock();
        let discards = !inner.has_receiver && inner.machine.has_events();
        if inner.aborted || discards || has_work(&mut inner.machine, writing) {
            return false;
        }
        inner.driver.wait(cx);
        inner.release(writing);
        if is_flushed {
            inner.note_flushed();
        }
        let has_news = inner.progress.take_news();
        drop(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        true
    }

    /// Gives the thread's buffer back, as the driver gives way to other tasks.
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

    /// Notes that the driver is done; who holds a handle keeps nothing of its task.
    pub(crate) fn note_driven(&self) {
        drop(self.lock().driver.take_last());
    }
}

impl Inner {
    /// Has the machine work with the thread's memory.
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

    /// Gives the thread's memory back; what waits for a slow peer or handler has memory of its own.
    fn release(&mut self, writing: &mut Outgoing) {
        workspace::with(|workspace| {
            workspace.recycle(writing);
            self.machine.detach(workspace);
        });
    }
}
