//! What arrived from other nodes and waits for its members here: numbered, checked, and bounded. A queue that is full closes
//! the gate of the backplane, which stops reading; so the memory is the engine's, and what the engine cuts is counted.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use bytes::Bytes;

use super::channel::Channel;
use super::envelope::{Address, Envelope, Kind, Malformed};
use super::follow::LogWork;
use super::link::Heard;
use super::log::position::{LogEvent, Position};
use super::sequence::{Seen, Verdict};
use crate::id::ConnectionId;
use crate::id::cluster::NodeId;
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// Tasks that hand messages on. A topic belongs to one of them, so that its order holds while another topic waits.
pub(super) const WORKERS: usize = 4;

pub(super) struct Inbound {
    node: NodeId,
    /// The most bytes that wait.
    limit: usize,
    /// The longest payload that is handed on.
    message_limit: usize,
    state: Mutex<State>,
    arrived: [Notice; WORKERS],
    /// Notified when there is room again, and at the end.
    drained: Notice,
}

#[derive(Default)]
struct State {
    /// The channels that the node subscribes to, with the numbers seen on each.
    channels: HashMap<Channel, Seen>,
    queues: [VecDeque<Work>; WORKERS],
    /// Whether a worker has still to hear of a second that has passed.
    has_second: [bool; WORKERS],
    len: usize,
    is_paused: bool,
    /// What has arrived since somebody asked.
    heard: Heard,
    has_ended: bool,
    counters: InboundCounters,
}

/// What a worker has to do.
pub(super) enum Work {
    Message(Arrival),
    Log(LogWork),
}

/// A message for connections of this node.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) audience: Audience,
    pub(super) envelope: Envelope,
}

/// The connections of this node that a message is for. What is for one audience stays in its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Audience {
    All,
    Topic(Arc<str>),
    One(ConnectionId),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InboundCounters {
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) missed: u64,
    pub(super) malformed: u64,
    pub(super) undelivered: u64,
    pub(super) log_gaps: u64,
    /// How often the gate closed.
    pub(super) paused: u64,
}

/// Whether a backplane may read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Gate {
    /// It may.
    Open,
    /// The queue is full: wait for [`Seat::gate`](crate::Seat::gate) before you read more from the engine. What has
    /// been read may still be delivered.
    Closed,
}

/// What is left to do about what arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// Nothing.
    Done,
    /// A worker has it.
    Queued(usize),
    /// Our own question of that number has come back.
    Probe(u64),
    /// Another node has given a sign of life.
    Heard(NodeId),
    /// A node says what became of a message that we sent it.
    Outcome { node: NodeId, payload: Bytes },
}

impl Inbound {
    pub(super) fn new(node: NodeId, limit: usize, message_limit: usize) -> Self {
        Self {
            node,
            limit,
            message_limit,
            state: Mutex::default(),
            arrived: std::array::from_fn(|_| Notice::new()),
            drained: Notice::new(),
        }
    }

    /// Begins to take what arrives on a channel.
    pub(super) fn subscribe(&self, channels: impl Iterator<Item = Channel>) {
        let mut state = self.lock();
        for channel in channels {
            // With the numbers seen before the link broke, so that what was lost meanwhile is counted.
            state.channels.entry(channel).or_default();
        }
    }

    /// Drops what arrives on these channels from now on. The numbers are forgotten: what is missed was not wanted.
    pub(super) fn unsubscribe<'a>(&self, channels: impl Iterator<Item = &'a Channel>) {
        let mut state = self.lock();
        for channel in channels {
            state.channels.remove(channel);
        }
    }

    /// Forgets the channels that are not wanted any more, because a new link does not subscribe to them.
    pub(super) fn retain(&self, is_wanted: impl Fn(&Channel) -> bool) {
        self.lock().channels.retain(|channel, _| is_wanted(channel));
    }

    /// Takes any bytes that arrived.
    pub(super) fn deliver(&self, channel: Channel, bytes: Bytes) -> (Arrived, Gate) {
        let envelope = Envelope::decode(bytes);
        let mut state = self.lock();
        let noted = envelope.and_then(|envelope| state.note(self, channel, envelope));
        let arrived = noted.unwrap_or_else(|Malformed| {
            state.counters.malformed += 1;
            Arrived::Done
        });
        if state.heard == Heard::Nothing && !matches!(arrived, Arrived::Probe(_)) {
            state.heard = Heard::Messages;
        }
        let is_full = state.len >= self.limit;
        if is_full {
            state.heard = Heard::NotListening;
        }
        if is_full && !std::mem::replace(&mut state.is_paused, true) {
            state.counters.paused += 1;
        }
        drop(state);
        let gate = if is_full { Gate::Closed } else { Gate::Open };
        if let Arrived::Queued(worker) = arrived {
            self.arrived[worker].notify(1);
        }
        (arrived, gate)
    }

    /// Waits until there is room for more.
    pub(super) async fn drained(&self) {
        loop {
            let drained = self.drained.listen();
            {
                let state = self.lock();
                // At half: otherwise each message that is handed on would open the gate for the next one.
                if state.len <= self.limit / 2 || state.has_ended {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Returns the next work of a worker, if there is some.
    pub(super) fn try_next(&self, worker: usize) -> Option<Work> {
        self.lock().take(worker)
    }

    /// Waits for the next work of a worker. Returns `None` at the end.
    pub(super) async fn next(&self, worker: usize) -> Option<Work> {
        loop {
            let arrived = self.arrived[worker].listen();
            {
                let mut state = self.lock();
                if state.has_ended {
                    return None;
                }
                if let Some(work) = state.take(worker) {
                    return Some(work);
                }
            }
            arrived.await;
        }
    }

    /// Tells whether nothing waits for a worker.
    pub(super) fn is_idle(&self, worker: usize) -> bool {
        self.lock().queues[worker].is_empty()
    }

    /// Gives the worker of a topic something to do about its log.
    pub(super) fn push_log_work(&self, topic: &Arc<str>, work: LogWork) {
        let mut state = self.lock();
        if state.has_ended {
            return;
        }
        let worker = state.push(Audience::Topic(Arc::clone(topic)).worker(), Work::Log(work));
        drop(state);
        self.arrived[worker].notify(1);
    }

    /// Tells the workers that there is a new link.
    pub(super) fn note_new_link(&self) {
        let mut state = self.lock();
        if !state.has_ended {
            for worker in 0..WORKERS {
                state.push(worker, Work::Log(LogWork::NewLink));
            }
        }
        drop(state);
        self.arrived.iter().for_each(|arrived| {
            arrived.notify(1);
        });
    }

    /// Tells the workers that a second has passed.
    pub(super) fn note_second(&self) {
        let mut state = self.lock();
        for worker in 0..WORKERS {
            if !state.has_ended && !std::mem::replace(&mut state.has_second[worker], true) {
                state.push(worker, Work::Log(LogWork::Second));
            }
        }
        drop(state);
        self.arrived.iter().for_each(|arrived| {
            arrived.notify(1);
        });
    }

    /// Counts what is missing in a log.
    pub(super) fn note_log_event(&self, event: &LogEvent) {
        if let LogEvent::Gap { .. } = event {
            self.lock().counters.log_gaps += 1;
        }
    }

    pub(super) fn message_limit(&self) -> usize {
        self.message_limit
    }

    /// Notes that a message was handed on.
    pub(super) fn note_done(&self, work_len: usize) {
        let mut state = self.lock();
        state.len = state.len.saturating_sub(work_len);
        let has_room = state.len <= self.limit / 2;
        if has_room && std::mem::take(&mut state.is_paused) {
            drop(state);
            self.drained.notify(usize::MAX);
        }
    }

    /// Returns what has arrived since the last call.
    pub(super) fn take_heard(&self) -> Heard {
        let mut state = self.lock();
        let begin = if state.is_paused {
            Heard::NotListening
        } else {
            Heard::Nothing
        };
        std::mem::replace(&mut state.heard, begin)
    }

    pub(super) fn note_malformed(&self) {
        self.lock().counters.malformed += 1;
    }

    pub(super) fn note_undelivered(&self) {
        self.lock().counters.undelivered += 1;
    }

    /// Drops what waits, and ends the workers.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        let queues = std::mem::take(&mut state.queues);
        state.len = 0;
        state.channels = HashMap::new();
        drop(state);
        drop(queues);
        self.arrived.iter().for_each(|arrived| {
            arrived.notify(usize::MAX);
        });
        self.drained.notify(usize::MAX);
    }

    pub(super) fn counters(&self) -> (InboundCounters, usize) {
        let state = self.lock();
        (state.counters, state.len)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is used on: no user code runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes what arrived, and queues it if it is a message.
    fn note(
        &mut self,
        inbound: &Inbound,
        channel: Channel,
        envelope: Envelope,
    ) -> Result<Arrived, Malformed> {
        let is_ours = envelope.node == inbound.node;
        match envelope.kind {
            Kind::Log => return self.note_log(channel, envelope),
            Kind::Probe if is_ours => return own_probe(&envelope),
            Kind::Probe => return Ok(Arrived::Heard(envelope.node)),
            // Our members have it already.
            _ if is_ours => return Ok(Arrived::Done),
            Kind::Outcome if channel == Channel::Node(inbound.node) => {
                let Envelope { node, payload, .. } = envelope;
                return Ok(Arrived::Outcome { node, payload });
            }
            Kind::Outcome => return Err(Malformed),
            Kind::Text | Kind::Binary => {}
        }
        if envelope.payload.len() > inbound.message_limit {
            return Err(Malformed);
        }
        let Some(seen) = self.channels.get_mut(&channel) else {
            // It was published before the engine noted that we do not want it any more.
            return Ok(Arrived::Done);
        };
        let audience = Audience::of(channel, envelope.to)?;
        match seen.note(envelope.node, envelope.number) {
            Verdict::Duplicate => {
                self.counters.duplicates += 1;
                return Ok(Arrived::Done);
            }
            Verdict::New { missed } => {
                self.counters.received += 1;
                self.counters.missed = self.counters.missed.saturating_add(missed);
            }
        }
        if self.has_ended {
            return Ok(Arrived::Done);
        }
        let worker = audience.worker();
        let arrival = Arrival { audience, envelope };
        Ok(Arrived::Queued(self.push(worker, Work::Message(arrival))))
    }

    /// Queues an entry of a log, of this node as well: all members get it from the log alone.
    fn note_log(&mut self, channel: Channel, envelope: Envelope) -> Result<Arrived, Malformed> {
        let is_known = self.channels.contains_key(&channel);
        let Channel::Topic(topic) = channel else {
            return Err(Malformed);
        };
        if self.has_ended || !is_known {
            return Ok(Arrived::Done);
        }
        let worker = Audience::Topic(Arc::clone(&topic)).worker();
        let work = LogWork::Arrived {
            topic,
            position: Position {
                epoch: envelope.number.begin,
                offset: envelope.number.sequence,
            },
            entry: envelope.payload,
        };
        Ok(Arrived::Queued(self.push(worker, Work::Log(work))))
    }

    fn push(&mut self, worker: usize, work: Work) -> usize {
        self.len += work.len();
        self.queues[worker].push_back(work);
        worker
    }

    fn take(&mut self, worker: usize) -> Option<Work> {
        let work = self.queues[worker].pop_front()?;
        if matches!(work, Work::Log(LogWork::Second)) {
            self.has_second[worker] = false;
        }
        Some(work)
    }
}

impl Work {
    /// What it counts against the limit: its bytes, and what keeping it costs.
    pub(super) fn len(&self) -> usize {
        let payload_len = match self {
            Self::Message(arrival) => arrival.envelope.payload.len(),
            Self::Log(LogWork::Arrived { entry, .. }) => entry.len(),
            Self::Log(_) => 0,
        };
        payload_len + size_of::<Self>()
    }
}

/// Reads the number of a question of this node to itself.
fn own_probe(envelope: &Envelope) -> Result<Arrived, Malformed> {
    match envelope.payload.split_first_chunk() {
        Some((number, [])) => Ok(Arrived::Probe(u64::from_le_bytes(*number))),
        _ => Err(Malformed),
    }
}

impl Audience {
    /// The connections that are meant by a channel and an address.
    fn of(channel: Channel, to: Option<Address>) -> Result<Self, Malformed> {
        match (channel, to) {
            (Channel::All, None) => Ok(Self::All),
            (Channel::Topic(name), None) => Ok(Self::Topic(name)),
            (Channel::Node(_), Some(to)) => Ok(Self::One(to.connection)),
            (Channel::All | Channel::Topic(_), Some(_)) | (Channel::Node(_), None) => {
                Err(Malformed)
            }
        }
    }

    /// The worker that hands on what is for them.
    fn worker(&self) -> usize {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(self);
        // The low bits are as good as any, and fit in any `usize`.
        usize::try_from(hash & 0xffff).unwrap_or(0) % WORKERS
    }
}
