//! A task that waits repeatedly for the same thing. Its waker is kept between the waits, so that a wait costs no
//! clone of it. Knows nothing of what the task waits for.

use std::task::{Context, Waker};

use crate::util::wakers;

#[derive(Default)]
pub(super) struct Waiter {
    waker: Option<Waker>,
    /// Whether the task waits now. Invariant: only if there is a waker.
    waits: bool,
}

impl Waiter {
    /// Notes that the task waits. Returns the waker of another task that waited before. The caller drops it once all
    /// locks are released, because its destructor is code of an executor, and may lock the same.
    #[must_use = "it is dropped once all locks are released"]
    pub(super) fn wait(&mut self, cx: &Context<'_>) -> Option<Waker> {
        let replaced = wakers::keep(&mut self.waker, cx);
        self.waits = true;
        replaced
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

    /// Forgets the task, which will not wait again. Returns its waker, whether the task waits or not. The caller drops
    /// it once all locks are released.
    #[must_use = "it is dropped once all locks are released"]
    pub(super) fn take_last(&mut self) -> Option<Waker> {
        self.waits = false;
        self.waker.take()
    }

    /// Returns whether this is the task that runs.
    pub(super) fn is(&self, cx: &Context<'_>) -> bool {
        self.waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;
    use std::time::Instant;

    use ws_proto::{
        CloseCode, Connection as Machine, ConnectionConfig, EventBatch, Outgoing, Version,
    };

    use super::*;
    use crate::driver::shared_machine::tests::around;
    use crate::driver::shared_machine::{Able, Next, Report, SharedMachine};
    use crate::util::wakers::kit::{with_destructor, within_limit};

    /// Runs a test with a machine, and with a waker whose destructor locks that machine, as that of an executor whose
    /// waker owns a future with a handle. Asserts that the test drops the waker.
    fn with_locking_waker(test: impl FnOnce(&SharedMachine, Waker) + Send + 'static) {
        within_limit(|| {
            let machine =
                Machine::server(Version::Rfc6455, ConnectionConfig::new(), Instant::now());
            let machine = Arc::new(around(machine));
            let drops = Arc::new(AtomicUsize::new(0));
            let (locked, counted) = (Arc::clone(&machine), Arc::clone(&drops));
            let waker = with_destructor(move || {
                locked.state();
                counted.fetch_add(1, Ordering::SeqCst);
            });
            test(&machine, waker);
            assert_eq!(drops.load(Ordering::SeqCst), 1);
        });
    }

    fn receive(machine: &SharedMachine, waker: &Waker) -> Poll<bool> {
        machine.poll_events(&mut Context::from_waker(waker), &mut EventBatch::new())
    }

    /// What a driver reports that has written nothing.
    const NOTHING: Report = Report {
        written: 0,
        is_flushed: true,
    };

    /// Lets a driver wait that has nothing to do.
    fn wait(machine: &SharedMachine, waker: &Waker) {
        let cx = Context::from_waker(waker);
        machine.note_awake(&cx);
        let able = Able {
            to_wait: true,
            is_open: true,
            to_read: false,
            to_write: true,
            to_shut_down: true,
            to_time_out: false,
            // Earlier than any deadline of the machine.
            armed: Some(Instant::now()),
        };
        let (next, _, _) = machine.next(&cx, NOTHING, &able, &mut Outgoing::default());
        assert!(matches!(next, Next::Wait));
    }

    /// A receiver that moves to another task. Breaks if the waker of the first one is dropped under the lock.
    #[test]
    fn a_receiver_that_changes_its_task_drops_the_old_waker_unlocked() {
        with_locking_waker(|machine, waker| {
            assert_eq!(receive(machine, &waker), Poll::Pending);
            drop(waker);
            assert_eq!(receive(machine, Waker::noop()), Poll::Pending);
        });
    }

    #[test]
    fn a_receiver_that_is_told_of_the_end_drops_its_waker_unlocked() {
        with_locking_waker(|machine, waker| {
            assert_eq!(receive(machine, &waker), Poll::Pending);
            drop(waker);
            let cx = Context::from_waker(Waker::noop());
            machine.drive(&cx, NOTHING, |machine| machine.handle_eof(Instant::now()));
            machine.note_ended(false);
            let mut batch = EventBatch::new();
            while let Poll::Ready(true) =
                machine.poll_events(&mut Context::from_waker(Waker::noop()), &mut batch)
            {
                batch = EventBatch::new();
            }
        });
    }

    #[test]
    fn a_receiver_that_goes_drops_its_waker_unlocked() {
        with_locking_waker(|machine, waker| {
            assert_eq!(receive(machine, &waker), Poll::Pending);
            drop(waker);
            machine.abandon(CloseCode::NORMAL);
        });
    }

    /// The same for a receiver that was woken, and does not wait any more.
    #[test]
    fn a_receiver_that_was_woken_and_goes_drops_its_waker_unlocked() {
        with_locking_waker(|machine, waker| {
            assert_eq!(receive(machine, &waker), Poll::Pending);
            drop(waker);
            machine.note_ended(false);
            machine.abandon(CloseCode::NORMAL);
        });
    }

    #[test]
    fn a_driver_that_changes_its_task_drops_the_old_waker_unlocked() {
        with_locking_waker(|machine, waker| {
            wait(machine, &waker);
            drop(waker);
            wait(machine, Waker::noop());
        });
    }

    #[test]
    fn a_driver_that_is_done_drops_its_waker_unlocked() {
        with_locking_waker(|machine, waker| {
            wait(machine, &waker);
            drop(waker);
            machine.note_driven();
        });
    }

    /// The usual wait costs no clone and no drop of a waker.
    #[test]
    fn a_task_that_waits_again_keeps_its_waker() {
        let waker = with_destructor(|| {});
        let cx = Context::from_waker(&waker);
        let mut waiter = Waiter::default();
        assert!(waiter.wait(&cx).is_none());
        assert!(waiter.wait(&cx).is_none());
        assert!(waiter.waits() && waiter.is(&cx));
        let replaced = waiter.wait(&Context::from_waker(Waker::noop()));
        assert!(replaced.is_some_and(|replaced| replaced.will_wake(&waker)));
    }
}
