//! Wakers that are kept behind a lock. To drop one runs code of the executor, which may own the task's future, and
//! with it handles that lock the same. So this hands out what it replaces, to be dropped once all locks are released.

use std::task::{Context, Waker};

/// Keeps the waker of the task that runs in `kept`. Returns the one that it replaces. The caller drops that once all
/// locks are released.
///
/// Costs no clone and no drop if the waker of the same task is kept already.
#[inline]
#[must_use = "it is dropped once all locks are released"]
pub(crate) fn keep(kept: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    let waker = cx.waker();
    if kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        return None;
    }
    kept.replace(waker.clone())
}

/// What tests of wakers with a destructor share.
#[cfg(all(test, not(shuttle)))]
pub(crate) mod kit {
    use std::sync::Arc;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::task::{Wake, Waker};
    use std::thread;
    use std::time::Duration;

    /// Far longer than what it limits takes.
    const TEST_LIMIT: Duration = Duration::from_secs(20);

    /// Runs a test in a thread of its own, so that a deadlock fails it and does not stop all tests.
    pub(crate) fn within_limit(test: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let _done = done;
            test();
        });
        // The sender is dropped at the end of the test, and also when it panics.
        let waited = is_done.recv_timeout(TEST_LIMIT);
        assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "a deadlock");
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// Makes a waker that runs `then` when it is dropped, as one that owns its task's future does.
    pub(crate) fn with_destructor(then: impl FnMut() + Send + Sync + 'static) -> Waker {
        Waker::from(Arc::new(Dropped(then)))
    }

    struct Dropped<F: FnMut()>(F);

    impl<F: FnMut() + Send + Sync + 'static> Wake for Dropped<F> {
        fn wake(self: Arc<Self>) {}
    }

    impl<F: FnMut()> Drop for Dropped<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
}
