//! Events that wait for the application: one by one, or in batches that still count as waiting while
//! it works through them. Knows nothing of what they mean.

use std::sync::Arc;

use super::closed::Closed;
use super::event::Event;
use super::event_batch::EventBatch;
use crate::message::inline::Inline;

/// The queue of events.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: EventBatch,
    /// What `waiting` counts against the limit, in bytes.
    waiting_len: usize,
    /// What the batch counts that was handed out last; zero once the application has asked again.
    batch_len: usize,
    /// Whether the room of `waiting` belongs to somebody who will want it back as it is.
    is_lent: bool,
}

impl EventQueue {
    pub(super) fn push(&mut self, event: Event) {
        self.waiting_len += cost(&event);
        self.waiting.push(event);
    }

    /// As [`push`](Self::push), for what is pushed most: a message of a few bytes.
    #[inline(always)]
    pub(super) fn push_short(&mut self, payload: Inline, is_text: bool, len: usize) {
        self.waiting_len += len + size_of::<Event>();
        self.waiting.push_short(payload, is_text);
    }

    /// Puts another account in the place of the one that ends the queue, if that was not handed out yet.
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
        if self.waiting.is_empty() && !self.is_lent {
            // A connection at rest keeps room for one event, so that messages that come one at a time
            // cost no allocation.
            self.waiting.shrink();
        }
        Some(event)
    }

    /// Hands out all events: behind those that are in `batch`.
    pub(super) fn pop_batch(&mut self, batch: &mut EventBatch) {
        self.batch_len = std::mem::take(&mut self.waiting_len);
        if !self.waiting.is_empty() {
            batch.append(&mut self.waiting);
            // It may have gone along.
            self.is_lent = false;
        }
    }

    /// Takes over the room of a batch in which nothing is, if it has none; see [`reclaim`](Self::reclaim).
    pub(super) fn lend(&mut self, room: &mut EventBatch) {
        if self.waiting.is_bare() && room.is_empty() {
            std::mem::swap(&mut self.waiting, room);
            self.is_lent = !self.waiting.is_bare();
        }
    }

    /// Gives its room away; what waits moves to room of its own.
    pub(super) fn reclaim(&mut self) -> EventBatch {
        self.is_lent = false;
        self.waiting.replace_room()
    }

    /// Tells whether nothing is to be handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells whether the application has taken everything, and asked again after the last batch.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.batch_len == 0
    }

    /// Returns the bytes that count against the limit, those of the batch included.
    pub(super) fn len(&self) -> usize {
        self.waiting_len + self.batch_len
    }
}

/// What an event counts against the `receive_queue_limit`: its payload and its own size, so that
/// empty messages are bounded, too.
fn cost(event: &Event) -> usize {
    let payload = match event {
        Event::Message(message) => message.len(),
        Event::Fragment(fragment) => fragment.content.len(),
        Event::Ping(payload) | Event::Pong(payload) => payload.len(),
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
        assert!(queue.waiting.room() < 256);
    }

    /// What is lent comes back, and what still waits then stays.
    #[test]
    fn lent_room_comes_back() {
        let mut queue = EventQueue::default();
        let mut room = EventBatch::new();
        (0..100).for_each(|i| room.push(message(i)));
        while room.pop().is_some() {}
        let len = room.room();
        queue.lend(&mut room);
        assert_eq!(room.room(), 0, "it was lent");
        queue.push(message(1));
        assert_eq!(queue.reclaim().room(), len);
        assert!(queue.waiting.room() < 256);
        assert_eq!(queue.pop(), Some(message(1)));
    }
}
