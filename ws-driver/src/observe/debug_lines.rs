//! The log lines of the option `debug`.

use std::io;
use std::net::SocketAddr;

use ws_proto::{Closed, Role, State, redact_url};

use crate::observe::connecting::ConnectEvent;
use crate::observe::rejected::Rejected;
use crate::observe::{ConnectionInfo, Observer};

/// The observer that `debug(true)` adds. It logs a readable line for each event, through `tracing` at level `DEBUG`
/// with the target `ws`. It never shows payloads or queries.
#[derive(Debug)]
pub(crate) struct DebugLines;

macro_rules! line {
    // Outside of the connection's span, because each line names its connection by itself.
    ($($arg:tt)+) => { tracing::debug!(target: "ws", parent: None, $($arg)+) };
}

impl Observer for DebugLines {
    fn listening(&self, addr: SocketAddr) {
        line!("listening on {addr}");
    }

    fn connecting(&self, info: &ConnectionInfo, event: &ConnectEvent<'_>) {
        line!("{info}: {event}");
    }

    fn stream(&self, info: &ConnectionInfo) {
        match info.role {
            Role::Server => line!("{info}: a stream arrived"),
            Role::Client => line!("{info}: reached"),
        }
    }

    fn connection(&self, info: &ConnectionInfo) {
        line!("{info}: open");
    }

    fn request(&self, info: &ConnectionInfo, head: &http::request::Parts) {
        // Queries often have tokens in them, and log lines stay in files.
        let uri = redact_url(&head.uri.to_string());
        line!("{info}: request {} {uri}", head.method);
    }

    fn state_change(&self, info: &ConnectionInfo, state: State, previous: State) {
        line!("{info}: {previous} -> {state}");
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        line!("{info}: rejected: {reason}");
    }

    fn panicked(&self, info: &ConnectionInfo) {
        line!("{info}: the handler panicked");
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        line!("{info}: closed: {closed}");
    }

    fn shutdown(&self, error: Option<&io::Error>) {
        match error {
            Some(error) => line!("stopped accepting: {error}"),
            None => line!("stopped accepting"),
        }
    }
}
