//! The node among the others: it renews its lease, and knows who else lives.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::error::BackplaneError;
use super::leases::{LEASE_TIME, Lease, LeaseWork};
use super::link::ClusterHealth;
use super::listing::Listing;
use super::node::Node;
use super::question::ANSWER_WAIT;
use super::seat::SeatRequest;
use super::shared::{Exchange, SharedCluster};
use crate::util::race::{Winner, race};
use crate::util::sync::Arc;

/// How long the start of a server waits for an engine that it requires.
const REQUIRED_WAIT: Duration = Duration::from_secs(10);

impl SharedCluster {
    /// Returns the nodes that live: what the engine says now, or what was known last if it does not say.
    pub(crate) async fn nodes(&self) -> Result<Listing<Node>, BackplaneError> {
        let Some(exchange) = &self.exchange else {
            return Ok(Listing::new(vec![self.describe()], true, Duration::ZERO));
        };
        let begin = self.clock.now();
        let deadline = begin + ANSWER_WAIT;
        loop {
            let time = exchange.time.listen();
            if let Some(listed) = self.listed(exchange, begin, deadline) {
                return listed;
            }
            exchange.renewal.notify(usize::MAX);
            time.await;
        }
    }

    /// Waits until there is a link to the engine, [`REQUIRED_WAIT`] at most. Returns how it stands then.
    pub(crate) async fn linked(&self) -> ClusterHealth {
        let deadline = self.clock.now() + REQUIRED_WAIT;
        loop {
            let time = self
                .exchange
                .as_ref()
                .map(|exchange| exchange.time.listen());
            let health = self.health();
            let is_final = matches!(health, ClusterHealth::Up | ClusterHealth::Ended { .. });
            let Some(time) = time.filter(|_| !is_final && self.clock.now() < deadline) else {
                return health;
            };
            time.await;
        }
    }

    /// Returns the answer to a caller that came at `begin`, if there is one by now.
    fn listed(
        &self,
        exchange: &Exchange,
        begin: Instant,
        deadline: Instant,
    ) -> Option<Result<Listing<Node>, BackplaneError>> {
        let us = self.describe();
        let now = self.clock.now();
        let mut outbound = exchange.lock();
        let is_late = now >= deadline || !outbound.link.is_up();
        if outbound.link.has_ended() {
            return Some(Err(BackplaneError::Ended));
        }
        if let Some(error) = outbound.leases.refused_since(begin) {
            return Some(Err(BackplaneError::Refused { error }));
        }
        let leases = &mut outbound.leases;
        let listing = match leases.listed_since(begin, now) {
            Some(listing) => listing,
            None if is_late => leases.last_known(now),
            None => {
                leases.want(now);
                return None;
            }
        };
        Some(Ok(listing.with_first(us, |node| node.id)))
    }

    /// What this node says of itself.
    fn describe(&self) -> Node {
        Node {
            id: self.node,
            name: Arc::clone(&self.name),
            connections: self.registry.len(),
            counters: self.counters(),
        }
    }
}

/// Renews the lease of this node until it is given back, or the backplane ends.
pub(super) async fn run(shared: Arc<SharedCluster>) {
    let Some(exchange) = &shared.exchange else {
        return;
    };
    loop {
        let ended = pin!(exchange.ended());
        let Winner::Second(work) = race(ended, pin!(next_work(&shared, exchange))).await else {
            return;
        };
        match work {
            LeaseWork::Renew => renew(&shared, exchange).await,
            LeaseWork::Release => release(&shared, exchange).await,
            LeaseWork::End => return,
        }
        exchange.time.notify(usize::MAX);
    }
}

/// Waits until there is something to do about the lease.
async fn next_work(shared: &SharedCluster, exchange: &Exchange) -> LeaseWork {
    loop {
        let renewal = exchange.renewal.listen();
        {
            let now = shared.clock.now();
            let mut outbound = exchange.lock();
            if outbound.link.is_up() {
                if let Some(work) = outbound.leases.take_work(now) {
                    return work;
                }
            }
        }
        renewal.await;
    }
}

async fn renew(shared: &SharedCluster, exchange: &Exchange) {
    let lease = Lease {
        description: shared.describe().encode(),
        time: LEASE_TIME,
    };
    let renewed = shared.ask(exchange, lease, SeatRequest::Renew).await;
    let now = shared.clock.now();
    match renewed {
        Ok(renewed) => {
            let is_forgotten = exchange.lock().leases.note_renewed(renewed, now);
            if is_forgotten {
                shared.registry.note_all_presence_changed();
            }
        }
        Err(BackplaneError::Refused { error }) => {
            let is_new = exchange
                .lock()
                .leases
                .note_unanswered(Some(Arc::clone(&error)), now);
            if is_new {
                tracing::warn!(target: "ws", "the engine does not list the nodes of the cluster: {error}");
            }
        }
        Err(_) => {
            exchange.lock().leases.note_unanswered(None, now);
        }
    }
}

async fn release(shared: &SharedCluster, exchange: &Exchange) {
    // If it is not answered, the lease ends by itself.
    let _ = shared.ask(exchange, (), SeatRequest::Release).await;
    exchange.lock().leases.note_released();
    exchange.note_settled();
}
