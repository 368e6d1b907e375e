//! The registry of a server's open connections: look up, send by id, broadcast.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event as Notice;
use slab::Slab;
use ws_proto::{CloseCode, Message, PreparedMessage, SendError};

use crate::id::ConnectionId;
use crate::sender::Sender;

/// The open connections of a server. Cheap to clone; looking up and sending by id take the same time
/// however many there are.
///
/// A send through this never waits. If the send queue of a peer is at its limit, the peer reads too
/// slowly to keep up: its connection is closed with 1013, so that no gap in what it receives passes
/// silently.
#[derive(Clone, Default)]
pub struct Clients {
    registry: Arc<Registry>,
}

#[derive(Default)]
struct Registry {
    slots: Mutex<Slots>,
    /// Tells that a connection has gone.
    left: Notice,
}

#[derive(Default)]
struct Slots {
    slab: Slab<Slot>,
    /// Counts all connections that there ever were, so that no id is used again.
    generation: u64,
    open: usize,
}

struct Slot {
    generation: u64,
    /// `None` during the opening handshake.
    sender: Option<Sender>,
}

impl Clients {
    /// Returns how many connections are open.
    pub fn len(&self) -> usize {
        self.slots().open
    }

    /// Tells whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the open connection with an id.
    pub fn get(&self, id: ConnectionId) -> Option<Sender> {
        let slots = self.slots();
        let slot = slots
            .slab
            .get(id.slot)
            .filter(|slot| slot.generation == id.generation)?;
        slot.sender.clone()
    }

    /// Iterates over the connections that are open now.
    pub fn iter(&self) -> impl Iterator<Item = Sender> + use<> {
        let slots = self.slots();
        let open: Vec<_> = slots
            .slab
            .iter()
            .filter_map(|(_, slot)| slot.sender.clone())
            .collect();
        open.into_iter()
    }

    /// Sends a message to one connection.
    ///
    /// # Errors
    ///
    /// Fails if there is no open connection with that id, it is closing, its version cannot carry
    /// the message, or it is too slow; then it is closed with 1013.
    pub fn send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), ClientError> {
        let sender = self.get(id).ok_or(ClientError::NoSuchClient { id })?;
        close_if_slow(&sender, sender.try_send(message)).map_err(ClientError::Send)
    }

    /// Sends a message to every open connection and returns how many took it. It is encoded once,
    /// whatever the versions.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        self.broadcast_where(message.into(), |_| true)
    }

    /// As [`broadcast`](Self::broadcast), to all but one.
    pub fn broadcast_except(
        &self,
        except: ConnectionId,
        message: impl Into<PreparedMessage>,
    ) -> usize {
        self.broadcast_where(message.into(), |id| id != except)
    }

    fn broadcast_where(
        &self,
        message: PreparedMessage,
        is_meant: impl Fn(ConnectionId) -> bool,
    ) -> usize {
        self.iter()
            .filter(|sender| is_meant(sender.id()))
            .filter(|sender| close_if_slow(sender, sender.try_send_prepared(&message)).is_ok())
            .count()
    }

    /// Gives an id to a connection that is being opened.
    pub(crate) fn enter(&self) -> Entry {
        let mut slots = self.slots();
        slots.generation += 1;
        let generation = slots.generation;
        let slot = slots.slab.insert(Slot {
            generation,
            sender: None,
        });
        Entry {
            clients: self.clone(),
            id: ConnectionId { slot, generation },
        }
    }

    /// Waits until there are fewer streams than `limit`, open or being opened.
    pub(crate) async fn wait_below(&self, limit: usize) {
        while self.slots().slab.len() >= limit {
            let left = self.registry.left.listen();
            if self.slots().slab.len() >= limit {
                left.await;
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.registry
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The place of one connection in the registry; it is given back when this is dropped.
pub(crate) struct Entry {
    clients: Clients,
    pub(crate) id: ConnectionId,
}

impl Entry {
    /// Makes the connection known.
    pub(crate) fn open(&self, sender: Sender) {
        let mut slots = self.clients.slots();
        slots.slab[self.id.slot].sender = Some(sender);
        slots.open += 1;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut slots = self.clients.slots();
        let slot = slots.slab.remove(self.id.slot);
        slots.open -= usize::from(slot.sender.is_some());
        drop(slots);
        self.clients.registry.left.notify(usize::MAX);
    }
}

fn close_if_slow(sender: &Sender, sent: Result<(), SendError>) -> Result<(), SendError> {
    if let Err(SendError::QueueFull { .. }) = sent {
        sender.close(CloseCode::TRY_AGAIN, "too slow")?;
    }
    sent
}

/// Why a message did not go to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no open connection with that id.
    NoSuchClient {
        /// The id.
        id: ConnectionId,
    },
    /// There is one, but it did not take the message.
    Send(SendError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchClient { id } => write!(f, "no open connection has the id {id}"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSuchClient { .. } => None,
            Self::Send(error) => Some(error),
        }
    }
}
