//! For the driver of this family of crates, which is measured by the instruction. Nothing in here is promised: other
//! programs get the same from the methods of [`Connection`] and [`EventBatch`], a few instructions later.

use crate::connection::Connection;
use crate::connection::EventBatch;
use crate::message::Message;

pub use crate::handshake::{PackedRequest, PackedResponse};

/// Queues a copy of a message of a few dozen bytes if nothing is against it; tells whether it did. Where it did not,
/// [`Connection::send`] says why, or does it.
#[inline]
pub fn send_short(connection: &mut Connection, message: &Message) -> bool {
    connection.send_short(message)
}

/// Takes the first event if that is a message of a few dozen bytes.
#[inline]
pub fn pop_short(batch: &mut EventBatch) -> Option<Message> {
    batch.pop_short()
}
