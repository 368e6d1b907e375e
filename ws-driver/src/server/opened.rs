//! Connections that are open and wait for somebody to [accept](super::Server::accept) them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_listener::Event as Notice;

use crate::connection::Connection;

/// Bounded by the streams that were accepted, as none is while a connection waits here.
#[derive(Default)]
pub(crate) struct OpenedConnections {
    queue: Mutex<VecDeque<Connection>>,
    arrived: Notice,
}

impl OpenedConnections {
    pub(super) fn push(&self, connection: Connection) {
        self.lock().push_back(connection);
        self.arrived.notify(1);
    }

    /// Waits for a connection; loses none if it is dropped.
    pub(super) async fn pop(&self) -> Connection {
        loop {
            let arrived = self.arrived.listen();
            if let Some(connection) = self.lock().pop_front() {
                return connection;
            }
            arrived.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
