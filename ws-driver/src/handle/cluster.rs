//! The handle to the connections of all nodes of a cluster: send by id, broadcast to all or to a topic, ask who is there.

use std::fmt;
use std::sync::Arc;

use ws_proto::{Message, PreparedMessage};

use crate::cluster::channel::Channel;
use crate::cluster::counters::ClusterCounters;
use crate::cluster::direct::{ClusterSendError, Sent};
use crate::cluster::error::BackplaneError;
use crate::cluster::link::ClusterHealth;
use crate::cluster::listing::Listing;
use crate::cluster::log::position::{AppendError, Position, ResumeError, ResumeFrom, Resumed};
use crate::cluster::node::Node;
use crate::cluster::presence::Presence;
use crate::cluster::shared::SharedCluster;
use crate::driver::shared_machine::SharedMachine;
use crate::id::ConnectionId;
use crate::id::cluster::{ClusterId, NodeId};
use crate::registry::broadcast::offer_all;
use crate::registry::roster::Members;
use crate::registry::topics::TOPIC_NAME_LIMIT;

/// The connections of all nodes of a cluster, as one node sees them. It is cheap to clone. Without a
/// [`backplane`](crate::ServerBuilder::backplane) the cluster is this server alone.
///
/// The names are those of [`Clients`](crate::Clients), so a program for one machine becomes one for many when
/// `server.clients()` becomes `server.cluster()`. A call that is not `async` does not wait. Connections on this node get a message at once, as from
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

    /// Sends a message to one connection, on whichever node it is, without waiting.
    ///
    /// On this node it does what [`Clients::send`](crate::Clients::send) does. For another node the message is queued, and
    /// what becomes of it there is not known: at most once, as a broadcast. The node hands it to the connection under its
    /// [`SlowPeer`](crate::SlowPeer) policy, and counts it as [`undelivered`](ClusterCounters::undelivered) if the connection
    /// does not take it. Messages to one connection from one node arrive in their order.
    ///
    /// # Errors
    ///
    /// Fails if the node of the connection does not live as far as this one knows, or the message is not queued for it; on
    /// this node, as [`Clients::send`](crate::Clients::send) fails. A node is known to others a second after its
    /// [`health`](Self::health) is `Up` at the latest, and for 15 s after it has gone without a shutdown.
    pub fn send(
        &self,
        id: ClusterId,
        message: impl Into<Message>,
    ) -> Result<Sent, ClusterSendError> {
        self.shared.send(id, message.into())
    }

    /// Sends a message to one connection, on whichever node it is, and waits until its send queue has it.
    ///
    /// On this node it does what [`Clients::send_wait`](crate::Clients::send_wait) does. On another node the message waits
    /// up to 4 s for capacity, together with 255 others; it can be overtaken meanwhile.
    ///
    /// # Errors
    ///
    /// Fails as [`send`](Self::send) does. The node says exactly why the connection did not take the message. If it says
    /// nothing for 5 s, the error is [`Unknown`](ClusterSendError::Unknown), and the connection may get the message.
    ///
    /// # Cancel safety
    ///
    /// If the future was polled once and is dropped before it is ready, the connection gets the message or not. On this
    /// node it does not get it.
    pub async fn send_wait(
        &self,
        id: ClusterId,
        message: impl Into<Message>,
    ) -> Result<(), ClusterSendError> {
        self.shared.send_wait(id, message.into()).await
    }

    /// Returns the nodes that live, this one first: what the engine says now. Without a link it is what was known last,
    /// and the listing is not [complete](Listing::is_complete). A node that ends without a shutdown is listed for 15 s
    /// more.
    ///
    /// The answer takes one way to the engine and back. It waits 5 s at most, and then returns what was known last.
    ///
    /// # Errors
    ///
    /// Fails if the engine refuses, or the backplane has ended.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time.
    pub async fn nodes(&self) -> Result<Listing<Node>, BackplaneError> {
        self.shared.nodes().await
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
        // The copy for the other nodes comes first, because the message itself goes to the connections here.
        let draft = self.shared.draft(&message);
        let local = offer_all(self.shared.registry(), members, message, except);
        let remote = draft.and_then(|draft| self.shared.publish(channel, draft));
        Published { local, remote }
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

    /// Returns the connections of all nodes that show themselves in the topic, by
    /// [`Connection::track`](crate::Connection::track), sorted by id. Those of this node are exact; those of other nodes are
    /// what their nodes stored, about a second ago at most. If a node ends without a shutdown, all of its connections
    /// vanish together, after 15 s at most. Without a link only those of this node are returned, and the listing is not
    /// [complete](Listing::is_complete).
    ///
    /// The answer takes one way to the engine and back, and its work there is linear in the number of nodes.
    ///
    /// # Errors
    ///
    /// Fails if the engine refuses or does not answer within 5 s, or the backplane has ended.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time.
    pub async fn presence(&self) -> Result<Listing<Presence>, BackplaneError> {
        self.cluster.shared.presence(&self.name).await
    }

    /// Appends a message to the log of the topic, and waits until the engine has it. All members on all nodes get it in the
    /// order of the log, those of this node as well: as what the option [`log`](crate::ClusterConfig::log) makes of it.
    /// Concurrent calls can be appended in any order.
    ///
    /// # Errors
    ///
    /// Fails if the topic has no log, the message is longer than the option `message_limit`, the engine refuses, or there is
    /// no link for 5 s; then it is not appended. If the engine was asked and does not answer within 5 s, on this link or the
    /// next, the error is [`Unknown`](AppendError::Unknown).
    ///
    /// # Cancel safety
    ///
    /// If the future was polled once and is dropped before it is ready, the message is appended or not.
    pub async fn append(&self, message: impl Into<Message>) -> Result<Position, AppendError> {
        let message = message.into();
        self.cluster.shared.append(&self.name, &message).await
    }

    /// Sends a connection of this node what was appended to the log of the topic behind a position, and joins it to the topic
    /// there: no message is missed in between, and none comes twice. It waits for capacity in the send queue of the
    /// connection. `None` only joins: the connection gets a [`LogEvent::Start`](crate::LogEvent::Start) first, with the
    /// position from which it gets everything. [`ResumeFrom::Oldest`] sends the whole log behind such a start.
    ///
    /// What the log no longer has, or may have lost, is a [`LogEvent::Gap`](crate::LogEvent::Gap) in its place. A position can
    /// come from a client; one that never was is a gap, too.
    ///
    /// # Errors
    ///
    /// Fails if the topic has no log, the connection is a member already (also by [`track`](crate::Connection::track)), is
    /// closed or is not of this node, or cannot join. Also fails if the engine does not subscribe to the topic within the option
    /// [`subscribe_timeout`](crate::ClusterConfig::subscribe_timeout), or does not answer within 5 s. Then it is no member, but
    /// may have got some of the messages.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the connection has got some of the messages, and may have joined. Close
    /// it, or leave the topic and resume from the last position that the client has.
    pub async fn resume(
        &self,
        connection: ClusterId,
        from: impl Into<ResumeFrom>,
    ) -> Result<Resumed, ResumeError> {
        let resume = self
            .cluster
            .shared
            .resume(&self.name, connection, from.into());
        resume.await
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
