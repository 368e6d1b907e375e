//! What a client demands of an answer, for each version.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod draft75;
mod draft76;
#[path = "../handshake_support/mod.rs"]
mod handshake_support;
mod rfc6455;
mod tolerant;
