//! Drives [`ws_proto`] over the sockets of any async runtime: a server with a registry of its
//! connections, a client, and the connection that both give to their users.
//!
//! It is generic over one small trait, [`Runtime`]. Users take an adapter instead, such as
//! `ws-tokio`, which has an implementation of it and the same names without the type parameter.
//!
//! What is protocol is in `ws-proto`; what is concurrency is here.

mod backlog;
mod client;
mod clients;
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod conformance;
mod connection;
mod counters;
mod detached;
mod driver;
mod exchange;
mod gather;
mod http;
mod id;
mod mailbox;
mod observer;
mod panics;
mod random;
mod registry;
mod runtime;
mod scratch;
mod sender;
mod server;
mod slow_peer;
pub mod test;
mod topics;

pub use self::client::{ConnectError, connect, connect_with};
pub use self::clients::{ClientError, Clients, Topic};
pub use self::connection::Connection;
pub use self::counters::{CloseCounts, ConnectionCounters, ServerCounters, VersionCounts};
pub use self::http::service::{Closure, HttpService, RequestBody, Tower};
pub use self::id::{ConnectionId, ParseConnectionIdError};
pub use self::observer::{ConnectionInfo, Observer, Rejected};
pub use self::runtime::{Runtime, Timer};
pub use self::sender::Sender;
pub use self::server::options::ServerBuilder;
pub use self::server::upgrade::{Answer, Upgrade};
pub use self::server::{Server, ShutdownReport};
pub use self::slow_peer::SlowPeer;
pub use self::topics::{TOPIC_NAME_LIMIT, TopicError};
pub use ws_proto;
