//! All tests of the core that need its public items only, in one program: each module is a part of what it promises.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod advisories;
mod any_calls;
mod chopping;
mod closing;
#[cfg(feature = "deflate")]
mod cost;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "deflate")]
mod deflate_negotiation;
mod exhaustive;
mod fragments;
mod frames_drafts;
mod frames_rfc6455;
mod handshake_answer;
mod handshake_chopping;
mod handshake_client;
mod handshake_draft76;
mod handshake_packed;
mod handshake_refusal;
mod handshake_request;
mod handshake_server;
mod keepalive;
mod latency;
mod memory;
mod meter;
mod model;
mod prepared;
mod rate_limit;
mod round_trip;
mod secrets;
mod stall;
mod tolerance;
mod unfinished;
