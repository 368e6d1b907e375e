//! Receiving on a connection: the batches of events that come from the shared machine become messages and fragments.

use std::task::{Context, Poll, ready};

use ws_proto::{Event, Fragment, Message, Payload, hooks};

use super::Connection;
use crate::driver::workspace;

/// What `recv` has taken of a message whose end is still to come.
pub(super) struct Partial {
    bytes: Vec<u8>,
    is_text: bool,
}

impl Connection {
    /// Takes the next message. A short one is popped here in registers; everything else goes the general way.
    #[inline]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            if let Some(message) = hooks::pop_short(&mut self.events) {
                return Poll::Ready(Some(message));
            }
            if !self.events.is_empty() {
                return self.poll_message(cx);
            }
            if !ready!(self.poll_batch(cx)) {
                return Poll::Ready(None);
            }
        }
    }

    /// Takes the next message, and assembles one that arrives in fragments. The `message_limit` bounds its length.
    pub(super) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let fragment = match ready!(self.poll_event(cx)) {
                Some(Event::Message(message)) => return Poll::Ready(Some(message)),
                Some(Event::Fragment(fragment)) => fragment,
                Some(_) => continue,
                None => return Poll::Ready(None),
            };
            let partial = self.partial.get_or_insert_with(|| {
                Box::new(Partial {
                    bytes: Vec::new(),
                    is_text: fragment.content.is_text(),
                })
            });
            partial.bytes.extend_from_slice(fragment.content.as_bytes());
            if fragment.last {
                return Poll::Ready(self.take_partial());
            }
        }
    }

    /// Takes what has been received of a message that is to be received whole.
    fn take_partial(&mut self) -> Option<Message> {
        let Partial { bytes, is_text } = *self.partial.take()?;
        let payload = Payload::from(bytes);
        Some(if is_text {
            // All fragments of a message are of one type, and those of a text end between characters.
            Message::Text(payload.try_into().expect("fragments are whole characters"))
        } else {
            Message::Binary(payload)
        })
    }

    /// Takes the part of a message that a `recv` which was dropped had taken, so that nothing of it is lost.
    pub(super) fn take_first_part(&mut self) -> Option<Fragment> {
        self.take_partial().map(|content| Fragment {
            content,
            first: true,
            last: false,
        })
    }

    pub(super) fn poll_fragment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fragment>> {
        if let Some(part) = self.take_first_part() {
            return Poll::Ready(Some(part));
        }
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Event::Message(message)) => return Poll::Ready(Some(message.into())),
                Some(Event::Fragment(fragment)) => return Poll::Ready(Some(fragment)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// Takes the next event. Asks the shared machine only when the last batch is empty: a new batch tells the machine
    /// that the last one was received, and then it may answer a close.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop() {
                return Poll::Ready(Some(event));
            }
            if !ready!(self.poll_batch(cx)) {
                return Poll::Ready(None);
            }
        }
    }

    /// Takes the next batch of events. Is ready with `false` once the connection has ended.
    #[inline(never)]
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let polled = self.machine.poll_events(cx, &mut self.events);
        if polled.is_pending() {
            // An idle connection holds no buffer for events. It goes back to the workspace of the thread.
            workspace::with(|workspace| workspace.recycle_events(&mut self.events));
        }
        polled
    }
}
