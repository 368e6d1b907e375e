//! The registry: topics, what happens to slow peers under each policy, and the counters.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod backlog;
mod counters;
mod slow_peers;
mod slow_server;
mod topics;
mod waiting;
