//! Shortcuts for the driver of this family of crates, where each instruction counts. This module promises nothing, and
//! may change in any release. Other programs use the methods of [`Connection`] and [`EventBatch`], which do the same
//! for a few instructions more.

use std::time::Instant;

use crate::connection::Connection;
use crate::connection::{EventBatch, PreparedMessage, Workspace};
use crate::error::SendError;
use crate::handshake::ServerHandshake;
use crate::message::Message;

pub use crate::connection::{PingId, RoundTrip};
pub use crate::handshake::{
    PackedEvent, PackedRequest, PackedResponse, PackedUpgrade, percent_decoded,
};

/// Queues a copy of a message that is stored inline, if the connection can take it at once; returns its length then. If
/// it cannot, [`Connection::send`] queues the message or returns the error.
#[inline]
pub fn send_short(connection: &mut Connection, message: &Message) -> Option<usize> {
    connection.send_short(message)
}

/// Takes the next event as [`ServerHandshake::poll_event`] does, but makes no map of the headers.
pub fn poll_packed_event(handshake: &mut ServerHandshake) -> Option<PackedEvent> {
    handshake.poll_packed_event()
}

/// Takes the first event if it is a message that is stored inline.
#[inline]
pub fn pop_short(batch: &mut EventBatch) -> Option<Message> {
    batch.pop_short()
}

/// Calls a function with the length of each message in a batch, and with `true`; for each fragment with its length and
/// whether it is the last one of its message. Short messages come first.
pub fn each_payload(batch: &EventBatch, call: impl FnMut(usize, bool)) {
    batch.each_payload(call);
}

/// Queues a message, even if the send queue is at its limit: for a caller that was promised a place in the queue.
///
/// # Errors
///
/// Fails like [`Connection::send_prepared`], but for the limit.
pub fn send_over_limit(
    connection: &mut Connection,
    message: &PreparedMessage,
) -> Result<(), SendError> {
    connection.send_over_limit(message)
}

/// Tells whether [`send_small`] would queue a message.
#[inline]
pub fn takes_small(connection: &Connection, message: &PreparedMessage) -> bool {
    connection.takes_small(message)
}

/// Queues a message for which [`takes_small`] was asked. [`Connection::send_prepared`] queues every other one, or returns
/// the error.
#[inline]
pub fn send_small(connection: &mut Connection, message: &PreparedMessage) {
    connection.send_small(message);
}

/// Tells whether the connection has memory for what is sent, attached or its own.
#[inline]
pub fn has_outgoing_memory(connection: &Connection) -> bool {
    connection.has_outgoing_memory()
}

/// Attaches a small piece of a workspace's memory to a connection that is sent to while the workspace is attached to
/// another one. It is detached like that of [`Connection::attach`].
#[inline]
pub fn attach_spare(connection: &mut Connection, workspace: &mut Workspace) {
    connection.attach_spare(workspace);
}

/// Returns how many bytes of pings and pongs have been queued since the connection opened.
pub fn control_queued(connection: &Connection) -> u64 {
    connection.control_queued()
}

/// Queues a ping whose pong the caller waits for, with a payload that no other ping on its way has.
///
/// # Errors
///
/// Fails like [`Connection::ping`], also once the connection is closing, and if 64 such pings have no pong yet.
pub fn begin_round_trip(connection: &mut Connection, now: Instant) -> Result<PingId, SendError> {
    connection.begin_round_trip(now)
}

/// Returns what is known of a round trip. If that is its end, it is forgotten. The end comes at the latest after the
/// `pong_timeout`.
pub fn take_round_trip(connection: &mut Connection, id: PingId) -> RoundTrip {
    connection.take_round_trip(id)
}

/// Forgets a round trip, because nobody waits for it any more.
pub fn forget_round_trip(connection: &mut Connection, id: PingId) {
    connection.forget_round_trip(id);
}

/// Returns a count that changes when a round trip ends whose result was not taken. It does not change for those that
/// end because the connection is closing: the [state](Connection::state) does.
pub fn round_trips_settled(connection: &Connection) -> u64 {
    connection.round_trips_settled()
}
