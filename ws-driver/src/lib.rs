//! Runs [`ws_proto`] over the sockets of any async runtime: a server with a registry of its connections, a client,
//! and the connection that both give to their users.
//!
//! The crate is generic over one small trait, [`Runtime`]. Applications use an adapter instead, such as `ws-tokio`. An
//! adapter implements the trait and has the same names without the type parameter.
//!
//! | To | see |
//! |---|---|
//! | serve | [`Server`], its options in [`ServerBuilder`] |
//! | serve streams that you accept | [`Server::handle_stream`], [`ServerBuilder::build`] |
//! | open a connection | [`connect`], [`connect_with`], [`connect_over`] |
//! | use one | [`Connection`], [`Sender`] |
//! | send to many | [`Clients`], [`Topic`], [`SlowPeer`] |
//! | write an adapter | [`Runtime`], [`Timer`], [`SocketReads`]; the existing adapters have about 200 lines each |
//! | test a handler or a server | `test::Kit`, with the feature `test-kit` |
//!
//! `ws-proto` has the protocol; this crate has the concurrency.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapter;
mod client;
mod cluster;
mod driver;
mod front;
mod handle;
mod id;
#[cfg(feature = "test-kit")]
#[doc(hidden)]
pub mod internals;
mod observe;
mod registry;
mod runtime;
mod server;
#[cfg(feature = "test-kit")]
pub mod test;
mod tls;
mod util;

/// Compiles the program of README.md with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[doc(hidden)]
pub use self::adapter::exports;
#[doc(inline)]
pub use self::adapter::exports::*;
pub use self::adapter::socket_reads::SocketReads;
pub use self::client::reconnect::Reconnector;
pub use self::client::{connect, connect_over, connect_stream, connect_with};
pub use self::handle::upgraded::from_upgraded;
#[cfg(unix)]
pub use self::runtime::tcp_of_unix;
pub use self::runtime::{BindConfig, Runtime, Timer, bind_tcp, probe_tcp, sleep};
pub use self::server::Server;
pub use self::server::builder::ServerBuilder;
pub use self::server::http::service::{Closure, Tower};
#[cfg(feature = "upgrade")]
pub use self::server::upgrade::foreign::PendingUpgrade;
pub use socket2::SockRef;
