//! What an engine keeps besides its subscriptions, in memory: the leases of nodes, what they stored under them, and logs.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::channel::Channel;
use super::leases::{LEASE_TIME, Lease, LeasedNode, Renewed};
use super::log::position::{LOG_KEY_LEN, LogAppend, LogEntry, LogRange, LogRead, Position};
use super::presence::{
    PRESENCE_SETTLED, PresenceChange, PresenceRead, PresenceStore, StoredPresence,
};
use super::seat::SeatRequest;
use crate::id::cluster::NodeId;
use crate::util::sync::Arc;
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// What an engine knows, in the memory of one process: for a [`Backplane`](crate::Backplane) whose engine moves messages
/// and keeps nothing, and for tests. All nodes of a cluster use the same one, with the same clock.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    /// Since when it has known leases.
    begin: Option<Instant>,
    leases: HashMap<NodeId, KeptLease>,
    /// Differs from that of every other store, and of itself before it [lost](MemoryStore::restart) something.
    run: u64,
    logs: HashMap<Arc<str>, KeptLog>,
    /// When all logs were looked at.
    swept_at: Option<Instant>,
}

/// The time between two looks at all logs, and how long one without entries is kept.
const SWEEP: Duration = Duration::from_secs(60);
const KEPT: Duration = Duration::from_secs(60 * 60);

/// What a [`MemoryStore`] did about a request.
#[derive(Debug)]
pub enum Answered {
    /// It answered.
    Done,
    /// It answered, and this is to be published on the channel.
    Publish(Channel, Bytes),
    /// It is nothing that a store knows about.
    NotMine(SeatRequest),
}

#[derive(Clone, Debug)]
struct KeptLease {
    description: Bytes,
    begin: Instant,
    end: Instant,
    presence: HashMap<Arc<str>, Bytes>,
    /// That of the last change of it.
    version: u64,
}

impl MemoryStore {
    /// Makes a store that knows nothing.
    pub fn new() -> Self {
        Self {
            begin: None,
            leases: HashMap::new(),
            run: next_run(),
            logs: HashMap::new(),
            swept_at: None,
        }
    }

    /// Notes that it may have lost what was stored last, as a replica has that takes the place of its primary. Each log
    /// begins a new epoch.
    pub fn restart(&mut self) {
        self.run = next_run();
    }

    /// Answers a question of a node, at a time. A publication is to reach the nodes in the order of the answers.
    pub fn answer(&mut self, node: NodeId, request: SeatRequest, now: Instant) -> Answered {
        self.sweep(now);
        match request {
            SeatRequest::Renew(question) => {
                let renewed = self.renew(node, question.asked(), now);
                question.answer(renewed);
            }
            SeatRequest::Release(question) => {
                self.leases.remove(&node);
                question.answer(());
            }
            SeatRequest::StorePresence(question) => {
                let is_stored = self.store_presence(node, question.asked(), now);
                question.answer(is_stored);
            }
            SeatRequest::ReadPresence(question) => {
                let stored = self.read_presence(node, question.asked(), now);
                question.answer(stored);
            }
            SeatRequest::AppendLog(question) => {
                let append = question.asked();
                let (channel, appended) = (
                    Channel::Topic(Arc::clone(&append.topic)),
                    self.append(append, now),
                );
                let publication = match appended {
                    Appended::New(position) => Some(append.envelope(position)),
                    Appended::Before(_) | Appended::Unknown => None,
                };
                question.answer(appended.position());
                if let Some(envelope) = publication {
                    return Answered::Publish(channel, envelope);
                }
            }
            SeatRequest::ReadLog(question) => {
                let range = self.read_log(question.asked(), now);
                question.answer(range);
            }
            SeatRequest::ReadLogEnds(question) => {
                let topics = question.asked().iter();
                let ends = topics.map(|topic| self.log(topic, now).end()).collect();
                question.answer(ends);
            }
            other @ (SeatRequest::CountNodes | SeatRequest::Reconnect) => {
                return Answered::NotMine(other);
            }
        }
        Answered::Done
    }

    fn renew(&mut self, node: NodeId, lease: &Lease, now: Instant) -> Renewed {
        let begin = *self.begin.get_or_insert(now);
        self.expire(now);
        let end = now + lease.time;
        let kept = self.leases.get_mut(&node);
        let has_values = kept.is_some();
        match kept {
            Some(kept) => {
                kept.description = lease.description.clone();
                kept.end = end;
            }
            None => {
                let kept = KeptLease {
                    description: lease.description.clone(),
                    begin: now,
                    end,
                    presence: HashMap::new(),
                    version: 0,
                };
                self.leases.insert(node, kept);
            }
        }
        let nodes = self.leases.iter().map(|(node, kept)| LeasedNode {
            node: *node,
            description: kept.description.clone(),
            left: kept.end.saturating_duration_since(now),
        });
        Renewed {
            has_values,
            age: now.saturating_duration_since(begin),
            nodes: nodes.collect(),
        }
    }

    fn store_presence(&mut self, node: NodeId, store: &PresenceStore, now: Instant) -> bool {
        self.expire(now);
        let Some(kept) = self.leases.get_mut(&node) else {
            return false;
        };
        let PresenceStore { version, changes } = store;
        if *version <= kept.version {
            return true;
        }
        kept.version = *version;
        for PresenceChange { topic, members } in changes.iter() {
            match members {
                Some(members) => {
                    kept.presence.insert(Arc::clone(topic), members.clone());
                }
                None => {
                    kept.presence.remove(topic);
                }
            }
        }
        true
    }

    fn read_presence(&mut self, reader: NodeId, topic: &str, now: Instant) -> PresenceRead {
        self.expire(now);
        let passed = |since: Instant| now.saturating_duration_since(since);
        let is_known = self.begin.is_some_and(|begin| passed(begin) >= LEASE_TIME);
        let is_settled = self
            .leases
            .values()
            .all(|kept| passed(kept.begin) >= PRESENCE_SETTLED);
        let stored = self.leases.iter().filter_map(|(node, kept)| {
            let members = kept.presence.get(topic)?.clone();
            Some(StoredPresence {
                node: *node,
                members,
            })
        });
        PresenceRead {
            stored: stored.collect(),
            is_complete: is_known && is_settled && self.leases.contains_key(&reader),
        }
    }

    /// Forgets the leases that have ended, with all that was stored under them.
    fn expire(&mut self, now: Instant) {
        self.leases
            .retain(|_, kept| kept.end.saturating_duration_since(now) > Duration::ZERO);
    }

    /// Forgets entries and logs that are too old.
    fn sweep(&mut self, now: Instant) {
        let swept_at = *self.swept_at.get_or_insert(now);
        if now.saturating_duration_since(swept_at) < SWEEP {
            return;
        }
        self.swept_at = Some(now);
        self.logs.retain(|_, log| {
            log.expire(now);
            let kept = KEPT.max(log.age.saturating_mul(2));
            !log.entries.is_empty() || now.saturating_duration_since(log.used_at) < kept
        });
    }

    /// Returns the log of a topic, of this run.
    fn log(&mut self, topic: &Arc<str>, now: Instant) -> &mut KeptLog {
        let run = self.run;
        let log = self
            .logs
            .entry(Arc::clone(topic))
            .or_insert_with(|| KeptLog::new(run, now));
        if log.run != run {
            *log = KeptLog::new(run, now);
        }
        log.expire(now);
        log.used_at = now;
        log
    }

    fn append(&mut self, append: &LogAppend, now: Instant) -> Appended {
        let log = self.log(&append.topic, now);
        let before = append
            .asked_before
            .and_then(|asked_before| log.find(&append.entry, now.checked_sub(asked_before)));
        if let Some(before) = before {
            return before;
        }
        log.offset += 1;
        log.age = append.age;
        log.entries.push_back(KeptEntry {
            appended_at: now,
            entry: append.entry.clone(),
        });
        let limit = usize::try_from(append.entries).unwrap_or(usize::MAX);
        while log.entries.len() > limit {
            log.entries.pop_front();
        }
        Appended::New(log.end())
    }

    fn read_log(&mut self, read: &LogRead, now: Instant) -> LogRange {
        let log = self.log(&read.topic, now);
        let end = log.end();
        let Some(after) = read.after else {
            return LogRange {
                end,
                entries: Vec::new(),
            };
        };
        let after = if after.epoch == end.epoch {
            after.offset
        } else {
            0
        };
        let entries = log.numbered().filter(|entry| entry.offset > after);
        let (mut len, limit) = (0, read.limit.max(1));
        let entries = entries.take(limit).take_while(|entry| {
            let is_first = len == 0;
            len += entry.entry.len();
            is_first || len <= READ_LEN
        });
        LogRange {
            end,
            entries: entries.collect(),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// The most bytes of a part of a log, if it has more than one entry.
const READ_LEN: usize = 256 << 10;

/// The log of a topic.
#[derive(Clone, Debug)]
struct KeptLog {
    run: u64,
    epoch: u64,
    /// The offset of the last entry.
    offset: u64,
    entries: VecDeque<KeptEntry>,
    /// How long the entries are kept behind the last one.
    age: Duration,
    used_at: Instant,
}

#[derive(Clone, Debug)]
struct KeptEntry {
    appended_at: Instant,
    entry: Bytes,
}

/// What became of an entry.
enum Appended {
    New(Position),
    /// It is the one that was appended when the question was asked before.
    Before(Position),
    Unknown,
}

impl Appended {
    fn position(&self) -> Option<Position> {
        match self {
            Self::New(position) | Self::Before(position) => Some(*position),
            Self::Unknown => None,
        }
    }
}

impl KeptLog {
    fn new(run: u64, now: Instant) -> Self {
        Self {
            run,
            epoch: next_run(),
            offset: 0,
            entries: VecDeque::new(),
            age: Duration::ZERO,
            used_at: now,
        }
    }

    fn end(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
        }
    }

    fn numbered(&self) -> impl DoubleEndedIterator<Item = LogEntry> + '_ {
        let first = self.offset - u64::try_from(self.entries.len()).unwrap_or(0) + 1;
        let entries = self.entries.iter().enumerate();
        entries.map(move |(place, kept)| LogEntry {
            offset: first + u64::try_from(place).unwrap_or(0),
            entry: kept.entry.clone(),
        })
    }

    /// Looks for an entry that may have been appended since a time. Returns `None` if it was not.
    fn find(&self, entry: &Bytes, since: Option<Instant>) -> Option<Appended> {
        let key = entry.get(..LOG_KEY_LEN)?;
        let found = self
            .numbered()
            .rev()
            .find(|kept| kept.entry.get(..LOG_KEY_LEN) == Some(key));
        if let Some(found) = found {
            return Some(Appended::Before(Position {
                epoch: self.epoch,
                offset: found.offset,
            }));
        }
        // If entries of that time are gone, it may have been one of them.
        let dropped = self.offset - u64::try_from(self.entries.len()).unwrap_or(0);
        let oldest = self.entries.front().map(|kept| kept.appended_at);
        let reaches_back = since
            .zip(oldest)
            .is_some_and(|(since, oldest)| oldest < since);
        (dropped > 0 && !reaches_back).then_some(Appended::Unknown)
    }

    fn expire(&mut self, now: Instant) {
        let last = self.entries.back().map(|kept| kept.appended_at);
        if last.is_some_and(|last| now.saturating_duration_since(last) > self.age) {
            self.entries = VecDeque::new();
        }
    }
}

/// Returns a number that no store of this process or of one before it has had, as far as the clock goes forward.
fn next_run() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(0));
    LAST.fetch_max(micros, Ordering::Relaxed);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
