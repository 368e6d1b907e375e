//! The opening handshakes of draft-75, draft-76 and RFC 6455 (versions 13, 8 and 7), as a server
//! and as a client.
//!
//! The machines take bytes and the time, and give out events, bytes and a deadline. They know no
//! frames: what arrives behind a handshake is kept and moved into the connection.

mod client;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(not(feature = "deflate"))]
#[path = "deflate_off.rs"]
mod deflate;
mod error;
mod head;
mod hixie;
mod http;
mod origin;
mod refusal;
mod rfc6455;
mod server;
mod subprotocol;

pub use self::client::{ClientConfig, ClientHandshake, ClientUrl};
pub use self::error::HandshakeError;
pub use self::head::{RequestHead, ResponseHead};
pub use self::http::{PackedRequest, PackedResponse};
pub use self::origin::Origin;
pub use self::refusal::Refusal;
pub use self::server::{
    Accept, Host, HostPolicy, OriginPolicy, OriginRule, PlainBody, PlainRequest, ReasonPhrase,
    Rejection, ServerConfig, ServerHandshake, UpgradeRequest, is_upgrade,
};
pub use self::subprotocol::Subprotocol;

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

/// What a client asks a server for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Request {
    /// A WebSocket connection. It passed all checks and waits for
    /// [`accept`](ServerHandshake::accept) or [`reject`](ServerHandshake::reject).
    Upgrade(UpgradeRequest),
    /// Anything else: no `Upgrade` header names `websocket`, or it is HTTP/1.0, which has no upgrades.
    /// [`into_received`](ServerHandshake::into_received) gives the bytes to an HTTP server;
    /// [`reject`](ServerHandshake::reject) answers where there is none.
    Http,
}
