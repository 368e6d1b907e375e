//! The handle to the connections of all nodes of a cluster: broadcast to all or to a topic.

use std::fmt;
use std::sync::Arc;

use ws_proto::PreparedMessage;

use crate::cluster::channel::Channel;
use crate::cluster::counters::ClusterCounters;
use crate::cluster::error::BackplaneError;
use crate::cluster::link::ClusterHealth;
use crate::cluster::shared::SharedCluster;
use crate::driver::shared_machine::SharedMachine;
use crate::id::ConnectionId;
use crate::id::cluster::NodeId;
use crate::registry::broadcast::offer_all;
use crate::registry::roster::Members;
use crate::registry::topics::TOPIC_NAME_LIMIT;

/// The connections of all nodes of a cluster, as one node sees them. It is cheap to clone. Without a
/// [`backplane`](crate::ServerBuilder::backplane) the cluster is this server alone.
///
/// The names are those of [`Clients`](crate::Clients), so a program for one machine becomes one for many when
/// `server.clients()` becomes `server.cluster()`. No call waits. Connections on this node get a message at once, as from
/// [`Clients::broadcast`](crate::Clients::broadcast); for the other nodes it is queued.
///
/// Delivery to other nodes is at most once. What one node publishes arrives in its order everywhere. Messages of two
/// nodes can arrive in different orders at different nodes. What is lost is counted: by the node that published as
/// [`dropped`](ClusterCounters::dropped), by the node that did not get it as [`missed`](ClusterCounters::missed).
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<SharedCluster>,
}

/// What became of a message to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// How many connections of this node took it.
    pub local: usize,
    /// Whether it is queued for the other nodes. `Ok` in a cluster of one.
    pub remote: Result<(), BackplaneError>,
}

impl Cluster {
    pub(crate) fn new(shared: Arc<SharedCluster>) -> Self {
        Self { shared }
    }

    /// Returns the id of this node.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// Sends a message to every open connection of every node. The message is encoded once on each node for each
    /// version.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> Published {
        let open = self.shared.registry().open();
        self.publish(Channel::All, &open, message.into(), None)
    }

    /// Sends a message to every open connection of every node except one of this node; see
    /// [`broadcast`](Self::broadcast).
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> Published {
        let open = self.shared.registry().open();
        self.publish(Channel::All, &open, message.into(), Some(except))
    }

    /// Returns a topic by its name. It has the members of all nodes.
    pub fn topic(&self, name: impl Into<Arc<str>>) -> ClusterTopic {
        ClusterTopic {
            cluster: self.clone(),
            name: name.into(),
        }
    }

    /// Tells how this node is linked to the others. Whether a node without a link is ready for clients is the
    /// application's choice: those that it has are served.
    pub fn health(&self) -> ClusterHealth {
        self.shared.health()
    }

    /// Returns what this node has counted.
    pub fn counters(&self) -> ClusterCounters {
        self.shared.counters()
    }

    fn publish(
        &self,
        channel: Channel,
        members: &Members<Arc<SharedMachine>>,
        message: PreparedMessage,
        except: Option<ConnectionId>,
    ) -> Published {
        // First, because connections here need not wait for the copy.
        let local = offer_all(self.shared.registry(), members, message.clone(), except);
        Published {
            local,
            remote: self.shared.publish(channel, &message),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.node())
            .finish_non_exhaustive()
    }
}

/// The connections of all nodes that have [joined](crate::Connection::join) a topic. This is a handle and cheap to
/// clone. [`Topic`](crate::Topic) has the members of this node alone, and can count them.
#[derive(Clone)]
pub struct ClusterTopic {
    cluster: Cluster,
    name: Arc<str>,
}

impl ClusterTopic {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a message to every member on every node; see [`Cluster::broadcast`].
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> Published {
        self.publish(message.into(), None)
    }

    /// Sends a message to every member on every node except one of this node, such as the author of the message;
    /// see [`Cluster::broadcast`]. `except` need not be a member.
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> Published {
        self.publish(message.into(), Some(except))
    }

    fn publish(&self, message: PreparedMessage, except: Option<ConnectionId>) -> Published {
        if self.name.len() > TOPIC_NAME_LIMIT {
            // No connection can join it, on any node.
            return Published {
                local: 0,
                remote: Ok(()),
            };
        }
        let members = self.cluster.shared.registry().members(&self.name);
        let channel = Channel::Topic(Arc::clone(&self.name));
        self.cluster.publish(channel, &members, message, except)
    }
}

impl fmt::Debug for ClusterTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterTopic")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
