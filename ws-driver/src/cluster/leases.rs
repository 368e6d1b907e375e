//! Which nodes live. Each node has a lease of the engine and renews it; the engine's clock ends it. No clock and no task:
//! the time comes in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::listing::Listing;
use super::node::Node;
use crate::id::cluster::NodeId;
use crate::util::sync::Arc;

/// How long a node is known without a sign of life.
pub const LEASE_TIME: Duration = Duration::from_secs(15);
/// The time between two renewals.
const RENEWAL: Duration = Duration::from_secs(5);
/// The nodes of which a sign of life is kept besides the last list.
const HEARD_LIMIT: usize = 1024;

/// The lease of a node: what the engine keeps of it for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// What the node says of itself; any bytes.
    pub description: Bytes,
    /// How long the engine keeps it from now on, by its own clock.
    pub time: Duration,
}

/// What an engine says about the leases, once it has renewed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether the engine has all [values](crate::PresenceChange) that the node stored under its lease: false if the
    /// lease is a new one.
    pub has_values: bool,
    /// How long ago the engine began to know leases. Nodes may not have come back yet to one that lost its data.
    pub age: Duration,
    /// The nodes whose leases have not ended, this one included.
    pub nodes: Vec<LeasedNode>,
}

/// A node with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedNode {
    /// Its id.
    pub node: NodeId,
    /// What it says of itself; any bytes.
    pub description: Bytes,
    /// How long its lease lasts without a renewal.
    pub left: Duration,
}

/// The leases as this node knows them.
pub(super) struct Leases {
    standing: Standing,
    nodes: Vec<KnownNode>,
    /// When the engine was asked for the list, and when it said it.
    asked_at: Option<Instant>,
    listed_at: Instant,
    /// From when on the list can be complete. `None` before the first one.
    complete_from: Option<Instant>,
    /// Nodes that have given a sign of life since the last list, and are not in it.
    heard: HashMap<NodeId, Instant>,
    /// Why the engine does not list nodes, and since when.
    refused: Option<(Instant, Arc<str>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// To be renewed at a time.
    Due(Instant),
    /// The engine was asked at a time.
    Asked(Instant),
    /// The lease is to be given back.
    Leaving,
    /// The node has none any more.
    Released,
}

struct KnownNode {
    node: Node,
    until: Instant,
}

/// What is to be done about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseWork {
    Renew,
    Release,
    /// There is no lease any more.
    End,
}

impl Leases {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            standing: Standing::Due(now),
            nodes: Vec::new(),
            asked_at: None,
            listed_at: now,
            complete_from: None,
            heard: HashMap::new(),
            refused: None,
        }
    }

    /// Notes a new link: the engine behind it may know nothing of this node.
    pub(super) fn note_up(&mut self, now: Instant) {
        self.complete_from = None;
        self.want(now);
    }

    /// Notes that somebody wants the list as it is now.
    pub(super) fn want(&mut self, now: Instant) {
        if let Standing::Due(due) = &mut self.standing {
            *due = now.min(*due);
        }
    }

    /// Takes what is to be done now, if there is something.
    pub(super) fn take_work(&mut self, now: Instant) -> Option<LeaseWork> {
        match self.standing {
            Standing::Due(due) if now >= due => {
                self.standing = Standing::Asked(now);
                Some(LeaseWork::Renew)
            }
            Standing::Due(_) | Standing::Asked(_) => None,
            Standing::Leaving => Some(LeaseWork::Release),
            Standing::Released => Some(LeaseWork::End),
        }
    }

    /// Notes the answer of the engine. Returns whether everything that was stored under the lease is to be stored again.
    pub(super) fn note_renewed(&mut self, renewed: Renewed, now: Instant) -> bool {
        self.note_asked(now);
        let nodes = renewed.nodes.into_iter();
        let nodes = nodes.map(|leased| KnownNode {
            node: Node::decode(leased.node, &leased.description),
            until: now + leased.left.min(LEASE_TIME),
        });
        self.nodes = nodes.collect();
        self.nodes.sort_by_key(|known| known.node.id);
        self.listed_at = now;
        self.refused = None;
        self.complete_from = Some(now + LEASE_TIME.saturating_sub(renewed.age));
        // From now on its lease says whether a listed node lives.
        for known in &self.nodes {
            self.heard.remove(&known.node.id);
        }
        self.heard
            .retain(|_, heard_at| now.saturating_duration_since(*heard_at) < LEASE_TIME);
        !renewed.has_values
    }

    /// Notes that the engine did not answer, or why it refused to. Returns whether it has begun to refuse.
    pub(super) fn note_unanswered(&mut self, refused: Option<Arc<str>>, now: Instant) -> bool {
        self.note_asked(now);
        // Nodes that the engine does not know cannot be in what it says, this one among them.
        self.complete_from = None;
        let refused = refused.map(|error| (now, error));
        let before = std::mem::replace(&mut self.refused, refused);
        before.is_none() && self.refused.is_some()
    }

    /// Notes the end of a question. The next one is asked after the usual time.
    fn note_asked(&mut self, now: Instant) {
        if let Standing::Asked(asked_at) = self.standing {
            self.asked_at = Some(asked_at);
            self.standing = Standing::Due(now + RENEWAL);
        }
    }

    /// Begins to give the lease back.
    pub(super) fn leave(&mut self) {
        if self.standing != Standing::Released {
            self.standing = Standing::Leaving;
        }
    }

    /// Notes that the lease was given back, or cannot be.
    pub(super) fn note_released(&mut self) {
        self.standing = Standing::Released;
    }

    pub(super) fn is_released(&self) -> bool {
        self.standing == Standing::Released
    }

    /// Notes a sign of life of another node. One that is not listed is a reason to ask for the list.
    pub(super) fn note_heard(&mut self, node: NodeId, now: Instant) {
        if self.nodes.iter().any(|known| known.node.id == node) {
            return;
        }
        if self.heard.len() < HEARD_LIMIT || self.heard.contains_key(&node) {
            let is_new = self.heard.insert(node, now).is_none();
            if is_new {
                self.want(now);
            }
        }
    }

    /// Tells whether a node lives as far as this one knows. Without a link, the last list counts.
    pub(super) fn knows(&self, node: NodeId, is_up: bool, now: Instant) -> bool {
        let mut known = self.nodes.iter().filter(|known| known.node.id == node);
        let is_listed = known.any(|known| !is_up || now < known.until);
        let heard_at = self.heard.get(&node);
        is_listed || heard_at.is_some_and(|at| now.saturating_duration_since(*at) < LEASE_TIME)
    }

    /// Returns the list, if the engine was asked for it at that time or later.
    pub(super) fn listed_since(&self, begin: Instant, now: Instant) -> Option<Listing<Node>> {
        if self.asked_at? < begin || self.refused.is_some() {
            return None;
        }
        Some(self.listing(self.is_complete(now), now))
    }

    /// Tells whether no node can be missing in what the engine says now.
    pub(super) fn is_complete(&self, now: Instant) -> bool {
        self.complete_from.is_some_and(|from| now >= from)
    }

    /// Returns why the engine refused the list since that time.
    pub(super) fn refused_since(&self, begin: Instant) -> Option<Arc<str>> {
        let (at, error) = self.refused.as_ref()?;
        (*at >= begin).then(|| Arc::clone(error))
    }

    /// Returns why the engine refuses leases, if it does.
    pub(super) fn refusal(&self) -> Option<Arc<str>> {
        self.refused.as_ref().map(|(_, error)| Arc::clone(error))
    }

    /// Returns what was known last.
    pub(super) fn last_known(&self, now: Instant) -> Listing<Node> {
        self.listing(false, now)
    }

    /// The number of nodes in the last list.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn listing(&self, is_complete: bool, now: Instant) -> Listing<Node> {
        let nodes = self.nodes.iter().map(|known| known.node.clone());
        let age = now.saturating_duration_since(self.listed_at);
        Listing::new(nodes.collect(), is_complete, age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn renewed(nodes: &[u64], age: Duration) -> Renewed {
        let leased = |&id: &u64| LeasedNode {
            node: NodeId(id),
            description: Bytes::new(),
            left: LEASE_TIME,
        };
        Renewed {
            has_values: true,
            age,
            nodes: nodes.iter().map(leased).collect(),
        }
    }

    /// A lease is renewed at once on a link, then each five seconds, and sooner if somebody asks for the list.
    #[test]
    fn a_lease_is_renewed_in_time_and_on_demand() {
        let mut now = Instant::now();
        let mut leases = Leases::new(now);
        assert_eq!(leases.take_work(now), Some(LeaseWork::Renew));
        assert_eq!(leases.take_work(now + LEASE_TIME), None, "one at a time");
        assert!(!leases.note_renewed(renewed(&[1], SECOND), now));
        assert_eq!(leases.take_work(now + RENEWAL - SECOND), None);
        now += RENEWAL;
        assert_eq!(leases.take_work(now), Some(LeaseWork::Renew));
        leases.note_unanswered(None, now);
        leases.want(now);
        assert_eq!(leases.take_work(now), Some(LeaseWork::Renew));
        leases.note_renewed(renewed(&[1], SECOND), now);
        leases.note_up(now);
        assert_eq!(leases.take_work(now), Some(LeaseWork::Renew));
        leases.leave();
        assert_eq!(leases.take_work(now), Some(LeaseWork::Release));
        leases.note_released();
        leases.leave();
        assert_eq!(leases.take_work(now), Some(LeaseWork::End));
    }

    /// A list is one that was asked for after the caller came, and is complete once every node had the time to be in it.
    #[test]
    fn a_list_says_whether_it_is_new_and_complete() {
        let now = Instant::now();
        let mut leases = Leases::new(now);
        assert!(leases.listed_since(now, now).is_none());
        leases.take_work(now);
        leases.note_renewed(renewed(&[2, 1], SECOND), now);
        let listing = leases.listed_since(now, now).unwrap();
        let ids: Vec<_> = listing.iter().map(|node| node.id.0).collect();
        assert_eq!((ids, listing.is_complete()), (vec![1, 2], false));
        let later = now + LEASE_TIME;
        assert!(leases.listed_since(now, later).unwrap().is_complete());
        assert!(
            leases.listed_since(later, later).is_none(),
            "it is an old one"
        );
        let known = leases.last_known(later);
        assert_eq!((known.age(), known.is_complete()), (LEASE_TIME, false));
        leases.want(later);
        leases.take_work(later);
        leases.note_unanswered(Some("no permission".into()), later);
        assert!(leases.listed_since(later, later).is_none());
        assert!(leases.refused_since(later).is_some());
    }

    /// A node is known by its lease or by what it sent, and forgotten without either; but not while nobody can know.
    #[test]
    fn a_node_without_a_sign_of_life_is_forgotten() {
        let now = Instant::now();
        let mut leases = Leases::new(now);
        leases.take_work(now);
        leases.note_renewed(renewed(&[1], LEASE_TIME), now);
        leases.note_heard(NodeId(2), now);
        assert_eq!(
            leases.take_work(now),
            Some(LeaseWork::Renew),
            "who is that?"
        );
        for node in [NodeId(1), NodeId(2)] {
            assert!(leases.knows(node, true, now));
            assert!(!leases.knows(node, true, now + LEASE_TIME));
        }
        assert!(leases.knows(NodeId(1), false, now + LEASE_TIME * 9));
        assert!(!leases.knows(NodeId(3), true, now));
        for stranger in 0..10_000 {
            leases.note_heard(NodeId(stranger), now);
        }
        assert!(leases.heard.len() <= HEARD_LIMIT);
    }
}
