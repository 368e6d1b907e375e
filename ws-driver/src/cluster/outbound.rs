//! The way out of a node: what it publishes, over which link, and what it asks of its backplane. It joins the rules of
//! `link.rs`, `outbox.rs` and `sequence.rs`, which know nothing of each other.

use std::collections::VecDeque;
use std::time::Instant;

use super::channel::Channel;
use super::config::ClusterConfig;
use super::envelope::{Draft, Envelope, Kind};
use super::error::BackplaneError;
use super::leases::Leases;
use super::link::{ClusterHealth, Link};
use super::outbox::{Batch, Outbox, OutgoingMessage};
use super::question::{Allowance, AskError, Share};
use super::seat::{SeatRequest, Settled};
use super::sequence::{Number, Numbers};
use crate::id::cluster::NodeId;
use crate::util::sync::Arc;

pub(super) struct Outbound {
    pub(super) link: Link,
    pub(super) outbox: Outbox,
    pub(super) leases: Leases,
    /// What the engine is to be asked, and the memory that it costs until it is answered.
    questions: VecDeque<SeatRequest>,
    memory: Allowance,
    numbers: Numbers,
    /// The number of the batch that greets the others, while it is in flight.
    greeting: Option<u64>,
    /// The batch that was in flight at the last question.
    slow_batch: Option<u64>,
    /// Since when no batch was answered, if one is in doubt.
    doubted_since: Option<Instant>,
    /// Why the engine refused messages on this link, if it did.
    refusal: Option<Arc<str>>,
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
/// The number of no question.
const NO_QUESTION: u64 = 0;

impl Outbound {
    pub(super) fn new(now: Instant, config: &ClusterConfig) -> Self {
        Self {
            link: Link::new(now, config.hold),
            outbox: Outbox::new(config.queue_limit),
            leases: Leases::new(now),
            questions: VecDeque::new(),
            memory: Allowance::default(),
            numbers: Numbers::new(),
            greeting: None,
            slow_batch: None,
            doubted_since: None,
            refusal: None,
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

    /// Queues a message of the node itself. If it has no place, the queue shows what is wrong.
    pub(super) fn push_uncounted(&mut self, channel: Channel, draft: Draft) {
        if self.link.has_ended() || !self.outbox.has_capacity(draft.len()) {
            return;
        }
        self.outbox.push(uncounted(channel, draft));
    }

    /// Takes what is to be published now: on a new link a greeting, and once the node may publish what waits.
    pub(super) fn take_batch(&mut self, node: NodeId, now: Instant) -> Option<Batch> {
        if self.greeting.is_some() {
            return None;
        }
        if self.link.may_publish(now) {
            return self.outbox.take();
        }
        if !self.link.wants_greeting() {
            return None;
        }
        // The other nodes know by it that this one is there. The watchdog does not wait for it.
        let greeting = self.outbox.single(message_to_all(node, NO_QUESTION));
        self.greeting = Some(greeting.number());
        Some(greeting)
    }

    /// Notes what became of a batch. Returns why the engine refuses messages if that is the first refusal on this link.
    pub(super) fn settle(
        &mut self,
        batch: &Batch,
        settled: Settled,
        now: Instant,
    ) -> Option<Arc<str>> {
        let is_greeting = self.greeting.take_if(|it| *it == batch.number()).is_some();
        let (places, error) = match settled {
            Settled::Published => (Vec::new(), None),
            Settled::Refused { places, error } => (places, Some(Arc::from(error))),
            Settled::InDoubt => {
                self.note_doubt(now);
                return None;
            }
        };
        if is_greeting {
            self.link.note_greeted();
        } else {
            self.doubted_since = None;
        }
        let (published, refused) = self.outbox.settle(batch, &places);
        self.counters.published += count(published);
        self.counters.batches += u64::from(published > 0);
        self.counters.dropped += count(refused);
        let before = self.refusal.is_some();
        self.refusal = self.refusal.take().or(error);
        self.refusal.clone().filter(|_| !before)
    }

    /// Drops what was not published. Returns how many messages that were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.outbox.clear();
        self.counters.dropped += count(dropped);
        dropped
    }

    /// Notes that nobody knows whether the engine has the batch in flight.
    fn note_doubt(&mut self, now: Instant) {
        let doubtful = self.outbox.doubt();
        self.counters.in_doubt += count(doubtful);
        if self.outbox.is_in_doubt() {
            self.doubted_since.get_or_insert(now);
        }
    }

    /// Tells how the node is linked. A link on which a batch is in doubt again and again publishes nothing, so it is up only
    /// once the engine has answered to one.
    pub(super) fn health(&self) -> ClusterHealth {
        match (self.link.health(), self.doubted_since) {
            (ClusterHealth::Up, Some(since)) => ClusterHealth::Connecting { since },
            (health, _) => health,
        }
    }

    // The link.

    pub(super) fn note_up(&mut self, now: Instant) {
        self.note_doubt(now);
        (self.refusal, self.greeting) = (None, None);
        self.link.note_up(now);
        self.leases.note_up(now);
        (self.has_asked_node, self.has_asked_all) = (false, false);
    }

    /// Notes that there is no link. Returns whether there was one.
    pub(super) fn note_down(&mut self, error: &str, now: Instant) -> bool {
        self.note_doubt(now);
        let error = match &self.refusal {
            Some(refusal) => format!("{error}; the engine had refused messages: {refusal}").into(),
            None => error.into(),
        };
        self.link.note_down(error, now)
    }

    // What it asks of the backplane.

    /// Asks itself through the engine, and the engine for the number of nodes.
    pub(super) fn probe(&mut self, node: NodeId, now: Instant) {
        self.wants_count |= self.link.may_publish(now);
        // Behind a batch that takes long a question would come back late. The batch has a deadline of its own.
        let in_flight = self.outbox.in_flight();
        let before = std::mem::replace(&mut self.slow_batch, in_flight);
        if in_flight.is_some() && in_flight == before {
            return;
        }
        // One that has no place is not asked, so that it does not count as lost.
        if !self.outbox.has_capacity(Envelope::len(PROBE_LEN)) {
            return;
        }
        let Some(number) = self.link.begin_probe(now) else {
            return;
        };
        self.outbox.push(message_to_all(node, number));
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
        if std::mem::take(&mut self.wants_count) {
            return Some(SeatRequest::CountNodes);
        }
        loop {
            let question = self.questions.pop_front()?;
            if question.begin() {
                return Some(question);
            }
        }
    }

    /// Takes memory for a question.
    pub(super) fn share(&mut self, len: usize) -> Result<Share, AskError> {
        let limit = self.queue_limit;
        if let Some(share) = self.memory.take(len, limit) {
            return Ok(share);
        }
        // Without a link those that nobody waits for any more are still here.
        self.questions.retain(SeatRequest::is_wanted);
        let share = self.memory.take(len, limit);
        share.ok_or(AskError::Full { limit })
    }

    /// Queues a question to the engine, which is asked while there is a link. Returns whether it may ever be.
    pub(super) fn ask(&mut self, question: SeatRequest) -> bool {
        let has_ended = self.link.has_ended();
        if has_ended {
            return false;
        }
        // Nobody's appends are to cost the node its lease.
        if question.is_of_node() {
            self.questions.push_front(question);
        } else {
            self.questions.push_back(question);
        }
        true
    }

    /// Takes all questions, because nobody will answer them. They are to be dropped without the lock.
    pub(super) fn take_questions(&mut self) -> VecDeque<SeatRequest> {
        std::mem::take(&mut self.questions)
    }

    /// Tells whether a node lives, as far as this one knows.
    pub(super) fn knows(&self, node: NodeId, now: Instant) -> bool {
        self.leases.knows(node, self.link.is_up(), now)
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

/// A message of the node itself, without a number: one that is lost is nobody's loss.
fn uncounted(channel: Channel, draft: Draft) -> OutgoingMessage {
    let unnumbered = Number {
        sequence: 0,
        begin: 0,
    };
    OutgoingMessage::uncounted(channel, draft.finish(unnumbered))
}

/// A question of the node to itself, which all nodes hear, or a sign of life alone.
fn message_to_all(node: NodeId, number: u64) -> OutgoingMessage {
    let draft = Draft::new(Kind::Probe, false, node, &number.to_le_bytes());
    uncounted(Channel::All, draft)
}

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}
