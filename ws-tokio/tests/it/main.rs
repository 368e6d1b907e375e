//! What runs on real sockets of this host, by tokio.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod axum;
mod conformance;
mod ending;
mod features;
mod kit;
mod tokio;
#[cfg(unix)]
mod unix;
