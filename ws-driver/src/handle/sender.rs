//! A handle that sends on a connection from any task or thread.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_sink::Sink;
use ws_proto::{
    CloseCode, CloseReason, Closed, Message, PreparedMessage, SendError, State, Version,
};

use super::clients::Clients;
use super::sink::SinkState;
use crate::cluster::error::JoinError;
use crate::driver::round_trip::RoundTripError;
use crate::driver::shared_machine::{Draft, IfOpen, SharedMachine, Standing, Then};
use crate::driver::try_send::TrySendError;
use crate::id::ConnectionId;
use crate::id::cluster::ClusterId;
use crate::observe::counters::ConnectionCounters;
use crate::registry::membership::Membership;
use crate::registry::presence::TrackError;
use crate::registry::topics::TopicError;

/// Sends on a connection from other tasks and threads. It is cheap to clone and does not keep the connection
/// open. It is also a [`Sink`] of messages.
///
/// Methods that [`Connection`](crate::Connection) has, too, do the same there. One thing differs while a message is sent
/// in fragments: a `send` of a sender waits for its end, and a `send` of the connection, which alone can end it, fails.
pub struct Sender {
    machine: Arc<SharedMachine>,
    membership: Membership,
    /// The state of a sender that is used as a `Sink`. Boxed, because few are.
    sink: Option<Box<SinkState>>,
}

impl Sender {
    pub(crate) fn new(machine: Arc<SharedMachine>, membership: Membership) -> Self {
        Self {
            machine,
            membership,
            sink: None,
        }
    }

    /// Waits for capacity in the send queue, and for the end of a message that is sent in fragments, then
    /// queues a message. If the connection has a task of its own, the message is also written, as by
    /// [`Connection::send`](crate::Connection::send).
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, or the version cannot carry the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        // Waits for the end of an open message: the holder of the connection sends its parts and will finish it.
        let draft = Draft::new(message.into());
        self.machine
            .send_wait(draft, IfOpen::Wait, Then::Write)
            .await
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    ///
    /// Fails as [`send`](Self::send) does. Also fails if the send queue is at its limit, or another message is being
    /// sent in fragments. The error contains the message.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.machine.try_send(message.into())
    }

    /// Sends a prepared message as [`send`](Self::send) does, without encoding it again.
    ///
    /// # Errors
    ///
    /// Fails as [`send`](Self::send) does.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not queued.
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.machine
            .send_wait(message, IfOpen::Wait, Then::Write)
            .await
    }

    /// Queues a prepared message without waiting.
    ///
    /// # Errors
    ///
    /// Fails as [`try_send`](Self::try_send) does.
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.machine.try_send_prepared(message)
    }

    /// Waits until the stream has taken everything that was queued before this call; see
    /// [`Connection::flush`](crate::Connection::flush).
    ///
    /// # Errors
    ///
    /// Fails if the connection ends before that.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time. Queued messages are written anyway.
    pub async fn flush(&self) -> Result<(), SendError> {
        let mut flush = self.machine.begin_flush();
        poll_fn(|cx| self.machine.poll_flush(cx, &mut flush)).await
    }

    /// Joins a topic of the server, so that messages to the topic go to this connection, too. Returns whether
    /// the connection is a new member. It leaves all topics when its stream ends. See
    /// [`Clients::topic`](crate::Clients::topic).
    ///
    /// # Errors
    ///
    /// Fails if this is a connection of a client, the connection has ended, the name is longer than
    /// [`TOPIC_NAME_LIMIT`](crate::TOPIC_NAME_LIMIT), or the connection is at the option `topic_limit`.
    pub fn join(&self, topic: &str) -> Result<bool, TopicError> {
        self.membership.join(topic, self.id())
    }

    /// Joins a topic as [`join`](Self::join) does, and waits until messages of other nodes of the cluster arrive:
    /// nothing that they publish to the topic from now on is missed while the link lasts. Returns whether the
    /// connection is a new member. On a server without a backplane there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// Fails as [`join`](Self::join) does. Also fails if the backplane does not confirm the subscription within the
    /// option [`subscribe_timeout`](crate::ClusterConfig::subscribe_timeout), or has ended; then the connection is a
    /// member all the same.
    ///
    /// # Cancel safety
    ///
    /// If the future was polled once, the connection is a member, unless it could not join.
    pub async fn join_wait(&self, topic: &str) -> Result<bool, JoinError> {
        let joined = self
            .membership
            .join_wait(topic, self.id(), || self.machine.now());
        let (is_new, subscribed) = joined.await?;
        JoinError::check(subscribed).map(|()| is_new)
    }

    /// Shows the connection in the [presence](crate::ClusterTopic::presence) of a topic, with up to 1,024 bytes of data that
    /// others see, such as a name. It joins the topic if it has not. A later call changes the data. The connection is
    /// shown until it leaves the topic or ends.
    ///
    /// The other nodes of a cluster see it within about a second.
    ///
    /// # Errors
    ///
    /// Fails as [`join`](Self::join) does. Also fails if the data is longer than
    /// [`PRESENCE_DATA_LIMIT`](crate::PRESENCE_DATA_LIMIT), or the topic is at [`PRESENCE_LIMIT`](crate::PRESENCE_LIMIT).
    /// A connection that fails is no new member.
    pub fn track(&self, topic: &str, data: impl AsRef<[u8]>) -> Result<(), TrackError> {
        self.membership.track(topic, self.id(), data.as_ref())
    }

    /// Stops to show the connection in a topic, of which it stays a member. Returns whether it was shown.
    pub fn untrack(&self, topic: &str) -> bool {
        self.membership.untrack(topic, self.id())
    }

    /// Leaves a topic. Returns whether the connection was a member.
    pub fn leave(&self, topic: &str) -> bool {
        self.membership.leave(topic, self.id())
    }

    /// Queues a ping with a payload of at most 125 bytes (RFC 6455 §5.5.2), and does not wait for its pong:
    /// [`round_trip`](Self::round_trip) does. The pong counts for [`latency`](Self::latency).
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, the version has no ping, the payload is too long, or 16 KiB of
    /// pings and pongs wait to be written.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.machine.ping(payload)
    }

    /// Queues a pong that answers no ping, with a payload of at most 125 bytes (RFC 6455 §5.5.3): a sign of life in one
    /// direction, to which no answer is expected. The answers to pings are queued without a call.
    ///
    /// # Errors
    ///
    /// Fails as [`ping`](Self::ping) does.
    pub fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.machine.pong(payload)
    }

    /// Sends a ping and waits for its pong. Returns how long that took; see
    /// [`Connection::round_trip`](crate::Connection::round_trip).
    ///
    /// # Errors
    ///
    /// Fails if the ping cannot be [sent](Self::ping), if 64 such pings have no pong yet, and if the connection begins
    /// to close before the pong comes. Fails with [`RoundTripError::TimedOut`] if no pong comes within the option
    /// `pong_timeout`. The connection stays open then.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time. If it was polled once, the ping is sent, and its pong still counts for
    /// [`latency`](Self::latency).
    pub async fn round_trip(&self) -> Result<Duration, RoundTripError> {
        self.machine.round_trip().await
    }

    /// Returns how long the last ping took that a pong has answered; see
    /// [`Connection::latency`](crate::Connection::latency).
    pub fn latency(&self) -> Option<Duration> {
        self.machine.latency()
    }

    /// Begins the closing handshake, with a code and a reason of at most 123 bytes, and does not wait for its end.
    /// Versions without codes and reasons ignore them. Does nothing if the connection is closing already.
    ///
    /// # Errors
    ///
    /// Fails if the reason is too long; then the connection stays open. For a text of unknown length use
    /// [`CloseReason::truncated`](ws_proto::CloseReason::truncated) and its `as_str`.
    pub fn begin_close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.machine.close(code, CloseReason::new(reason)?);
        Ok(())
    }

    /// Begins to close, without a reason.
    pub(crate) fn close_now(&self, code: CloseCode) {
        self.machine.close(code, CloseReason::EMPTY);
    }

    /// Closes the connection with 1000 and waits for the end; see [`close_with`](Self::close_with).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close(&self) -> Closed {
        self.machine.close(CloseCode::NORMAL, CloseReason::EMPTY);
        self.machine.wait_closed().await
    }

    /// Closes the connection and waits until its stream is closed, as
    /// [`Connection::close_with`](crate::Connection::close_with) does. Returns how the connection ended.
    ///
    /// Messages that still arrive are for the holder of the connection. If it does not receive, and they fill the
    /// receive queue, the peer's close is not read, and this waits for the whole `close_timeout`.
    ///
    /// # Errors
    ///
    /// Fails if the reason is too long; then the connection stays open.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close_with(&self, code: CloseCode, reason: &str) -> Result<Closed, SendError> {
        self.begin_close(code, reason)?;
        Ok(self.machine.wait_closed().await)
    }

    /// Waits until the stream of the connection is closed. Returns how the connection ended.
    ///
    /// The answer to a peer's close waits until the messages before it are received, at most for the
    /// `close_timeout`. So this waits for that, too.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time.
    pub async fn wait_closed(&self) -> Closed {
        self.machine.wait_closed().await
    }

    /// Returns how the connection ended, or `None` if it has not.
    pub fn closed(&self) -> Option<Closed> {
        self.machine.closed()
    }

    /// Returns the id of the connection.
    pub fn id(&self) -> ConnectionId {
        self.machine.facts.id
    }

    /// Returns the id of the connection among those of all nodes of the cluster of its server. A connection of a client
    /// is of no server; its node is all zeros.
    pub fn cluster_id(&self) -> ClusterId {
        self.membership.cluster_id(self.id())
    }

    /// Returns the open connections of the server that this one is of. `None` if it is a connection of a client or of
    /// the test kit, or the server is gone.
    pub fn clients(&self) -> Option<Clients> {
        self.membership.registry().map(Clients::of)
    }

    /// Returns the version of the connection.
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

    /// Returns the number of bytes that wait to be written.
    pub fn buffered_amount(&self) -> usize {
        self.machine.buffered_amount()
    }

    /// Returns the counters of this connection.
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

impl Clone for Sender {
    /// Makes another handle to the connection. As a [`Sink`] it has waits of its own.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.machine), self.membership.clone())
    }
}

/// A sender waits for the end of a message that is sent in fragments.
const OPEN: IfOpen = IfOpen::Wait;

impl Sender {
    fn as_sink(&mut self) -> (&SharedMachine, &mut SinkState) {
        (&self.machine, self.sink.get_or_insert_default())
    }
}

/// The same as the [`Sink`] of a [`Connection`](crate::Connection), from any task. A message that is sent in fragments
/// is waited for, as by [`send`](Sender::send).
impl Sink<Message> for Sender {
    type Error = SendError;

    /// Waits for capacity in the send queue. Fails if the connection is closing.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        sink.poll_ready(machine, OPEN, cx)
    }

    /// Queues a message. After `poll_ready` it has a place in the send queue, also if other senders have filled the
    /// queue since; then the queue exceeds its limit by this message. If the holder of the connection has begun a
    /// message in fragments since, the sender holds the message until that ends. A flush, or the next `poll_ready`, waits
    /// for it.
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        let (machine, sink) = self.as_sink();
        sink.start_send(machine, OPEN, message)
    }

    /// Flushes as [`flush`](Sender::flush) does. If the future of a flush is dropped, the next flush goes on with it: it
    /// covers the messages that this sink has taken, and not those that others have queued in between.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        sink.poll_flush(machine, cx)
    }

    /// Closes the connection, not only this handle, and waits until its stream is closed, as
    /// [`close`](Sender::close) does. Fails if the stream broke before all sent messages were written. A combinator
    /// such as `forward` closes its sink at the end; use `send_all` if the connection is to stay open.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        sink.poll_close(machine, cx)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
