//! What a connection tells its owner.

use std::sync::Arc;

use super::closed::Closed;
use crate::message::{Fragment, Message, Payload};

/// Something that happened on an open connection; see
/// [`Connection::poll_event`](crate::Connection::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message arrived.
    Message(Message),
    /// A part of a message arrived that is not whole yet, or its rest. Only with
    /// [`receive_fragments`](crate::ConnectionConfig::receive_fragments); a message that arrives
    /// whole is reported whole all the same.
    Fragment(Fragment),
    /// A ping arrived; its pong has been queued already. Only with
    /// [`control_events`](crate::ConnectionConfig::control_events).
    Ping(Payload),
    /// A pong arrived. Only with [`control_events`](crate::ConnectionConfig::control_events).
    Pong(Payload),
    /// The connection is over for the application: nothing follows this event. Shared, as each of the
    /// many that come before it would be as large otherwise.
    Closed(Arc<Closed>),
}
