//! WebSockets on smol: one server for draft-75, draft-76 and RFC 6455, told apart by themselves on
//! one port that also serves plain HTTP.
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
//! Connections run on smol's global executor, so with `SMOL_THREADS` threads: one unless it is set.
//!
//! The names are those of `ws-tokio`, whose pages on backpressure and on coming from
//! node-websocket-server hold here, too. Start at [`ws_driver::Server`] and [`ws_driver::ServerBuilder`]
//! for servers, [`connect`] for clients, [`Connection`], [`Sender`] and [`Clients`] for what is open, and
//! `test::Kit`, with the feature `test-kit`, for tests without a port. The feature `rustls` is for TLS, `proxy` for
//! clients behind one, `deflate` for compression.
//!
//! Streams of smol go into [`Server::handle_stream`](ws_driver::Server::handle_stream) and
//! [`connect_over`] as they are. With the feature `upgrade` a server that is built on hyper, by smol-hyper, hands
//! its upgrades over: `Server::handle_request`.

mod runtime;

#[doc(inline)]
pub use ws_driver::exports::*;

pub use self::runtime::{Smol, SmolTimer, Stream};

ws_driver::adapter!(Smol, "smol");

#[cfg(feature = "test-kit")]
pub mod test {
    //! A test kit on smol: handlers are tested without a port, over streams in memory.
    //!
    //! See the test kit of `ws-tokio` for an example; the names are the same.

    pub use ws_driver::test::{PIPE_LEN, Peer};

    /// Makes connections over streams in memory. See [`ws_driver::test::Kit`].
    pub type Kit = ws_driver::test::Kit<super::Smol>;
}
