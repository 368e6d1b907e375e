//! One run: everything that a seed says, from the first stream to the end of the last task.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use ws_driver::Connection;

use super::client;
use super::conductor;
use super::faults;
use super::gate::Gate;
use super::handlers::{self, LONGEST_AFTERMATH, Manners, Planned};
use super::ledger::Ledger;
use super::oracles::Oracles;
use super::peers::Peer;
use super::plan::Plan;
use super::stops;
use super::witness::Witness;
use ws_testing::sim::{ANY, Rng, Server, Sim, seconds};

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The virtual time that it took.
    pub(crate) elapsed: Duration,
    /// The same for the same seed, and for no other.
    pub(crate) fingerprint: u64,
    pub(crate) polls: u64,
    pub(crate) connections: usize,
    pub(crate) messages: u64,
}

/// Runs a seed.
///
/// # Panics
///
/// Panics if a check fails.
pub(crate) fn run(seed: u64, is_loud: bool) -> Outcome {
    Sim::run_seeded(seed, |sim| async move {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let ledger = Ledger::new(&sim, is_loud);
        ledger.tell(|| format!("{plan:?}"));
        let world = World::build(sim, ledger, plan, seed, &mut rng).await;
        world.live(rng).await
    })
}

struct World {
    sim: Sim,
    server: Server,
    oracles: Oracles,
    /// Opens when the application stops, when nothing more is done to the process, and when the peers stop.
    stop: Gate,
    calm: Gate,
    over: Gate,
}

impl World {
    async fn build(sim: Sim, ledger: Ledger, plan: Plan, seed: u64, rng: &mut Rng) -> Self {
        let witness = Witness::new(&ledger, plan.close_timeout);
        let builder = plan.builder(&ledger, rng).observer(witness.clone());
        fail_to_bind(&sim, rng).await;
        let server = builder.bind(ANY).await.expect("the port is free");
        let manners = plan.manners(seed);
        let world = Self {
            sim,
            oracles: Oracles {
                ledger,
                witness,
                clients: server.clients(),
                plan,
                stalls: Mutex::default(),
            },
            server,
            stop: Gate::default(),
            calm: Gate::default(),
            over: Gate::default(),
        };
        world.serve(manners);
        world.invite(manners, rng);
        let Oracles { ledger, plan, .. } = &world.oracles;
        let conducting = conductor::conduct(
            ledger.clone(),
            world.server.clone(),
            plan.clone(),
            manners,
            rng.fork(),
            world.stop.clone(),
        );
        world.sim.spawn_task(conducting);
        if plan.has_faults {
            let addr = world.server.local_addr();
            let raging = faults::rage(ledger.clone(), addr, rng.fork(), world.stop.clone());
            world.sim.spawn_task(raging);
        }
        if plan.has_stops {
            let standing = stops::stand_still(ledger.clone(), rng.fork(), world.calm.clone());
            world.sim.spawn_task(standing);
        }
        if let Some(at) = plan.runtime_ends {
            let (server, witness) = (world.server.clone(), world.oracles.witness.clone());
            let over = world.stop.clone();
            let ending = stops::end_runtime(ledger.clone(), server, witness, at, over);
            world.sim.spawn_task(ending);
        }
        world
    }

    /// Runs the server, in one of the two ways that there are.
    fn serve(&self, manners: Manners) {
        let (sim, server) = (self.sim.clone(), self.server.clone());
        let ledger = self.oracles.ledger.clone();
        let handler =
            move |connection: Connection| handlers::handle(ledger.clone(), manners, connection);
        let is_by_hand = self.oracles.plan.accepts;
        self.sim.clone().spawn_task(async move {
            if !is_by_hand {
                return server
                    .serve(handler)
                    .await
                    .expect("the listener does not fail");
            }
            while let Some(connection) = server.accept().await.expect("the listener does not fail")
            {
                sim.spawn_task(survive(handler(connection)));
            }
        });
    }

    fn invite(&self, manners: Manners, rng: &mut Rng) {
        let Oracles { ledger, plan, .. } = &self.oracles;
        let addr = self.server.local_addr();
        for (number, (at, habits)) in (1..).zip(plan.peers.clone()) {
            let (ledger, rng, over) = (ledger.clone(), rng.fork(), self.over.clone());
            self.sim.spawn_task(async move {
                ledger.sim().sleep(at).await;
                match habits {
                    Some(habits) => {
                        let peer = Peer::connect(&ledger, addr, number, habits, manners, rng, over);
                        if let Some(peer) = peer {
                            peer.live().await;
                        }
                    }
                    None => client::live(ledger, addr, number, manners, rng, over).await,
                }
            });
        }
    }

    async fn live(self, mut rng: Rng) -> Outcome {
        let Oracles { plan, ledger, .. } = &self.oracles;
        self.watch(plan.busy, &mut rng, 3000).await;
        ledger.tell(|| "the busy time is over".to_owned());
        self.stop.open();
        let steps = u64::try_from(plan.idle.as_millis() / 40).expect("less than centuries");
        self.watch(plan.idle, &mut rng, steps.max(1)).await;
        self.calm.open();
        // A process that stands still goes on first.
        self.sim.sleep(seconds(1)).await;
        if plan.closes_first {
            ledger.tell(|| "the server closes".to_owned());
            self.server.close();
            self.watch(seconds(20), &mut rng, 9000).await;
        }
        self.shut_down().await;
        // Now the peers leave, too, and handlers that were busy find out.
        self.over.open();
        self.sim.sleep(LONGEST_AFTERMATH).await;
        self.oracles.check_end();
        let counters = self.server.counters();
        Outcome {
            elapsed: self.sim.elapsed(),
            fingerprint: self.sim.fingerprint(),
            polls: self.sim.polls(),
            connections: self.oracles.witness.lives().len(),
            messages: counters.messages_sent + counters.messages_received,
        }
    }

    /// Lets time pass, and looks in whenever nobody has anything to do, at random times.
    async fn watch(&self, time: Duration, rng: &mut Rng, most_millis: u64) {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            self.sim.sleep(rng.millis(0..=most_millis)).await;
            self.oracles.check_quiet();
        }
    }

    async fn shut_down(&self) {
        let Oracles {
            plan,
            ledger,
            clients,
            ..
        } = &self.oracles;
        let begun = self.sim.elapsed();
        // In the poll in which this is looked up, it is called.
        let open = clients.len();
        let report = self.server.shutdown(plan.grace).await;
        let took = self.sim.elapsed() - begun;
        ledger.tell(|| format!("shut down in {took:?}: {report:?}"));
        if took > plan.grace + SHUTDOWN_SLACK {
            let text = format!("it took {took:?}, the grace is {:?}", plan.grace);
            ledger.violation("shutdown (in time)", text);
        }
        // Without a turn for any task: what was dropped is gone, and told.
        let counters = self.server.counters();
        let untold = self
            .oracles
            .witness
            .lives()
            .values()
            .filter(|life| life.closes == 0)
            .count();
        if !clients.is_empty() || counters.opening != 0 || untold != 0 {
            let text = format!(
                "{} connections, {} streams, {untold} without an end",
                clients.len(),
                counters.opening
            );
            ledger.violation("shutdown (nothing is left)", text);
        }
        let column = report.closed + report.lost + report.aborted;
        if column != open {
            ledger.violation("shutdown (one column)", format!("{report:?} of {open}"));
        }
        let begun = self.sim.elapsed();
        // Streams count, too, that never became connections: they are waited for.
        let again = self.server.shutdown(seconds(3600)).await;
        let took = self.sim.elapsed() - begun;
        if took > Duration::ZERO || !clients.is_empty() || again != Default::default() {
            let text = format!("{took:?} for the streams that were left, {again:?}");
            ledger.violation("shutdown (nothing is left)", text);
        }
        ledger.judge();
    }
}

/// Some of the time nobody can listen, and whoever wants to is told why.
async fn fail_to_bind(sim: &Sim, rng: &mut Rng) {
    if rng.once_in(4) {
        let code = faults::errno(rng, &[]);
        sim.network().fail_calls(|errnos| errnos.bind = Some(code));
        let failed = Server::bind(ANY).await.expect_err("no port is free");
        assert_eq!(failed.raw_os_error(), Some(code));
    }
}

/// Runs a handler in a task of its own, as a runtime does: a panic ends the task and nothing else.
async fn survive(handler: impl Future<Output = ()>) {
    let mut handler = pin!(handler);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| match panic.is::<Planned>() {
            true => Poll::Ready(()),
            false => resume_unwind(panic),
        })
    })
    .await;
}

/// By how much a timer runs out late.
const SHUTDOWN_SLACK: Duration = seconds(1);
