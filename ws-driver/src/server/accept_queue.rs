//! Connections that are open and wait for somebody to [accept](super::Server::accept) them.

use std::collections::VecDeque;

use ws_proto::CloseCode;

use crate::handle::connection::Connection;
use crate::util::sync::{Mutex, MutexGuard, Notice, PoisonError};

/// Bounded by the streams that were accepted, as none is while a connection waits here.
#[derive(Default)]
pub(crate) struct OpenedConnections {
    queue: Mutex<Queue>,
    arrived: Notice,
}

#[derive(Default)]
struct Queue {
    connections: VecDeque<Connection>,
    /// Whether somebody was told that there are no more.
    is_over: bool,
}

impl OpenedConnections {
    /// Adds a connection. One whose handshake was under way when the last was handed out is closed, as
    /// nobody asks for it any more.
    pub(super) fn push(&self, connection: Connection) {
        let mut queue = self.lock();
        if queue.is_over {
            drop(queue);
            connection.sender().begin_close(CloseCode::GOING_AWAY);
            return;
        }
        queue.connections.push_back(connection);
        drop(queue);
        self.arrived.notify(1);
    }

    /// Waits for a connection; loses none if it is dropped.
    pub(super) async fn pop(&self) -> Connection {
        loop {
            let arrived = self.arrived.listen();
            if let Some(connection) = self.lock().connections.pop_front() {
                return connection;
            }
            arrived.await;
        }
    }

    /// Takes what is left once no more streams are accepted; with `None` it is over.
    pub(super) fn pop_last(&self) -> Option<Connection> {
        let mut queue = self.lock();
        let last = queue.connections.pop_front();
        queue.is_over = last.is_none();
        last
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
