//! Events that wait for the application: one by one, or in batches that still count as waiting while
//! it works through them. Knows nothing of what they mean.

use std::collections::VecDeque;

use crate::event::Event;
use crate::message::Message;

/// The queue of events.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: VecDeque<Event>,
    /// What `waiting` counts against the limit, in bytes.
    waiting_len: usize,
    /// What the batch counts that was handed out last; zero once the application has asked again.
    batch_len: usize,
}

impl EventQueue {
    pub(super) fn push(&mut self, event: Event) {
        self.push_back(cost(&event), event);
    }

    /// As [`push`](Self::push), for what is pushed most.
    #[inline]
    pub(super) fn push_message(&mut self, message: Message) {
        self.push_back(message.len() + size_of::<Event>(), Event::Message(message));
    }

    /// Hands out the next event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.batch_len = 0;
        let event = self.waiting.pop_front()?;
        self.waiting_len -= cost(&event);
        self.shrink_if_empty();
        Some(event)
    }

    /// Hands out all events: behind those that are in `batch`.
    pub(super) fn pop_batch(&mut self, batch: &mut VecDeque<Event>) {
        self.batch_len = std::mem::take(&mut self.waiting_len);
        if batch.is_empty() {
            std::mem::swap(&mut self.waiting, batch);
        } else {
            batch.append(&mut self.waiting);
        }
        self.shrink_if_empty();
    }

    /// Tells whether nothing is to be handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells whether the application has taken everything, and asked again after the last batch.
    pub(super) fn is_worked_off(&self) -> bool {
        self.waiting.is_empty() && self.batch_len == 0
    }

    /// Returns the bytes that count against the limit, those of the batch included.
    pub(super) fn len(&self) -> usize {
        self.waiting_len + self.batch_len
    }

    #[inline]
    fn push_back(&mut self, cost: usize, event: Event) {
        if self.waiting.len() == self.waiting.capacity() {
            self.grow();
        }
        self.waiting_len += cost;
        self.waiting.push_back(event);
    }

    #[cold]
    fn grow(&mut self) {
        let kept = self.waiting.capacity() >= EVENTS_KEPT;
        let additional = if kept { GROWTH } else { EVENTS_KEPT };
        self.waiting
            .reserve_exact(additional.max(self.waiting.len()));
    }

    /// A connection at rest keeps room for one event, so that messages that come one at a time cost
    /// no allocation.
    fn shrink_if_empty(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > EVENTS_KEPT {
            self.waiting.shrink_to(EVENTS_KEPT);
        }
    }
}

/// Room that a queue at rest keeps.
const EVENTS_KEPT: usize = 1;

/// Room that is made once there is more than one event: more would be much for two that came in four bytes.
const GROWTH: usize = 7;

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
    use crate::message::Payload;

    fn message(i: usize) -> Event {
        Event::Message(Message::Binary(Payload::from(vec![0; i])))
    }

    /// One by one or in batches, events keep their order, and count until they are worked off.
    #[test]
    fn a_batch_counts_until_the_next_is_asked_for() {
        let mut queue = EventQueue::default();
        (0..10).for_each(|i| queue.push(message(i)));
        let all = queue.len();
        assert_eq!(queue.pop(), Some(message(0)));
        assert_eq!(queue.len(), all - size_of::<Event>());
        let mut batch = VecDeque::new();
        queue.pop_batch(&mut batch);
        assert_eq!(queue.len(), all - size_of::<Event>());
        assert!(queue.is_empty() && !queue.is_worked_off());
        queue.push(message(10));
        queue.pop_batch(&mut batch);
        assert_eq!(queue.len(), size_of::<Event>() + 10);
        assert!(batch.into_iter().eq((1..=10).map(message)));
        assert_eq!(queue.pop(), None);
        assert!(queue.is_worked_off());
        assert_eq!(queue.len(), 0);
        assert!(queue.waiting.capacity() <= EVENTS_KEPT);
    }
}
