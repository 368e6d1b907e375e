//! A task that waits for news now and then. Its waker is kept from one time to the next, so that to
//! wait costs no clone. Knows nothing of what it waits for.

use std::task::{Context, Waker};

#[derive(Default)]
pub(super) struct Waiter {
    waker: Option<Waker>,
    /// Whether it waits now. Invariant: only if there is a waker.
    waits: bool,
}

impl Waiter {
    /// Notes that the task waits.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        self.waits = true;
    }

    /// Tells whether the task waits.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Notes that the task does not wait any more; tells whether it did.
    pub(super) fn resume(&mut self) -> bool {
        std::mem::take(&mut self.waits)
    }

    /// If the task waits, returns what wakes it: to be called once all locks are released.
    #[must_use]
    pub(super) fn take(&mut self) -> Option<Waker> {
        match self.resume() {
            true => self.waker.clone(),
            false => None,
        }
    }

    /// As [`take`](Self::take), of a task that will not wait again.
    #[must_use]
    pub(super) fn take_last(&mut self) -> Option<Waker> {
        let waits = self.resume();
        self.waker.take().filter(|_| waits)
    }

    /// Tells whether this is the task that runs.
    pub(super) fn is(&self, cx: &Context<'_>) -> bool {
        self.waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
    }
}
