//! Memory follows the bytes that arrived: what a peer declares, splits or floods costs it as much as
//! it costs us. Each case is described by the cause of a family of advisories, which
//! `tests/it/advisories` lists one by one; a counting allocator is the judge.

mod any_bytes;
mod declared;
mod events;
mod fragments;
mod handshake;
mod outgoing;

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
