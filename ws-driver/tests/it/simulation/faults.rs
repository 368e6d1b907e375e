//! What is done to streams and to the listener from outside, at random times: resets, holes that swallow
//! everything in one direction or both, jams that pass, and any number of an error from any call.

use std::io;
use std::net::SocketAddr;

use super::gate::Gate;
use super::ledger::Ledger;
use ws_testing::sim::{Errnos, Link, Rng, lock};

/// Does harm until the gate opens.
pub(crate) async fn rage(ledger: Ledger, addr: SocketAddr, mut rng: Rng, over: Gate) {
    let sim = ledger.sim().clone();
    loop {
        let time = rng.millis(100..=12_000);
        if sim.within(time, over.wait()).await.is_some() {
            return;
        }
        if rng.once_in(6) {
            fail_calls(&ledger, addr, &mut rng);
            continue;
        }
        let links = sim.network().links();
        if links.is_empty() {
            continue;
        }
        let (peer, link) = &links[rng.below(links.len())];
        if rng.once_in(4) {
            fail_stream(&ledger, *peer, &mut lock(link), &mut rng);
            continue;
        }
        let what = rng.below(5);
        ledger.tell(|| format!("fault: {} of {peer}", FAULTS[what]));
        if what < JAM {
            hurt(&ledger, *peer, what == HOLE);
        }
        let jam = what == JAM;
        if jam {
            note_jam(&ledger, *peer);
        }
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

/// Makes the next calls of the server or of a client fail.
fn fail_calls(ledger: &Ledger, addr: SocketAddr, rng: &mut Rng) {
    let network = ledger.sim().network();
    match rng.below(4) {
        0 => {
            let code = errno(rng, &[]);
            ledger.tell(|| format!("fault: a stream cannot be prepared: {code}"));
            network.fail_calls(|errnos| errnos.prepare = Some(code));
        }
        1 => {
            let code = errno(rng, &[]);
            ledger.tell(|| format!("fault: a client cannot connect: {code}"));
            network.fail_calls(|errnos| errnos.connect = Some(code));
        }
        _ => {
            // Most come alone, some for a while.
            let count = rng.pick(&[1, 1, 1, 3, 100]);
            let code = errno(rng, LISTENER_ERRNOS);
            ledger.tell(|| format!("fault: {count} accepts fail: {code}"));
            for _ in 0..count {
                network.fail_accept(addr, io::Error::from_raw_os_error(code));
            }
        }
    }
}

/// Makes calls of the server's end of a stream fail.
fn fail_stream(ledger: &Ledger, peer: SocketAddr, link: &mut Link, rng: &mut Rng) {
    let errnos = Errnos {
        prepare: None,
        read: rng.once_in(2).then(|| errno(rng, REFUSALS_TO_WAIT)),
        write: rng.once_in(2).then(|| errno(rng, REFUSALS_TO_WAIT)),
        close: rng.once_in(2).then(|| errno(rng, REFUSALS_TO_WAIT)),
    };
    ledger.tell(|| format!("fault: calls for {peer} fail: {errnos:?}"));
    hurt(ledger, peer, false);
    link.fail(errnos);
}

/// Draws any number that Linux has, with exceptions.
pub(crate) fn errno(rng: &mut Rng, except: &[i32]) -> i32 {
    loop {
        let code = i32::try_from(rng.within(1..=MOST_ERRNO)).expect("a small number");
        if !except.contains(&code) {
            return code;
        }
    }
}

/// The last number of an error in Linux.
const MOST_ERRNO: u64 = 133;

/// Numbers that say that a listener is none, which ends the server: EBADF, EFAULT, EINVAL, ENOSYS, ENOTSOCK.
const LISTENER_ERRNOS: &[i32] = &[9, 14, 22, 38, 88];

/// What no stream may say, by the contract of futures-io: EINTR, EAGAIN.
const REFUSALS_TO_WAIT: &[i32] = &[4, 11];

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

fn note_jam(ledger: &Ledger, addr: SocketAddr) {
    let mut inner = ledger.lock();
    let records = inner.records.values_mut();
    for record in records.filter(|record| record.addr == Some(addr)) {
        record.was_jammed = true;
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
