//! What users hold: a connection, what sends to it from elsewhere, and the connections of a server.

pub(crate) mod clients;
pub(crate) mod connection;
mod join_all;
pub(crate) mod sender;
pub(crate) mod spawn;
