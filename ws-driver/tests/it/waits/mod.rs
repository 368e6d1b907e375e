//! Every wait on a stream has a deadline with a name: a test for each row of the table in
//! ARCHITECTURE.md, over TCP and over TLS, in virtual time.

mod caller;
mod client;
mod http;
#[cfg(feature = "http2")]
mod http2;
mod kit;
mod opening;
mod serving;
mod stopped;
