//! The handles that applications hold: a connection, a sender for other tasks, and all connections of a server.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `observe`, `driver`, `registry`, `cluster`.

pub(crate) mod clients;
pub(crate) mod cluster;
pub(crate) mod connection;
mod join_all;
pub(crate) mod once;
pub(crate) mod sender;
mod sink;
pub(crate) mod spawn;
pub(crate) mod upgraded;
