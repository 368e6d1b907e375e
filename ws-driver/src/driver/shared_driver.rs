//! A driver in a task of its own that senders use, too. A sender writes its message by itself, so that the message
//! has left when `send` returns, even if the runtime never polls the task again: a program may end after `send`, or
//! call `block_on` for each message.
//!
//! The driver lies in a slot. The task takes it out for each poll, and a sender for one write, with the task's waker.
//! No lock is held while it is used. A user looks at the queue once more before it gives the driver back, or wakes
//! the task, so it sees what others queue meanwhile.
//!
//! Two other ways were rejected. A send that is pending until the driver has written would have queued its message
//! when it is dropped. A task switch for each message is slower than the write.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread::panicking;
use std::time::Duration;

use crate::util::panics;
use crate::util::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, ThreadId, Weak, thread};
use crate::util::wakers;

/// How long a sender waits for one use of the driver by another thread. A use takes microseconds. The limit is for
/// streams, wakers and observers whose code waits for this very sender.
const USE_LIMIT: Duration = Duration::from_millis(10);

/// Uses by others that a sender waits for: one that may have looked at the queue before the sender queued, and one that
/// begins before the sender gets the driver. The second one writes what the sender queued.
const USES_AWAITED: usize = 2;

/// A driver that can be shared: it can write what is queued outside of its turns.
pub(crate) trait Drive: Future<Output = ()> + Unpin {
    /// Writes what is queued, as far as the stream takes it. Returns whether the task is to be woken, because more is
    /// left to do. `was_polled` says whether the task was polled before, so that the waker is the task's.
    fn write_queued(&mut self, cx: &mut Context<'_>, was_polled: bool) -> bool;
}

/// The part of a shared driver that senders use, without its type.
pub(crate) trait WriteAtOnce: Send + Sync {
    /// Writes what is queued, as far as the stream takes it. It waits only for another thread that uses the driver,
    /// for at most [`USES_AWAITED`] times [`USE_LIMIT`].
    fn write_at_once(&self);
}

struct SharedDriver<D> {
    slot: Mutex<Slot<D>>,
    /// Notified when the driver is given back.
    given_back: Condvar,
}

struct Slot<D> {
    /// `None` while it is used, and once it is gone.
    driver: Option<Box<D>>,
    /// The waker of the task; `None` before its first poll.
    task: Option<Waker>,
    /// The thread that uses the driver.
    user: Option<ThreadId>,
    /// Whether senders wait until it is given back.
    is_awaited: bool,
    /// Whether a thread found it in use and did not wait. The task is woken then, when the driver is given back.
    was_missed: bool,
    /// Whether the task was dropped.
    is_over: bool,
}

/// The task of a driver that is shared. The driver is dropped with it.
pub(crate) struct DriverTask<D> {
    shared: Arc<SharedDriver<D>>,
}

impl<D: Drive + Send + 'static> DriverTask<D> {
    pub(crate) fn new(driver: D) -> Self {
        let slot = Slot {
            driver: Some(Box::new(driver)),
            task: None,
            user: None,
            is_awaited: false,
            was_missed: false,
            is_over: false,
        };
        let shared = SharedDriver {
            slot: Mutex::new(slot),
            given_back: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes a handle that writes with the driver while there is one.
    pub(crate) fn writer(&self) -> Weak<dyn WriteAtOnce> {
        let shared: Weak<SharedDriver<D>> = Arc::downgrade(&self.shared);
        shared
    }
}

impl<D: Drive> Future for DriverTask<D> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.shared.lock();
        let replaced = wakers::keep(&mut slot.task, cx);
        let Some(mut used) = self.shared.take(&mut slot) else {
            // A sender that is writing wakes the task when it is done. To wait for it here would block the other
            // tasks of the thread. Without a user the driver has panicked.
            slot.was_missed = true;
            let polled = match slot.user {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            };
            drop(slot);
            drop(replaced);
            return polled;
        };
        // Unlocked first: to drop a waker runs code of an executor.
        drop(slot);
        drop(replaced);
        let polled = used.driver().poll(cx);
        if polled.is_ready() {
            used.discard();
        }
        polled
    }
}

impl<D> Drop for DriverTask<D> {
    fn drop(&mut self) {
        let mut slot = self.shared.lock();
        // A sender that uses the driver now drops it when it is done.
        slot.is_over = true;
        let task = slot.task.take();
        let driver = slot.driver.take();
        drop(slot);
        drop(driver);
        // After the driver, so that its destructor finds the connection ended.
        drop(task);
    }
}

impl<D: Drive + Send> WriteAtOnce for SharedDriver<D> {
    fn write_at_once(&self) {
        let Some((mut used, task)) = self.wait_for_driver() else {
            return;
        };
        let waker = task.as_ref().unwrap_or(Waker::noop());
        let write = || {
            let mut cx = Context::from_waker(waker);
            used.driver().write_queued(&mut cx, task.is_some())
        };
        match panics::catch(write) {
            Ok(false) => {}
            Ok(true) => waker.wake_by_ref(),
            // The stream panicked: that ends its connection and does not reach the sender (P8).
            Err(_) => used.discard(),
        }
    }
}

impl<D> SharedDriver<D> {
    /// Takes the driver, and waits for another thread that uses it. Returns `None` if there is no driver any more, or
    /// if its user writes instead.
    fn wait_for_driver(&self) -> Option<(Used<'_, D>, Option<Waker>)> {
        let mut slot = self.lock();
        for uses in 0.. {
            if let Some(used) = self.take(&mut slot) {
                return Some((used, slot.task.clone()));
            }
            let user = slot.user?;
            // On the same thread the caller is code that the driver calls, such as a waker or a stream. It would wait
            // for itself for ever.
            if uses == USES_AWAITED || user == thread_id() {
                slot.was_missed = true;
                return None;
            }
            slot.is_awaited = true;
            let waited = self.given_back.wait_timeout(slot, USE_LIMIT);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    fn take(&self, slot: &mut MutexGuard<'_, Slot<D>>) -> Option<Used<'_, D>> {
        let driver = slot.driver.take()?;
        slot.user = Some(thread_id());
        Some(Used {
            shared: self,
            driver: Some(driver),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Slot<D>> {
        // No code under the lock panics, so a poisoned lock is used on.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A driver that is in use. It is given back when this is dropped.
struct Used<'a, D> {
    shared: &'a SharedDriver<D>,
    driver: Option<Box<D>>,
}

impl<D: Unpin> Used<'_, D> {
    fn driver(&mut self) -> Pin<&mut D> {
        let driver = self.driver.as_mut();
        Pin::new(driver.expect("it is there until it is given back"))
    }
}

impl<D> Used<'_, D> {
    /// Drops the driver, which ends the connection if it has not ended.
    fn discard(&mut self) {
        drop(self.driver.take());
    }
}

impl<D> Drop for Used<'_, D> {
    fn drop(&mut self) {
        if panicking() {
            // This is the poll of the task, because senders catch panics. A driver that panicked is not used again.
            self.discard();
        }
        let mut slot = self.shared.lock();
        slot.user = None;
        let dropped = if slot.is_over {
            self.driver.take()
        } else {
            slot.driver = self.driver.take();
            None
        };
        let is_awaited = std::mem::take(&mut slot.is_awaited);
        let was_missed = std::mem::take(&mut slot.was_missed);
        // No clone that is dropped here, under the lock.
        let task = if was_missed { slot.task.clone() } else { None };
        // Unlocked first: a waker is code of the runtime, and a dropped driver drops its stream.
        drop(slot);
        if is_awaited {
            self.shared.given_back.notify_all();
        }
        if let Some(task) = task {
            task.wake();
        }
        drop(dropped);
    }
}

/// Returns the id of this thread. Cached, because the standard library counts references for each call.
#[cfg(not(shuttle))]
fn thread_id() -> ThreadId {
    thread_local! {
        static ID: ThreadId = thread::current().id();
    }
    ID.with(|id| *id)
}

/// Returns the id of this thread of the checker.
#[cfg(shuttle)]
fn thread_id() -> ThreadId {
    thread::current().id()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::util::wakers::kit::{with_destructor, within_limit};

    /// A driver that does as it is told when it is polled, and counts what others do with it.
    struct Told<P> {
        poll: P,
        writes: Arc<AtomicUsize>,
        drops: Arc<AtomicUsize>,
    }

    impl<P: FnMut() -> Poll<()> + Unpin> Future for Told<P> {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            (self.poll)()
        }
    }

    impl<P: FnMut() -> Poll<()> + Unpin> Drive for Told<P> {
        fn write_queued(&mut self, _: &mut Context<'_>, _: bool) -> bool {
            self.writes.fetch_add(1, Ordering::SeqCst);
            false
        }
    }

    impl<P> Drop for Told<P> {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[derive(Clone, Default)]
    struct Counts {
        writes: Arc<AtomicUsize>,
        drops: Arc<AtomicUsize>,
    }

    impl Counts {
        fn task<P>(&self, poll: P) -> DriverTask<Told<P>>
        where
            P: FnMut() -> Poll<()> + Unpin + Send + 'static,
        {
            DriverTask::new(Told {
                poll,
                writes: Arc::clone(&self.writes),
                drops: Arc::clone(&self.drops),
            })
        }

        fn get(&self) -> (usize, usize) {
            let [writes, drops] = [&self.writes, &self.drops];
            (writes.load(Ordering::SeqCst), drops.load(Ordering::SeqCst))
        }
    }

    fn poll<D: Drive>(task: &mut DriverTask<D>) -> Poll<()> {
        Pin::new(task).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A sender waits for another thread that drives the connection, then writes. Of some attempts one at least,
    /// because on a busy machine the other thread can be away for longer than a sender waits.
    #[test]
    fn a_sender_waits_for_a_poll_in_another_thread() {
        let waits = || {
            let counts = Counts::default();
            let (begun, begins) = mpsc::channel();
            let (end, ends) = mpsc::channel();
            let mut task = counts.task(move || {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                Poll::Pending
            });
            let writer = task.writer().upgrade().unwrap();
            thread::scope(|scope| {
                scope.spawn(move || {
                    assert_eq!(poll(&mut task), Poll::Pending);
                    std::mem::forget(task);
                });
                begins.recv().unwrap();
                let sender = scope.spawn(|| writer.write_at_once());
                thread::sleep(USE_LIMIT / 10);
                assert_eq!(counts.get(), (0, 0));
                end.send(()).unwrap();
                sender.join().unwrap();
                counts.get() == (1, 0)
            })
        };
        assert!((0..50).any(|_| waits()));
    }

    /// A sender does not wait for ever, because the other thread may wait for the sender.
    #[test]
    fn a_sender_gives_up_on_a_poll_that_does_not_end() {
        let counts = Counts::default();
        let slot: Arc<std::sync::OnceLock<Weak<dyn WriteAtOnce>>> = Arc::default();
        let writer = Arc::clone(&slot);
        let mut task = counts.task(move || {
            let writer = writer.get().and_then(Weak::upgrade).unwrap();
            thread::spawn(move || writer.write_at_once())
                .join()
                .unwrap();
            Poll::Pending
        });
        slot.set(task.writer()).ok().unwrap();
        assert_eq!(poll(&mut task), Poll::Pending);
        assert_eq!(counts.get(), (0, 0));
        assert_eq!(poll(&mut task), Poll::Pending);
    }

    /// Code that the driver calls may send, too. It does not wait for itself, and the task is woken.
    #[test]
    fn a_driver_that_sends_does_not_wait_for_itself() {
        struct Count(AtomicUsize);

        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }

        let counts = Counts::default();
        let slot: Arc<std::sync::OnceLock<Weak<dyn WriteAtOnce>>> = Arc::default();
        let writer = Arc::clone(&slot);
        let mut task = counts.task(move || {
            writer
                .get()
                .and_then(Weak::upgrade)
                .unwrap()
                .write_at_once();
            Poll::Pending
        });
        slot.set(task.writer()).ok().unwrap();
        let wakes = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let polled = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        assert_eq!(counts.get(), (0, 0));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    }

    /// A driver that panics is dropped at once, and no sender waits for it.
    #[test]
    fn a_driver_that_panics_is_gone() {
        let counts = Counts::default();
        let mut task = counts.task(|| std::panic::resume_unwind(Box::new("as this test wants")));
        assert!(panics::catch(|| poll(&mut task)).is_err());
        assert_eq!(counts.get(), (0, 1));
        task.shared.write_at_once();
        assert_eq!(counts.get(), (0, 1));
        assert_eq!(poll(&mut task), Poll::Ready(()));
    }

    /// The driver is dropped with its task, or right after a sender that uses it at that moment.
    #[test]
    fn the_driver_goes_with_its_task() {
        let counts = Counts::default();
        let task = counts.task(|| Poll::Pending);
        let shared = Arc::clone(&task.shared);
        let used = shared.take(&mut shared.lock());
        drop(task);
        assert_eq!(counts.get(), (0, 0));
        drop(used);
        assert_eq!(counts.get(), (0, 1));
        shared.write_at_once();
        assert_eq!(counts.get(), (0, 1));
    }

    /// A task of a driver, and a waker whose destructor writes with that driver, as that of an executor whose waker owns
    /// a future with a handle.
    fn with_writing_waker(
        test: impl FnOnce(DriverTask<Told<fn() -> Poll<()>>>, Waker) + Send + 'static,
    ) {
        within_limit(|| {
            let pending: fn() -> Poll<()> = || Poll::Pending;
            let task = Counts::default().task(pending);
            let writer: Arc<dyn WriteAtOnce> = task.shared.clone();
            let drops = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&drops);
            let waker = with_destructor(move || {
                writer.write_at_once();
                counted.fetch_add(1, Ordering::SeqCst);
            });
            test(task, waker);
            assert_eq!(drops.load(Ordering::SeqCst), 1);
        });
    }

    fn poll_with<D: Drive>(task: &mut DriverTask<D>, waker: Waker) {
        let polled = Pin::new(task).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
    }

    /// Breaks if the waker of the first task is dropped while the slot is locked.
    #[test]
    fn a_driver_that_changes_its_task_drops_the_old_waker_unlocked() {
        with_writing_waker(|mut task, waker| {
            poll_with(&mut task, waker);
            poll_with(&mut task, Waker::noop().clone());
        });
    }

    /// The same while a sender uses the driver.
    #[test]
    fn a_driver_in_use_that_changes_its_task_drops_the_old_waker_unlocked() {
        with_writing_waker(|mut task, waker| {
            poll_with(&mut task, waker);
            let shared = Arc::clone(&task.shared);
            let used = shared.take(&mut shared.lock());
            poll_with(&mut task, Waker::noop().clone());
            drop(used);
        });
    }

    #[test]
    fn a_task_that_goes_drops_its_waker_unlocked() {
        with_writing_waker(|mut task, waker| {
            poll_with(&mut task, waker);
            drop(task);
        });
    }
}
