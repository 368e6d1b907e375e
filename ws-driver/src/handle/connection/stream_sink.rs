//! A connection as a [`Stream`] and a [`Sink`] of messages, for the combinators of the futures crates.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{CloseCode, CloseReason, Message, SendError};

use super::Connection;
use crate::driver::shared_machine::{Flush, SharedMachine};

/// The waits of a [`Sink`].
#[derive(Default)]
pub(super) struct SinkState {
    /// Waits for capacity in the send queue.
    capacity: Option<EventListener>,
    /// A flush or a close that has begun.
    flushing: Option<Flush>,
    is_closing: bool,
    /// Whether `poll_ready` has promised a place in the send queue.
    is_ready: bool,
}

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
        loop {
            if let Some(capacity) = &mut sink.capacity {
                ready!(Pin::new(capacity).poll(cx));
            }
            // Asked again after each notice, because another sender can fill the queue first.
            sink.capacity = machine.listen_if_full();
            if sink.capacity.is_none() {
                // Before the caller takes a message out of its source, which would be lost.
                if !machine.is_writable() {
                    return Poll::Ready(Err(SendError::Closed));
                }
                sink.is_ready = true;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Queues a message. After `poll_ready` it has a place in the send queue, also if other senders have filled
    /// the queue since; then the queue exceeds its limit by this message.
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        let (machine, sink) = self.as_sink();
        if std::mem::take(&mut sink.is_ready) {
            machine.send_reserved(message)?;
        } else {
            machine.try_send(message)?;
        }
        // An abandoned flush does not cover this message. The next `poll_flush` begins a new one.
        sink.flushing = None;
        Ok(())
    }

    /// Flushes as [`flush`](Connection::flush) does. If the future of a flush is dropped, the next flush goes on with
    /// it: it covers the messages that this sink has taken, and not those that others have queued in between.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        let flush = sink.flushing.get_or_insert_with(|| machine.begin_flush());
        let flushed = ready!(machine.poll_flush(cx, flush));
        sink.flushing = None;
        Poll::Ready(flushed)
    }

    /// Begins the closing handshake and waits until the stream is closed, at most as long as
    /// [`close`](Connection::close) does. Messages that arrive meanwhile stay in the [`Stream`]. Keep reading
    /// it, because the peer's close cannot be seen behind messages that fill the receive queue. Fails if the
    /// stream broke before all sent messages were written.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let (machine, sink) = self.as_sink();
        if !std::mem::replace(&mut sink.is_closing, true) && !machine.has_ended() {
            // Before the close: the flush covers the messages that were sent, and a break of the stream fails it.
            sink.flushing = Some(machine.begin_flush());
            machine.close(CloseCode::NORMAL, CloseReason::EMPTY);
        }
        let flush = sink.flushing.get_or_insert_with(|| machine.begin_flush());
        let ended = ready!(machine.poll_ended(cx, flush));
        sink.flushing = None;
        Poll::Ready(ended)
    }
}
