//! The way of a log to the members of its topic: each entry once and in order, whatever the engine loses or repeats. A
//! worker does it for its topics, so that everything about one topic happens one after the other.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ws_proto::{Message, PreparedMessage, SendError};

use super::envelope;
use super::error::BackplaneError;
use super::log::cursor::{Place, follow};
use super::log::position::{LogEvent, LogRead, Position, ResumeError, Resumed};
use super::question::Answer;
use super::seat::SeatRequest;
use super::shared::{Exchange, SharedCluster};
use crate::driver::shared_machine::SharedMachine;
use crate::registry::broadcast::offer_all;
use crate::util::panics;
use crate::util::sync::Arc;

/// What a worker has to do about logs.
pub(super) enum LogWork {
    /// An entry was published.
    Arrived {
        topic: Arc<str>,
        position: Position,
        entry: bytes::Bytes,
    },
    /// The engine delivers the topic from now on. What was published before may not have arrived.
    Subscribed(Arc<str>),
    /// The topic is not wanted any more.
    Unsubscribed(Arc<str>),
    /// A connection comes back.
    Splice(Splice),
    /// There is a new link. What nobody wants any more is not subscribed to on it, and never told again.
    NewLink,
    /// A second has passed.
    Second,
}

/// A connection that has read a log up to a place, and joins its topic there.
pub(super) struct Splice {
    pub(super) topic: Arc<str>,
    pub(super) machine: Arc<SharedMachine>,
    /// The place up to which the connection has the log. `None` joins at the end.
    pub(super) seen: Option<Position>,
    pub(super) reply: Arc<Answer<Spliced>>,
}

/// What became of a splice.
pub(super) enum Spliced {
    /// The connection is a member, and has the log up to that place. So many entries were sent.
    Joined {
        position: Position,
        replayed: u64,
    },
    /// The topic has moved on: the connection, which was sent so many entries up to that place, is to read more of the log
    /// before it tries again.
    Behind(Behind),
    /// It is not known yet what the members have.
    NotYet,
    Failed(ResumeError),
}

/// What a connection has of a log.
#[derive(Clone, Copy)]
pub(super) struct Behind {
    pub(super) seen: Position,
    pub(super) replayed: u64,
}

/// How long a worker waits for a part of a log, because its other topics wait with it.
const READ_WAIT: Duration = Duration::from_secs(1);
/// The most entries that are read at a time.
pub(super) const READ_LIMIT: usize = 128;
/// The most parts of one log that a worker reads before it goes on with others.
const READS: usize = 8;
/// Seconds without an entry, after which a topic is compared with its log: the loss of the last entry shows nowhere else.
const QUIET_SECONDS: u8 = 10;
/// How long what was published can be on its way to a node whose link is not broken.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// The most topics that are compared at a time.
const COMPARISONS: usize = 256;

/// The logs that a worker follows.
#[derive(Default)]
pub(super) struct Follower {
    topics: HashMap<Arc<str>, Followed>,
    /// Topics to be compared with their logs.
    due: HashSet<Arc<str>>,
}

/// A topic whose log is followed.
#[derive(Default)]
struct Followed {
    /// The place up to which the members have it. `None` before the first entry.
    seen: Option<Position>,
    /// Where the log ended when the engine was first asked, and when that was. What was published before may still be on its
    /// way, so it counts as seen only after a time.
    first_end: Option<(Position, Instant)>,
    quiet_seconds: u8,
}

impl Followed {
    /// Notes where the log ends. Returns whether the members have less.
    fn note_end(&mut self, end: Position, now: Instant) -> bool {
        if self.seen.is_none() {
            let (first, at) = *self.first_end.get_or_insert((end, now));
            if now.saturating_duration_since(at) >= ON_ITS_WAY {
                self.seen = Some(first);
            }
        }
        self.seen.is_some_and(|seen| seen != end)
    }
}

/// Bytes that were handed to the members of a topic.
pub(super) struct Handed {
    pub(super) topic: Arc<str>,
    pub(super) len: usize,
}

impl Follower {
    /// Does one piece of work. Returns what was handed to members, so that the worker can wait for them.
    pub(super) async fn work(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
        work: LogWork,
    ) -> Option<Handed> {
        match work {
            LogWork::Arrived {
                topic,
                position,
                entry,
            } => {
                return self
                    .note_arrived(shared, exchange, topic, position, entry)
                    .await;
            }
            LogWork::Subscribed(topic) => {
                self.topics.entry(Arc::clone(&topic)).or_default();
                self.due.insert(topic);
            }
            LogWork::Unsubscribed(topic) => {
                self.topics.remove(&topic);
                self.due.remove(&topic);
            }
            LogWork::Splice(splice) => return self.splice(shared, exchange, splice).await,
            LogWork::NewLink => {
                let registry = &shared.registry;
                self.topics.retain(|topic, _| registry.wants_topic(topic));
                self.due.retain(|topic| registry.wants_topic(topic));
            }
            LogWork::Second => self.note_second(),
        }
        None
    }

    /// Compares topics that are due with their logs. Returns what was handed to members; `None` if the engine does not
    /// answer.
    pub(super) async fn compare(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
    ) -> Option<Vec<Handed>> {
        let topics: Vec<_> = self.due.iter().take(COMPARISONS).map(Arc::clone).collect();
        let mut handed = Vec::new();
        let asked: Arc<[Arc<str>]> = topics.iter().map(Arc::clone).collect();
        let ends = shared.ask_within(exchange, asked, READ_WAIT, SeatRequest::ReadLogEnds);
        // If it does not answer they stay due, and the next second tries again.
        let ends = ends.await.ok()?;
        for (topic, end) in topics.into_iter().zip(ends) {
            self.due.remove(&topic);
            let Some(followed) = self.topics.get_mut(&topic) else {
                continue;
            };
            if followed.note_end(end, shared.clock.now()) {
                let len = self.catch_up(shared, exchange, &topic).await;
                handed.push(Handed { topic, len });
            }
        }
        Some(handed)
    }

    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    async fn note_arrived(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
        topic: Arc<str>,
        position: Position,
        entry: bytes::Bytes,
    ) -> Option<Handed> {
        let followed = self.topics.get_mut(&topic)?;
        followed.quiet_seconds = 0;
        // Nobody has waited for what was before the first one.
        let seen = followed.seen.unwrap_or(Position {
            offset: position.offset.saturating_sub(1),
            ..position
        });
        let len = match Place::of(position, seen) {
            Place::Old => 0,
            Place::Next => {
                let Ok(message) = envelope::decode_entry(entry) else {
                    exchange.inbound.note_malformed();
                    return None;
                };
                followed.seen = Some(position);
                hand_on(shared, &topic, &LogEvent::Message { position, message })
            }
            Place::Ahead => self.catch_up(shared, exchange, &topic).await,
        };
        Some(Handed { topic, len })
    }

    /// Notes that a second has passed.
    fn note_second(&mut self) {
        for (topic, followed) in &mut self.topics {
            followed.quiet_seconds += 1;
            if followed.quiet_seconds >= QUIET_SECONDS {
                followed.quiet_seconds = 0;
                self.due.insert(Arc::clone(topic));
            }
        }
    }

    /// Reads a log from where the members have it, and hands it to them. Returns the number of bytes.
    async fn catch_up(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
        topic: &Arc<str>,
    ) -> usize {
        let mut len = 0;
        for _ in 0..READS {
            let seen = self.topics.get(topic).and_then(|followed| followed.seen);
            let Some(seen) = seen else { return len };
            let read = LogRead {
                topic: Arc::clone(topic),
                after: Some(seen),
                limit: READ_LIMIT,
            };
            let range = shared.ask_within(exchange, read, READ_WAIT, SeatRequest::ReadLog);
            let Ok(range) = range.await else { break };
            let next = follow(seen, range);
            for event in &next.events {
                len += hand_on(shared, topic, event);
                exchange.inbound.note_log_event(event);
            }
            if let Some(followed) = self.topics.get_mut(topic) {
                followed.seen = Some(next.seen);
            }
            if next.is_at_end {
                return len;
            }
        }
        // The rest comes later.
        self.due.insert(Arc::clone(topic));
        len
    }

    /// Lets a connection join. Returns what was handed to the other members meanwhile.
    async fn splice(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
        splice: Splice,
    ) -> Option<Handed> {
        if !splice.reply.is_wanted() {
            return None;
        }
        let mut len = 0;
        let spliced = self.try_splice(shared, exchange, &splice, &mut len).await;
        let has_joined = matches!(spliced, Ok(Spliced::Joined { .. }));
        let spliced = spliced.unwrap_or_else(Spliced::Failed);
        if !splice.reply.give(Ok(spliced)) && has_joined {
            // The caller has given up meanwhile, and was told that it is no member.
            shared
                .registry
                .leave(&splice.topic, splice.machine.facts.id);
        }
        let topic = splice.topic;
        Some(Handed { topic, len })
    }

    async fn try_splice(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
        splice: &Splice,
        handed_len: &mut usize,
    ) -> Result<Spliced, ResumeError> {
        let Splice {
            topic,
            machine,
            seen,
            ..
        } = splice;
        let Some(mut joined_at) = self.place(shared, exchange, topic).await? else {
            return Ok(Spliced::NotYet);
        };
        let mut has = Behind {
            seen: seen.unwrap_or(joined_at),
            replayed: 0,
        };
        if has.seen.epoch != joined_at.epoch || has.seen.offset > joined_at.offset {
            // The connection has read what the members do not have yet.
            *handed_len += self.catch_up(shared, exchange, topic).await;
            let followed = self.topics.get(topic).and_then(|followed| followed.seen);
            joined_at = followed.unwrap_or(joined_at);
        }
        if has.seen.epoch == joined_at.epoch && has.seen.offset < joined_at.offset {
            send_between(shared, exchange, splice, &mut has, joined_at).await?;
        }
        let Behind {
            seen: place,
            replayed,
        } = has;
        if place != joined_at {
            return Ok(Spliced::Behind(has));
        }
        if seen.is_none() {
            let start = LogEvent::Start {
                position: joined_at,
            };
            if let Some(message) = frame(shared, topic, &start) {
                let sent = machine.try_send(message);
                sent.map_err(|refused| ResumeError::Send(refused.into()))?;
            }
        }
        // Nothing else hands the topic's log on meanwhile, so it goes on for the connection exactly here.
        match shared.registry.join(topic, machine.facts.id) {
            Ok(true) => Ok(Spliced::Joined {
                position: joined_at,
                replayed,
            }),
            Ok(false) => Err(ResumeError::AlreadyMember),
            Err(error) => Err(ResumeError::Topic(error)),
        }
    }

    /// Returns the place up to which the members have a log, and asks the engine if nobody has yet. `None` if members may
    /// still get what was published before the engine was asked.
    async fn place(
        &mut self,
        shared: &SharedCluster,
        exchange: &Exchange,
        topic: &Arc<str>,
    ) -> Result<Option<Position>, BackplaneError> {
        let followed = self.topics.entry(Arc::clone(topic)).or_default();
        if let Some(seen) = followed.seen {
            return Ok(Some(seen));
        }
        let asked: Arc<[Arc<str>]> = [Arc::clone(topic)].into();
        let ends = shared.ask_within(exchange, asked, READ_WAIT, SeatRequest::ReadLogEnds);
        let ends = ends.await.map_err(BackplaneError::from)?;
        let end = ends.first().copied().ok_or(BackplaneError::Ended)?;
        if shared.registry.members_len(topic) == 0 {
            followed.seen = Some(end);
        } else {
            followed.note_end(end, shared.clock.now());
        }
        Ok(followed.seen)
    }
}

/// Sends a connection what lies between its place in a log and another one, as far as that is little and has a place in its
/// send queue.
async fn send_between(
    shared: &SharedCluster,
    exchange: &Exchange,
    splice: &Splice,
    has: &mut Behind,
    end: Position,
) -> Result<(), ResumeError> {
    let read = LogRead {
        topic: Arc::clone(&splice.topic),
        after: Some(has.seen),
        limit: READ_LIMIT,
    };
    let range = shared.ask_within(exchange, read, READ_WAIT, SeatRequest::ReadLog);
    let mut range = range.await.map_err(BackplaneError::from)?;
    if range.end.epoch != end.epoch {
        return Ok(());
    }
    // Later ones come to all members.
    range.end = end;
    for event in follow(has.seen, range).events {
        // The connection notes gaps when it reads by itself.
        let LogEvent::Message { position, .. } = event else {
            return Ok(());
        };
        let Some(message) = frame(shared, &splice.topic, &event) else {
            return Ok(());
        };
        match splice.machine.try_send(message).map_err(SendError::from) {
            Ok(()) => {
                has.seen = position;
                has.replayed += 1;
            }
            // The connection waits for capacity when it reads by itself.
            Err(SendError::QueueFull { .. } | SendError::MessageOpen) => return Ok(()),
            Err(error) => return Err(ResumeError::Send(error)),
        }
    }
    Ok(())
}

/// Makes the message that members get of an event. If the function of the application panics, they get a gap; `None` if it
/// panics for that as well.
pub(super) fn frame(shared: &SharedCluster, topic: &str, event: &LogEvent) -> Option<Message> {
    let config = shared.logs.of(topic)?;
    let frame = |event: &LogEvent| {
        let framed = panics::catch(|| (config.frame)(topic, event));
        if framed.is_err() {
            tracing::error!(target: "ws", "the function of a log has panicked");
        }
        framed.ok()
    };
    frame(event).or_else(|| {
        let missed = Some(1);
        let LogEvent::Message { position, .. } = *event else {
            return None;
        };
        frame(&LogEvent::Gap { position, missed })
    })
}

/// Hands an event to the members of a topic. Returns the number of bytes.
fn hand_on(shared: &SharedCluster, topic: &str, event: &LogEvent) -> usize {
    let members = shared.registry.members(topic);
    if members.is_empty() {
        return 0;
    }
    let Some(message) = frame(shared, topic, event) else {
        return 0;
    };
    let len = message.len();
    offer_all(
        &shared.registry,
        &members,
        PreparedMessage::new(message),
        None,
    );
    len
}

/// The whole result of a connection that comes back.
impl Resumed {
    pub(super) fn new(position: Position, replayed: u64, gap: Option<Option<u64>>) -> Self {
        match gap {
            None => Self::Complete { position, replayed },
            Some(missed) => Self::Gap {
                position,
                replayed,
                missed,
            },
        }
    }
}
