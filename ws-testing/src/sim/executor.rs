//! A single-threaded executor with a virtual clock. Tasks run in the order in which they were woken or,
//! with a seed, in any order. When no task is ready the clock jumps to the next timer. Knows
//! nothing of streams.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::network::Network;
use super::random::{Rng, mix};

/// A simulated runtime. Cheap to clone; all clones are the same one.
///
/// [`Default`] gives the one that [`run`](Self::run) made for this thread, so that it can stand where
/// a runtime without a value of its own is wanted.
#[derive(Clone)]
pub struct Sim {
    core: Arc<Core>,
}

struct Core {
    ready: Arc<ReadyQueue>,
    clock: Mutex<Clock>,
    tasks: Mutex<Tasks>,
    sight: Mutex<Sight>,
    network: Network,
    /// What a seed decides; without one all is in order.
    chance: Option<Mutex<Chance>>,
}

struct Chance {
    rng: Rng,
    /// Of everything that has happened, in order.
    hash: u64,
    /// Polls since the clock moved.
    polls: usize,
}

struct Clock {
    start: Instant,
    now: Instant,
    /// By deadline, then in the order in which they were polled.
    timers: BTreeMap<(Instant, u64), Waker>,
    next_timer: u64,
    /// By how much the clock moves with each poll; otherwise it stands while anything is ready.
    poll_cost: Duration,
}

/// What the runtime of the library sees of its sockets.
#[derive(Default)]
struct Sight {
    /// Whether it has not looked at them since it stood still: what came meanwhile is not seen.
    is_blind: bool,
    /// Who is woken when it has looked: readers that found nothing, and tasks that asked for the look.
    waiting: Vec<Waker>,
    /// Whether a task asked for a look.
    is_asked: bool,
}

#[derive(Default)]
struct Tasks {
    /// A task is out of here while it is polled.
    idle: BTreeMap<TaskId, Task>,
    current: Option<TaskId>,
    /// Whether the runtime of the library has ended, while the test goes on.
    has_ended: bool,
    /// Whether the runtime of the library stands still, while the test goes on.
    stands_still: bool,
    /// Tasks that were woken meanwhile.
    woken: Vec<TaskId>,
    /// After how many more reads and writes of the runtime's streams it stands still, and who is told.
    moves_left: Option<(u64, Waker)>,
    spawned: u64,
    ended: u64,
    polls: u64,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    handle: Arc<Handle>,
    /// Whether it goes when the runtime ends.
    is_of_runtime: bool,
}

/// Names a task; the test itself is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(u64);

const MAIN: TaskId = TaskId(0);

/// Polls after which a simulation counts as one that never ends.
const POLL_LIMIT: usize = 200_000;

/// The same with a seed, where there are many peers and much time.
const SEEDED_POLL_LIMIT: usize = 20_000_000;

/// Polls while the clock stands, with a seed, after which it counts as one that spins.
const INSTANT_POLL_LIMIT: usize = 100_000;

thread_local! {
    static CURRENT: RefCell<Option<Sim>> = const { RefCell::new(None) };
}

impl Default for Sim {
    /// # Panics
    ///
    /// Panics outside of [`run`](Self::run).
    fn default() -> Self {
        Self::current().expect("a simulation runs on this thread")
    }
}

impl Sim {
    /// Returns the one that runs on this thread.
    pub(super) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs a test to its end, and drops the tasks that are left then.
    ///
    /// # Panics
    ///
    /// Panics if nothing could ever happen again, if it does not end, or if a task panics.
    pub fn run<F: Future>(test: impl FnOnce(Self) -> F) -> F::Output {
        Self::start(None, test)
    }

    /// As [`run`](Self::run), but tasks run in any order, timers run out late, and the network has its
    /// own mind: all as the seed says, the same in every run.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn run_seeded<F: Future>(seed: u64, test: impl FnOnce(Self) -> F) -> F::Output {
        let mut rng = Rng::new(seed);
        Self::start(Some(&mut rng), test)
    }

    /// Draws bytes from the seed; without one, zeros.
    pub(super) fn draw(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        if let Some(chance) = &self.core.chance {
            let mut chance = lock(chance);
            for byte in bytes {
                *byte = chance.rng.next().to_le_bytes()[0];
            }
        }
    }

    fn start<F: Future>(mut rng: Option<&mut Rng>, test: impl FnOnce(Self) -> F) -> F::Output {
        let start = Instant::now();
        let clock = Clock {
            start,
            now: start,
            timers: BTreeMap::new(),
            next_timer: 0,
            poll_cost: Duration::ZERO,
        };
        let core = Core {
            ready: Arc::default(),
            clock: Mutex::new(clock),
            tasks: Mutex::default(),
            sight: Mutex::default(),
            network: Network::new(rng.as_mut().map(|rng| rng.fork())),
            chance: rng.map(|rng| Mutex::new(Chance::new(rng.fork()))),
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
    pub fn spawn_task(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_with(future, false);
    }

    /// Runs a future of the library as a task, until the [runtime ends](Self::end_runtime).
    pub(super) fn spawn_of_runtime(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_with(future, true);
    }

    /// Ends the runtime: drops all tasks that it has but the one that is polled now, and each that is spawned
    /// later, as a runtime does whose owner drops it. The tasks of the test go on.
    pub fn end_runtime(&self) {
        let mut tasks = self.tasks();
        tasks.has_ended = true;
        let (left, stays): (BTreeMap<_, _>, _) = std::mem::take(&mut tasks.idle)
            .into_iter()
            .partition(|(_, task)| task.is_of_runtime);
        tasks.idle = stays;
        tasks.ended += u64::try_from(left.len()).unwrap();
        drop(tasks);
        // Without the lock: what is dropped wakes others, and may spawn.
        drop(left);
    }

    /// Makes the runtime stand still, as in a process that is stopped: its tasks do not run, while the clock and
    /// the tasks of the test go on.
    pub fn stop_runtime(&self) {
        self.tasks().stands_still = true;
    }

    /// Makes the runtime stand still after so many more reads and writes of its streams, so that what answers
    /// them comes meanwhile, and waits for that.
    pub async fn stop_runtime_after(&self, moves: u64) {
        let mut moves = Some(moves);
        poll_fn(|cx| {
            let mut tasks = self.tasks();
            if let Some(moves) = moves.take() {
                tasks.moves_left = Some((moves, cx.waker().clone()));
            }
            if tasks.stands_still {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Notes that a stream of the runtime has moved something.
    pub(super) fn note_move(&self) {
        let mut tasks = self.tasks();
        match tasks.moves_left.take() {
            Some((0, waker)) => {
                tasks.stands_still = true;
                drop(tasks);
                waker.wake();
            }
            left => tasks.moves_left = left.map(|(count, waker)| (count - 1, waker)),
        }
    }

    /// Lets the runtime go on. It runs the tasks whose timers have run out before it looks at its sockets: what
    /// came meanwhile is seen only when a task [asked for a look](ws_driver::Runtime::yield_now) and the others
    /// have had their turn, or when the clock moves.
    pub fn resume_runtime(&self) {
        self.sight().is_blind = true;
        let mut tasks = self.tasks();
        tasks.stands_still = false;
        tasks.moves_left = None;
        let woken = std::mem::take(&mut tasks.woken);
        drop(tasks);
        self.core.ready.lock().extend(woken);
    }

    /// Tells whether the runtime stands still, or has not looked at its sockets since.
    pub fn is_behind(&self) -> bool {
        self.tasks().stands_still || self.sight().is_blind
    }

    /// Tells whether a socket of the runtime shows what has come; if not, wakes the reader when it does.
    pub(super) fn sees(&self, cx: &Context<'_>) -> bool {
        let mut sight = self.sight();
        if sight.is_blind {
            sight.waiting.push(cx.waker().clone());
        }
        !sight.is_blind
    }

    /// Wakes a task when the runtime has looked at its sockets.
    pub(super) fn ask_for_look(&self, cx: &Context<'_>) {
        let mut sight = self.sight();
        if !sight.is_blind {
            drop(sight);
            return cx.waker().wake_by_ref();
        }
        sight.is_asked = true;
        sight.waiting.push(cx.waker().clone());
    }

    /// Looks at the sockets of the runtime.
    fn look(&self) {
        let waiting = std::mem::take(&mut *self.sight()).waiting;
        waiting.into_iter().for_each(Waker::wake);
    }

    fn spawn_with(&self, future: impl Future<Output = ()> + Send + 'static, is_of_runtime: bool) {
        let mut tasks = self.tasks();
        if is_of_runtime && tasks.has_ended {
            drop(tasks);
            return drop(future);
        }
        tasks.spawned += 1;
        let id = TaskId(tasks.spawned);
        let task = Task {
            future: Box::pin(future),
            handle: Handle::new(id, &self.core.ready),
            is_of_runtime,
        };
        task.handle.wake_by_ref();
        tasks.idle.insert(id, task);
    }

    /// Returns the virtual time.
    pub fn now(&self) -> Instant {
        self.clock().now
    }

    /// Makes each poll of a task take time from now on.
    pub fn charge(&self, poll_cost: Duration) {
        self.clock().poll_cost = poll_cost;
    }

    /// Returns the virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        let clock = self.clock();
        clock.now.duration_since(clock.start)
    }

    /// Adds something that has happened to what tells runs apart.
    pub fn note(&self, what: u64) {
        if let Some(chance) = &self.core.chance {
            lock(chance).note(what);
        }
    }

    /// Returns what tells runs apart: the same for the same seed.
    pub fn fingerprint(&self) -> u64 {
        let chance = self.core.chance.as_ref();
        chance.map_or(0, |chance| lock(chance).hash)
    }

    /// Wakes somebody at a time.
    pub(super) fn wake_at(&self, at: Instant, waker: Waker) {
        let mut clock = self.clock();
        clock.next_timer += 1;
        let entry = (at, clock.next_timer);
        clock.timers.insert(entry, waker);
    }

    /// Makes a timer, which is not set.
    pub fn timer(&self) -> SimTimer {
        SimTimer {
            sim: self.clone(),
            deadline: None,
            entry: None,
        }
    }

    /// Lets virtual time pass; in the test itself, too, everything that is to happen until then.
    pub async fn sleep(&self, time: Duration) {
        let mut timer = self.timer();
        timer.deadline = Some(self.now() + time);
        poll_fn(|cx| timer.poll_expired(cx)).await;
        self.settle().await;
    }

    /// Waits until no task has anything to do, while the clock stands. Only the test itself waits: two
    /// tasks would do so for each other.
    pub async fn settle(&self) {
        poll_fn(|cx| {
            if self.current_task().is_some() {
                return Poll::Ready(());
            }
            if self.core.ready.lock().is_empty() {
                if !self.sight().is_asked {
                    return Poll::Ready(());
                }
                self.look();
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Waits for a future, but not longer than `time`.
    pub async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
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
    pub fn current_task(&self) -> Option<TaskId> {
        self.tasks().current
    }

    /// Returns how many tasks were spawned so far.
    pub fn spawned(&self) -> u64 {
        self.tasks().spawned
    }

    /// Returns how many tasks were spawned and have not ended.
    pub fn live_tasks(&self) -> u64 {
        let tasks = self.tasks();
        tasks.spawned - tasks.ended
    }

    /// Returns how many timers somebody waits for.
    pub fn set_timers(&self) -> usize {
        self.clock().timers.len()
    }

    /// Returns how often spawned tasks were polled so far.
    pub fn polls(&self) -> u64 {
        self.tasks().polls
    }

    pub fn network(&self) -> &Network {
        &self.core.network
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        let handle = Handle::new(MAIN, &self.core.ready);
        handle.wake_by_ref();
        let limit = match self.core.chance {
            Some(_) => SEEDED_POLL_LIMIT,
            None => POLL_LIMIT,
        };
        for _ in 0..limit {
            match self.next_ready() {
                Some(MAIN) => {
                    handle.is_queued.store(false, Ordering::SeqCst);
                    let waker = Waker::from(Arc::clone(&handle));
                    if let Poll::Ready(output) =
                        main.as_mut().poll(&mut Context::from_waker(&waker))
                    {
                        return output;
                    }
                }
                Some(id) => {
                    self.poll_task(id);
                    self.pass_time();
                }
                None if self.sight().is_asked => self.look(),
                None => self.run_next_timers(),
            }
        }
        panic!("the simulation does not end within {limit} polls");
    }

    fn next_ready(&self) -> Option<TaskId> {
        let mut ready = self.core.ready.lock();
        let Some(chance) = &self.core.chance else {
            return ready.pop_front();
        };
        let len = ready.len();
        if len == 0 {
            return None;
        }
        let mut chance = lock(chance);
        let next = ready.swap_remove_back(chance.rng.below(len));
        chance.note(next.map_or(0, |id| id.0));
        chance.polls += 1;
        let polls = chance.polls;
        assert!(
            polls < INSTANT_POLL_LIMIT,
            "livelock: {polls} polls while the clock stands, at last of {next:?}"
        );
        next
    }

    fn poll_task(&self, id: TaskId) {
        let mut tasks = self.tasks();
        let stands_still = tasks.stands_still;
        let Some(task) = tasks.idle.get(&id) else {
            // A waker outlived its task.
            return;
        };
        if stands_still && task.is_of_runtime {
            tasks.woken.push(id);
            return;
        }
        let Some(mut task) = tasks.idle.remove(&id) else {
            return;
        };
        task.handle.is_queued.store(false, Ordering::SeqCst);
        tasks.current = Some(id);
        drop(tasks);
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

    fn pass_time(&self) {
        let mut clock = self.clock();
        if clock.poll_cost.is_zero() {
            return;
        }
        let now = clock.now + clock.poll_cost;
        let expired = clock.expire(now);
        drop(clock);
        expired.for_each(Waker::wake);
    }

    fn run_next_timers(&self) {
        if self.sight().is_blind && !self.tasks().stands_still {
            self.look();
        }
        let mut clock = self.clock();
        let Some((&(deadline, _), _)) = clock.timers.first_key_value() else {
            panic!("nothing can happen any more: no task is ready and no timer is set");
        };
        let mut now = clock.now.max(deadline);
        if let Some(chance) = &self.core.chance {
            let mut chance = lock(chance);
            now += chance.lateness();
            let elapsed = now.duration_since(clock.start);
            chance.note(u64::try_from(elapsed.as_nanos()).expect("less than centuries"));
            chance.polls = 0;
        }
        let expired = clock.expire(now);
        drop(clock);
        expired.for_each(Waker::wake);
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.core.clock)
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        lock(&self.core.sight)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        lock(&self.core.tasks)
    }
}

impl Clock {
    /// Moves the clock; returns whose time has come.
    fn expire(&mut self, now: Instant) -> impl Iterator<Item = Waker> + use<> {
        self.now = now;
        let later = self.timers.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.timers, later).into_values()
    }
}

impl Chance {
    fn new(rng: Rng) -> Self {
        Self {
            rng,
            hash: 0,
            polls: 0,
        }
    }

    fn note(&mut self, what: u64) {
        self.hash = mix(self.hash ^ what).wrapping_add(what);
    }

    /// Draws by how much timers run out late: a little at times, much rarely.
    fn lateness(&mut self) -> Duration {
        match self.rng.within(0..=2047) {
            0 => self.rng.millis(0..=MOST_LATE_MILLIS),
            1..=128 => self.rng.millis(0..=5),
            _ => Duration::ZERO,
        }
    }
}

/// The most by which a timer runs out late, with a seed.
const MOST_LATE_MILLIS: u64 = 900;

/// A timer on the virtual clock.
pub struct SimTimer {
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

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
