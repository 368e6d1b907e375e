//! A connection as a [`Stream`] and a [`Sink`] of messages, for the combinators of the futures crates.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{Message, SendError};

use super::Connection;
use crate::driver::shared_machine::{IfOpen, SharedMachine};
use crate::handle::sink::SinkState;

/// Only this handle can finish a message that it sends in fragments, so a wait for that would never end.
const OPEN: IfOpen = IfOpen::Refuse;

impl Connection {
    fn as_sink(&mut self) -> (&SharedMachine, &mut SinkState) {
        (&self.machine, self.sink.get_or_insert_default())
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
        sink.poll_ready(machine, OPEN, cx)
    }

    /// Queues a message. After `poll_ready` it has a place in the send queue, also if other senders have filled
    /// the queue since; then the queue exceeds its limit by this message.
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        let (machine, sink) = self.as_sink();
        sink.start_send(machine, OPEN, message)
    }

    /// Flushes as [`flush`](Connection::flush) does. If the future of a flush is dropped, the next flush goes on with
    /// it: it covers the messages that this sink has taken, and not those that others have queued in between.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        sink.poll_flush(machine, cx)
    }

    /// Begins the closing handshake and waits until the stream is closed, at most as long as
    /// [`close`](Connection::close) does. Messages that arrive meanwhile stay in the [`Stream`]. Keep reading
    /// it, because the peer's close cannot be seen behind messages that fill the receive queue. Fails if the
    /// stream broke before all sent messages were written.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        sink.poll_close(machine, cx)
    }
}
