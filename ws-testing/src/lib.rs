//! Code that the tests of several crates share. It is not published, and other crates depend on it for their tests only.
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests fail as a test does, and are read where they are used; clippy spares tests, but not them"
)]

/// Certificates that are made while a test runs.
#[cfg(feature = "certificates")]
pub mod certificates;
/// The list of tests that every adapter runs.
#[cfg(feature = "conformance")]
pub mod conformance;
/// Open connections: making them, feeding them, reading what they say.
pub mod connections;
/// Opening handshakes: requests, and ways to run one.
pub mod handshake;
/// A client of HTTP/2.
#[cfg(feature = "http2")]
pub mod http2;
/// A client of a log that notices what is missing.
#[cfg(feature = "driver")]
pub mod log_reader;
/// A second, slow model of the protocol, and how it is compared with `ws_proto`.
#[cfg(feature = "model")]
pub mod model;
/// The wire formats a second time, slow and plain.
pub mod plain;
/// An inflater that knows how far back anything may refer.
pub mod puff;
#[cfg(feature = "driver")]
pub mod sim;
#[cfg(feature = "driver")]
pub mod subscriber;
#[cfg(feature = "driver")]
pub mod tunnel;
/// A peer that compresses as zlib's users do.
pub mod zlib;
