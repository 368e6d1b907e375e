//! A single-threaded executor with a virtual clock: tasks run in the order in which they were woken,
//! and when none is left to run the clock jumps to the next timer. Knows nothing of streams.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::network::Network;

/// A simulated runtime. Cheap to clone; all clones are the same one.
///
/// [`Default`] gives the one that [`run`](Self::run) made for this thread, so that it can stand where
/// a runtime without a value of its own is wanted.
#[derive(Clone)]
pub(crate) struct Sim {
    core: Arc<Core>,
}

struct Core {
    ready: Arc<ReadyQueue>,
    clock: Mutex<Clock>,
    tasks: Mutex<Tasks>,
    network: Network,
}

struct Clock {
    now: Instant,
    /// By deadline, then in the order in which they were polled.
    timers: BTreeMap<(Instant, u64), Waker>,
    next_timer: u64,
}

#[derive(Default)]
struct Tasks {
    /// A task is out of here while it is polled.
    idle: BTreeMap<TaskId, Task>,
    current: Option<TaskId>,
    spawned: u64,
    ended: u64,
    polls: u64,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    handle: Arc<Handle>,
}

/// Names a task; the test itself is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

const MAIN: TaskId = TaskId(0);

/// Polls after which a simulation counts as one that never ends.
const POLL_LIMIT: usize = 200_000;

thread_local! {
    static CURRENT: RefCell<Option<Sim>> = const { RefCell::new(None) };
}

impl Default for Sim {
    /// # Panics
    ///
    /// Panics outside of [`run`](Self::run).
    fn default() -> Self {
        let current = CURRENT.with_borrow(Clone::clone);
        current.expect("a simulation runs on this thread")
    }
}

impl Sim {
    /// Runs a test to its end, and drops the tasks that are left then.
    ///
    /// # Panics
    ///
    /// Panics if nothing could ever happen again, if it does not end, or if a task panics.
    pub(crate) fn run<F: Future>(test: impl FnOnce(Self) -> F) -> F::Output {
        let clock = Clock {
            now: Instant::now(),
            timers: BTreeMap::new(),
            next_timer: 0,
        };
        let core = Core {
            ready: Arc::default(),
            clock: Mutex::new(clock),
            tasks: Mutex::default(),
            network: Network::default(),
        };
        let sim = Self {
            core: Arc::new(core),
        };
        CURRENT.set(Some(sim.clone()));
        let output = sim.block_on(test(sim.clone()));
        let left = std::mem::take(&mut sim.tasks().idle);
        drop(left);
        CURRENT.set(None);
        output
    }

    /// Runs a future as a task of its own.
    pub(crate) fn spawn_task(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        tasks.spawned += 1;
        let id = TaskId(tasks.spawned);
        let task = Task {
            future: Box::pin(future),
            handle: Handle::new(id, &self.core.ready),
        };
        task.handle.wake_by_ref();
        tasks.idle.insert(id, task);
    }

    /// Returns the virtual time.
    pub(crate) fn now(&self) -> Instant {
        self.clock().now
    }

    /// Makes a timer, which is not set.
    pub(crate) fn timer(&self) -> SimTimer {
        SimTimer {
            sim: self.clone(),
            deadline: None,
            entry: None,
        }
    }

    /// Lets virtual time pass; in the test itself, too, everything that is to happen until then.
    pub(crate) async fn sleep(&self, time: Duration) {
        let mut timer = self.timer();
        timer.deadline = Some(self.now() + time);
        poll_fn(|cx| timer.poll_expired(cx)).await;
        self.settle().await;
    }

    /// Waits until no task has anything to do, while the clock stands. Only the test itself waits: two
    /// tasks would do so for each other.
    pub(crate) async fn settle(&self) {
        poll_fn(|cx| {
            if self.current_task().is_some() || self.core.ready.lock().is_empty() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Waits for a future, but not longer than `time`.
    pub(crate) async fn within<T>(
        &self,
        time: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        let mut timer = self.timer();
        timer.deadline = Some(self.now() + time);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.poll_expired(cx).map(|()| None),
        })
        .await
    }

    /// Returns the task that is being polled.
    pub(crate) fn current_task(&self) -> Option<TaskId> {
        self.tasks().current
    }

    /// Returns how many tasks were spawned so far.
    pub(crate) fn spawned(&self) -> u64 {
        self.tasks().spawned
    }

    /// Returns how many tasks were spawned and have not ended.
    pub(crate) fn live_tasks(&self) -> u64 {
        let tasks = self.tasks();
        tasks.spawned - tasks.ended
    }

    /// Returns how often spawned tasks were polled so far.
    pub(crate) fn polls(&self) -> u64 {
        self.tasks().polls
    }

    pub(super) fn network(&self) -> &Network {
        &self.core.network
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        let handle = Handle::new(MAIN, &self.core.ready);
        handle.wake_by_ref();
        for _ in 0..POLL_LIMIT {
            let next = self.core.ready.lock().pop_front();
            match next {
                Some(MAIN) => {
                    handle.is_queued.store(false, Ordering::SeqCst);
                    let waker = Waker::from(Arc::clone(&handle));
                    if let Poll::Ready(output) =
                        main.as_mut().poll(&mut Context::from_waker(&waker))
                    {
                        return output;
                    }
                }
                Some(id) => self.poll_task(id),
                None => self.run_next_timers(),
            }
        }
        panic!("the simulation does not end within {POLL_LIMIT} polls");
    }

    fn poll_task(&self, id: TaskId) {
        let Some(mut task) = self.tasks().idle.remove(&id) else {
            // A waker outlived its task.
            return;
        };
        task.handle.is_queued.store(false, Ordering::SeqCst);
        self.tasks().current = Some(id);
        let waker = Waker::from(Arc::clone(&task.handle));
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            drop(task);
            self.tasks().ended += 1;
        } else {
            self.tasks().idle.insert(id, task);
        }
        let mut tasks = self.tasks();
        tasks.current = None;
        tasks.polls += 1;
    }

    fn run_next_timers(&self) {
        let mut clock = self.clock();
        let Some((&(deadline, _), _)) = clock.timers.first_key_value() else {
            panic!("nothing can happen any more: no task is ready and no timer is set");
        };
        let now = clock.now.max(deadline);
        clock.now = now;
        let later = clock.timers.split_off(&(now, u64::MAX));
        let expired = std::mem::replace(&mut clock.timers, later);
        drop(clock);
        expired.into_values().for_each(Waker::wake);
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.core.clock)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        lock(&self.core.tasks)
    }
}

/// A timer on the virtual clock.
pub(crate) struct SimTimer {
    sim: Sim,
    deadline: Option<Instant>,
    /// Where its waker is kept.
    entry: Option<(Instant, u64)>,
}

impl SimTimer {
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.forget();
        self.deadline = Some(deadline);
    }

    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let mut clock = self.sim.clock();
        match self.deadline {
            Some(deadline) if deadline <= clock.now => Poll::Ready(()),
            Some(deadline) => {
                clock.next_timer += 1;
                let entry = (deadline, clock.next_timer);
                clock.timers.insert(entry, cx.waker().clone());
                drop(clock);
                self.entry = Some(entry);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }

    fn forget(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.sim.clock().timers.remove(&entry);
        }
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

#[derive(Default)]
struct ReadyQueue(Mutex<VecDeque<TaskId>>);

impl ReadyQueue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<TaskId>> {
        lock(&self.0)
    }
}

/// Wakes a task: puts it into the queue once, however often it is woken before it runs.
struct Handle {
    id: TaskId,
    is_queued: AtomicBool,
    ready: Arc<ReadyQueue>,
}

impl Handle {
    fn new(id: TaskId, ready: &Arc<ReadyQueue>) -> Arc<Self> {
        Arc::new(Self {
            id,
            is_queued: AtomicBool::new(false),
            ready: Arc::clone(ready),
        })
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            self.ready.lock().push_back(self.id);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
