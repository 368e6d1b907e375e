//! Drives [`ws_proto`] over the sockets of any async runtime: a server with a registry of its
//! connections, a client, and the connection that both give to their users.
//!
//! It is generic over one small trait, [`Runtime`]. Users take an adapter instead, such as
//! `ws-tokio`, which has an implementation of it and the same names without the type parameter.
//!
//! | To | look at |
//! |---|---|
//! | serve | [`Server`], its options in [`ServerBuilder`] |
//! | serve streams of your own | [`Server::handle_stream`], [`ServerBuilder::build`] |
//! | open a connection | [`connect`], [`connect_with`], [`connect_over`] |
//! | use one | [`Connection`], [`Sender`] |
//! | reach many | [`Clients`], [`Topic`], [`SlowPeer`] |
//! | write an adapter | [`Runtime`], [`Timer`]; the adapters that exist are 200 lines each |
//! | test a handler | [`test::Kit`] |
//!
//! What is protocol is in `ws-proto`; what is concurrency is here.

mod adapter;
mod backlog;
mod client;
mod clients;
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod conformance;
mod connect_options;
mod connection;
mod counters;
mod deadline;
mod debug_lines;
mod detached;
mod driver;
mod exchange;
#[doc(hidden)]
pub mod exports;
mod fairness;
mod gather;
mod head;
mod http;
mod id;
mod mailbox;
mod membership;
mod observer;
mod panics;
#[cfg(feature = "proxy")]
mod proxy;
mod random;
mod reach;
mod registry;
mod rejected;
mod runtime;
mod scratch;
mod sender;
mod server;
mod shared_driver;
mod slow_peer;
mod span;
mod sync;
pub mod test;
mod tls;
mod topics;
mod try_send;
mod witness;

pub use self::client::{connect, connect_over, connect_with};
#[doc(inline)]
pub use self::exports::*;
pub use self::http::service::{Closure, Tower};
pub use self::runtime::{BindOptions, Runtime, Timer, bind_tcp, probe_tcp};
pub use self::server::Server;
pub use self::server::builder::ServerBuilder;
#[cfg(feature = "hyper")]
pub use self::server::door::PendingUpgrade;
pub use socket2::SockRef;
