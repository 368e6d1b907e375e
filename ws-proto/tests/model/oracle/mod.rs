//! A second, slow model of the protocol, and how it is compared with `ws_proto`. Needs nothing but
//! `crate::support`, so that a fuzz target can include it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "each user needs a part of this; clippy spares tests, but not their helpers"
)]

pub mod agreement;
pub mod compressor;
pub mod decision;
pub mod endpoint;
pub mod op;
pub mod peer;
pub mod request;
pub mod script;
pub mod view;

/// Bytes as a failing case shows them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}
