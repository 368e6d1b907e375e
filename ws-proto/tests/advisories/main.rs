//! What went wrong in other WebSocket libraries, one test for each cause: of a family of advisories it
//! is named after the first. A test holds the invariant, not the one exploit. `table.rs` has all
//! causes: those that this crate answers for, those that ws-driver does, and those that cannot be
//! here yet.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod allocation;
mod defaults;
mod extensions;
mod frames;
mod handshake;
#[path = "../handshake_support/mod.rs"]
mod handshake_support;
mod limits;
#[path = "../meter/mod.rs"]
mod meter;
mod noise;
mod sending;
#[path = "../support/mod.rs"]
mod support;
mod table;
