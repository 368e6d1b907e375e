//! A server as a node of a cluster: what has a meaning between nodes. An engine, behind [`seat::Backplane`], only moves
//! bytes.
//!
//! The rules are in files without a clock, a task or a lock: numbers and gaps in `sequence.rs`, batches that are published
//! again in `outbox.rs`, the wait on a new link in `link.rs`. `outbound.rs` joins them, `inbound.rs` is the way in,
//! `shared.rs` puts both behind locks, `seat.rs` shows them to an engine, `worker.rs` hands messages to members,
//! `keeper.rs` knows the time.
//!
//! What a node says in its log is in `report.rs`.
//!
//! What an engine is asked besides is in `question.rs`, and what several callers read together in `sharing.rs`. On it stand `membership.rs`, by the rules of `leases.rs`, and
//! `presence.rs`, and the logs of topics: `log/` has their rules, `append.rs` is the way in, `follow.rs` the way to all
//! members, and `resume.rs` that to one who comes back. Messages for one connection are in `direct.rs`.
//!
//! Imports: `util`, `runtime`, `id`, `driver`, `registry`.

mod append;
pub(crate) mod channel;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod direct;
mod envelope;
pub(crate) mod error;
mod follow;
pub(crate) mod inbound;
mod keeper;
pub(crate) mod leases;
pub(crate) mod link;
pub(crate) mod listing;
pub(crate) mod log;
mod membership;
pub(crate) mod memory;
#[cfg(test)]
mod model;
pub(crate) mod node;
mod outbound;
pub(crate) mod outbox;
pub(crate) mod presence;
pub(crate) mod question;
mod report;
mod resume;
pub(crate) mod seat;
mod sequence;
pub(crate) mod shared;
mod sharing;
pub(crate) mod store;
mod worker;

use self::inbound::WORKERS;
use self::seat::{Backplane, Seat};
use self::shared::SharedCluster;
use crate::runtime::Runtime;
use crate::util::panics;
use crate::util::sync::Arc;

/// Starts the tasks of a node.
pub(crate) fn start<R, B>(runtime: &R, shared: &Arc<SharedCluster>, backplane: B)
where
    R: Runtime,
    B: Backplane<R>,
{
    let keeper = keeper::run(runtime.clone(), Arc::clone(shared));
    runtime.spawn(or_end(Arc::clone(shared), keeper));
    let member = membership::run(Arc::clone(shared));
    runtime.spawn(or_end(Arc::clone(shared), member));
    let presence = presence::run(runtime.clone(), Arc::clone(shared));
    runtime.spawn(or_end(Arc::clone(shared), presence));
    for worker in 0..WORKERS {
        let worker = worker::run(runtime.clone(), Arc::clone(shared), worker);
        runtime.spawn(or_end(Arc::clone(shared), worker));
    }
    let seat = Seat::new(Arc::clone(shared));
    let runtime_too = runtime.clone();
    runtime.spawn(async move {
        // A panic ends the backplane, and not the thread.
        let _ = panics::run(|| backplane.run(runtime_too, seat)).await;
    });
}

/// Runs a task of the node. If it panics the node ends, because it would not do what it says without it.
async fn or_end(shared: Arc<SharedCluster>, task: impl Future<Output = ()>) {
    let ended = panics::run(|| task).await;
    if let (Err(_), Some(exchange)) = (ended, &shared.exchange) {
        exchange.end(&shared, "a task of the node has panicked");
    }
}
