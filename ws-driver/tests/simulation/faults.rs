//! What is done to streams and to the listener from outside, at random times: resets, holes that swallow
//! everything in one direction or both, jams that pass, accepts that fail.

use std::io;
use std::net::SocketAddr;

use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::support::{Link, Rng, lock};

/// Does harm until the gate opens.
pub(crate) async fn rage(ledger: Ledger, addr: SocketAddr, mut rng: Rng, over: Gate) {
    let sim = ledger.sim().clone();
    loop {
        let time = rng.millis(100..=12_000);
        if sim.within(time, over.wait()).await.is_some() {
            return;
        }
        if rng.once_in(6) {
            let number = rng.pick(&[103, 104, 24, 12]);
            ledger.tell(|| format!("fault: an accept fails with {number}"));
            sim.network()
                .fail_accept(addr, io::Error::from_raw_os_error(number));
            continue;
        }
        let links = sim.network().links();
        if links.is_empty() {
            continue;
        }
        let (peer, link) = &links[rng.below(links.len())];
        let what = rng.below(5);
        ledger.tell(|| format!("fault: {} of {peer}", FAULTS[what]));
        if what < JAM {
            hurt(&ledger, *peer, what == HOLE);
        }
        let jam = what == JAM;
        harm(&mut lock(link), what);
        if jam {
            // It passes before anybody is taken for dead, or not, as it happens.
            let (sim, link, time) = (
                sim.clone(),
                std::sync::Arc::downgrade(link),
                rng.millis(0..=9000),
            );
            sim.clone().spawn_task(async move {
                sim.sleep(time).await;
                if let Some(link) = link.upgrade() {
                    relieve(&mut lock(&link));
                }
            });
        }
    }
}

const FAULTS: [&str; 5] = [
    "reset",
    "hole to the server",
    "hole to the peer",
    "hole both ways",
    "jam",
];
const HOLE: usize = 3;
const JAM: usize = 4;

fn harm(link: &mut Link, what: usize) {
    match what {
        0 => link.reset(),
        1 => link.to_far.is_held = true,
        2 => link.to_near.is_held = true,
        3 => link.vanish(),
        _ => {
            link.to_far.is_held = true;
            link.to_near.is_held = true;
        }
    }
}

fn relieve(link: &mut Link) {
    for pipe in [&mut link.to_far, &mut link.to_near] {
        pipe.is_held = false;
        pipe.wake_all();
    }
}

/// Notes that what happens to a peer from here on may be nobody's doing.
fn hurt(ledger: &Ledger, addr: SocketAddr, vanishes: bool) {
    let now = ledger.sim().now();
    let mut inner = ledger.lock();
    let records = inner.records.values_mut();
    for record in records.filter(|record| record.addr == Some(addr)) {
        record.is_hurt = true;
        if vanishes {
            record.vanished.get_or_insert(now);
        }
    }
}
