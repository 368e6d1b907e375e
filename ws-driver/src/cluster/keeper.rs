//! The task that tells a node how time passes. Nothing else here has a timer but the workers.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use super::report::Report;
use super::shared::SharedCluster;
use crate::runtime::{Runtime, Timer};
use crate::util::race::{Winner, race};
use crate::util::sync::Arc;

/// How often the keeper looks: so much later than asked for a wait of the cluster can end.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two questions of the watchdog: a second.
const PROBE_TICKS: u64 = 4;
/// Ticks between two looks at topics without members, so that one is kept for 5 to 7.5 s.
const SWEEP_TICKS: u64 = 10;

pub(super) async fn run<R: Runtime>(runtime: R, shared: Arc<SharedCluster>) {
    let Some(exchange) = &shared.exchange else {
        return;
    };
    let mut timer = runtime.timer();
    let (mut ticks, mut report) = (0u64, Report::default());
    loop {
        timer.set(runtime.now() + TICK);
        let ended = async {
            loop {
                let changed = exchange.changed.listen();
                if exchange.lock().link.has_ended() {
                    return;
                }
                changed.await;
            }
        };
        let tick = poll_fn(|cx| timer.poll(cx));
        if let Winner::First(()) = race(pin!(ended), tick).await {
            return;
        }
        ticks += 1;
        shared.note_time(exchange, &mut report, ticks % PROBE_TICKS == 0);
        if ticks % SWEEP_TICKS == 0 {
            shared.registry.sweep_interest();
        }
    }
}
