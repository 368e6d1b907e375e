//! Every wait on a stream has a deadline with a name: a test for each row of the table in
//! ARCHITECTURE.md, over TCP and over TLS, in virtual time.
#![cfg(all(feature = "proxy", feature = "rustls"))]
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod caller;
mod client;
mod http;
mod opening;
mod serving;
mod stopped;
