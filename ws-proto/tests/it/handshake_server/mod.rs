//! The server's side of the opening handshake: its answers, its events, and how it ends.

mod accept;
mod connect;
mod connection;
mod plain_http;
mod ready_made;
mod reject;
mod subprotocols;
mod unfinished;
