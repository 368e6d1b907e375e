//! What went wrong in other WebSocket libraries, one test for each cause: of a family of advisories it
//! is named after the first. A test holds the invariant, not the one exploit. `table.rs` has all
//! causes: those that this crate answers for, those that ws-driver does, and those that cannot be
//! here yet.

mod allocation;
mod defaults;
mod extensions;
mod frames;
mod handshake;
mod limits;
mod noise;
mod sending;
mod table;
