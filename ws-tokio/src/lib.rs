//! WebSockets on tokio. One server speaks draft-75, draft-76 and RFC 6455, detected automatically, on one port
//! that also serves plain HTTP.
//!
//! ```no_run
//! use ws_tokio::Server;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let server = Server::bind("127.0.0.1:9000").await?;
//!     server.serve(|mut connection| async move {
//!         while let Some(message) = connection.recv().await {
//!             let _ = connection.send(message).await;
//!         }
//!     }).await
//! }
//! ```
//!
//! The program also needs a dependency on tokio, with the features `macros` and `rt-multi-thread`. This crate
//! works on a current-thread runtime, too.
//!
//! # Where to go from here
//!
//! [A tour by examples](tour) has a short program for each thing that people ask for.
//!
//! | To | look at |
//! |---|---|
//! | know the limits and timeouts | [`options`] |
//! | set limits, origins, subprotocols, timeouts | [`Server::builder`](ws_driver::Server::builder), [`ServerBuilder`](ws_driver::ServerBuilder) |
//! | accept or reject each upgrade, with a status, headers and a body | [`on_upgrade`](ws_driver::ServerBuilder::on_upgrade), [`Upgrade`] |
//! | answer plain HTTP on the same port | [`on_request`](ws_driver::ServerBuilder::on_request) |
//! | take connections one by one, without a handler | [`accept`](ws_driver::Server::accept) |
//! | serve streams of your own, such as Unix sockets | [`integrations`], [`handle_stream`](ws_driver::Server::handle_stream), [`build`](ws_driver::ServerBuilder::build), [`Stream`], [`connect_over`] |
//! | integrate with a server on hyper or axum | [`integrations`], with the features `upgrade` and `axum` |
//! | receive, send, close | [`Connection`]; [`Sender`] from other tasks |
//! | send to one connection, to all, or to the members of a topic | [`Clients`], [`Topic`] |
//! | decide what happens if a peer reads too slowly | [`backpressure`], [`SlowPeer`] |
//! | receive and send a message in parts | [`Connection::recv_fragment`], [`Connection::send_fragment`] |
//! | receive pings and pongs | [`ServerBuilder::control_events`], [`Connection::recv_event`] |
//! | observe and count what happens | [`Observer`], [`debug`](ws_driver::ServerBuilder::debug), [`ServerCounters`]; [`observability`] |
//! | learn how a connection ended | [`Connection::closed`], [`Closed`] |
//! | reach the connections of many servers | [`many_machines`], [`Cluster`], with the feature `redis` |
//! | stand behind a proxy, limit what one address takes, listen on sockets that exist | [`behind_a_proxy`], [`AddressLimits`] |
//! | connect again when a connection ends | [`Reconnector`] |
//! | use a stream that was upgraded elsewhere | [`from_upgraded`] |
//! | measure how far away a peer is | [`Connection::round_trip`], [`Connection::latency`] |
//! | speak TLS | [`tls`] |
//! | compress messages | [`compression`], with the feature `deflate` |
//! | use several cores | [`several_cores`], [`reuse_port`](ws_driver::ServerBuilder::reuse_port) |
//! | stop the server | [`close`](ws_driver::Server::close), [`shutdown`](ws_driver::Server::shutdown) |
//! | open a connection as a client | [`connect`], [`connect_with`], [`ClientConfig`] |
//! | test a handler or a server without a port, and in virtual time | [`test_kit`], with the feature `test-kit` |
//!
//! [`Server`] and [`ServerBuilder`] are aliases of generic types. Their methods are on the pages of
//! [`ws_driver::Server`] and [`ws_driver::ServerBuilder`].
//!
//! # Features
//!
//! All features are off by default:
//!
//! - `rustls` adds TLS; see [`tls`].
//! - `proxy` lets clients connect through a proxy.
//! - `idna` lets clients connect to hosts whose names are not ASCII.
//! - `deflate` adds compression; see [`compression`].
//! - `rustls-native-certs` and `rustls-platform-verifier` let clients trust what their machine trusts; see [`tls`].
//! - `upgrade` and `axum` integrate with other HTTP servers, `http2` carries WebSockets in HTTP/2; see [`integrations`].
//! - `redis` connects many servers; see [`many_machines`]. It asks for Rust 1.88.
//! - `test-kit` adds the module `test`, for tests of handlers and servers; see [`test_kit`]. It belongs in
//!   `[dev-dependencies]`, because it adds tokio's `test-util`.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
pub mod axum;
mod runtime;

#[doc(inline)]
pub use ws_driver::exports::*;
#[cfg(feature = "redis")]
pub use ws_redis::{Redis, RedisUrlError};

pub use self::runtime::{Listener, Stream, Tokio, TokioTimer};

ws_driver::adapter!(Tokio, "tokio");

#[doc = include_str!("../docs/tour.md")]
pub mod tour {}

#[doc = include_str!("../docs/options.md")]
pub mod options {}

#[doc = include_str!("../docs/coming-from-node-websocket-server.md")]
pub mod coming_from_node_websocket_server {}

#[doc = include_str!("../docs/backpressure.md")]
pub mod backpressure {}

#[doc = include_str!("../docs/observability.md")]
pub mod observability {}

#[doc = include_str!("../docs/integrations.md")]
pub mod integrations {}

#[doc = include_str!("../docs/several-cores.md")]
pub mod several_cores {}

#[doc = include_str!("../docs/behind-a-proxy.md")]
pub mod behind_a_proxy {}

#[doc = include_str!("../docs/many-machines.md")]
pub mod many_machines {}

#[doc = include_str!("../docs/tls.md")]
pub mod tls {}

#[doc = include_str!("../docs/compression.md")]
pub mod compression {}

#[doc = include_str!("../docs/test-kit.md")]
pub mod test_kit {}

/// Compiles the programs of the README of the repository with the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/README.md")]
pub struct RepositoryReadme;

/// Compiles the program of README.md with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(feature = "test-kit")]
pub mod test;
