//! The way out of a node: what it publishes, over which link, and what it asks of its backplane. It joins the rules of
//! `link.rs`, `outbox.rs` and `sequence.rs`, which know nothing of each other.

use std::time::Instant;

use super::channel::Channel;
use super::config::ClusterConfig;
use super::envelope::{Draft, Envelope, Kind};
use super::error::BackplaneError;
use super::link::Link;
use super::outbox::{Batch, Outbox, OutgoingMessage};
use super::seat::{SeatRequest, Settled};
use super::sequence::{Number, Numbers};
use crate::id::cluster::NodeId;

pub(super) struct Outbound {
    pub(super) link: Link,
    pub(super) outbox: Outbox,
    numbers: Numbers,
    /// The limit of the outbox, for errors.
    queue_limit: usize,
    /// Whether the backplane was asked for the channels that are no topics; anew on each link.
    has_asked_node: bool,
    has_asked_all: bool,
    /// Whether the backplane is to count the nodes.
    wants_count: bool,
    pub(super) is_stopping: bool,
    pub(super) counters: OutboundCounters,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OutboundCounters {
    pub(super) published: u64,
    pub(super) batches: u64,
    pub(super) dropped: u64,
    pub(super) in_doubt: u64,
}

/// The payload of a node's question to itself: its number.
const PROBE_LEN: usize = 8;

impl Outbound {
    pub(super) fn new(now: Instant, config: &ClusterConfig) -> Self {
        Self {
            link: Link::new(now, config.hold),
            outbox: Outbox::new(config.queue_limit),
            numbers: Numbers::new(),
            queue_limit: config.queue_limit,
            has_asked_node: false,
            has_asked_all: false,
            wants_count: false,
            is_stopping: false,
            counters: OutboundCounters::default(),
        }
    }

    // What the node publishes.

    pub(super) fn push(&mut self, channel: Channel, draft: Draft) -> Result<(), BackplaneError> {
        let (len, limit) = (draft.len(), self.queue_limit);
        let error = if self.link.has_ended() {
            BackplaneError::Ended
        } else if !self.outbox.can_ever_take(len) {
            BackplaneError::TooLarge { len, limit }
        } else if !self.outbox.has_capacity(len) {
            BackplaneError::Full { limit }
        } else {
            // Only now, because a number that is taken and not sent is a loss for every receiver.
            let envelope = draft.finish(self.numbers.next(&channel));
            self.outbox.push(OutgoingMessage::new(channel, envelope));
            return Ok(());
        };
        self.counters.dropped += 1;
        Err(error)
    }

    pub(super) fn take_batch(&mut self, now: Instant) -> Option<Batch> {
        if !self.link.may_publish(now) {
            return None;
        }
        self.outbox.take()
    }

    pub(super) fn settle(&mut self, batch: &Batch, settled: Settled) {
        match settled {
            Settled::Published => {
                let published = count(self.outbox.settle(batch));
                self.counters.published += published;
                self.counters.batches += u64::from(published > 0);
            }
            Settled::Refused => self.counters.dropped += count(self.outbox.settle(batch)),
            Settled::InDoubt => self.note_doubt(),
        }
    }

    /// Drops what was not published. Returns how many messages that were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.outbox.clear();
        self.counters.dropped += count(dropped);
        dropped
    }

    /// Notes that nobody knows whether the engine has the batch in flight.
    fn note_doubt(&mut self) {
        self.counters.in_doubt += count(self.outbox.doubt());
    }

    // The link.

    pub(super) fn note_up(&mut self, now: Instant) {
        self.note_doubt();
        self.link.note_up(now);
        (self.has_asked_node, self.has_asked_all) = (false, false);
    }

    /// Notes that there is no link. Returns whether there was one.
    pub(super) fn note_down(&mut self, error: &str, now: Instant) -> bool {
        self.note_doubt();
        self.link.note_down(error.into(), now)
    }

    // What it asks of the backplane.

    /// Asks itself through the engine, and the engine for the number of nodes.
    pub(super) fn probe(&mut self, node: NodeId, now: Instant) {
        self.wants_count |= self.link.may_publish(now);
        // It has no number: a question that is lost is nobody's loss. If it has no place, the queue shows what is wrong.
        if !self.outbox.has_capacity(Envelope::len(PROBE_LEN)) {
            return;
        }
        let Some(number) = self.link.begin_probe(now) else {
            return;
        };
        let draft = Draft::new(Kind::Probe, false, node, &number.to_le_bytes());
        let unnumbered = Number {
            sequence: 0,
            begin: 0,
        };
        let message = OutgoingMessage::uncounted(Channel::All, draft.finish(unnumbered));
        self.outbox.push(message);
    }

    /// Asks for the number of nodes, if the link waits for them.
    pub(super) fn look_for_nodes(&mut self, now: Instant) {
        self.wants_count |= self.link.wants_count(now);
    }

    pub(super) fn take_request(&mut self) -> Option<SeatRequest> {
        if !self.link.is_up() {
            return None;
        }
        if self.link.is_broken() {
            return Some(SeatRequest::Reconnect);
        }
        std::mem::take(&mut self.wants_count).then_some(SeatRequest::CountNodes)
    }

    /// Adds the channels that are no topics: that of the node first, and that of all nodes behind everything else, so
    /// that a node which hears it hears all.
    pub(super) fn add_own_channels(
        &mut self,
        node: NodeId,
        is_last: bool,
        channels: &mut Vec<Channel>,
    ) {
        if !std::mem::replace(&mut self.has_asked_node, true) {
            channels.insert(0, Channel::Node(node));
        }
        if is_last && !std::mem::replace(&mut self.has_asked_all, true) {
            channels.push(Channel::All);
        }
    }
}

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}
