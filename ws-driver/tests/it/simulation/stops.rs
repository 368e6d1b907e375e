//! The process that stands still at random times, and runs its timers before it looks at its sockets when it
//! goes on; and the runtime that ends in the middle of everything. The peers go on all the while.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::gate::Gate;
use super::ledger::Ledger;
use super::witness::Witness;
use ws_testing::sim::{Rng, Server};

/// Stops the process some times, but not once the gate is open: between a read or a write and what follows from it,
/// or at any time.
pub(crate) async fn stand_still(ledger: Ledger, mut rng: Rng, over: Gate) {
    let sim = ledger.sim().clone();
    for _ in 0..rng.within(1..=MOST_STOPS) {
        // Time to look at the sockets: nothing helps a process that never gets as far as that.
        until_open(&over, sim.sleep(LEAST_BETWEEN_STOPS)).await;
        let most = rng.pick(&[1000, 60_000, 600_000]);
        let time = rng.millis(0..=most);
        let moves = rng.pick(&[3, 30, 300, u64::MAX]);
        let stopping = sim.stop_runtime_after(rng.within(0..=moves - 1));
        until_open(&over, sim.within(time, stopping)).await;
        if over.is_open() {
            return sim.resume_runtime();
        }
        sim.stop_runtime();
        let most = rng.pick(&[50, 3000, 30_000, 100_000]);
        let time = rng.millis(0..=most);
        ledger.tell(|| format!("fault: the process stands still for {time:?}"));
        let begun = sim.elapsed();
        until_open(&over, sim.sleep(time)).await;
        sim.resume_runtime();
        ledger.tell(|| "the process goes on".to_owned());
        ledger.lock().stopped += sim.elapsed() - begun;
    }
}

/// Ends the runtime at a time, unless the gate opens before; then nothing is left of it, and all is told.
pub(crate) async fn end_runtime(
    ledger: Ledger,
    server: Server,
    witness: Witness,
    at: Duration,
    over: Gate,
) {
    let sim = ledger.sim().clone();
    if sim.within(at, over.wait()).await.is_none() {
        ledger.tell(|| "fault: the runtime ends".to_owned());
        ledger.lock().has_ended = true;
        sim.end_runtime();
        let (clients, counters) = (server.clients().len(), server.counters());
        let untold = witness
            .lives()
            .values()
            .filter(|life| life.closes == 0)
            .count();
        if clients != 0 || counters.opening != 0 || untold != 0 {
            let opening = counters.opening;
            let text = format!("{clients} connections, {opening} streams, {untold} without an end");
            ledger.violation("end of the runtime (nothing is left)", text);
        }
    }
}

/// Waits for a future, but not once the gate is open.
async fn until_open<T>(over: &Gate, future: impl Future<Output = T>) {
    let (mut future, mut over) = (pin!(future), pin!(over.wait()));
    poll_fn(|cx| match over.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => future.as_mut().poll(cx).map(drop),
    })
    .await;
}

/// The shortest time between two stops.
const LEAST_BETWEEN_STOPS: Duration = Duration::from_millis(100);

/// Stops in one run, at most.
const MOST_STOPS: u64 = 30;
