//! The server's side of the opening handshake: its answers, its events, and how it ends.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod accept;
mod connection;
#[path = "../handshake_support/mod.rs"]
mod handshake_support;
mod plain_http;
mod ready_made;
mod reject;
mod subprotocols;
mod unfinished;
