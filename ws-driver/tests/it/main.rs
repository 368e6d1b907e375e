//! The driver on the simulated runtime: one binary, which is linked once. What stands beside this folder needs a process,
//! or a compiler's flag, of its own, and says why.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod advisories;
mod cancel;
mod cluster;
mod error_chain;
mod handles;
mod promises;
mod receive_queue;
mod registry;
mod secrets;
mod server;
mod simulation;
mod spans;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(feature = "rustls")]
mod tls_files;
#[cfg(all(
    unix,
    feature = "rustls-native-certs",
    feature = "rustls-platform-verifier"
))]
mod tls_system;
#[cfg(all(feature = "proxy", feature = "rustls"))]
mod waits;
