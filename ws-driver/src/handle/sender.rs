//! A handle that sends on a connection from anywhere.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::{
    CloseCode, CloseReason, Closed, Message, PreparedMessage, SendError, State, Version,
};

use crate::driver::shared_machine::{Draft, IfOpen, SharedMachine, Standing, Then};
use crate::driver::try_send::TrySendError;
use crate::id::ConnectionId;
use crate::observe::counters::ConnectionCounters;
use crate::registry::membership::Membership;
use crate::registry::topics::TopicError;

/// Sends on a connection from other tasks and threads. Cheap to clone; it does not keep the
/// connection open.
#[derive(Clone)]
pub struct Sender {
    machine: Arc<SharedMachine>,
    membership: Membership,
}

impl Sender {
    pub(crate) fn new(machine: Arc<SharedMachine>, membership: Membership) -> Self {
        Self {
            machine,
            membership,
        }
    }

    /// Waits for room in the send queue, and for the end of a message that is being sent in fragments,
    /// then queues a message. As by [`Connection::send`](crate::Connection::send), it is then written if the
    /// connection has a task of its own.
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing or the version cannot carry the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let draft = Draft::new(message.into());
        self.machine
            .send_wait(draft, IfOpen::Wait, Then::Write)
            .await
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and if the send queue is at its limit or a message is being sent in fragments. The
    /// error has the message.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.machine.try_send(message.into())
    }

    /// As [`send`](Self::send), for a message that was encoded before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.machine
            .send_wait(message, IfOpen::Wait, Then::Write)
            .await
    }

    /// Queues a message that was encoded before, without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.machine.try_send_prepared(message)
    }

    /// Waits until the stream has taken everything that was queued before; see
    /// [`Connection::flush`](crate::Connection::flush).
    ///
    /// # Errors
    ///
    /// Fails if the connection ended before.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time; what is queued is written all the same.
    pub async fn flush(&self) -> Result<(), SendError> {
        let mut flush = self.machine.begin_flush();
        poll_fn(|cx| self.machine.poll_flush(cx, &mut flush)).await
    }

    /// Joins a topic of the server, so that what goes to the topic comes here, too; tells whether
    /// it was not a member before. It leaves all topics when its stream ends. See
    /// [`Clients::topic`](crate::Clients::topic).
    ///
    /// # Errors
    ///
    /// Fails if this is a client's connection or it has ended, the name is longer than
    /// [`TOPIC_NAME_LIMIT`](crate::TOPIC_NAME_LIMIT), or as many topics are joined as the option
    /// `topic_limit` allows.
    pub fn join(&self, topic: &str) -> Result<bool, TopicError> {
        self.membership.join(topic, self.id())
    }

    /// Leaves a topic; tells whether it was a member.
    pub fn leave(&self, topic: &str) -> bool {
        self.membership.leave(topic, self.id())
    }

    /// Sends a ping with at most 125 bytes (RFC 6455 §5.5.2).
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, the version has no ping, the payload is too long, or 16 KiB of
    /// pings and pongs wait to be written.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.machine.ping(payload)
    }

    /// Begins to close, with a code and a reason of at most 123 bytes, which are left out in versions
    /// that have none. Does nothing if the connection is closing.
    ///
    /// # Errors
    ///
    /// Fails if the reason is too long; then nothing is closed.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.machine.close(code, CloseReason::new(reason)?);
        Ok(())
    }

    /// Begins to close, without a reason.
    pub(crate) fn begin_close(&self, code: CloseCode) {
        self.machine.close(code, CloseReason::EMPTY);
    }

    /// Waits until the stream of the connection is closed and returns how it ended. The answer to a
    /// peer's close waits until messages that came before it are received, though no longer than the
    /// `close_timeout`; so does this.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time.
    pub async fn wait_closed(&self) -> Closed {
        self.machine.wait_closed().await
    }

    /// Returns how the connection ended, or `None` while it has not.
    pub fn closed(&self) -> Option<Closed> {
        self.machine.closed()
    }

    /// Returns the id of the connection.
    pub fn id(&self) -> ConnectionId {
        self.machine.facts.id
    }

    /// Returns the version that is spoken.
    pub fn version(&self) -> Version {
        self.machine.facts.version
    }

    /// Returns the peer's address, if the stream has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.machine.facts.peer_addr
    }

    /// Returns the state of the connection.
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// Returns the bytes that wait to be written.
    pub fn buffered_amount(&self) -> usize {
        self.machine.buffered_amount()
    }

    /// Returns what was counted on this connection so far.
    pub fn counters(&self) -> ConnectionCounters {
        self.machine.counters()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.machine.standing()
    }

    pub(crate) fn abort(&self) {
        self.machine.abort();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
