//! The handles of users: a connection, a sender to it from elsewhere, and the connections of a server.
//!
//! Imports: `runtime`, `id`, `tls`, `observe`, `driver`, `registry`.

pub(crate) mod clients;
pub(crate) mod connection;
mod join_all;
pub(crate) mod sender;
pub(crate) mod spawn;
