//! Messages that wait for capacity in the send queue of a slow peer. At the limit the oldest make way for the newest.
//! Knows nothing of connections.

use std::collections::VecDeque;

use ws_proto::PreparedMessage;

/// Bytes that a message counts against the limit besides its payload, so that empty messages are bounded, too.
const MESSAGE_COST: usize = size_of::<PreparedMessage>();

/// Messages in the order in which they were sent. One pointer while it is empty, as it is on almost all connections.
#[derive(Default)]
pub(crate) struct Backlog {
    /// Invariant: if it is there, it holds at least one message.
    waiting: Option<Box<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<PreparedMessage>,
    /// Bytes of payload in `messages`.
    len: usize,
}

impl Backlog {
    pub(crate) fn push_back(&mut self, message: PreparedMessage) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.len += message.len();
        waiting.messages.push_back(message);
    }

    /// Drops the oldest messages while there are more than `limit` bytes; returns how many it dropped. The newest
    /// message stays, because it may be larger than the limit by itself.
    pub(crate) fn shorten(&mut self, limit: usize) -> u64 {
        let mut dropped = 0;
        while self.count() > 1 && self.cost() > limit {
            self.pop();
            dropped += 1;
        }
        dropped
    }

    /// Drops the oldest message.
    pub(crate) fn pop(&mut self) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if let Some(message) = waiting.messages.pop_front() {
            waiting.len -= message.len();
        }
        if waiting.messages.is_empty() {
            // A connection at rest holds no memory (P5).
            self.waiting = None;
        }
    }

    /// Drops all messages; returns how many it dropped.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.count();
        self.waiting = None;
        crate::observe::counters::count(count)
    }

    pub(crate) fn oldest(&self) -> Option<&PreparedMessage> {
        self.waiting.as_ref()?.messages.front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// Returns the bytes of payload.
    pub(crate) fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len)
    }

    /// Returns the bytes that count against the limit.
    pub(crate) fn cost(&self) -> usize {
        self.len() + self.count() * MESSAGE_COST
    }

    fn count(&self) -> usize {
        let waiting = self.waiting.as_ref();
        waiting.map_or(0, |waiting| waiting.messages.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit holds, empty messages included; the newest survive in order; what is dropped is counted.
    #[test]
    fn the_oldest_make_way_for_the_newest() {
        for len in [0, 1, 100] {
            let mut backlog = Backlog::default();
            let message = |i: usize| PreparedMessage::new(vec![0; len + i % 2]);
            let mut dropped = 0;
            for i in 0..1000 {
                backlog.push_back(message(i));
                dropped += backlog.shorten(1000);
            }
            assert!(backlog.cost() <= 1000 && backlog.cost() > 800);
            assert_eq!(
                dropped + crate::observe::counters::count(backlog.count()),
                1000
            );
            let mut parity = backlog.count() % 2;
            while let Some(message) = backlog.oldest() {
                assert_eq!(message.len(), len + parity);
                backlog.pop();
                parity = 1 - parity;
            }
            assert_eq!(backlog.len(), 0);
            assert!(backlog.waiting.is_none(), "an empty one holds memory");
        }
    }

    /// A message that is larger than the limit replaces all others and stays.
    #[test]
    fn one_message_always_fits() {
        let mut backlog = Backlog::default();
        backlog.push_back("small".into());
        assert_eq!(backlog.shorten(10), 0);
        backlog.push_back("x".repeat(100).into());
        assert_eq!(backlog.shorten(10), 1);
        assert_eq!(backlog.len(), 100);
        assert_eq!(backlog.clear(), 1);
        assert!(backlog.is_empty());
    }
}
