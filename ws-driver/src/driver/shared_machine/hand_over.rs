//! Which task writes what was queued: the driver's, once it is woken, or the sender's.

use std::task::Context;

use super::{Inner, SharedMachine};
use crate::driver::shared_driver::WriteAtOnce;
use crate::util::sync::{Arc, MutexGuard, Weak};

/// What follows when a message was queued.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// The sender writes it at once if the driver has a task of its own and the sender is outside of the runtime's
    /// tasks. Otherwise the same as [`Wake`](Self::Wake).
    Write,
    /// The driver is woken. All that is sent until it runs leaves together.
    Wake,
}

/// A driver in a task of its own.
pub(super) struct DriverHandle {
    driver: Weak<dyn WriteAtOnce>,
    is_in_task: fn() -> bool,
    give_way: GiveWay,
}

/// Makes the calling task run again, behind the others.
pub(crate) type GiveWay = Box<dyn Fn(&mut Context<'_>) + Send + Sync>;

impl DriverHandle {
    fn write_at_once(&self) {
        // Without a driver the connection has ended.
        if let Some(driver) = self.driver.upgrade() {
            driver.write_at_once();
        }
    }
}

impl SharedMachine {
    /// Lets senders write with the driver of a task of its own.
    pub(crate) fn share_driver(
        &self,
        driver: Weak<dyn WriteAtOnce>,
        is_in_task: fn() -> bool,
        give_way: GiveWay,
    ) {
        let handle = DriverHandle {
            driver,
            is_in_task,
            give_way,
        };
        let before = self.lock().shared_driver.replace(Arc::new(handle));
        debug_assert!(before.is_none(), "a connection has one driver");
    }

    /// Has what was queued written, and releases the lock.
    #[inline(always)]
    pub(super) fn hand_over(&self, mut inner: MutexGuard<'_, Inner>, then: Then) {
        match (then, &inner.shared_driver) {
            // Outside of the runtime's tasks the program may end, or block, before the driver's task is polled again.
            // In a task the driver surely runs later, or is dropped, and what is sent until then leaves together.
            (Then::Write, Some(handle)) if !(handle.is_in_task)() => {
                let handle = Arc::clone(handle);
                inner.note_written();
                // The driver locks the machine for itself.
                drop(inner);
                handle.write_at_once();
            }
            (Then::Write | Then::Wake, _) => self.wake_driver(inner),
        }
    }

    /// Writes what is queued, as far as the stream takes it, if the driver has a task of its own.
    pub(crate) fn write_at_once(&self) {
        let mut inner = self.lock();
        if let Some(handle) = inner.shared_driver.clone() {
            inner.note_written();
            drop(inner);
            handle.write_at_once();
        }
    }

    /// Makes a sender that has waited for capacity give way before it goes on, if the driver has a task of its own. Returns
    /// whether it does.
    ///
    /// Where the stream takes all that is written, the two tasks would otherwise wake each other without end, for a queue of
    /// messages at a time, and the thread would not hear its sockets and timers before its executor looks by itself: tokio's
    /// current-thread runtime after 61 polls, in which 8 MB leave.
    pub(crate) fn give_way_after_wait(&self, cx: &mut Context<'_>) -> bool {
        let inner = self.lock();
        let gives_way = inner.shared_driver.is_some();
        if gives_way {
            self.give_way(inner, cx);
        }
        gives_way
    }

    /// Makes the task of a user run again, behind the others of its thread.
    pub(super) fn give_way(&self, mut inner: MutexGuard<'_, Inner>, cx: &mut Context<'_>) {
        // The caller is a handler in the driver's own task. The driver gives way for both, once it has written what the
        // handler sent. A wake here would have the task polled again before the runtime looks at its sockets.
        inner.gives_way = inner.shared_driver.is_none() && inner.driver.is(cx);
        if inner.gives_way {
            return;
        }
        let handle = inner.shared_driver.clone();
        drop(inner);
        match handle {
            Some(handle) => (handle.give_way)(cx),
            // A part of the handler with a waker of its own, which has to be woken.
            None => cx.waker().wake_by_ref(),
        }
    }
}

impl Inner {
    /// Notes that a sender writes what is queued. Counted before the write, while the machine is locked anyway.
    #[inline]
    fn note_written(&mut self) {
        let bytes = self.machine.buffered_amount();
        self.streak.note_written(bytes);
    }
}
