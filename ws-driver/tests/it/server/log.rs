//! An observer that takes notes.

use std::io;
use std::sync::{Arc, Mutex};

use ws_driver::ws_proto::{Closed, State, Version};
use ws_driver::{ConnectionInfo, Observer, Rejected};

/// Writes down what it is told.
#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) fn version(info: &ConnectionInfo) -> &'static str {
    info.version.map_or("?", Version::as_str)
}

impl Observer for Log {
    fn listening(&self, addr: std::net::SocketAddr) {
        self.add(format!("listening {}", addr.ip()));
    }

    fn stream(&self, info: &ConnectionInfo) {
        assert!(info.peer_addr.is_some());
        self.add(format!("stream {}", version(info)));
    }

    fn connection(&self, info: &ConnectionInfo) {
        self.add(format!("connection {}", version(info)));
    }

    fn request(&self, _: &ConnectionInfo, head: &http::request::Parts) {
        self.add(format!("request {} {}", head.method, head.uri));
    }

    fn state_change(&self, _: &ConnectionInfo, state: State, previous: State) {
        self.add(format!("{previous} -> {state}"));
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        self.add(format!("rejected {}: {reason}", version(info)));
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        self.add(format!("close {}: {closed}", version(info)));
    }

    fn shutdown(&self, error: Option<&io::Error>) {
        self.add(format!("shutdown {error:?}"));
    }
}
