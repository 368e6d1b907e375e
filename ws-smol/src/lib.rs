//! WebSockets on smol. One server speaks draft-75, draft-76 and RFC 6455, detected automatically, on one port
//! that also serves plain HTTP.
//!
//! ```no_run
//! use ws_smol::Server;
//!
//! fn main() -> std::io::Result<()> {
//!     smol::block_on(async {
//!         let server = Server::bind("127.0.0.1:9000").await?;
//!         server.serve(|mut connection| async move {
//!             while let Some(message) = connection.recv().await {
//!                 let _ = connection.send(message).await;
//!             }
//!         }).await
//!     })
//! }
//! ```
//!
//! Connections run on smol's global executor. It has as many threads as `SMOL_THREADS` says, by default one.
//!
//! The names are those of `ws-tokio`, and all its pages but those of axum apply here, too. Start at [`ws_driver::Server`] and [`ws_driver::ServerBuilder`] for servers, and at
//! [`connect`] for clients. [`Connection`], [`Sender`] and [`Clients`] are the handles to open connections.
//! `test::Kit`, with the feature `test-kit`, is for tests without a port, and in virtual time. The feature `rustls` adds TLS,
//! `proxy` lets clients connect through a proxy, `idna` lets them connect to hosts whose names are not ASCII, and
//! `deflate` adds compression. `rustls-native-certs` and `rustls-platform-verifier` let clients trust what their machine trusts, `http2`
//! carries WebSockets in HTTP/2, and `redis` connects many servers.
//!
//! [`Server::handle_stream`](ws_driver::Server::handle_stream) and [`connect_over`] take the streams of smol
//! directly. With the feature `upgrade`, `Server::handle_request` takes upgrades from a server on hyper (by
//! smol-hyper).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod runtime;

#[doc(inline)]
pub use ws_driver::exports::*;
#[cfg(feature = "redis")]
pub use ws_redis::{Redis, RedisUrlError};

pub use self::runtime::{Listener, Smol, SmolTimer, Stream};

ws_driver::adapter!(Smol, "smol");

#[doc = include_str!("../docs/blocking.md")]
pub mod blocking {}

/// Compiles the program of README.md with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(feature = "test-kit")]
pub mod test {
    //! A test kit on smol, to test handlers and servers over streams in memory, without a port, and in virtual time.
    //!
    //! ```
    //! use std::time::Duration;
    //!
    //! use ws_smol::test::{Kit, in_virtual_time};
    //! use ws_smol::{CloseCode, Server, sleep};
    //!
    //! in_virtual_time(async {
    //!     let server = Server::builder().build().unwrap();
    //!     Kit::serve(&server, |mut connection| async move {
    //!         connection.send("you have an hour").await.unwrap();
    //!         sleep(Duration::from_secs(60 * 60)).await;
    //!         connection.close_with(CloseCode::POLICY, "time is up").await.unwrap();
    //!     });
    //!     let mut client = Kit::connect(&server, "/").await.unwrap();
    //!     assert_eq!(client.recv().await.unwrap().as_text(), Some("you have an hour"));
    //!     assert!(client.recv().await.is_none());
    //!     assert_eq!(client.closed().unwrap().reason, "time is up");
    //! });
    //! ```
    //!
    //! The page `test_kit` of `ws-tokio` has more; the names are the same.

    pub use ws_driver::test::{
        PIPE_LEN, Peer, REQUEST_TIMEOUT, RESPONSE_BODY_LIMIT, TIME_LIMIT, in_virtual_time,
    };

    /// Makes connections over streams in memory. See [`ws_driver::test::Kit`].
    pub type Kit = ws_driver::test::Kit<super::Smol>;

    /// A client in memory of a server. See [`ws_driver::test::KitClient`].
    pub type KitClient = ws_driver::test::KitClient<super::Smol>;
}
