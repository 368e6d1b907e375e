//! A task that waits repeatedly for the same thing. Its waker is kept between the waits, so that a wait costs no
//! clone of it. Knows nothing of what the task waits for.

use std::task::{Context, Waker};

#[derive(Default)]
pub(super) struct Waiter {
    waker: Option<Waker>,
    /// Whether the task waits now. Invariant: only if there is a waker.
    waits: bool,
}

impl Waiter {
    /// Notes that the task waits.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            // Costs nothing if it is the same task's.
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        self.waits = true;
    }

    /// Returns whether the task waits.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Notes that the task does not wait any more; returns whether it did.
    pub(super) fn resume(&mut self) -> bool {
        std::mem::take(&mut self.waits)
    }

    /// Returns the waker if the task waits. The caller wakes it once all locks are released.
    #[must_use]
    pub(super) fn take(&mut self) -> Option<Waker> {
        if self.resume() {
            self.waker.clone()
        } else {
            None
        }
    }

    /// Returns the waker of a task that will not wait again, if the task waits.
    #[must_use]
    pub(super) fn take_last(&mut self) -> Option<Waker> {
        let waits = self.resume();
        self.waker.take().filter(|_| waits)
    }

    /// Returns whether this is the task that runs.
    pub(super) fn is(&self, cx: &Context<'_>) -> bool {
        self.waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
    }
}
