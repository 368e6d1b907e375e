//! The examples as processes, and clients of theirs.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod autobahn_client;
mod bridges;
mod chat;
mod chat_cluster;
mod client;
mod cluster;
mod common;
mod dashboard;
mod echo;
mod embedded;
mod integrations;
mod metrics;
mod relay;
mod scripted_client;
#[cfg(unix)]
mod stopped;
mod tls;
#[cfg(unix)]
mod tutorial;
