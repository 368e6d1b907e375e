//! The WebSocket protocol as a pure state machine: draft-75, draft-76 (= hybi-00) and RFC 6455
//! (versions 13, 8 and 7), as a server and as a client.
//!
//! This crate does no I/O. It has no clock, socket, task, thread, lock or randomness: bytes and
//! the time come in as arguments, events, bytes and deadlines are pulled out, random numbers are
//! injected. That makes it run under any event loop, in a simulator, and in a fuzzer.
//!
//! [`ServerHandshake`] and [`ClientHandshake`] do the opening handshake and become a [`Connection`], which
//! is one type for both roles and all versions. The contract below is the same for all of them.
//!
//! ```
//! use std::time::Instant;
//!
//! use bytes::Buf;
//! use ws_proto::{Connection, ConnectionConfig, Event, Version};
//!
//! // A connection whose opening handshake is done. These bytes would come from a stream.
//! let mut connection =
//!     Connection::server(Version::Draft76, ConnectionConfig::new(), Instant::now());
//! connection.handle_read(Instant::now(), b"\x00hello\xff");
//!
//! // Room first, then the event: a message that is taken while the send queue is full has no place
//! // for its answer. If nothing can be sent any more, no answer needs a place. This is for an echo: if
//! // answers go to other connections, ask those by `check_send`, and not this one.
//! while connection.has_capacity() || !connection.is_writable() {
//!     match connection.poll_event(Instant::now()) {
//!         Some(Event::Message(message)) => drop(connection.send(message)),
//!         Some(_) => {}
//!         None => break,
//!     }
//! }
//!
//! // These would be written to it, and then a timer set.
//! let mut outgoing = connection.outgoing();
//! let len = outgoing.remaining();
//! assert_eq!(outgoing.copy_to_bytes(len), b"\x00hello\xff"[..]);
//! let deadline = connection.poll_timeout();
//! assert_eq!(deadline, None, "draft-76 has no ping, and nobody is closing");
//! ```
//!
//! The module [`embedding`] has two complete servers.
#![doc = include_str!("../docs/embedding.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The `mod.rs` of each folder lists its imports, and `.ci/check-layers` enforces the lists. The layers, from the bottom
// up: `message`, `outgoing`, `frame`, `deflate`, `connection`, `handshake`. The files beside this one hold what several
// folders need, and import no folder: `config` imports `error` and `rate_limit`; `error` imports `close_code`, `redact`, `state` and
// `version`; the others import nothing. `mask` is not in `frame`, because `message` unmasks payloads while it copies
// them.
mod close_code;
mod config;
mod connection;
#[cfg(feature = "deflate")]
mod deflate;
// The stand-in has the same names and does nothing, so the code above it needs no `cfg`.
#[cfg(not(feature = "deflate"))]
#[path = "deflate/off.rs"]
mod deflate;
mod error;
mod frame;
mod handshake;
#[doc(hidden)]
pub mod hooks;
mod mask;
mod message;
mod outgoing;
mod randomness;
mod rate_limit;
mod redact;
mod state;
mod version;

/// Two complete servers that keep the [contract](crate#the-contract-of-an-embedder) of this crate. They are programs
/// of this repository, and its tests run them over real sockets.
///
/// # Blocking streams, a thread for each
///
/// `examples/src/bin/embedded-std.rs`:
// Not compiled here but there, because this crate has neither `clap` nor `mio`.
#[doc = concat!("```rust,ignore\n", include_str!("../docs/embedded-std.rs"), "```\n")]
///
/// # Non-blocking streams, one thread for all
///
/// The loop, `examples/src/bin/embedded-mio/main.rs`:
#[doc = concat!("```rust,ignore\n", include_str!("../docs/embedded-mio/main.rs"), "```\n")]
///
/// A peer, `examples/src/bin/embedded-mio/peer.rs`:
#[doc = concat!("```rust,ignore\n", include_str!("../docs/embedded-mio/peer.rs"), "```\n")]
pub mod embedding {}

/// Compiles the program of README.md with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

pub use self::close_code::{
    CloseCode, CloseReason, InvalidCloseCode, InvalidCloseReason, REASON_LIMIT,
};
pub use self::config::{ConnectionConfig, InvalidText};
pub use self::connection::{
    ABNORMAL, CloseCause, Closed, Connection, Event, EventBatch, Initiator, NO_STATUS,
    PreparedMessage, READ_FRAME_LIMIT, Workspace,
};
#[cfg(feature = "deflate")]
pub use self::deflate::{Deflate, DeflateTerms};
pub use self::error::{ConfigError, ProtocolError, SendError};
pub use self::handshake::{
    Accept, ClientConfig, ClientHandshake, ClientUrl, HandshakeError, HandshakeEvent, Host,
    HostPolicy, Origin, OriginPolicy, OriginRule, PlainBody, PlainRequest, ReasonPhrase, Rejection,
    Request, RequestHead, ResponseHead, ServerConfig, ServerHandshake, Subprotocol,
    UnexpectedResponse, UpgradeRequest, is_upgrade,
};
pub use self::message::{Fragment, Message, Payload, Utf8Bytes};
pub use self::outgoing::{Outgoing, OutgoingMut};
pub use self::randomness::Randomness;
pub use self::rate_limit::{Rate, RateExcess, RateLimit};
pub use self::redact::{Redacted, redact_url};
pub use self::state::{Role, State};
pub use self::version::{Features, ParseVersionError, Version, Versions};
