//! The opening handshakes of draft-75, draft-76 and RFC 6455 (versions 13, 8 and 7), as a server
//! and as a client.
//!
//! The machines take bytes and the time, and give out events, bytes and a deadline. They know no
//! frames: what arrives behind a handshake is kept and moved into the connection.

mod answer;
mod authority;
mod client;
mod client_config;
mod error;
mod expectation;
pub(crate) mod extensions;
pub(crate) mod fields;
mod head;
mod head_parser;
mod head_reader;
mod hixie;
mod hosts;
mod packed;
mod plain;
mod policy;
mod refusal;
mod refusal_reader;
mod rfc6455;
mod server;
mod server_config;
mod upgrade;
mod url;

pub use self::answer::{Accept, ReasonPhrase, Rejection};
pub use self::client::ClientHandshake;
pub use self::client_config::ClientConfig;
pub use self::error::HandshakeError;
pub use self::head::{RequestHead, ResponseHead};
pub use self::hosts::{Host, HostPolicy};
pub use self::packed::{PackedRequest, PackedResponse};
pub use self::plain::{PlainBody, PlainRequest};
pub use self::policy::{Origin, OriginPolicy, OriginRule, Subprotocol};
pub use self::refusal::Refusal;
pub use self::server::ServerHandshake;
pub use self::server_config::ServerConfig;
pub use self::upgrade::{UpgradeRequest, is_upgrade};
pub use self::url::ClientUrl;

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
