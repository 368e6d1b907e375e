//! The link from a connection to the registry that knows its id. A client's connection is in no registry.

use std::time::Instant;

use super::Registry;
use super::presence::TrackError;
use super::subscriptions::Subscribed;
use super::topics::TopicError;
use crate::id::ConnectionId;
use crate::id::cluster::{ClusterId, NodeId};
use crate::util::sync::{Arc, Weak};

/// The registry of a connection, for its handles. Weak, so that a handle does not keep a server's connections alive.
#[derive(Clone, Default)]
pub(crate) struct Membership(Option<Weak<Registry>>);

impl Membership {
    pub(crate) fn of(registry: &Arc<Registry>) -> Self {
        Self(Some(Arc::downgrade(registry)))
    }

    /// Returns the registry, if the connection is in one that is still there.
    pub(crate) fn registry(&self) -> Option<Arc<Registry>> {
        self.0.as_ref().and_then(Weak::upgrade)
    }

    /// Joins a topic of the server; returns whether the connection was not a member before.
    pub(crate) fn join(&self, topic: &str, id: ConnectionId) -> Result<bool, TopicError> {
        let registry = self.0.as_ref().ok_or(TopicError::NoServer)?;
        let registry = registry.upgrade().ok_or(TopicError::Closed)?;
        registry.join(topic, id)
    }

    /// Joins a topic, and waits until messages of other nodes arrive; returns whether the connection was not a member
    /// before. `now` is the clock of the connection's runtime.
    pub(crate) async fn join_wait(
        &self,
        topic: &str,
        id: ConnectionId,
        now: impl Fn() -> Instant,
    ) -> Result<(bool, Subscribed), TopicError> {
        let registry = self.0.as_ref().ok_or(TopicError::NoServer)?;
        let registry = registry.upgrade().ok_or(TopicError::Closed)?;
        registry.join_wait(topic, id, now).await
    }

    /// Joins a topic, and shows the connection there.
    pub(crate) fn track(
        &self,
        topic: &str,
        id: ConnectionId,
        data: &[u8],
    ) -> Result<(), TrackError> {
        let registry = self.0.as_ref().ok_or(TopicError::NoServer)?;
        let registry = registry.upgrade().ok_or(TopicError::Closed)?;
        registry.track(topic, id, data)
    }

    /// Stops to show the connection in a topic; returns whether it was shown.
    pub(crate) fn untrack(&self, topic: &str, id: ConnectionId) -> bool {
        let registry = self.0.as_ref().and_then(Weak::upgrade);
        registry.is_some_and(|registry| registry.untrack(topic, id))
    }

    /// Returns the id of the connection in its cluster. It is of no node if the connection is in no registry.
    pub(crate) fn cluster_id(&self, local: ConnectionId) -> ClusterId {
        let registry = self.0.as_ref().and_then(Weak::upgrade);
        let node = registry.map_or(NodeId::NONE, |registry| registry.node);
        ClusterId { node, local }
    }

    /// Leaves a topic; returns whether the connection was a member.
    pub(crate) fn leave(&self, topic: &str, id: ConnectionId) -> bool {
        let registry = self.0.as_ref().and_then(Weak::upgrade);
        registry.is_some_and(|registry| registry.leave(topic, id))
    }
}
