//! What the sinks of a connection and of a sender have in common: their waits, kept between the polls.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use ws_proto::{CloseCode, CloseReason, Message, SendError};

use crate::driver::shared_machine::{CapacityWait, Draft, Flush, IfOpen, SharedMachine, Then};

/// The waits of a `Sink`.
#[derive(Default)]
pub(super) struct SinkState {
    /// Waits for capacity in the send queue.
    capacity: Option<EventListener>,
    /// A flush or a close that has begun.
    flushing: Option<Flush>,
    is_closing: bool,
    /// Whether `poll_ready` has promised a place in the send queue.
    is_ready: bool,
    /// A message that was promised a place, and has to wait for the end of a message in fragments which began since.
    held: Option<Box<Held>>,
}

struct Held {
    draft: Draft,
    wait: CapacityWait,
}

impl SinkState {
    /// Waits for a place in the send queue; `open` says whether also for the end of a message that is sent in fragments.
    pub(super) fn poll_ready(
        &mut self,
        machine: &SharedMachine,
        open: IfOpen,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        ready!(self.poll_held(machine, cx))?;
        loop {
            if let Some(capacity) = &mut self.capacity {
                ready!(Pin::new(capacity).poll(cx));
                self.capacity = None;
                if machine.give_way_after_wait(cx) {
                    return Poll::Pending;
                }
            }
            // Asked again after each notice, because another sender can fill the queue first.
            self.capacity = machine.listen_if_full(open);
            if self.capacity.is_none() {
                // Before the caller takes a message out of its source, which would be lost.
                if !machine.is_writable() {
                    return Poll::Ready(Err(SendError::Closed));
                }
                self.is_ready = true;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Queues a message. After [`poll_ready`](Self::poll_ready) it has a place in the send queue, also if other senders
    /// have filled the queue since.
    pub(super) fn start_send(
        &mut self,
        machine: &SharedMachine,
        open: IfOpen,
        message: Message,
    ) -> Result<(), SendError> {
        if std::mem::take(&mut self.is_ready) {
            let mut draft = Draft::new(message);
            match machine.send_reserved(&mut draft) {
                Err(SendError::MessageOpen) if open == IfOpen::Wait => {
                    let wait = CapacityWait::default();
                    self.held = Some(Box::new(Held { draft, wait }));
                }
                sent => sent?,
            }
        } else {
            machine.try_send(message)?;
        }
        // An abandoned flush does not cover this message. The next `poll_flush` begins a new one.
        self.flushing = None;
        Ok(())
    }

    /// Flushes what was queued before this flush began.
    pub(super) fn poll_flush(
        &mut self,
        machine: &SharedMachine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        ready!(self.poll_held(machine, cx))?;
        let flush = self.flushing.get_or_insert_with(|| machine.begin_flush());
        let flushed = ready!(machine.poll_flush(cx, flush));
        self.flushing = None;
        Poll::Ready(flushed)
    }

    /// Closes the connection, and waits until its stream is closed.
    pub(super) fn poll_close(
        &mut self,
        machine: &SharedMachine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        ready!(self.poll_held(machine, cx))?;
        if !std::mem::replace(&mut self.is_closing, true) && !machine.has_ended() {
            // Before the close: the flush covers the messages that were sent, and a break of the stream fails it.
            self.flushing = Some(machine.begin_flush());
            machine.close(CloseCode::NORMAL, CloseReason::EMPTY);
        }
        let flush = self.flushing.get_or_insert_with(|| machine.begin_flush());
        let ended = ready!(machine.poll_ended(cx, flush));
        self.flushing = None;
        Poll::Ready(ended)
    }

    /// Waits until the message that is held is queued.
    fn poll_held(
        &mut self,
        machine: &SharedMachine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let Some(held) = &mut self.held else {
            return Poll::Ready(Ok(()));
        };
        let Held { draft, wait } = &mut **held;
        let sent = ready!(machine.poll_send(cx, draft, IfOpen::Wait, Then::Wake, wait));
        self.held = None;
        Poll::Ready(sent)
    }
}
