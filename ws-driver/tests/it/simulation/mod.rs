//! P9: a whole server on the simulated runtime, with peers, handlers and a network that a seed makes up,
//! and checks that hold whatever it is.
//!
//! A seed that fails is printed with the command that replays it, with a readable story of what happened:
//! `SEED=1234 cargo test -p ws-driver --test it -- simulation::replay --nocapture`. `SIMULATION_SEEDS=10000`
//! runs more seeds than usual, `SIMULATION_START` begins with another one.

mod client;
mod compression;
mod conductor;
mod faults;
mod gate;
mod handlers;
mod ledger;
mod oracles;
mod peers;
mod plan;
mod stops;
mod wire;
mod witness;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

/// Seeds that are run each time: about as long as the other tests of this binary take on a second core. `.ci/run` asks for
/// more.
const SEEDS: u64 = 100;

/// Seeds that fail before no more are run.
const MOST_FAILURES: usize = 20;

/// Reads a number from the environment.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whatever a seed makes up, the checks of `oracles.rs` hold.
#[test]
fn every_seed_keeps_the_promises() {
    let first = variable("SIMULATION_START").unwrap_or(0);
    let count = variable("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (mut elapsed, mut polls, mut connections, mut messages) = (Duration::ZERO, 0, 0, 0);
    let mut failed = Vec::new();
    for seed in first..first + count {
        // What is wrong is said by the panic itself, above this.
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| world::run(seed, false))) else {
            println!(
                "seed {seed}, number {}, fails; to replay it:\n  \
                 SEED={seed} cargo test -p ws-driver --test it -- simulation::replay --nocapture",
                seed - first + 1
            );
            failed.push(seed);
            if failed.len() < MOST_FAILURES {
                continue;
            }
            break;
        };
        elapsed += outcome.elapsed;
        polls += outcome.polls;
        connections += outcome.connections;
        messages += outcome.messages;
    }
    println!(
        "{count} seeds: {} virtual seconds, {connections} streams, {messages} messages, {polls} polls",
        elapsed.as_secs()
    );
    assert!(failed.is_empty(), "seeds that fail: {failed:?}");
}

/// Runs one seed, which `SEED` names, and tells its story.
#[test]
fn replay() {
    if let Some(seed) = variable("SEED") {
        println!("{:#?}", world::run(seed, true));
    }
}

/// The same seed gives the same run, poll by poll and byte by byte; another one, another.
#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [1, 2, 3, 1000, u64::MAX] {
        let outcome = world::run(seed, false);
        assert_eq!(world::run(seed, false), outcome, "seed {seed}");
        let other = world::run(seed ^ (1 << 40), false);
        assert_ne!(other.fingerprint, outcome.fingerprint);
    }
}
