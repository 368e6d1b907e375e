//! WebSockets on async-std: one server for draft-75, draft-76 and RFC 6455, told apart by themselves
//! on one port that also serves plain HTTP.
//!
//! **async-std is discontinued** (RUSTSEC-2025-0052), and its authors recommend smol: `ws-smol` has
//! the same names. This adapter works all the same; `cargo deny` and `cargo audit` will name
//! async-std, not this crate.
//!
//! ```no_run
//! use ws_async_std::Server;
//!
//! #[async_std::main]
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
//! `#[async_std::main]` needs async-std's feature `attributes`. The names are those of `ws-tokio`, whose
//! pages on backpressure and on coming from node-websocket-server hold here, too. Start at
//! [`ws_driver::Server`] and [`ws_driver::ServerBuilder`] for servers, [`connect`] for clients,
//! [`Connection`], [`Sender`] and [`Clients`] for what is open, and `test::Kit`, with the feature `test-kit`, for
//! tests without a port.
//! The feature `rustls` is for TLS, `proxy` for clients behind one, `deflate` for compression.
//!
//! Streams of async-std go into [`Server::handle_stream`](ws_driver::Server::handle_stream) and
//! [`connect_over`] as a [`Stream`]. With the feature `upgrade` a server that is built on hyper, by smol-hyper,
//! hands its upgrades over: `Server::handle_request`.

mod runtime;

#[doc(inline)]
pub use ws_driver::exports::*;

pub use self::runtime::{AsyncStd, AsyncStdTimer, Stream};

ws_driver::adapter!(AsyncStd, "async-std");

#[cfg(feature = "test-kit")]
pub mod test {
    //! A test kit on async-std: handlers are tested without a port, over streams in memory.
    //!
    //! See the test kit of `ws-tokio` for an example; the names are the same.

    pub use ws_driver::test::{PIPE_LEN, Peer};

    /// Makes connections over streams in memory. See [`ws_driver::test::Kit`].
    pub type Kit = ws_driver::test::Kit<super::AsyncStd>;
}
