//! The events of an opening handshake.

use super::error::HandshakeError;
use super::request::Request;

/// Something that happened in an opening handshake.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandshakeEvent {
    /// The request head is complete. Only a server reports it.
    Request(Request),
    /// The handshake is done. Call `into_connection` next.
    Open,
    /// The handshake failed. This is the last event. Write the outgoing bytes, then close the stream.
    Failed(HandshakeError),
}
