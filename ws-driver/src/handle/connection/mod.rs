//! A connection in the hands of its user: receive, send, close.
//!
//! Imports: `id`, `tls`, `observe`, `driver`, `registry`, `handle::sender`.

mod futures;

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{
    CloseCode, CloseReason, Closed, Event, EventBatch, Fragment, Message, Payload, PreparedMessage,
    RequestHead, ResponseHead, SendError, State, Version, hooks,
};

use super::sender::Sender;
use crate::driver::shared_machine::{Flush, IfOpen, Part, SharedMachine, Then};
use crate::driver::try_send::TrySendError;
use crate::driver::workspace;
use crate::id::ConnectionId;
use crate::observe::counters::ConnectionCounters;
use crate::registry::membership::Membership;
use crate::registry::topics::TopicError;
use crate::tls::TlsInfo;

pub use self::futures::{RecvFuture, SendFuture};

/// An open connection, on either side and in any version.
///
/// Receive with [`recv`](Self::recv), send with [`send`](Self::send) or, from other tasks, with a
/// [`Sender`]. Pings are answered, timers run and what is queued is written whatever the holder of
/// this does. It is also a [`Stream`] and a [`Sink`] of messages.
///
/// Dropping it closes the connection with 1000, or with 1011 while the thread panics.
pub struct Connection {
    machine: Arc<SharedMachine>,
    membership: Membership,
    extensions: http::Extensions,
    /// Taken from the shared machine, not received yet.
    events: EventBatch,
    /// Of a connection that is used as a [`Sink`]. Boxed, as few are.
    sink: Option<Box<SinkState>>,
    /// What has come of a message in fragments that is to be received whole.
    partial: Vec<u8>,
}

/// What a [`Sink`] waits for.
#[derive(Default)]
struct SinkState {
    /// Tells of room in the send queue.
    room: Option<EventListener>,
    /// A flush, or a close, that has begun.
    flushing: Option<Flush>,
    is_closing: bool,
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
            partial: Vec::new(),
        }
    }

    /// Waits for the next message; `None` once the connection has ended. Then
    /// [`closed`](Self::closed) says how. After about 1,024 messages without a wait it lets the other tasks of
    /// the thread run, though more is at hand.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no message is lost.
    #[inline]
    pub fn recv(&mut self) -> RecvFuture<'_> {
        RecvFuture::new(self)
    }

    /// Waits for the next fragment of a message; `None` once the connection has ended. With the
    /// option `receive_fragments` a long message comes in parts, as it arrives, and no more than the
    /// `receive_queue_limit` waits; without it each message is one fragment.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no fragment is lost.
    pub async fn recv_fragment(&mut self) -> Option<Fragment> {
        poll_fn(|cx| self.poll_fragment(cx)).await
    }

    /// Waits for the next event; `None` once the connection has ended. Then
    /// [`closed`](Self::closed) says how. An event is a message or, with the
    /// option `receive_fragments`, a fragment of one; with the option `control_events` it is a ping or a pong,
    /// too, in its place among the messages. Pings are answered whether or not they are events. What
    /// [`recv`](Self::recv) and [`recv_fragment`](Self::recv_fragment) find of pings and pongs they pass over.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no event is lost.
    pub async fn recv_event(&mut self) -> Option<Event> {
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                // How it ended is what `closed` says, and that it did is `None`, as in `recv`.
                Some(Event::Closed(_)) => {}
                event => return event,
            }
        }
    }

    /// Waits for room in the send queue, then queues a message, which is written as soon as possible: by a
    /// handler at the latest when it waits for anything.
    ///
    /// The connections of clients and of [`accept`](crate::Server::accept) have a task of their own, which
    /// may not run any more, as when a program ends after this. So what is sent outside of the runtime's tasks,
    /// as in `block_on` or `main`, is written before this returns, as far as the stream takes it; but while
    /// received messages are at hand it leaves together with the answers to those, at the latest when
    /// [`recv`](Self::recv) finds no more. What a task sends in a row leaves together. Dropping the connection
    /// writes what is left; to know that it was written, [`flush`](Self::flush). Whoever writes by itself lets
    /// the other tasks of the thread run after 256 KiB, or 256 short messages, before the next is queued.
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing or the version cannot carry the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not queued.
    #[inline]
    pub fn send(&self, message: impl Into<Message>) -> SendFuture<'_> {
        // Who works through what came answers more of it soon: all that leaves together. Nobody is known
        // to come back once nothing is at hand.
        let then = if self.events.is_empty() {
            Then::Write
        } else {
            Then::Wake
        };
        SendFuture::new(&self.machine, message.into(), then)
    }

    /// Waits until the stream has taken everything that was queued before, and was flushed: with TLS, its
    /// records were taken. What broadcasts keep back for lack of room is not waited for. It takes no longer
    /// than the peer reads, which the `stall_timeout` bounds.
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

    /// Waits for room in the send queue, then queues a part of a message, so that one of any length
    /// can be sent in bounded memory. The first call opens the message; it stays open until a call
    /// with `last`, and all its parts must be of one type. [`Sender`]s wait meanwhile, and what is
    /// broadcast is kept back. The drafts, which have no fragments, get one long frame.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and if the part is not of the open message's type.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the part was not queued. A message that is left
    /// open can only be followed by the end of the connection.
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
            .send_wait(message, IfOpen::Refuse, Then::Write)
            .await
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and if the send queue is at its limit. The error has the message.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.machine.try_send(message.into())
    }

    /// Makes a handle that sends on this connection from other tasks.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.machine), self.membership.clone())
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

    /// Closes with 1000 and waits for the end; see [`close_with`](Self::close_with).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the close goes on.
    pub async fn close(&mut self) -> Closed {
        self.close_for(CloseCode::NORMAL, CloseReason::EMPTY).await
    }

    /// Closes with a code and a reason of at most 123 bytes, which are left out in versions that have
    /// none, and waits until the stream is closed: for the peer's close and the end of its side of the
    /// stream, each no longer than the `close_timeout`. What was queued
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
        let reason = CloseReason::new(reason)?;
        Ok(self.close_for(code, reason).await)
    }

    /// Returns how the connection ended, or `None` while it has not. Messages that came before the
    /// end may still wait in [`recv`](Self::recv).
    pub fn closed(&self) -> Option<Closed> {
        self.machine.closed()
    }

    /// Returns the id of this connection.
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

    /// Returns what TLS was agreed on; `None` if the stream has none. A proxy in front that speaks TLS
    /// is not known here.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.machine.facts.tls.as_deref()
    }

    /// Returns the subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.machine.facts.subprotocol.as_deref()
    }

    /// Returns the head of the request that opened this connection; a client has none.
    pub fn request(&self) -> Option<&RequestHead> {
        self.machine.facts.head.request()
    }

    /// Returns the head of the response that opened this connection; a server has none.
    pub fn response(&self) -> Option<&ResponseHead> {
        self.machine.facts.head.response()
    }

    /// Returns the state.
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

    /// Returns what `on_upgrade` left for the handler.
    pub fn extensions(&self) -> &http::Extensions {
        &self.extensions
    }

    /// Returns what `on_upgrade` left for the handler, to be taken or added to.
    pub fn extensions_mut(&mut self) -> &mut http::Extensions {
        &mut self.extensions
    }
}

impl Connection {
    #[inline]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match hooks::pop_short(&mut self.events) {
            Some(message) => Poll::Ready(Some(message)),
            None => self.poll_message(cx),
        }
    }

    /// Puts fragments together; their sum is bounded by the `message_limit`.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let fragment = match ready!(self.poll_event(cx)) {
                Some(Event::Message(message)) => return Poll::Ready(Some(message)),
                Some(Event::Fragment(fragment)) => fragment,
                Some(_) => continue,
                None => return Poll::Ready(None),
            };
            self.partial.extend_from_slice(fragment.content.as_bytes());
            if fragment.last {
                let whole = Payload::from(std::mem::take(&mut self.partial));
                return Poll::Ready(Some(match fragment.content {
                    Message::Binary(_) => Message::Binary(whole),
                    Message::Text(_) => {
                        Message::Text(whole.try_into().expect("fragments are whole characters"))
                    }
                }));
            }
        }
    }

    fn poll_fragment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fragment>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Event::Message(message)) => return Poll::Ready(Some(message.into())),
                Some(Event::Fragment(fragment)) => return Poll::Ready(Some(fragment)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// Takes an event; from the shared machine only when those that were taken last are worked off.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop() {
                return Poll::Ready(Some(event));
            }
            match self.machine.poll_events(cx, &mut self.events) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => {
                    // A connection at rest holds no room for events; the thread does.
                    workspace::with(|workspace| workspace.recycle_events(&mut self.events));
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let code = match std::thread::panicking() {
            true => CloseCode::SERVER_ERROR,
            false => CloseCode::NORMAL,
        };
        self.machine.abandon(code);
        workspace::with(|workspace| workspace.recycle_events(&mut self.events));
    }
}

impl Stream for Connection {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_message(cx)
    }
}

impl Sink<Message> for Connection {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        loop {
            if let Some(room) = &mut sink.room {
                ready!(Pin::new(room).poll(cx));
            }
            sink.room = machine.listen_if_full();
            if sink.room.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.machine.try_send(message)?;
        // A flush that was given up did not wait for this one.
        self.as_sink().1.flushing = None;
        Ok(())
    }

    /// As [`flush`](Connection::flush).
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        let flush = sink.flushing.get_or_insert_with(|| machine.begin_flush());
        let flushed = ready!(machine.poll_flush(cx, flush));
        sink.flushing = None;
        Poll::Ready(flushed)
    }

    /// Begins to close, and waits until the stream is closed, no longer than [`close`](Connection::close)
    /// does. What arrives meanwhile is left to the [`Stream`], which is to be read on: behind messages that
    /// fill the receive queue the peer's close is not seen. Fails if the stream broke with something in it
    /// that was sent before.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        if !std::mem::replace(&mut sink.is_closing, true) && !machine.has_ended() {
            sink.flushing = Some(machine.begin_flush());
            machine.close(CloseCode::NORMAL, CloseReason::EMPTY);
        }
        if sink.flushing.is_none() && machine.has_ended() {
            return Poll::Ready(Ok(()));
        }
        let flush = sink.flushing.get_or_insert_with(|| machine.begin_flush());
        let ended = ready!(machine.poll_ended(cx, flush));
        sink.flushing = None;
        Poll::Ready(ended)
    }
}

impl Connection {
    async fn close_for(&mut self, code: CloseCode, reason: CloseReason<'_>) -> Closed {
        self.machine.close(code, reason);
        while self.recv().await.is_some() {}
        self.machine.wait_closed().await
    }

    fn as_sink(&mut self) -> (&SharedMachine, &mut SinkState) {
        (&self.machine, self.sink.get_or_insert_default())
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
