//! What waits to be published, and the batch that is on its way. A batch whose answer did not come is published again
//! before anything else, because the engine may have it or not; its numbers let receivers drop what they have.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::channel::Channel;

/// The messages of a node for other nodes, in the order of their numbers.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Outbox {
    waiting: VecDeque<OutgoingMessage>,
    /// What the waiting messages and the batch count against the limit.
    len: usize,
    /// The most that may wait, in bytes.
    limit: usize,
    batch: Option<Batch>,
    /// How the batch stands.
    standing: Standing,
    /// The number of the last batch.
    last_number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    /// There is no batch.
    None,
    /// The backplane has it.
    InFlight,
    /// Nobody knows whether the engine has it.
    InDoubt,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OutgoingMessage {
    /// Where to publish it.
    pub channel: Channel,
    /// What to publish.
    pub envelope: Bytes,
    /// Whether it is a message of the application, and not one that the node sends to itself.
    pub(super) counts: bool,
}

impl OutgoingMessage {
    pub(super) fn new(channel: Channel, envelope: Bytes) -> Self {
        Self {
            channel,
            envelope,
            counts: true,
        }
    }

    /// A message of a node to itself.
    pub(super) fn uncounted(channel: Channel, envelope: Bytes) -> Self {
        Self {
            counts: false,
            ..Self::new(channel, envelope)
        }
    }

    /// What it counts against the limit: its bytes, and what keeping it costs.
    fn cost(&self) -> usize {
        self.envelope.len() + size_of::<Self>()
    }
}

/// Messages to publish together, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Distinguishes it from other batches of this node. One that is published again keeps its number.
    number: u64,
    messages: Arc<[OutgoingMessage]>,
}

impl Batch {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Returns the messages: at least one, at most 512.
    pub fn messages(&self) -> &[OutgoingMessage] {
        &self.messages
    }
}

/// The most messages of a batch, and the most bytes if it has more than one. They bound what is in doubt at a time.
const BATCH_MESSAGES: usize = 512;
const BATCH_LEN: usize = 256 << 10;

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            len: 0,
            limit,
            batch: None,
            standing: Standing::None,
            last_number: 0,
        }
    }

    /// Tells whether a message with a payload of this length has a place.
    pub(super) fn has_capacity(&self, envelope_len: usize) -> bool {
        let cost = envelope_len.saturating_add(size_of::<OutgoingMessage>());
        self.len.saturating_add(cost) <= self.limit
    }

    /// Tells whether a message of this length has a place in an empty queue.
    pub(super) fn can_ever_take(&self, envelope_len: usize) -> bool {
        envelope_len.saturating_add(size_of::<OutgoingMessage>()) <= self.limit
    }

    /// Adds a message. The caller has asked for [capacity](Self::has_capacity) before it took a number.
    pub(super) fn push(&mut self, message: OutgoingMessage) {
        self.len += message.cost();
        self.waiting.push_back(message);
    }

    /// Takes a batch to publish: first the one that is in doubt, then what waits. Nothing while another is in flight.
    pub(super) fn take(&mut self) -> Option<Batch> {
        match self.standing {
            Standing::InFlight => return None,
            Standing::InDoubt => {}
            Standing::None => self.batch = Some(self.fill()?),
        }
        self.standing = Standing::InFlight;
        self.batch.clone()
    }

    fn fill(&mut self) -> Option<Batch> {
        let (mut len, mut count) = (0, 0);
        for message in self.waiting.iter().take(BATCH_MESSAGES) {
            len += message.envelope.len();
            if count > 0 && len > BATCH_LEN {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return None;
        }
        self.last_number += 1;
        Some(Batch {
            number: self.last_number,
            messages: self.waiting.drain(..count).collect(),
        })
    }

    /// Makes a batch of one message that nobody misses. It is not kept here.
    pub(super) fn single(&mut self, message: OutgoingMessage) -> Batch {
        self.last_number += 1;
        Batch {
            number: self.last_number,
            messages: [message].into(),
        }
    }

    /// Notes that the engine has answered: it took the batch, but for the messages at these places, which it refused. Returns
    /// how many it took, and how many it refused; none if this is not the batch in flight.
    pub(super) fn settle(&mut self, batch: &Batch, refused: &[usize]) -> (usize, usize) {
        if self.in_flight() != Some(batch.number) {
            return (0, 0);
        }
        self.standing = Standing::None;
        let messages = self.batch.take().map(|batch| batch.messages);
        let messages = messages.as_deref().unwrap_or_default();
        self.len -= messages.iter().map(OutgoingMessage::cost).sum::<usize>();
        let refused = refused.iter().filter_map(|place| messages.get(*place));
        let refused = count(refused);
        (count(messages).saturating_sub(refused), refused)
    }

    /// Notes that the answer to the batch in flight will not come. Returns how many messages are in doubt now that were not
    /// before.
    pub(super) fn doubt(&mut self) -> usize {
        if self.standing != Standing::InFlight {
            return 0;
        }
        self.standing = Standing::InDoubt;
        self.batch
            .as_ref()
            .map_or(0, |batch| count(&*batch.messages))
    }

    /// The number of the batch in flight.
    pub(super) fn in_flight(&self) -> Option<u64> {
        let batch = self.batch.as_ref()?;
        (self.standing == Standing::InFlight).then_some(batch.number)
    }

    /// Tells whether a batch waits to be published again, or was and is not answered.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.standing == Standing::InDoubt
    }

    /// Drops everything. Returns how many messages that were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.messages_len();
        self.batch = None;
        self.waiting = VecDeque::new();
        (self.standing, self.len) = (Standing::None, 0);
        dropped
    }

    /// The bytes that wait and are on their way, with the memory for them.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of messages that are not settled.
    pub(super) fn messages_len(&self) -> usize {
        let batch = self
            .batch
            .as_ref()
            .map_or(0, |batch| count(&*batch.messages));
        batch + count(&self.waiting)
    }
}

/// The number of messages of the application.
fn count<'a>(messages: impl IntoIterator<Item = &'a OutgoingMessage>) -> usize {
    messages
        .into_iter()
        .filter(|message| message.counts)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32, len: usize) -> OutgoingMessage {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.resize(len.max(4), 0);
        OutgoingMessage::new(Channel::All, bytes.into())
    }

    fn numbers(batch: &Batch) -> Vec<u32> {
        let numbers = batch.messages().iter().map(|message| {
            let (head, _) = message.envelope.split_first_chunk().unwrap();
            u32::from_le_bytes(*head)
        });
        numbers.collect()
    }

    /// Whatever answers come, each message is in one batch that was answered, in order, and what is in doubt comes again as
    /// it was, before the rest.
    #[test]
    fn each_message_is_answered_for_once_in_order() {
        let mut outbox = Outbox::new(1 << 20);
        let (mut random, mut pushed, mut answered) = (1u32, 0, Vec::new());
        let mut doubtful: Option<Vec<u32>> = None;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = usize::try_from((random >> 20) & 255).unwrap();
            match random >> 30 {
                0 | 1 => {
                    if outbox.has_capacity(len.max(4)) {
                        outbox.push(message(pushed, len));
                        pushed += 1;
                    }
                }
                _ => {
                    let Some(batch) = outbox.take() else { continue };
                    assert!(outbox.take().is_none(), "one is in flight");
                    let found = numbers(&batch);
                    if let Some(expected) = doubtful.take() {
                        assert_eq!(found, expected);
                    }
                    if random >> 28 & 3 == 0 {
                        assert_eq!(outbox.doubt(), found.len());
                        assert_eq!(
                            outbox.settle(&batch, &[]),
                            (0, 0),
                            "the answer comes too late"
                        );
                        doubtful = Some(found);
                    } else {
                        assert_eq!(outbox.settle(&batch, &[0, 999]), (found.len() - 1, 1));
                        assert_eq!(outbox.settle(&batch, &[]), (0, 0), "twice");
                        answered.extend(found);
                    }
                }
            }
        }
        while let Some(batch) = outbox.take() {
            answered.extend(numbers(&batch));
            outbox.settle(&batch, &[]);
        }
        assert_eq!(answered, (0..pushed).collect::<Vec<_>>());
        assert_eq!((outbox.len(), outbox.messages_len()), (0, 0));
    }

    #[test]
    fn batches_and_the_queue_are_bounded() {
        let mut outbox = Outbox::new(4 << 20);
        let mut count = 0;
        while outbox.has_capacity(100) {
            outbox.push(message(count, 100));
            count += 1;
        }
        assert!(outbox.len() <= 4 << 20);
        let first = outbox.take().unwrap();
        assert_eq!(first.messages().len(), BATCH_MESSAGES);
        // What is on its way counts, so that a backplane which never answers holds no more than that.
        assert!(!outbox.has_capacity(100));
        outbox.settle(&first, &[]);
        assert!(outbox.has_capacity(100));
        assert_eq!(
            outbox.clear(),
            usize::try_from(count).unwrap() - BATCH_MESSAGES
        );

        // A long message has a batch of its own.
        for len in [200 << 10, 200 << 10, 300 << 10, 10] {
            outbox.push(message(0, len));
        }
        let mut lens = Vec::new();
        while let Some(batch) = outbox.take() {
            lens.push(batch.messages().len());
            outbox.settle(&batch, &[]);
        }
        assert_eq!(lens, [1, 1, 1, 1]);
    }
}
