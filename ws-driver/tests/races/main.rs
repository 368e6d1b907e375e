//! Races: whole connections and servers in the hands of a checker that decides, at each lock, atomic and
//! wait, which task runs next. It tries many orders of each test, finds a deadlock at once, and prints
//! the order of a failure so that it can be replayed. Run with
//! `RUSTFLAGS='--cfg shuttle' cargo test -p ws-driver --test races --release --target-dir target/races`;
//! RACES_ITERATIONS says how many orders of each test each of the three schedulers tries.
//!
//! As nothing here ever waits for time, a wake-up that is lost is a deadlock.
#![cfg(shuttle)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod cluster;
mod machine;
mod registry;
mod shutdown;
mod world;
