//! The open connections of a server in the hands of its users: look up, send by id, broadcast to all
//! or to a topic.

use std::fmt;
use std::sync::Arc;

use ws_proto::{Message, PreparedMessage, SendError};

use super::join_all;
use super::sender::Sender;
use crate::driver::shared_machine::{Draft, IfOpen, SharedMachine, Then};
use crate::id::ConnectionId;
use crate::observe::counters::ServerCounters;
use crate::observe::rejected::Rejected;
use crate::registry::membership::Membership;
use crate::registry::{Entry, Registry, RegistryConfig};

/// The open connections of a server. Cheap to clone; looking up and sending by id take the same time
/// however many there are.
///
/// A send through this does not wait, unless its name says so. If the send queue of a peer is at its
/// limit, the peer reads too slowly to keep up; [`SlowPeer`](crate::SlowPeer) says what happens then: by
/// default its connection is closed with 1013, so that no gap in what it receives passes silently.
///
/// Two sends from one task arrive in their order at every peer; of two at the same time from different
/// threads, one peer can see this first and another that.
#[derive(Clone)]
pub struct Clients {
    registry: Arc<Registry>,
}

impl Clients {
    pub(crate) fn new(options: RegistryConfig) -> Self {
        Self {
            registry: Arc::new(Registry::new(options)),
        }
    }

    /// Returns how many connections are open.
    pub fn len(&self) -> usize {
        self.registry.len()
    }

    /// Tells whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the open connection with an id.
    pub fn get(&self, id: ConnectionId) -> Option<Sender> {
        let machine = self.registry.get(id)?;
        Some(Sender::new(machine, Membership::of(&self.registry)))
    }

    /// Iterates over the connections that are open now.
    pub fn iter(&self) -> impl Iterator<Item = Sender> + use<> {
        senders(&self.registry, self.registry.open())
    }

    /// Returns a topic by its name. It need not exist: a topic that nobody has joined is empty.
    pub fn topic(&self, name: impl Into<Arc<str>>) -> Topic {
        Topic {
            registry: Arc::clone(&self.registry),
            name: name.into(),
        }
    }

    /// Iterates over the topics that somebody has joined, in any order.
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
    /// Fails if there is no open connection with that id, it is closing, its version cannot carry
    /// the message, or its send queue is full. The last is what [`SlowPeer`](crate::SlowPeer) is about:
    /// with `Close` the connection is closed with 1013, with `DropNewest` the message is dropped, with
    /// `Wait` neither; with `DropOldest` it does not happen, unless the limit is zero.
    pub fn send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), SendToError> {
        let policy = self.registry.options.slow_peer;
        let draft = Draft::new(message.into());
        let sent = self.require(id)?.send_by_policy(draft, policy);
        sent.map_err(SendToError::Send)
    }

    /// Waits for room in the send queue of one connection, whatever the
    /// [`SlowPeer`](crate::SlowPeer) policy is, then queues a message.
    ///
    /// A peer that never reads is waited for until the connection ends: by default the keepalive sees
    /// to that.
    ///
    /// # Errors
    ///
    /// Fails if there is no open connection with that id, it is closing, or its version cannot carry
    /// the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not queued.
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

    /// Sends a message to every open connection, without waiting, and returns how many took it. It is
    /// encoded once, whatever the versions.
    ///
    /// Not counted are connections that are closing, that speak a draft if the message is binary, and
    /// those that were too slow for it, as [`SlowPeer`](crate::SlowPeer) says.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        offer_all(&self.registry, self.registry.open(), message.into(), None)
    }

    /// As [`broadcast`](Self::broadcast), to all but one.
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> usize {
        offer_all(
            &self.registry,
            self.registry.open(),
            message.into(),
            Some(except),
        )
    }

    /// Sends a message to every connection that is open now, waits for room in each send queue,
    /// whatever the [`SlowPeer`](crate::SlowPeer) policy is, and returns how many took it.
    ///
    /// Who has room gets it at once, the others as soon as they have: nobody waits for anybody else. A
    /// peer that never reads is waited for until its connection ends: by default the keepalive sees to
    /// that. The future holds one small allocation for each peer that is waited for, and the message
    /// once; two of them at the same time can overtake each other at a slow peer.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, those who had room have got the message; the
    /// others get nothing of it.
    pub async fn broadcast_wait(&self, message: impl Into<PreparedMessage>) -> usize {
        send_all(&self.registry, self.registry.open(), message.into()).await
    }

    /// Returns what was counted on all connections so far.
    ///
    /// Takes time in proportion to the connections that are open; counting itself costs next to
    /// nothing.
    pub fn counters(&self) -> ServerCounters {
        self.registry.counters()
    }

    /// Returns what the handles of a connection know of its registry.
    pub(crate) fn membership(&self) -> Membership {
        Membership::of(&self.registry)
    }

    /// Gives an id to a connection that is being opened; `None` if there are as many streams as `limit`,
    /// open or being opened.
    pub(crate) fn enter(&self, limit: Option<usize>) -> Option<Entry> {
        self.registry.enter(limit)
    }

    /// Waits until there are fewer streams than `limit`, open or being opened.
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
    /// Makes the registry of no server, which stays empty.
    fn default() -> Self {
        Self::new(RegistryConfig::default())
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The connections of a server that have [joined](crate::Connection::join) a topic. A handle that is
/// cheap to clone; it does not make the topic exist: that is there while it has members.
///
/// A connection leaves its topics when its stream ends; until then a closing one is still a member.
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

    /// Returns how many connections have joined.
    pub fn len(&self) -> usize {
        self.registry.members_len(&self.name)
    }

    /// Tells whether no connection has joined.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether a connection has joined.
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.registry.is_member(&self.name, id)
    }

    /// Iterates over the connections that are members now, in any order.
    pub fn iter(&self) -> impl Iterator<Item = Sender> + use<> {
        senders(&self.registry, self.registry.members(&self.name))
    }

    /// Sends a message to every member; see [`Clients::broadcast`]. The work is linear in the number
    /// of members, however many other connections there are.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        let members = self.registry.members(&self.name);
        offer_all(&self.registry, members, message.into(), None)
    }

    /// As [`broadcast`](Self::broadcast), to all members but one, such as the one that speaks; it need
    /// not be a member.
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> usize {
        let members = self.registry.members(&self.name);
        offer_all(&self.registry, members, message.into(), Some(except))
    }

    /// Sends a message to every member and waits for room in each send queue; see
    /// [`Clients::broadcast_wait`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, those who had room have got the message; the
    /// others get nothing of it.
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

/// Makes handles for users.
fn senders(
    registry: &Arc<Registry>,
    machines: Vec<Arc<SharedMachine>>,
) -> impl Iterator<Item = Sender> + use<> {
    let membership = Membership::of(registry);
    let machines = machines.into_iter();
    machines.map(move |machine| Sender::new(machine, membership.clone()))
}

/// A message on its way to many. It is compressed once, when the first comes for whom that counts.
struct ForMany<'a> {
    registry: &'a Registry,
    message: PreparedMessage,
    is_compressed: bool,
}

impl<'a> ForMany<'a> {
    fn new(registry: &'a Registry, message: PreparedMessage) -> Self {
        Self {
            registry,
            message,
            is_compressed: false,
        }
    }

    fn for_one(&mut self, machine: &SharedMachine) -> &PreparedMessage {
        if machine.compresses && !self.is_compressed {
            self.message = self.registry.options.compress(self.message.clone());
            self.is_compressed = true;
        }
        &self.message
    }
}

/// Offers a message to each of them but one; returns how many took it.
fn offer_all(
    registry: &Registry,
    machines: Vec<Arc<SharedMachine>>,
    message: PreparedMessage,
    except: Option<ConnectionId>,
) -> usize {
    let policy = registry.options.slow_peer;
    let mut message = ForMany::new(registry, message);
    let meant = machines
        .iter()
        .filter(|machine| Some(machine.facts.id) != except)
        .filter(|machine| {
            let message = message.for_one(machine);
            machine.send_by_policy(message, policy).is_ok()
        });
    meant.count()
}

/// Queues a message for each of them as soon as there is room; returns how many took it.
async fn send_all(
    registry: &Registry,
    machines: Vec<Arc<SharedMachine>>,
    message: PreparedMessage,
) -> usize {
    let mut message = ForMany::new(registry, message);
    let mut slow = Vec::new();
    let mut reached = 0;
    for machine in machines {
        match machine.try_send_prepared(message.for_one(&machine)) {
            Ok(()) => reached += 1,
            Err(SendError::QueueFull { .. } | SendError::MessageOpen) => slow.push(machine),
            Err(_) => {}
        }
    }
    let message = &message.message;
    let waiting = slow.into_iter().map(|machine| async move {
        let sent = machine.send_wait(message, IfOpen::Wait, Then::Write).await;
        sent.is_ok()
    });
    reached + join_all::count_true(waiting).await
}

/// Why a message did not go to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendToError {
    /// There is no open connection with that id.
    NoSuchClient {
        /// The id.
        id: ConnectionId,
    },
    /// There is one, but it did not take the message.
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
    /// Returns what is behind the cause, as the text of the cause is all of this one's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSuchClient { .. } => None,
            Self::Send(error) => error.source(),
        }
    }
}
