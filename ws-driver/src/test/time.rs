//! Virtual time for tests on runtimes that have none: an executor of one thread, whose clock moves to the next timer once nothing
//! else can go on. tokio has such a clock of its own. Knows nothing of connections.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::runtime::Timer;

/// Runs a test in virtual time, for adapters whose runtime has none of its own. Each adapter has a function of this name
/// in its module `test`.
///
/// The future and all tasks that the library spawns run on this thread, in turn. Once all of them wait, the clock moves to
/// the next timer at once, so a test of minutes takes milliseconds. Timers of the library, and `sleep` of the adapter, follow
/// this clock. Timers of the runtime, its sockets and tasks that it spawns itself do not: they take real time, which
/// the virtual clock does not wait for.
///
/// # Panics
///
/// Panics if the future is not ready after [`TIME_LIMIT`] of virtual time, if everything waits, no timer is set and
/// nothing happens for [`WAKE_LIMIT`] of real time, or if it is called inside of itself. A panic of a task is one of the test.
pub fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let world = World::enter();
    let end = world.0.lock().now + TIME_LIMIT;
    let mut test = pin!(test);
    let main = Arc::new(MainTask {
        is_ready: AtomicBool::new(true),
        thread: thread::current(),
    });
    let waker = Waker::from(Arc::clone(&main));
    loop {
        if main.is_ready.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = test.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
        }
        // Those that are ready now and no more, so that tasks that wake each other do not keep the test from its turn.
        let ready = mem::take(&mut world.0.lock().ready);
        let is_idle = ready.is_empty();
        for task in ready {
            task.run();
        }
        if is_idle && !main.is_ready.load(Ordering::SeqCst) {
            world.0.wait(end, &main);
        }
    }
}

/// The most virtual time that a test may take. A test that waits for what never comes ends there, because keepalives move the
/// clock on for as long as a connection is open.
pub const TIME_LIMIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The real time for which a test may wait for another thread when no timer is set.
pub const WAKE_LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    static CURRENT: RefCell<Option<VirtualTime>> = const { RefCell::new(None) };
}

/// The clock and the tasks of a test in virtual time, for adapters.
///
/// An adapter whose runtime has no virtual clock asks for [`current`](Self::current) in its [`Runtime`](crate::Runtime),
/// and uses the real clock if that is `None`.
#[derive(Clone)]
pub struct VirtualTime(Arc<Shared>);

impl VirtualTime {
    /// Returns that of the test that runs on this thread, if one does.
    pub fn current() -> Option<Self> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Returns the time.
    pub fn now(&self) -> Instant {
        self.0.lock().now
    }

    /// Makes a timer that is not set.
    pub fn timer(&self) -> VirtualTimer {
        VirtualTimer {
            shared: Arc::clone(&self.0),
            deadline: None,
            waiting: None,
        }
    }

    /// Runs a future as a task. It is dropped at once if the test is over.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.0.lock();
        if state.is_over {
            // Unlocked first, because a destructor can ask for the time.
            drop(state);
            drop(task);
            return;
        }
        let entry = state.tasks.vacant_entry();
        let task = Arc::new(Task {
            key: entry.key(),
            shared: Arc::clone(&self.0),
            future: Mutex::new(Some(Box::pin(task))),
            is_ready: AtomicBool::new(true),
        });
        entry.insert(Arc::clone(&task));
        state.ready.push_back(task);
        drop(state);
        self.0.thread.unpark();
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTime").finish_non_exhaustive()
    }
}

/// What the tasks of a test share.
struct Shared {
    state: Mutex<State>,
    /// The thread that runs them.
    thread: Thread,
}

struct State {
    now: Instant,
    /// The tasks that wait for a time, by it. The number keeps those for the same time apart, in their order.
    timers: BTreeMap<TimerKey, Waker>,
    next_timer: u64,
    /// At most once each of `tasks`.
    ready: VecDeque<Arc<Task>>,
    /// All that have not ended.
    tasks: Slab<Arc<Task>>,
    is_over: bool,
}

type TimerKey = (Instant, u64);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock to the next timer. If none is set, waits for another thread.
    fn wait(&self, end: Instant, main: &MainTask) {
        let mut state = self.lock();
        let next = state.timers.first_key_value();
        let Some(((deadline, _), _)) = next else {
            drop(state);
            self.wait_for_other_threads(main);
            return;
        };
        let deadline = *deadline;
        assert!(
            deadline <= end,
            "the test is not over after {TIME_LIMIT:?} of virtual time"
        );
        state.now = state.now.max(deadline);
        let now = state.now;
        // `u64::MAX` is no number of a timer, so those of this time are all before.
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    fn wait_for_other_threads(&self, main: &MainTask) {
        // The real clock: the virtual one stands still.
        let start = Instant::now();
        while self.lock().ready.is_empty() && !main.is_ready.load(Ordering::SeqCst) {
            let left = WAKE_LIMIT.saturating_sub(start.elapsed());
            assert!(
                !left.is_zero(),
                "everything waits, no timer is set, and nothing happened for {WAKE_LIMIT:?}"
            );
            thread::park_timeout(left);
        }
    }
}

/// Puts a test on this thread, and ends what is left of it when dropped.
struct World(Arc<Shared>);

impl World {
    fn enter() -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                now: Instant::now(),
                timers: BTreeMap::new(),
                next_timer: 0,
                ready: VecDeque::new(),
                tasks: Slab::new(),
                is_over: false,
            }),
            thread: thread::current(),
        });
        CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            assert!(current.is_none(), "a test in virtual time runs in another");
            *current = Some(VirtualTime(Arc::clone(&shared)));
        });
        Self(shared)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        let (ready, tasks) = (mem::take(&mut state.ready), mem::take(&mut state.tasks));
        drop(state);
        drop(ready);
        // While this test is still the current one, because destructors can ask for the time. A task and its wakers hold each
        // other, so each future is dropped by itself.
        for (_, task) in tasks {
            let future = task.lock().take();
            drop(future);
        }
        // Those that were woken by it.
        let ready = mem::take(&mut self.0.lock().ready);
        drop(ready);
        let current = CURRENT.with(|current| current.borrow_mut().take());
        drop(current);
    }
}

type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    key: usize,
    shared: Arc<Shared>,
    /// `None` while it is polled and once it has ended.
    future: Mutex<Option<BoxedTask>>,
    /// Whether it is in the queue.
    is_ready: AtomicBool,
}

impl Task {
    fn run(self: Arc<Self>) {
        // Before the poll: a wake during it puts the task into the queue again.
        self.is_ready.store(false, Ordering::SeqCst);
        let Some(mut future) = self.lock().take() else {
            return;
        };
        let waker = Waker::from(Arc::clone(&self));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => *self.lock() = Some(future),
            Poll::Ready(()) => {
                let ended = self.shared.lock().tasks.try_remove(self.key);
                drop((future, ended));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BoxedTask>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::SeqCst) {
            let shared = Arc::clone(&self.shared);
            shared.lock().ready.push_back(self);
            shared.thread.unpark();
        }
    }
}

/// The future of the test itself, which need not be `Send`.
struct MainTask {
    is_ready: AtomicBool,
    thread: Thread,
}

impl Wake for MainTask {
    fn wake(self: Arc<Self>) {
        self.is_ready.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A timer that follows the clock of a test.
pub struct VirtualTimer {
    shared: Arc<Shared>,
    deadline: Option<Instant>,
    /// The place of its task among those that wait.
    waiting: Option<TimerKey>,
}

impl VirtualTimer {
    /// Takes the task out of those that wait. Its waker is dropped after the lock is released.
    fn forget(&mut self) {
        if let Some(key) = self.waiting.take() {
            let waker = self.shared.lock().timers.remove(&key);
            drop(waker);
        }
    }
}

impl Timer for VirtualTimer {
    fn set(&mut self, deadline: Instant) {
        self.forget();
        self.deadline = Some(deadline);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let mut state = self.shared.lock();
        if deadline <= state.now {
            drop(state);
            self.forget();
            return Poll::Ready(());
        }
        let key = self.waiting.unwrap_or((deadline, state.next_timer));
        if self.waiting.is_none() {
            state.next_timer += 1;
        }
        let before = state.timers.insert(key, cx.waker().clone());
        drop(state);
        drop(before);
        self.waiting = Some(key);
        Poll::Pending
    }
}

impl Drop for VirtualTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for VirtualTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTimer")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;

    async fn sleep(time: Duration) {
        let world = VirtualTime::current().unwrap();
        let mut timer = world.timer();
        timer.set(world.now() + time);
        poll_fn(|cx| timer.poll(cx)).await;
    }

    /// Tells when it is dropped.
    struct Told(Arc<AtomicBool>);

    impl Drop for Told {
        fn drop(&mut self) {
            // A destructor may ask for the time and spawn.
            let world = VirtualTime::current().unwrap();
            let _ = world.now();
            world.spawn(pending());
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// The clock moves to each timer in turn, and takes no real time for it.
    #[test]
    fn the_clock_moves_to_the_next_timer() {
        let real = Instant::now();
        let order = in_virtual_time(async {
            let world = VirtualTime::current().unwrap();
            let start = world.now();
            let order = Arc::new(Mutex::new(Vec::new()));
            for minutes in [3, 1, 2] {
                let order = Arc::clone(&order);
                world.spawn(async move {
                    sleep(Duration::from_secs(60 * minutes)).await;
                    order.lock().unwrap().push(minutes);
                });
            }
            sleep(Duration::from_secs(60 * 60)).await;
            assert_eq!(world.now() - start, Duration::from_secs(60 * 60));
            order.lock().unwrap().clone()
        });
        assert_eq!(order, [1, 2, 3]);
        assert!(real.elapsed() < Duration::from_secs(60));
        assert!(VirtualTime::current().is_none());
    }

    /// A timer that is set again, or dropped, wakes nobody at its first time.
    #[test]
    fn a_timer_that_was_set_again_keeps_its_last_time_only() {
        in_virtual_time(async {
            let world = VirtualTime::current().unwrap();
            let start = world.now();
            let mut timer = world.timer();
            let second = Duration::from_secs(1);
            timer.set(start + second);
            poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await;
            timer.set(start + 5 * second);
            poll_fn(|cx| timer.poll(cx)).await;
            assert_eq!(world.now(), start + 5 * second);
            timer.set(start + 6 * second);
            poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await;
            drop(timer);
            assert!(world.0.lock().timers.is_empty());
        });
    }

    /// Tasks that are left when the test is over are dropped, also those that wait for themselves.
    #[test]
    fn what_is_left_is_dropped() {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let told = Told(Arc::clone(&is_dropped));
        in_virtual_time(async {
            VirtualTime::current().unwrap().spawn(async move {
                let _told = told;
                sleep(Duration::from_secs(1)).await;
                pending::<()>().await;
            });
            sleep(Duration::from_secs(2)).await;
        });
        assert!(is_dropped.load(Ordering::SeqCst));
    }

    /// A task that another thread wakes goes on, and the clock stands still meanwhile.
    #[test]
    fn another_thread_can_wake_a_test() {
        let is_set = Arc::new(AtomicBool::new(false));
        in_virtual_time(async {
            let mut thread = None;
            poll_fn(|cx| {
                if is_set.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                let (is_set, waker) = (Arc::clone(&is_set), cx.waker().clone());
                thread.get_or_insert_with(|| {
                    thread::spawn(move || {
                        thread::sleep(Duration::from_millis(10));
                        is_set.store(true, Ordering::SeqCst);
                        waker.wake();
                    })
                });
                Poll::Pending
            })
            .await;
            thread.unwrap().join().unwrap();
        });
    }

    /// A test that waits forever while timers go on ends with a panic, and leaves the thread as it was.
    #[test]
    fn a_test_that_waits_for_ever_panics() {
        let waiting = std::panic::catch_unwind(|| {
            in_virtual_time(async {
                VirtualTime::current().unwrap().spawn(async {
                    loop {
                        sleep(Duration::from_secs(20)).await;
                    }
                });
                pending::<()>().await;
            });
        });
        let message = *waiting.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(
            message,
            "the test is not over after 604800s of virtual time"
        );
        in_virtual_time(async {});
    }
}
