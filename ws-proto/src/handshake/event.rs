//! What an opening handshake tells its owner.

use super::error::HandshakeError;
use super::request::Request;

/// Something that happened in an opening handshake.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandshakeEvent {
    /// The request head is complete. Only a server reports it.
    Request(Request),
    /// The handshake is done: what remains is to make the connection of it.
    Open,
    /// The handshake failed; it is the last event. What is outgoing is still to be written, then
    /// the stream is to be closed.
    Failed(HandshakeError),
}
