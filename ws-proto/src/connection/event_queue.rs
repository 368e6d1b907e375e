//! Events that wait for the application. It takes them one by one, or in batches that still count as waiting while it
//! works through them. Knows nothing of what they mean.
//!
//! A batch counts until the application asks for more. Otherwise reading would not pause for an application that works
//! through a batch, and a close that came behind the batch would be answered too soon.

use std::sync::Arc;

use super::closed::Closed;
use super::event::Event;
use super::event_batch::EventBatch;
use crate::message::inline::Inline;

/// The queue of events.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: EventBatch,
    /// The bytes that `waiting` counts against the limit.
    waiting_len: usize,
    /// The bytes that the last batch counts; zero once the application has asked again.
    batch_len: usize,
}

impl EventQueue {
    pub(super) fn push(&mut self, event: Event) {
        self.waiting_len += cost(&event);
        self.waiting.push(event);
    }

    /// Adds a short message, which is the most frequent event.
    #[inline(always)]
    pub(super) fn push_short(&mut self, payload: Inline, is_text: bool, len: usize) {
        self.waiting_len += len + size_of::<Event>();
        self.waiting.push_short(payload, is_text);
    }

    /// Replaces the account at the end of the queue, if it was not handed out yet.
    pub(super) fn replace_closed(&mut self, closed: Arc<Closed>) {
        if let Some(Event::Closed(last)) = self.waiting.last_mut() {
            *last = closed;
        }
    }

    /// Hands out the next event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.batch_len = 0;
        let event = self.waiting.pop()?;
        self.waiting_len -= cost(&event);
        if self.waiting.is_empty() && !self.waiting.is_attached() {
            // A connection at rest keeps memory for one event, so that messages that come one at a time cost no
            // allocation.
            self.waiting.shrink();
        }
        Some(event)
    }

    /// Hands out all events, behind those that are in `batch`.
    #[inline]
    pub(super) fn pop_batch(&mut self, batch: &mut EventBatch) {
        self.batch_len = std::mem::take(&mut self.waiting_len);
        if !self.waiting.is_empty() {
            batch.append(&mut self.waiting);
            // The memory may have gone along with the events.
            self.waiting.mark_attached(false);
            batch.mark_attached(false);
        }
    }

    /// Takes over the memory of an empty batch, if the queue has no memory; see [`detach`](Self::detach).
    pub(super) fn attach(&mut self, memory: &mut EventBatch) {
        if !self.waiting.has_memory() && memory.is_empty() {
            std::mem::swap(&mut self.waiting, memory);
            self.waiting.mark_attached(true);
        }
    }

    /// Gives the memory away; the events that wait move to memory of their own.
    pub(super) fn detach(&mut self) -> EventBatch {
        self.waiting.mark_attached(false);
        self.waiting.take_memory()
    }

    /// Tells whether there is no event to hand out.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells whether the application has taken everything, and has asked again after the last batch.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.batch_len == 0
    }

    /// Returns the number of bytes that count against the limit, those of the last batch included.
    pub(super) fn len(&self) -> usize {
        self.waiting_len + self.batch_len
    }
}

/// Returns the bytes that an event counts against the `receive_queue_limit`: its payload and its own size, so that
/// empty messages are bounded, too.
fn cost(event: &Event) -> usize {
    let payload = match event {
        Event::Message(message) => message.len(),
        Event::Fragment(fragment) => fragment.content.len(),
        Event::Ping(payload) | Event::Pong(payload) => payload.len(),
        // There is at most one, so it needs no bound.
        Event::Closed(_) => return 0,
    };
    payload + size_of::<Event>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Payload};

    fn message(i: usize) -> Event {
        Event::Message(Message::Binary(Payload::from(vec![0; i])))
    }

    /// One by one or in batches, events keep their order, and count until they are drained.
    #[test]
    fn a_batch_counts_until_the_next_is_asked_for() {
        let mut queue = EventQueue::default();
        (0..10).for_each(|i| queue.push(message(i)));
        let all = queue.len();
        assert_eq!(queue.pop(), Some(message(0)));
        assert_eq!(queue.len(), all - size_of::<Event>());
        let mut batch = EventBatch::new();
        queue.pop_batch(&mut batch);
        assert_eq!(queue.len(), all - size_of::<Event>());
        assert!(queue.is_empty() && !queue.is_drained());
        queue.push(message(10));
        queue.pop_batch(&mut batch);
        assert_eq!(queue.len(), size_of::<Event>() + 10);
        for i in 1..=10 {
            assert_eq!(batch.pop(), Some(message(i)));
        }
        assert_eq!(queue.pop(), None);
        assert!(queue.is_drained());
        assert_eq!(queue.len(), 0);
        assert!(queue.waiting.memory_len() < 256);
    }

    /// The memory of a workspace comes back, and the events that still wait stay.
    #[test]
    fn attached_memory_comes_back() {
        let mut queue = EventQueue::default();
        let mut memory = EventBatch::new();
        (0..100).for_each(|i| memory.push(message(i)));
        while memory.pop().is_some() {}
        let len = memory.memory_len();
        queue.attach(&mut memory);
        assert_eq!(memory.memory_len(), 0, "the queue has it");
        queue.push(message(1));
        assert_eq!(queue.detach().memory_len(), len);
        assert!(queue.waiting.memory_len() < 256);
        assert_eq!(queue.pop(), Some(message(1)));
    }
}
