//! Where a connection is known by its id: in the registry of a server, or, that of a client, nowhere.

use super::Registry;
use super::topics::TopicError;
use crate::id::ConnectionId;
use crate::util::sync::{Arc, Weak};

/// What the handles of a connection know of its registry; it does not keep it.
#[derive(Clone, Default)]
pub(crate) struct Membership(Option<Weak<Registry>>);

impl Membership {
    pub(crate) fn of(registry: &Arc<Registry>) -> Self {
        Self(Some(Arc::downgrade(registry)))
    }

    /// Joins a topic of the server; tells whether the connection was not a member.
    pub(crate) fn join(&self, topic: &str, id: ConnectionId) -> Result<bool, TopicError> {
        let registry = self.0.as_ref().ok_or(TopicError::NoServer)?;
        let registry = registry.upgrade().ok_or(TopicError::Closed)?;
        registry.join(topic, id)
    }

    /// Leaves a topic; tells whether the connection was a member.
    pub(crate) fn leave(&self, topic: &str, id: ConnectionId) -> bool {
        let registry = self.0.as_ref().and_then(Weak::upgrade);
        registry.is_some_and(|registry| registry.leave(topic, id))
    }
}
