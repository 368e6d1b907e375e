//! The opening handshakes of draft-75, draft-76 and RFC 6455 (versions 13, 8 and 7), as a server
//! and as a client.
//!
//! Imports: `config`, `connection`, `deflate`, `error`, `outgoing`, `randomness`, `redact`, `state`, `version`.
//!
//! The machines take bytes and the time. They return events, bytes and a deadline. They know no
//! frames: bytes that arrive behind a handshake are kept and moved into the connection.

// The files beside this one hold what the client and the server share, so they import neither `client` nor `server`.
// `error`, `head`, `hixie` and `unexpected_response` are below `http`; the others are above it.
mod client;
#[cfg(feature = "deflate")]
mod deflate;
// Without the feature the same names exist and do nothing, so the handshakes need no `cfg` of their own.
#[cfg(not(feature = "deflate"))]
#[path = "deflate_off.rs"]
mod deflate;
mod error;
mod event;
mod head;
mod hixie;
mod host;
mod http;
mod origin;
mod request;
mod rfc6455;
mod server;
mod subprotocol;
mod unexpected_response;

pub use self::client::{ClientConfig, ClientHandshake, ClientUrl};
pub use self::error::HandshakeError;
pub use self::event::{HandshakeEvent, PackedEvent};
pub use self::head::{RequestHead, ResponseHead};
pub use self::host::Host;
pub use self::http::{PackedRequest, PackedResponse, percent_decoded};
pub use self::origin::Origin;
pub use self::request::{PackedUpgrade, Request, UpgradeRequest};
pub use self::server::{
    Accept, HostPolicy, OriginPolicy, OriginRule, PlainBody, PlainRequest, ReasonPhrase, Rejection,
    ServerConfig, ServerHandshake, is_upgrade,
};
pub use self::subprotocol::Subprotocol;
pub use self::unexpected_response::UnexpectedResponse;
