//! Memory follows the bytes that arrived: what a peer declares, splits or floods costs it as much as
//! it costs us. Each case is described by the cause of a family of advisories, which
//! `tests/advisories` lists one by one; a counting allocator is the judge.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod any_bytes;
mod declared;
mod events;
mod fragments;
mod handshake;
#[path = "../handshake_support/mod.rs"]
mod handshake_support;
#[path = "../meter/mod.rs"]
mod meter;
mod outgoing;
#[path = "../support/mod.rs"]
mod support;

use ws_proto::ConnectionConfig;

/// What one connection may hold beside what it has received.
const LITTLE: usize = 4 << 10;

/// A config with no limit at all.
fn unlimited() -> ConnectionConfig {
    ConnectionConfig::new()
        .message_limit(None)
        .fragment_limit(None)
        .frame_limit(None)
        .send_queue_limit(None)
        .receive_queue_limit(None)
}
