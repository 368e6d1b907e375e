//! A page, answers that can be compared, an observer that takes notes, and what tasks leave.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use ws_driver::ws_proto::{Closed, State, Version};
use ws_driver::{ConnectionInfo, Observer, Rejected, RequestBody};

use crate::support::Sim;

pub(crate) const PLAIN: &str = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// Answers plain requests with what they asked for.
pub(crate) async fn page(request: Request<RequestBody>) -> Response<String> {
    Response::new(format!("you asked for {}", request.uri()))
}

/// Bytes as text that can be compared and read, less the one line of an answer that changes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.split_once("Date: ") {
        Some((before, after)) => {
            let (_, after) = after.split_once(r"\r\n").unwrap();
            format!("{before}{after}")
        }
        None => text,
    }
}

/// Runs a future as a task and returns where its result will be.
pub(crate) fn spawned<T: Send + 'static>(
    sim: &Sim,
    future: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let slot = Arc::new(Mutex::new(None));
    let result = Arc::clone(&slot);
    sim.spawn_task(async move {
        let output = future.await;
        *result.lock().unwrap() = Some(output);
    });
    slot
}

pub(crate) fn taken<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap().take()
}

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
