//! What ws-proto costs by itself: `cargo bench -p core-benches`, in the folder `bench`.
//!
//! Bytes per second are those of payloads. `memory` is the measure: the same payloads copied, or looked
//! through for a terminator of the drafts, in the same run. What masking costs is the difference between
//! the roles: a client's frames are masked, a server's and those of the drafts are not. What UTF-8
//! costs is the difference to `binary`, and in `utf8` alone.

mod broadcast;
mod decode;
mod deflate;
mod encode;
mod handshake;
mod memory;
mod utf8;

use criterion::{criterion_group, criterion_main};

criterion_group! {
    name = core;
    config = core_benches::criterion();
    targets = memory::bench, utf8::bench, decode::bench, encode::bench, broadcast::bench, handshake::bench, deflate::bench
}
criterion_main!(core);
