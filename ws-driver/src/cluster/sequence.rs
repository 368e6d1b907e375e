//! The numbers of messages, for each node and channel: a publisher counts, and a receiver drops what it has seen and counts
//! what it missed.

use std::collections::HashMap;

use super::channel::Channel;
use crate::id::cluster::NodeId;

/// The numbers that a publisher gives. It forgets the channels that were not used for longest, and begins anew there.
pub(super) struct Numbers {
    /// The channels that were used since the last change of halves, and those of the half before. A channel that is used
    /// moves to the first, so only those that are used least are forgotten.
    young: HashMap<Channel, Number>,
    old: HashMap<Channel, Number>,
    /// The most channels in each of them.
    half_limit: usize,
    /// The largest number of any channel. One that begins anew goes on from here, so that no number of a node on a channel
    /// is given twice, and a receiver always may drop what is not larger.
    highest: u64,
}

/// The number of a message among those of its node on its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Each is one more than the one before.
    pub(super) sequence: u64,
    /// The first number since the publisher last forgot the channel. Numbers before it tell nothing about losses.
    pub(super) begin: u64,
}

/// The channels whose numbers a publisher knows.
const CHANNEL_LIMIT: usize = 65_536;

impl Numbers {
    pub(super) fn new() -> Self {
        Self::with_limit(CHANNEL_LIMIT)
    }

    fn with_limit(limit: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half_limit: limit / 2,
            highest: 0,
        }
    }

    /// Returns the number of the next message on a channel.
    pub(super) fn next(&mut self, channel: &Channel) -> Number {
        if let Some(last) = self.young.get_mut(channel) {
            last.sequence += 1;
            self.highest = self.highest.max(last.sequence);
            return *last;
        }
        let number = match self.old.remove(channel) {
            Some(last) => Number {
                sequence: last.sequence + 1,
                ..last
            },
            None => Number {
                sequence: self.highest + 1,
                begin: self.highest + 1,
            },
        };
        self.highest = self.highest.max(number.sequence);
        if self.young.len() >= self.half_limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(channel.clone(), number);
        number
    }
}

/// The last number of each publisher that a receiver has seen on a channel that it subscribes to. It lives as long as the
/// subscription.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Seen {
    /// In the order in which the publishers were first seen.
    last: Vec<(NodeId, u64)>,
}

/// What the number of a message says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is new, and so many before it were missed.
    New { missed: u64 },
    /// It has been seen.
    Duplicate,
}

/// The publishers on one channel whose numbers are known. Each start of a node has an id of its own, so old ones have to go.
const NODE_LIMIT: usize = 1024;

impl Seen {
    /// Notes a message.
    pub(super) fn note(&mut self, node: NodeId, number: Number) -> Verdict {
        let Number { sequence, begin } = number;
        let Some((_, last)) = self.last.iter_mut().find(|(known, _)| *known == node) else {
            if self.last.len() >= NODE_LIMIT {
                self.last.remove(0);
            }
            self.last.push((node, sequence));
            // What a publisher sent before we listened was not for us.
            return Verdict::New { missed: 0 };
        };
        if sequence <= *last {
            return Verdict::Duplicate;
        }
        let missed = sequence - begin.max(*last + 1);
        *last = sequence;
        Verdict::New { missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(number: u64) -> Channel {
        Channel::Topic(number.to_string().into())
    }

    /// Whatever is forgotten, the numbers of a channel grow, and all but first ones follow their predecessor.
    #[test]
    fn numbers_grow_and_a_new_beginning_shows() {
        let mut numbers = Numbers::with_limit(8);
        let mut last = HashMap::new();
        let (mut random, mut firsts) = (1u32, 0);
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let channel = channel(u64::from(random >> 28));
            let number = numbers.next(&channel);
            let before = last.insert(channel, number.sequence);
            assert!(before.is_none_or(|before| number.sequence > before));
            let follows = before.is_some_and(|before| number.sequence == before + 1);
            let is_first = number.sequence == number.begin;
            assert!(follows != is_first, "{number:?} behind {before:?}");
            firsts += u32::from(is_first);
            assert!(numbers.young.len() + numbers.old.len() <= 8);
        }
        assert!(firsts > 1000, "channels were forgotten");
    }

    /// A channel that is used stays known, however many others there are.
    #[test]
    fn a_channel_in_use_is_not_forgotten() {
        let mut numbers = Numbers::with_limit(8);
        let busy = channel(1000);
        assert_eq!(numbers.next(&busy).begin, 1);
        for other in 0..100 {
            numbers.next(&channel(other));
            assert_eq!(numbers.next(&busy).begin, 1);
        }
    }

    /// What is received and what is counted as missed makes up what was sent, whatever is lost, repeated or moved back.
    #[test]
    fn received_and_missed_are_what_was_sent() {
        let (node, mut seen) = (NodeId(1), Seen::default());
        let mut random = 1u32;
        let (mut received, mut missed) = (0, 0);
        for sequence in 1..=10_000u64 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_lost = random >> 30 == 0 && sequence > 1 && sequence < 10_000;
            let again = (random >> 28) & 3;
            for sequence in (sequence.saturating_sub(u64::from(again))..=sequence).rev() {
                let is_old = sequence == 0 || is_lost;
                if is_old {
                    continue;
                }
                let number = Number { sequence, begin: 1 };
                if let Verdict::New { missed: more } = seen.note(node, number) {
                    received += 1;
                    missed += more;
                }
            }
        }
        assert_eq!(received + missed, 10_000);
        assert!(missed > 1000);
    }

    #[test]
    fn publishers_that_are_gone_cost_a_bounded_memory() {
        let mut seen = Seen::default();
        for node in 0..10_000 {
            let number = Number {
                sequence: 5,
                begin: 1,
            };
            assert_eq!(seen.note(NodeId(node), number), Verdict::New { missed: 0 });
        }
        assert_eq!(seen.last.len(), NODE_LIMIT);
    }
}
