//! Open connections that wait until the application [accepts](super::Server::accept) them.

use std::collections::VecDeque;

use ws_proto::CloseCode;

use crate::handle::connection::Connection;
use crate::util::sync::{Mutex, MutexGuard, Notice, PoisonError};

/// Open connections that wait for `accept`. Its length is bounded by the number of handshakes that are under way,
/// because no stream is accepted while a connection waits here.
#[derive(Default)]
pub(crate) struct AcceptQueue {
    queue: Mutex<Queue>,
    arrived: Notice,
}

#[derive(Default)]
struct Queue {
    connections: VecDeque<Connection>,
    /// Whether a caller of `accept` was told that no connection follows.
    is_over: bool,
}

impl AcceptQueue {
    /// Adds a connection, or closes it if `accept` has already returned `None`.
    pub(super) fn push(&self, connection: Connection) {
        let mut queue = self.lock();
        if queue.is_over {
            // Its handshake was under way when `accept` returned `None`. The application does not call `accept` again,
            // so the connection would stay open without a user. Unlocked first, because a close wakes the driver.
            drop(queue);
            connection.sender().close_now(CloseCode::GOING_AWAY);
            return;
        }
        queue.connections.push_back(connection);
        // Wakers run only after the lock is released.
        drop(queue);
        self.arrived.notify(1);
    }

    /// Waits for a connection. A future that is dropped loses no connection.
    pub(super) async fn pop(&self) -> Connection {
        loop {
            // Listens before it looks: a connection that arrives between the two is not missed.
            let arrived = self.arrived.listen();
            if let Some(connection) = self.lock().connections.pop_front() {
                return connection;
            }
            arrived.await;
        }
    }

    /// Takes a remaining connection once no more streams are accepted. `None` closes the queue.
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
