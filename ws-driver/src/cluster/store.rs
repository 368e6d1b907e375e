//! What an engine keeps besides its subscriptions, in memory: the leases of nodes, and what they stored under them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::leases::{Lease, LeasedNode, Renewed};
use super::presence::{PresenceChange, StoredPresence};
use super::seat::SeatRequest;
use crate::id::cluster::NodeId;
use crate::util::sync::Arc;

/// What an engine knows, in the memory of one process: for a [`Backplane`](crate::Backplane) whose engine moves messages
/// and keeps nothing, and for tests. All nodes of a cluster use the same one, with the same clock.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Since when it has known leases.
    begin: Option<Instant>,
    leases: HashMap<NodeId, KeptLease>,
}

#[derive(Debug)]
struct KeptLease {
    description: Bytes,
    end: Instant,
    presence: HashMap<Arc<str>, Bytes>,
}

impl MemoryStore {
    /// Makes a store that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a question of a node, at a time. Returns the request if it is none.
    pub fn answer(
        &mut self,
        node: NodeId,
        request: SeatRequest,
        now: Instant,
    ) -> Option<SeatRequest> {
        match request {
            SeatRequest::Renew(question) => {
                let renewed = self.renew(node, question.asked(), now);
                question.answer(renewed);
            }
            SeatRequest::Release(question) => {
                self.leases.remove(&node);
                question.answer(());
            }
            SeatRequest::StorePresence(question) => {
                let is_stored = self.store_presence(node, question.asked(), now);
                question.answer(is_stored);
            }
            SeatRequest::ReadPresence(question) => {
                let stored = self.read_presence(question.asked(), now);
                question.answer(stored);
            }
            other @ (SeatRequest::CountNodes | SeatRequest::Reconnect) => return Some(other),
        }
        None
    }

    fn renew(&mut self, node: NodeId, lease: &Lease, now: Instant) -> Renewed {
        let begin = *self.begin.get_or_insert(now);
        self.expire(now);
        let end = now + lease.time;
        let kept = self.leases.get_mut(&node);
        let has_values = kept.is_some();
        match kept {
            Some(kept) => {
                kept.description = lease.description.clone();
                kept.end = end;
            }
            None => {
                let kept = KeptLease {
                    description: lease.description.clone(),
                    end,
                    presence: HashMap::new(),
                };
                self.leases.insert(node, kept);
            }
        }
        let nodes = self.leases.iter().map(|(node, kept)| LeasedNode {
            node: *node,
            description: kept.description.clone(),
            left: kept.end.saturating_duration_since(now),
        });
        Renewed {
            has_values,
            age: now.saturating_duration_since(begin),
            nodes: nodes.collect(),
        }
    }

    fn store_presence(&mut self, node: NodeId, changes: &[PresenceChange], now: Instant) -> bool {
        self.expire(now);
        let Some(kept) = self.leases.get_mut(&node) else {
            return false;
        };
        for PresenceChange { topic, members } in changes {
            match members {
                Some(members) => {
                    kept.presence.insert(Arc::clone(topic), members.clone());
                }
                None => {
                    kept.presence.remove(topic);
                }
            }
        }
        true
    }

    fn read_presence(&mut self, topic: &str, now: Instant) -> Vec<StoredPresence> {
        self.expire(now);
        let stored = self.leases.iter().filter_map(|(node, kept)| {
            let members = kept.presence.get(topic)?.clone();
            Some(StoredPresence {
                node: *node,
                members,
            })
        });
        stored.collect()
    }

    /// Forgets the leases that have ended, with all that was stored under them.
    fn expire(&mut self, now: Instant) {
        self.leases
            .retain(|_, kept| kept.end.saturating_duration_since(now) > Duration::ZERO);
    }
}
