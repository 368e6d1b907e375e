//! The events of an opening handshake.

use super::error::HandshakeError;
use super::request::{PackedUpgrade, Request};

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

/// A [`HandshakeEvent`] of a server in which the head of a request is packed.
#[derive(Clone, Debug)]
pub enum PackedEvent {
    /// [`Request::Upgrade`](crate::Request::Upgrade).
    Upgrade(PackedUpgrade),
    /// [`Request::Http`](crate::Request::Http).
    Http,
    /// [`Request::Http2`](crate::Request::Http2).
    Http2,
    /// [`HandshakeEvent::Open`].
    Open,
    /// [`HandshakeEvent::Failed`].
    Failed(HandshakeError),
}

impl From<PackedEvent> for HandshakeEvent {
    fn from(event: PackedEvent) -> Self {
        match event {
            PackedEvent::Upgrade(request) => Self::Request(Request::Upgrade(request.unpack())),
            PackedEvent::Http => Self::Request(Request::Http),
            PackedEvent::Http2 => Self::Request(Request::Http2),
            PackedEvent::Open => Self::Open,
            PackedEvent::Failed(error) => Self::Failed(error),
        }
    }
}
