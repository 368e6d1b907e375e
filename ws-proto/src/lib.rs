//! The WebSocket protocol as a pure state machine: draft-75, draft-76 (= hybi-00) and RFC 6455
//! (versions 13, 8 and 7), as a server and as a client.
//!
//! This crate does no I/O. It has no clock, socket, task, thread, lock or randomness: bytes and
//! the time come in as arguments, events, bytes and deadlines are pulled out, random numbers are
//! injected. That makes it run under any event loop, in a simulator, and in a fuzzer.

mod close;
mod close_code;
mod config;
mod connection;
mod error;
mod event;
mod frame;
mod handshake;
mod message;
mod prepared;
mod randomness;
mod state;
mod utf8;
mod version;
mod wire;

pub use self::close::{ABNORMAL, CloseCause, Closed, Initiator, NO_STATUS, REASON_LIMIT};
pub use self::close_code::{CloseCode, InvalidCloseCode};
pub use self::config::{ConnectionConfig, ServerConfig};
pub use self::connection::Connection;
pub use self::error::{ConfigError, ProtocolError, SendError};
pub use self::event::Event;
pub use self::handshake::{
    Accept, ClientConfig, ClientHandshake, ClientUrl, HandshakeError, HandshakeEvent, Origin,
    OriginPolicy, ReasonPhrase, Rejection, Request, RequestHead, ResponseHead, ServerHandshake,
    Subprotocol, UpgradeRequest,
};
pub use self::message::{Fragment, Message, Payload, Utf8Bytes};
pub use self::prepared::PreparedMessage;
pub use self::randomness::Randomness;
pub use self::state::{Role, State};
pub use self::version::{Features, ParseVersionError, Version, Versions};
pub use self::wire::Outgoing;
