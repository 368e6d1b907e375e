//! The handle to one connection: receive, send, close.
//!
//! Imports: `id`, `tls`, `observe`, `driver`, `registry`, `cluster`, `handle::clients`, `handle::once`, `handle::sender`,
//! `handle::sink`.

mod futures;
mod receive;
mod stream_sink;

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ws_proto::{
    CloseCode, CloseReason, Closed, Event, EventBatch, Fragment, Message, PreparedMessage,
    RequestHead, ResponseHead, SendError, State, Version,
};

use super::clients::Clients;
use super::once::Once;
use super::sender::Sender;
use super::sink::SinkState;
use crate::cluster::error::JoinError;
use crate::driver::round_trip::RoundTripError;
use crate::driver::shared_machine::{IfOpen, Part, SharedMachine, Then};
use crate::driver::try_send::TrySendError;
use crate::driver::workspace;
use crate::id::ConnectionId;
use crate::id::cluster::ClusterId;
use crate::observe::counters::ConnectionCounters;
use crate::registry::membership::Membership;
use crate::registry::presence::TrackError;
use crate::registry::topics::TopicError;
use crate::tls::TlsInfo;

pub use self::futures::{RecvFuture, SendFuture};
use self::receive::Partial;

/// An open connection of a client or a server, in any version.
///
/// Receive with [`recv`](Self::recv). Send with [`send`](Self::send) or, from other tasks, with a
/// [`Sender`]. The driver answers pings, runs timers and writes queued messages, even if no method of this
/// is called. The connection is also a [`Stream`](futures_core::Stream) and a [`Sink`](futures_sink::Sink) of messages.
///
/// A drop closes the connection with 1000, or with 1011 while the thread panics.
pub struct Connection {
    machine: Arc<SharedMachine>,
    membership: Membership,
    extensions: http::Extensions,
    /// Events that were taken from the shared machine in one batch, not received yet. One lock covers all events of a
    /// read.
    events: EventBatch,
    /// The state of a connection that is used as a `Sink`. Boxed, because few are.
    sink: Option<Box<SinkState>>,
    /// The received part of a message in fragments that is to be received whole. Boxed, because few connections have
    /// one.
    partial: Option<Box<Partial>>,
}

impl Connection {
    pub(crate) fn new(
        machine: Arc<SharedMachine>,
        membership: Membership,
        extensions: http::Extensions,
    ) -> Self {
        Self {
            machine,
            membership,
            extensions,
            events: EventBatch::new(),
            sink: None,
            partial: None,
        }
    }

    /// Waits for the next message. Returns `None` once the connection has ended; [`closed`](Self::closed)
    /// returns how. After about 1,024 messages without a wait it lets the other tasks of the thread run, even
    /// if more messages are available.
    ///
    /// A message that arrives in fragments is returned whole. If [`recv_fragment`](Self::recv_fragment) has taken
    /// the beginning of one, this returns the rest.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no message is lost. Fragments that it had taken by then are
    /// returned by the next call, by [`recv_fragment`](Self::recv_fragment) as one fragment.
    #[inline]
    pub fn recv(&mut self) -> RecvFuture<'_> {
        RecvFuture::new(self)
    }

    /// Waits for the next fragment of a message. Returns `None` once the connection has ended.
    ///
    /// With the option `receive_fragments` a long message is returned in parts, as they arrive, and at most
    /// the `receive_queue_limit` is buffered. Without the option each message is one fragment.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no fragment is lost.
    pub async fn recv_fragment(&mut self) -> Option<Fragment> {
        poll_fn(|cx| self.poll_fragment(cx)).await
    }

    /// Waits for the next event. Returns `None` once the connection has ended; [`closed`](Self::closed)
    /// returns how.
    ///
    /// An event is a message, or a fragment of one with the option `receive_fragments`. With the option
    /// `control_events`, pings and pongs are events, too, in order with the messages. Pings are answered in
    /// both cases. [`recv`](Self::recv) and [`recv_fragment`](Self::recv_fragment) skip pings and pongs.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no event is lost.
    pub async fn recv_event(&mut self) -> Option<Event> {
        if let Some(part) = self.take_first_part() {
            return Some(Event::Fragment(part));
        }
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                // The end is `None` here, as in `recv`. `closed` returns the details.
                Some(Event::Closed(_)) => {}
                event => return event,
            }
        }
    }

    /// Waits for capacity in the send queue, then queues a message.
    ///
    /// The driver writes the message as soon as possible. In a handler that is at the latest when the handler
    /// waits for anything. Messages that a task sends in a row are written together.
    ///
    /// The connections of clients and of [`accept`](crate::Server::accept) have a task of their own. That task
    /// may never run again, for instance if the program ends after this call. So a send outside of the
    /// runtime's tasks, as in `block_on` or `main`, writes the message before it returns, as far as the stream
    /// takes it. There is one exception: while received messages are available, the answers to them are
    /// written together, at the latest when [`recv`](Self::recv) finds no more messages. After 256 KiB, or 256
    /// short messages, such a send lets the other tasks of the thread run before the next message is queued.
    ///
    /// A drop of the connection writes the remaining messages. Call [`flush`](Self::flush) to be sure that
    /// they are written.
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, or the version cannot carry the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not queued.
    #[inline]
    pub fn send(&self, message: impl Into<Message>) -> SendFuture<'_> {
        // With events in the batch the application will send more answers soon, and one write covers them all. Without
        // events it may not call again, so this send has to write by itself.
        let then = if self.events.is_empty() {
            Then::Write
        } else {
            Then::Wake
        };
        SendFuture::new(&self.machine, message.into(), then)
    }

    /// Waits until the stream has taken everything that was queued before this call, and is flushed. With TLS
    /// that means its records. Messages of broadcasts that are kept back because the queue is full do not
    /// count. The wait depends on the peer, and the `stall_timeout` bounds it.
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

    /// Waits for capacity in the send queue, then queues a part of a message. So a message of any length can
    /// be sent in bounded memory.
    ///
    /// The first call opens the message. It stays open until a call with `last`. All parts must be of one
    /// type. Meanwhile [`Sender`]s wait, and broadcasts are kept back. The drafts have no fragments, so there
    /// the message is one long frame.
    ///
    /// # Errors
    ///
    /// Fails as [`send`](Self::send) does. Also fails if the part is of another type than the open message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the part is not queued. A message that is never finished
    /// can only be followed by the end of the connection.
    pub async fn send_fragment(
        &self,
        content: impl Into<Message>,
        last: bool,
    ) -> Result<(), SendError> {
        let part = Part::new(content.into(), last);
        self.machine
            .send_wait(part, IfOpen::Refuse, Then::Write)
            .await
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
            .send_wait(message, IfOpen::Refuse, Then::Write)
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

    /// Queues a prepared message without waiting.
    ///
    /// # Errors
    ///
    /// Fails as [`try_send`](Self::try_send) does.
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.machine.try_send_prepared(message)
    }

    /// Returns a handle that sends on this connection from other tasks.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.machine), self.membership.clone())
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

    /// Sends a ping and waits for its pong. Returns how long that took, from when the ping was queued, in whole
    /// microseconds.
    ///
    /// Several calls can wait at a time, each for a ping of its own. A peer may answer only the latest of several pings
    /// (RFC 6455 §5.5.3), so a pong also answers the pings that went out before. The wait needs no call of
    /// [`recv`](Self::recv). But the pong comes behind the messages that the peer sent before it, so it is not read
    /// while messages that nobody receives fill the receive queue.
    ///
    /// # Errors
    ///
    /// Fails if the ping cannot be [sent](Self::ping), if 64 such pings have no pong yet, and if the connection begins
    /// to close before the pong comes. Fails with [`RoundTripError::TimedOut`] if no pong comes within the option
    /// `pong_timeout`. The connection stays open then. Only a peer of which nothing at all arrives is closed.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time. If it was polled once, the ping is sent, and its pong still counts for
    /// [`latency`](Self::latency).
    pub async fn round_trip(&self) -> Result<Duration, RoundTripError> {
        self.machine.round_trip().await
    }

    /// Returns how long the last ping took that a pong has answered: one of the keepalive, of [`ping`](Self::ping) or of
    /// [`round_trip`](Self::round_trip). `None` before the first pong, and in the drafts, which have no ping.
    ///
    /// The keepalive pings only a peer that is silent, so with a busy peer the value can be old.
    pub fn latency(&self) -> Option<Duration> {
        self.machine.latency()
    }

    /// Begins the closing handshake, with a code and a reason of at most 123 bytes, and does not wait for its end.
    /// Versions without codes and reasons ignore them. Does nothing if the connection is closing already.
    ///
    /// Messages that arrive until the end are still received. Receive them, or drop the connection: the peer's close
    /// is not read behind messages that fill the receive queue.
    ///
    /// # Errors
    ///
    /// Fails if the reason is too long; then the connection stays open. For a text of unknown length use
    /// [`CloseReason::truncated`](ws_proto::CloseReason::truncated) and its `as_str`.
    pub fn begin_close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.machine.close(code, CloseReason::new(reason)?);
        Ok(())
    }

    /// Closes the connection with 1000 and waits for the end; see [`close_with`](Self::close_with).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close(&mut self) -> Closed {
        self.close_for(CloseCode::NORMAL, CloseReason::EMPTY).await
    }

    /// Closes the connection and waits until its stream is closed. Returns how the connection ended.
    ///
    /// The close has a code and a reason of at most 123 bytes. Versions without codes and reasons ignore them.
    /// Messages that were queued before are sent. Messages that still arrive are discarded. The waits for the
    /// peer's close and for the end of its side of the stream take at most the `close_timeout` each. If the
    /// connection has ended already, this returns at once.
    ///
    /// # Errors
    ///
    /// Fails if the reason is too long; then the connection stays open. For a text of unknown length use
    /// [`CloseReason::truncated`](ws_proto::CloseReason::truncated) and its `as_str`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close_with(&mut self, code: CloseCode, reason: &str) -> Result<Closed, SendError> {
        let reason = CloseReason::new(reason)?;
        Ok(self.close_for(code, reason).await)
    }

    /// Returns how the connection ended, or `None` if it has not. [`recv`](Self::recv) may still return
    /// messages that arrived before the end.
    pub fn closed(&self) -> Option<Closed> {
        self.machine.closed()
    }

    /// Returns the id of this connection.
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

    /// Returns the result of the TLS handshake; `None` if the stream has no TLS. TLS that ends at a proxy in
    /// front of the server is not visible here.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.machine.facts.tls()
    }

    /// Returns the subprotocol that both sides agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.machine.facts.subprotocol()
    }

    /// Returns the head of the request that opened this connection; `None` on a client. It has no headers if the server
    /// does not [keep them](crate::ServerBuilder::keep_request_headers).
    pub fn request(&self) -> Option<&RequestHead> {
        self.machine.facts.head.request()
    }

    /// Returns the head of the response that opened this connection; `None` on a server.
    pub fn response(&self) -> Option<&ResponseHead> {
        self.machine.facts.head.response()
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

    /// Returns the values that `on_upgrade` added for the handler.
    pub fn extensions(&self) -> &http::Extensions {
        &self.extensions
    }

    /// Returns the values that `on_upgrade` added for the handler, to remove or add some.
    pub fn extensions_mut(&mut self) -> &mut http::Extensions {
        &mut self.extensions
    }

    /// Takes the value of this type that `on_upgrade` added by [`Answer::extension_once`](crate::Answer::extension_once).
    /// `None` if there is none, or it was taken before. Values of [`extension`](crate::Answer::extension) are in
    /// [`extensions`](Self::extensions).
    pub fn take_extension<T: Send + 'static>(&mut self) -> Option<T> {
        self.extensions.remove::<Once<T>>()?.take()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let code = if std::thread::panicking() {
            CloseCode::SERVER_ERROR
        } else {
            CloseCode::NORMAL
        };
        self.machine.abandon(code);
        // The memory of the batch is reused by other connections of the thread.
        workspace::with(|workspace| workspace.recycle_events(&mut self.events));
    }
}

impl Connection {
    async fn close_for(&mut self, code: CloseCode, reason: CloseReason<'_>) -> Closed {
        self.machine.close(code, reason);
        // Drains the messages, because the answer to a peer's close waits until those before it are received.
        while self.recv().await.is_some() {}
        self.machine.wait_closed().await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("version", &self.version())
            .field("peer_addr", &self.peer_addr())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
