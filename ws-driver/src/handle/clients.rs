//! The handles to all open connections of a server: look up, send by id, broadcast to all or to a topic.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ws_proto::{Message, PreparedMessage, SendError};

use super::join_all;
use super::sender::Sender;
use crate::driver::shared_machine::{Draft, IfOpen, SharedMachine, Then};
use crate::id::ConnectionId;
use crate::id::cluster::NodeId;
use crate::observe::counters::ServerCounters;
use crate::observe::rejected::Rejected;
use crate::registry::broadcast::{BroadcastMessage, offer_all};
use crate::registry::membership::Membership;
use crate::registry::roster::Members;
use crate::registry::{Entry, Registry, RegistryConfig};

/// The open connections of a server. It is cheap to clone. A lookup and a send by id take constant time.
///
/// A send through this handle does not wait, except in methods whose name ends in `_wait`. If the send queue
/// of a peer is at its limit, the peer reads too slowly. [`SlowPeer`](crate::SlowPeer) decides what happens
/// then. By default the connection is closed with 1013, so that no peer misses a message without notice.
///
/// Two sends from one task arrive in order at every peer. Two concurrent sends from different threads can
/// arrive in a different order at different peers.
#[derive(Clone)]
pub struct Clients {
    registry: Arc<Registry>,
}

impl Clients {
    pub(crate) fn new(options: RegistryConfig, node: NodeId) -> Self {
        Self {
            registry: Arc::new(Registry::new(options, node)),
        }
    }

    /// Makes another handle to the connections of a registry.
    pub(crate) fn of(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    /// Returns the number of open connections.
    pub fn len(&self) -> usize {
        self.registry.len()
    }

    /// Returns whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a handle to the open connection with an id.
    pub fn get(&self, id: ConnectionId) -> Option<Sender> {
        let machine = self.registry.get(id)?;
        Some(Sender::new(machine, Membership::of(&self.registry)))
    }

    /// Iterates over the connections that are open at the time of the call.
    pub fn iter(&self) -> impl Iterator<Item = Sender> + use<> {
        senders(&self.registry, self.registry.open())
    }

    /// Returns a topic by its name. A topic without members is empty; this is not an error.
    pub fn topic(&self, name: impl Into<Arc<str>>) -> Topic {
        Topic {
            registry: Arc::clone(&self.registry),
            name: name.into(),
        }
    }

    /// Iterates over the topics that have members, in any order.
    pub fn topics(&self) -> impl Iterator<Item = Topic> + use<> {
        let registry = Arc::clone(&self.registry);
        let names = registry.topic_names().into_iter();
        names.map(move |name| Topic {
            registry: Arc::clone(&registry),
            name,
        })
    }

    /// Sends a message to one connection, without waiting.
    ///
    /// # Errors
    ///
    /// Fails if no open connection has that id, or if the connection is closing, cannot carry the message in
    /// its version, or has a full send queue.
    ///
    /// [`SlowPeer`](crate::SlowPeer) decides what else a full queue means. With `Close` the connection is
    /// closed with 1013. With `DropNewest` the message is dropped. With `Wait` nothing else happens. With
    /// `DropOldest` the queue is never full, unless its limit is zero.
    pub fn send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), SendToError> {
        let policy = self.registry.options.slow_peer;
        let sent = self.require(id)?.send_by_policy(message.into(), policy);
        sent.map_err(SendToError::Send)
    }

    /// Waits for capacity in the send queue of one connection, then queues a message. The
    /// [`SlowPeer`](crate::SlowPeer) policy does not apply.
    ///
    /// If the peer never reads, this waits until the connection ends. By default the `stall_timeout` ends it, even
    /// if the peer keeps sending.
    ///
    /// # Errors
    ///
    /// Fails if no open connection has that id, or if the connection is closing or cannot carry the message
    /// in its version.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not queued.
    pub async fn send_wait(
        &self,
        id: ConnectionId,
        message: impl Into<Message>,
    ) -> Result<(), SendToError> {
        let machine = self.require(id)?;
        let draft = Draft::new(message.into());
        let sent = machine.send_wait(draft, IfOpen::Wait, Then::Write).await;
        sent.map_err(SendToError::Send)
    }

    /// Sends a message to every open connection, without waiting. Returns how many connections took it. The
    /// message is encoded once for each version.
    ///
    /// The count excludes connections that are closing, that speak a draft if the message is binary, or that
    /// did not take the message under their [`SlowPeer`](crate::SlowPeer) policy.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        offer_all(&self.registry, &self.registry.open(), message.into(), None)
    }

    /// Sends a message to every open connection except one; see [`broadcast`](Self::broadcast).
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> usize {
        offer_all(
            &self.registry,
            &self.registry.open(),
            message.into(),
            Some(except),
        )
    }

    /// Sends a message to every connection that is open at the time of the call, and waits for capacity in
    /// each send queue. Returns how many connections took it. The [`SlowPeer`](crate::SlowPeer) policy does
    /// not apply.
    ///
    /// No peer waits for another: the message is queued for each one as soon as its queue has capacity. If a
    /// peer never reads, this waits until its connection ends. By default the `stall_timeout` ends it, even if
    /// the peer keeps sending. The future holds some 240 bytes for each peer that it waits for, and the message
    /// once. Two concurrent calls can overtake each other at a slow peer.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, connections whose queue had capacity have got the message;
    /// the others do not get it.
    pub async fn broadcast_wait(&self, message: impl Into<PreparedMessage>) -> usize {
        send_all(&self.registry, self.registry.open(), message.into()).await
    }

    /// Returns the counters of the server, summed over all connections since its start.
    ///
    /// The call takes time in proportion to the number of open connections.
    pub fn counters(&self) -> ServerCounters {
        self.registry.counters()
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns the access to the topics that the handles of a connection need.
    pub(crate) fn membership(&self) -> Membership {
        Membership::of(&self.registry)
    }

    /// Registers a stream in its opening handshake and gives it an id. Returns `None` if `limit` streams are
    /// registered, open or in the opening handshake.
    pub(crate) fn enter(&self, limit: Option<usize>) -> Option<Entry> {
        self.registry.enter(limit)
    }

    /// Counts a stream for the address of its peer, if it may be one more.
    pub(crate) fn admit(&self, id: ConnectionId, ip: IpAddr, now: Instant) -> Result<(), Rejected> {
        self.registry.admit(id, ip, now)
    }

    /// Waits until fewer than `limit` streams are registered, open or in the opening handshake.
    pub(crate) async fn wait_below(&self, limit: usize) {
        self.registry.wait_below(limit).await;
    }

    pub(crate) fn note_rejected(&self, reason: &Rejected) {
        self.registry.note_rejected(reason);
    }

    fn require(&self, id: ConnectionId) -> Result<Arc<SharedMachine>, SendToError> {
        let machine = self.registry.get(id);
        machine.ok_or(SendToError::NoSuchClient { id })
    }
}

impl Default for Clients {
    /// Makes a registry without a server. It stays empty.
    fn default() -> Self {
        Self::new(RegistryConfig::default(), NodeId::NONE)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The connections of a server that have [joined](crate::Connection::join) a topic. This is a handle and
/// cheap to clone. A topic exists only while it has members, with or without a handle.
///
/// A connection leaves its topics when its stream ends. Until then a closing connection is still a member.
#[derive(Clone)]
pub struct Topic {
    registry: Arc<Registry>,
    name: Arc<str>,
}

impl Topic {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.registry.members_len(&self.name)
    }

    /// Returns whether the topic has no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether a connection is a member.
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.registry.is_member(&self.name, id)
    }

    /// Iterates over the members at the time of the call, in any order.
    pub fn iter(&self) -> impl Iterator<Item = Sender> + use<> {
        senders(&self.registry, self.registry.members(&self.name))
    }

    /// Sends a message to every member; see [`Clients::broadcast`]. The work is linear in the number of members
    /// and does not depend on the number of other connections.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        let members = self.registry.members(&self.name);
        offer_all(&self.registry, &members, message.into(), None)
    }

    /// Sends a message to every member except one, such as the author of the message; see
    /// [`broadcast`](Self::broadcast). `except` need not be a member.
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> usize {
        let members = self.registry.members(&self.name);
        offer_all(&self.registry, &members, message.into(), Some(except))
    }

    /// Sends a message to every member, and waits for capacity in each send queue; see
    /// [`Clients::broadcast_wait`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, members whose queue had capacity have got the message; the
    /// others do not get it.
    pub async fn broadcast_wait(&self, message: impl Into<PreparedMessage>) -> usize {
        let members = self.registry.members(&self.name);
        send_all(&self.registry, members, message.into()).await
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Makes a handle for each connection.
fn senders(
    registry: &Arc<Registry>,
    machines: Members<Arc<SharedMachine>>,
) -> impl Iterator<Item = Sender> + use<> {
    let membership = Membership::of(registry);
    let places = 0..machines.len();
    places.map(move |place| Sender::new(Arc::clone(&machines[place]), membership.clone()))
}

/// Queues a message for each connection as soon as its queue has capacity. Returns how many took it.
async fn send_all(
    registry: &Registry,
    machines: Members<Arc<SharedMachine>>,
    message: PreparedMessage,
) -> usize {
    let mut message = BroadcastMessage::new(registry, message);
    let mut slow = Vec::new();
    let mut reached = 0;
    for machine in machines.iter() {
        // Without a future first: most connections have capacity and need no allocation.
        match machine.try_send_prepared(message.for_one(machine)) {
            Ok(()) => reached += 1,
            // Both end by themselves. Every other error stays for as long as the connection is open.
            Err(SendError::QueueFull { .. } | SendError::MessageOpen) => {
                slow.push(Arc::clone(machine));
            }
            Err(_) => {}
        }
    }
    // The wait can be long, and a list that is kept costs the next change a copy.
    drop(machines);
    let message = &message.message;
    let waiting = slow.into_iter().map(|machine| async move {
        let sent = machine.send_wait(message, IfOpen::Wait, Then::Write).await;
        sent.is_ok()
    });
    reached + join_all::count_true(waiting).await
}

/// Why a message was not sent to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendToError {
    /// No open connection has that id.
    NoSuchClient {
        /// The id.
        id: ConnectionId,
    },
    /// The connection did not take the message.
    Send(SendError),
}

impl fmt::Display for SendToError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchClient { id } => write!(f, "no open connection has the id {id}"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendToError {
    /// Returns the source of the cause, because the text of the cause is the whole text of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSuchClient { .. } => None,
            Self::Send(error) => error.source(),
        }
    }
}
