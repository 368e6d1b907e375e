//! Drives [`ws_proto`] over the sockets of any async runtime: a server with a registry of its
//! connections, a client, and the connection that both give to their users.
//!
//! It is generic over one small trait, [`Runtime`]. Users take an adapter instead, such as
//! `ws-tokio`, which has an implementation of it and the same names without the type parameter.
//!
//! What is protocol is in `ws-proto`; what is concurrency is here.

mod client;
mod clients;
mod connection;
mod driver;
mod exchange;
mod http;
mod id;
mod mailbox;
mod observer;
mod panics;
mod random;
mod runtime;
mod scratch;
mod sender;
mod server;

pub use self::client::{ConnectError, connect, connect_with};
pub use self::clients::{ClientError, Clients};
pub use self::connection::Connection;
pub use self::http::service::{Closure, HttpService, RequestBody, Tower};
pub use self::id::{ConnectionId, ParseConnectionIdError};
pub use self::observer::{ConnectionInfo, Observer, Rejected};
pub use self::runtime::{Runtime, Timer};
pub use self::sender::Sender;
pub use self::server::options::ServerBuilder;
pub use self::server::upgrade::{Answer, Upgrade};
pub use self::server::{Server, ShutdownReport};
pub use ws_proto;
