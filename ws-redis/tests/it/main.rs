//! Nodes on a real Redis, on each runtime. They need the program `redis-server`, so they run with `--ignored`:
//! `cargo test -p ws-redis --features tokio,smol -- --ignored --test-threads 1`. `REDIS_SERVER` names another program,
//! such as that of Valkey.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]
#![cfg(unix)]

mod access;
mod engine;
mod faults;
mod host;
mod interference;
mod log;
mod membership;
mod nodes;
mod nonsense;
mod processes;
mod proxy;
mod refusals;
mod replicas;
mod slow_links;
mod trial;
