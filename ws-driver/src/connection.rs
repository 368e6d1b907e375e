//! A connection in the hands of its user: receive, send, close.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{CloseCode, Closed, Message, RequestHead, ResponseHead, SendError, State, Version};

use crate::id::ConnectionId;
use crate::mailbox::{Head, Mailbox};
use crate::sender::Sender;

/// An open connection, on either side and in any version.
///
/// Receive with [`recv`](Self::recv), send with [`send`](Self::send) or, from other tasks, with a
/// [`Sender`]. Pings are answered, timers run and what is queued is written whatever the holder of
/// this does. It is also a [`Stream`] and a [`Sink`] of messages.
///
/// Dropping it closes the connection with 1000, or with 1011 while the thread panics.
pub struct Connection {
    mailbox: Arc<Mailbox>,
    extensions: http::Extensions,
    /// Of a [`Sink`] that waits for room.
    room: Option<EventListener>,
}

impl Connection {
    pub(crate) fn new(mailbox: Arc<Mailbox>, extensions: http::Extensions) -> Self {
        Self {
            mailbox,
            extensions,
            room: None,
        }
    }

    /// Waits for the next message; `None` once the connection has ended. Then
    /// [`closed`](Self::closed) says how.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no message is lost.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.mailbox.poll_recv(cx)).await
    }

    /// Waits for room in the send queue, then queues a message. It is written as soon as possible:
    /// at the latest when the handler waits for anything.
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing or the version cannot carry the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.mailbox.send(message.into()).await
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and if the send queue is at its limit.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.mailbox.try_send(message.into())
    }

    /// Makes a handle that sends on this connection from other tasks.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.mailbox))
    }

    /// Sends a ping with at most 125 bytes (RFC 6455 §5.5.2).
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, the version has no ping, or the payload is too long.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.mailbox.ping(payload)
    }

    /// Closes with 1000 and waits for the end; see [`close_with`](Self::close_with).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close(&mut self) -> Closed {
        match self.close_with(CloseCode::NORMAL, "").await {
            Ok(closed) => closed,
            Err(error) => unreachable!("a close without a reason cannot be refused: {error}"),
        }
    }

    /// Closes with a code and a reason of at most 123 bytes, which are left out in versions that have
    /// none, and waits for the end: for the peer's close or the `close_timeout`. What was queued
    /// before is sent; messages that still arrive are discarded. If the connection has ended already
    /// it says how.
    ///
    /// # Errors
    ///
    /// Fails if the reason is too long; then nothing is closed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close_with(&mut self, code: CloseCode, reason: &str) -> Result<Closed, SendError> {
        self.mailbox.close(code, reason)?;
        while self.recv().await.is_some() {}
        Ok(self.mailbox.wait_closed().await)
    }

    /// Returns how the connection ended, or `None` while it has not. Messages that came before the
    /// end may still wait in [`recv`](Self::recv).
    pub fn closed(&self) -> Option<Closed> {
        self.mailbox.closed()
    }

    /// Returns the id of this connection.
    pub fn id(&self) -> ConnectionId {
        self.mailbox.facts.id
    }

    /// Returns the version that is spoken.
    pub fn version(&self) -> Version {
        self.mailbox.facts.version
    }

    /// Returns the peer's address, if the stream has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.mailbox.facts.peer_addr
    }

    /// Returns the subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.mailbox.facts.subprotocol.as_deref()
    }

    /// Returns the head of the request that opened this connection; a client has none.
    pub fn request(&self) -> Option<&RequestHead> {
        match &self.mailbox.facts.head {
            Head::Request(head) => Some(head),
            Head::Response(_) | Head::Unknown => None,
        }
    }

    /// Returns the head of the response that opened this connection; a server has none.
    pub fn response(&self) -> Option<&ResponseHead> {
        match &self.mailbox.facts.head {
            Head::Request(_) | Head::Unknown => None,
            Head::Response(head) => Some(head),
        }
    }

    /// Returns the state.
    pub fn state(&self) -> State {
        self.mailbox.state()
    }

    /// Returns the bytes that wait to be written.
    pub fn buffered_amount(&self) -> usize {
        self.mailbox.buffered_amount()
    }

    /// Returns what `on_upgrade` left for the handler.
    pub fn extensions(&self) -> &http::Extensions {
        &self.extensions
    }

    /// Returns what `on_upgrade` left for the handler, to be taken or added to.
    pub fn extensions_mut(&mut self) -> &mut http::Extensions {
        &mut self.extensions
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let code = match std::thread::panicking() {
            true => CloseCode::SERVER_ERROR,
            false => CloseCode::NORMAL,
        };
        self.mailbox.abandon(code);
    }
}

impl Stream for Connection {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.mailbox.poll_recv(cx)
    }
}

impl Sink<Message> for Connection {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            if let Some(room) = &mut self.room {
                ready!(Pin::new(room).poll(cx));
            }
            self.room = self.mailbox.listen_if_full();
            if self.room.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.mailbox.try_send(message)
    }

    /// Is ready at once: what was sent is written without being asked for.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    /// Begins to close, and discards what arrives until the connection has ended.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.mailbox.close(CloseCode::NORMAL, "")?;
        while ready!(self.mailbox.poll_recv(cx)).is_some() {}
        Poll::Ready(Ok(()))
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
