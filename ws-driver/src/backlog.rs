//! Messages that wait for room in the send queue of a slow peer; at the limit the oldest make way for
//! the newest. Knows nothing of connections.

use std::collections::VecDeque;

use ws_proto::PreparedMessage;

/// What a message counts against the limit besides its payload, so that empty ones are bounded, too.
const MESSAGE_COST: usize = size_of::<PreparedMessage>();

#[derive(Default)]
pub(crate) struct Backlog {
    messages: VecDeque<PreparedMessage>,
    /// Bytes of payload in `messages`.
    len: usize,
}

impl Backlog {
    pub(crate) fn push_back(&mut self, message: PreparedMessage) {
        self.len += message.len();
        self.messages.push_back(message);
    }

    /// Drops the oldest messages while there are more than `limit` bytes, but not the newest one, as it
    /// may be larger than the limit by itself; returns how many were dropped.
    pub(crate) fn shorten(&mut self, limit: usize) -> u64 {
        let mut dropped = 0;
        while self.messages.len() > 1 && self.cost() > limit {
            self.pop();
            dropped += 1;
        }
        dropped
    }

    /// Drops the oldest message.
    pub(crate) fn pop(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.len -= message.len();
        }
        if self.messages.is_empty() {
            // Gives the memory back: a connection at rest holds none.
            self.messages = VecDeque::new();
        }
    }

    /// Drops all messages; returns how many there were.
    pub(crate) fn clear(&mut self) -> u64 {
        let backlog = std::mem::take(self);
        crate::counters::count(backlog.messages.len())
    }

    pub(crate) fn oldest(&self) -> Option<&PreparedMessage> {
        self.messages.front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the bytes of payload.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns what counts against the limit, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.len + self.messages.len() * MESSAGE_COST
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
                dropped + crate::counters::count(backlog.messages.len()),
                1000
            );
            let mut parity = backlog.messages.len() % 2;
            while let Some(message) = backlog.oldest() {
                assert_eq!(message.len(), len + parity);
                backlog.pop();
                parity = 1 - parity;
            }
            assert_eq!(backlog.len(), 0);
            assert_eq!(backlog.messages.capacity(), 0);
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
