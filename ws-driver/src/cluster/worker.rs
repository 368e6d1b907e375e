//! The tasks that hand messages of other nodes to the members here.
//!
//! After an outage much arrives at once, more than the send queue of a healthy client holds. A broadcast would then close
//! clients that take all they get. So a worker waits now and then for the members of a topic. All its waits have a budget,
//! so that members who are always slow delay nobody for long: they meet the policy for slow peers, as with a broadcast of
//! this node.

use std::collections::HashMap;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use super::direct;
use super::follow::{Follower, Handed};
use super::inbound::{Arrival, Audience, Work};
use super::shared::{Exchange, SharedCluster};
use crate::driver::shared_machine::SharedMachine;
use crate::id::ConnectionId;
use crate::registry::broadcast::offer_all;
use crate::registry::roster::Members;
use crate::runtime::{Runtime, Timer, yield_now};
use crate::util::sync::Arc;

/// The time after which a worker lets the other tasks of its thread run.
const POLL_TIME: Duration = Duration::from_millis(1);
/// Pieces of work after which topics are compared with their logs although more waits.
const COMPARE_TURNS: u32 = 64;
/// Bytes that are handed to an audience between two looks at its members.
const PACE_LEN: usize = 16 << 10;
/// The longest wait for the members of an audience at a time.
const PACE_WAIT: Duration = Duration::from_millis(250);
/// How often the worker only lets other tasks run before it looks again: mostly a member needs no more. Then it waits for
/// a time that doubles.
const PACE_YIELDS: u32 = 4;
const PACE_STEPS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));
/// A member is waited for while more than this part of its send queue is full.
const PACE_SHARE: usize = 4;
/// Waits in which a member takes nothing before it counts as slow. A kernel can hold bytes of a member that reads all the time
/// for longer than one wait.
const SLOW_WAITS: u32 = 2;
/// How long a worker may wait in all, and the part of the time by which that grows again.
const PACE_BUDGET: Duration = Duration::from_secs(5);
const PACE_REFILL: u32 = 10;

/// The waits of a worker.
struct Pace<R: Runtime> {
    runtime: R,
    timer: R::Timer,
    /// What is left of the budget, at a time.
    left: Duration,
    at: Instant,
    /// The bytes that were handed on since the last look, by audience. Forgotten when nothing waits.
    spent: HashMap<Audience, usize>,
    /// Members that took nothing during waits, and in how many of them. After [`SLOW_WAITS`] they are not waited for again
    /// before they have caught up, or nothing waits.
    slow: HashMap<ConnectionId, u32>,
}

pub(super) async fn run<R: Runtime>(runtime: R, shared: Arc<SharedCluster>, worker: usize) {
    let Some(exchange) = &shared.exchange else {
        return;
    };
    let (mut pace, mut follower) = (Pace::new(runtime), Follower::default());
    let (mut began, mut turns) = (pace.runtime.now(), 0);
    while let Some((work, has_waited)) = next(exchange, &mut pace, worker).await {
        if has_waited {
            began = pace.runtime.now();
        }
        let len = work.len();
        let (audience, handed_len) = match work {
            Work::Message(arrival) => {
                let audience = arrival.audience.clone();
                hand_on(&pace.runtime, &shared, exchange, arrival);
                (Some(audience), len)
            }
            Work::Log(work) => match follower.work(&shared, exchange, work).await {
                Some(Handed { topic, len }) => (Some(Audience::Topic(topic)), len),
                None => (None, 0),
            },
        };
        exchange.inbound.note_done(len);
        if let Some(audience) = audience {
            pace.wait(&shared, audience, handed_len).await;
        }
        turns += 1;
        while follower.is_due() && (turns >= COMPARE_TURNS || exchange.inbound.is_idle(worker)) {
            turns = 0;
            let Some(handed) = follower.compare(&shared, exchange).await else {
                break;
            };
            for Handed { topic, len } in handed {
                pace.wait(&shared, Audience::Topic(topic), len).await;
            }
        }
        // A message to many members takes long, and many can be there at once.
        let now = pace.runtime.now();
        if now.saturating_duration_since(began) >= POLL_TIME {
            yield_now(&pace.runtime).await;
            began = pace.runtime.now();
        }
    }
}

/// Waits for the next work, and forgets what was known if there is none yet. Returns whether it waited, too.
async fn next<R: Runtime>(
    exchange: &Exchange,
    pace: &mut Pace<R>,
    worker: usize,
) -> Option<(Work, bool)> {
    if let Some(work) = exchange.inbound.try_next(worker) {
        return Some((work, false));
    }
    pace.forget();
    let work = exchange.inbound.next(worker).await?;
    Some((work, true))
}

fn hand_on<R: Runtime>(
    runtime: &R,
    shared: &Arc<SharedCluster>,
    exchange: &Exchange,
    arrival: Arrival,
) {
    let Arrival { audience, envelope } = arrival;
    if let Some(to) = envelope.to {
        direct::hand_to_one(runtime, shared, exchange, to, envelope);
        return;
    }
    let members = members(shared, &audience);
    if members.is_empty() {
        return;
    }
    match envelope.into_prepared() {
        Ok(message) => {
            offer_all(&shared.registry, &members, message, None);
        }
        Err(_) => exchange.inbound.note_malformed(),
    }
}

fn members(shared: &SharedCluster, audience: &Audience) -> Members<Arc<SharedMachine>> {
    match audience {
        Audience::All => shared.registry.open(),
        Audience::Topic(name) => shared.registry.members(name),
        Audience::One(id) => Members::new(shared.registry.get(*id).into_iter().collect()),
    }
}

impl<R: Runtime> Pace<R> {
    fn new(runtime: R) -> Self {
        Self {
            timer: runtime.timer(),
            left: PACE_BUDGET,
            at: runtime.now(),
            runtime,
            spent: HashMap::new(),
            slow: HashMap::new(),
        }
    }

    fn forget(&mut self) {
        (self.spent, self.slow) = (HashMap::new(), HashMap::new());
    }

    /// Counts bytes that were handed to an audience, and waits for its members if those were many.
    async fn wait(&mut self, shared: &SharedCluster, audience: Audience, len: usize) {
        let spent = self.spent.entry(audience.clone()).or_default();
        *spent += len;
        if *spent < PACE_LEN {
            return;
        }
        *spent = 0;
        let begin = self.runtime.now();
        let idle = begin.saturating_duration_since(self.at);
        self.left = PACE_BUDGET.min(self.left + idle / PACE_REFILL);
        let end = begin + PACE_WAIT.min(self.left);
        self.wait_until(shared, &audience, end).await;
        self.at = self.runtime.now();
        self.left = self
            .left
            .saturating_sub(self.at.saturating_duration_since(begin));
    }

    /// Waits while a member that takes what it gets has more than a part of its send queue waiting.
    async fn wait_until(&mut self, shared: &SharedCluster, audience: &Audience, end: Instant) {
        let mut before: Option<Vec<Behind>> = None;
        let (mut yields, (mut step, longest)) = (0, PACE_STEPS);
        loop {
            let behind = self.behind(&members(shared, audience));
            if behind.is_empty() {
                return;
            }
            let now = self.runtime.now();
            if now >= end {
                let before = before.unwrap_or_default();
                for it in behind {
                    if before.contains(&it) {
                        *self.slow.entry(it.id).or_default() += 1;
                    } else {
                        self.slow.remove(&it.id);
                    }
                }
                return;
            }
            before.get_or_insert(behind);
            if yields < PACE_YIELDS {
                yields += 1;
                yield_now(&self.runtime).await;
                continue;
            }
            self.timer.set(end.min(now + step));
            step = longest.min(step * 2);
            poll_fn(|cx| self.timer.poll(cx)).await;
        }
    }

    /// The members to wait for.
    fn behind(&mut self, members: &[Arc<SharedMachine>]) -> Vec<Behind> {
        let mut behind = Vec::new();
        for machine in members {
            let id = machine.facts.id;
            match machine.filled_beyond(PACE_SHARE) {
                None => {
                    self.slow.remove(&id);
                }
                Some(_) if self.slow.get(&id).is_some_and(|waits| *waits >= SLOW_WAITS) => {}
                Some(waiting) => behind.push(Behind { id, waiting }),
            }
        }
        behind
    }
}

/// A member that is waited for.
#[derive(PartialEq, Eq)]
struct Behind {
    id: ConnectionId,
    /// The bytes in its send queue: the same ones after a wait if it took none.
    waiting: usize,
}
