//! The events of a connection.

use std::sync::Arc;

use super::closed::Closed;
use crate::message::{Fragment, Message, Payload};

/// An event on an open connection; see [`Connection::poll_event`](crate::Connection::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message arrived.
    Message(Message),
    /// A part of a message arrived before the message was whole, or the rest of such a message. Only with
    /// [`receive_fragments`](crate::ConnectionConfig::receive_fragments). A message that arrives whole is a
    /// [`Message`](Self::Message) all the same.
    Fragment(Fragment),
    /// A ping arrived, and its pong was queued already. Only with
    /// [`control_events`](crate::ConnectionConfig::control_events).
    Ping(Payload),
    /// A pong arrived. Only with [`control_events`](crate::ConnectionConfig::control_events).
    Pong(Payload),
    /// The connection is over for the application: nothing follows this event.
    // Shared, because every event would be as large as the account otherwise.
    Closed(Arc<Closed>),
}
