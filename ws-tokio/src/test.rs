//! A test kit on tokio, to test handlers and servers over streams in memory, without a port, and in virtual time.
//!
//! ```
//! use ws_tokio::{Connection, Server, test::Kit};
//!
//! async fn shout(mut connection: Connection) {
//!     while let Some(message) = connection.recv().await {
//!         let text = message.as_text().unwrap_or_default().to_uppercase();
//!         let _ = connection.send(text).await;
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let server = Server::builder().build().unwrap();
//! Kit::serve(&server, shout);
//! let mut client = Kit::connect(&server, "/").await.unwrap();
//! client.send("hello").await.unwrap();
//! assert_eq!(client.recv().await.unwrap().as_text(), Some("HELLO"));
//! assert_eq!(client.close().await.code, 1000);
//! # }
//! ```
//!
//! The page [`test_kit`](crate::test_kit) has more.

use std::future::Future;

pub use ws_driver::test::{PIPE_LEN, Peer, REQUEST_TIMEOUT, RESPONSE_BODY_LIMIT, TIME_LIMIT};

use crate::Tokio;

/// Makes connections over streams in memory. See [`ws_driver::test::Kit`].
pub type Kit = ws_driver::test::Kit<Tokio>;

/// A client in memory of a server. See [`ws_driver::test::KitClient`].
pub type KitClient = ws_driver::test::KitClient<Tokio>;

/// Runs a test in virtual time: on a runtime of one thread whose clock is paused (`start_paused` of tokio), as under
/// `#[tokio::test(start_paused = true)]`.
///
/// Once all tasks wait, the clock moves to the next timer at once, so a test of minutes takes milliseconds. All timers of tokio
/// follow this clock, those of the library included. Sockets and other threads take real time, which the virtual clock does not wait
/// for; it does wait for tasks of `spawn_blocking`.
///
/// # Panics
///
/// Panics if the future is not ready after [`TIME_LIMIT`] of virtual time, which is at once if nothing can go on and no other
/// timer is set, or if it is called inside of a runtime.
pub fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("the system has what a runtime needs");
    let tested = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, test).await });
    let Ok(output) = tested else {
        panic!("the test is not over after {TIME_LIMIT:?} of virtual time");
    };
    output
}
