//! The connections that show themselves in topics, each with some data. They are members, and stop to be shown when they
//! leave.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Registry;
use super::topics::TopicError;
use crate::id::ConnectionId;

/// The longest data with which a connection shows itself in a topic, in bytes.
pub const PRESENCE_DATA_LIMIT: usize = 1024;

/// The most that a topic can have of them on one server, in bytes: the data, and 18 bytes for each connection. Each change
/// sends all of it to the engine of a cluster.
pub const PRESENCE_LIMIT: usize = 1 << 20;

/// Why a connection was not shown in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackError {
    /// The connection could not join the topic.
    Topic(TopicError),
    /// The data is too long.
    DataTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit: [`PRESENCE_DATA_LIMIT`].
        limit: usize,
    },
    /// The topic has no place for the connection on this server.
    Full {
        /// The limit in bytes: [`PRESENCE_LIMIT`].
        limit: usize,
    },
}

impl fmt::Display for TrackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => error.fmt(f),
            Self::DataTooLong { len, limit } => write!(
                f,
                "the data of a connection in a topic has {len} bytes; {limit} are allowed (PRESENCE_DATA_LIMIT)"
            ),
            Self::Full { limit } => write!(
                f,
                "the connections that show themselves in the topic fill {limit} bytes on this server (PRESENCE_LIMIT)"
            ),
        }
    }
}

impl std::error::Error for TrackError {}

impl From<TopicError> for TrackError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

/// A connection that shows itself in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: ConnectionId,
    pub(crate) data: Bytes,
}

/// The bytes that a connection has in what is stored of its topic: slot and generation, the length of the data, the data.
pub(crate) const fn encoded_len(data: &Bytes) -> usize {
    18 + data.len()
}

/// All connections that show themselves, by topic.
#[derive(Default)]
pub(super) struct Presences {
    /// Invariant: no topic here is without a connection.
    topics: HashMap<Arc<str>, ShownMembers>,
    /// The topics in which something has changed since somebody took it. `None` without a backplane, where nobody does.
    changed: Option<HashSet<Arc<str>>>,
}

#[derive(Default)]
struct ShownMembers {
    by_slot: HashMap<usize, Shown>,
    len: usize,
}

impl Presences {
    /// Begins to note which topics change.
    pub(super) fn watch(&mut self) {
        self.changed = Some(HashSet::new());
    }

    /// Shows a member, or changes its data.
    fn show(&mut self, topic: &Arc<str>, shown: Shown) -> Result<(), TrackError> {
        let members = self.topics.entry(Arc::clone(topic)).or_default();
        let before = members.by_slot.get(&shown.id.slot);
        let before = before.map_or(0, |shown| encoded_len(&shown.data));
        let len = members.len - before + encoded_len(&shown.data);
        if len > PRESENCE_LIMIT {
            return Err(TrackError::Full {
                limit: PRESENCE_LIMIT,
            });
        }
        members.len = len;
        members.by_slot.insert(shown.id.slot, shown);
        self.note_changed(topic);
        Ok(())
    }

    /// Stops to show a member; returns whether it was shown.
    pub(super) fn hide(&mut self, topic: &Arc<str>, slot: usize) -> bool {
        let Some(members) = self.topics.get_mut(topic) else {
            return false;
        };
        let Some(shown) = members.by_slot.remove(&slot) else {
            return false;
        };
        members.len -= encoded_len(&shown.data);
        if members.by_slot.is_empty() {
            self.topics.remove(topic);
        }
        self.note_changed(topic);
        true
    }

    fn note_changed(&mut self, topic: &Arc<str>) {
        if let Some(changed) = &mut self.changed {
            changed.insert(Arc::clone(topic));
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.changed
            .as_ref()
            .is_some_and(|changed| !changed.is_empty())
    }

    fn shown(&self, topic: &str) -> Vec<Shown> {
        let members = self.topics.get(topic);
        members.map_or_else(Vec::new, |members| {
            members.by_slot.values().cloned().collect()
        })
    }

    fn take_changed(&mut self) -> Option<(Arc<str>, Vec<Shown>)> {
        let changed = self.changed.as_mut()?;
        let topic = changed.iter().next().map(Arc::clone)?;
        changed.remove(&topic);
        let shown = self.shown(&topic);
        Some((topic, shown))
    }
}

impl Registry {
    /// Joins a topic, and shows the connection there.
    pub(crate) fn track(
        &self,
        topic: &str,
        id: ConnectionId,
        data: &[u8],
    ) -> Result<(), TrackError> {
        if data.len() > PRESENCE_DATA_LIMIT {
            return Err(TrackError::DataTooLong {
                len: data.len(),
                limit: PRESENCE_DATA_LIMIT,
            });
        }
        let is_new = self.join(topic, id)?;
        // A copy, because a slice would keep all of what it is a part of.
        let data = Bytes::copy_from_slice(data);
        let mut slots = self.lock();
        // The topic has its name from its members. There is none if the connection has ended meanwhile.
        let name = slots.topics.name_of_member(topic, id.slot);
        let name = name.filter(|_| slots.machine(id).is_some());
        let name = name.ok_or(TrackError::Topic(TopicError::Closed))?;
        let shown = slots.topics.presences.show(&name, Shown { id, data });
        if shown.is_err() && is_new {
            slots.topics.leave(topic, id.slot);
        }
        drop(slots);
        self.notices.presence.notify(usize::MAX);
        shown
    }

    /// Stops to show a connection in a topic, of which it stays a member. Returns whether it was shown.
    pub(crate) fn untrack(&self, topic: &str, id: ConnectionId) -> bool {
        let mut slots = self.lock();
        if slots.machine(id).is_none() {
            return false;
        }
        let name = slots.topics.name_of_member(topic, id.slot);
        let was_shown = name.is_some_and(|name| slots.topics.presences.hide(&name, id.slot));
        drop(slots);
        self.notices.presence.notify(usize::MAX);
        was_shown
    }

    /// The connections that show themselves in a topic, in any order.
    pub(crate) fn shown(&self, topic: &str) -> Vec<Shown> {
        self.lock().topics.presences.shown(topic)
    }

    /// Waits until something has changed.
    pub(crate) async fn presence_news(&self) {
        loop {
            let news = self.notices.presence.listen();
            if self.lock().topics.presences.has_news() {
                return;
            }
            news.await;
        }
    }

    /// Takes a topic in which something has changed.
    pub(crate) fn take_changed_presence(&self) -> Option<(Arc<str>, Vec<Shown>)> {
        self.lock().topics.presences.take_changed()
    }

    /// Notes that topics are to be taken again.
    pub(crate) fn note_presence_changed(&self, topics: impl Iterator<Item = Arc<str>>) {
        let mut slots = self.lock();
        topics.for_each(|topic| slots.topics.presences.note_changed(&topic));
        drop(slots);
        self.notices.presence.notify(usize::MAX);
    }

    /// Notes that all topics are to be taken again.
    pub(crate) fn note_all_presence_changed(&self) {
        let mut slots = self.lock();
        let presences = &mut slots.topics.presences;
        if let Some(changed) = &mut presences.changed {
            changed.extend(presences.topics.keys().map(Arc::clone));
        }
        drop(slots);
        self.notices.presence.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(slot: usize, data: &'static str) -> Shown {
        Shown {
            id: ConnectionId {
                slot,
                generation: 1,
            },
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    /// Whatever is shown and hidden, the length is the sum of what is there, and nothing is left of an empty topic.
    #[test]
    fn lengths_are_those_of_what_is_shown() {
        let mut presences = Presences::default();
        presences.watch();
        let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).into();
        let mut random = 1u32;
        for _ in 0..10_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let name = &names[usize::try_from(random >> 16).unwrap() % names.len()];
            let slot = usize::try_from((random >> 24) & 7).unwrap();
            if random >> 31 == 0 {
                let data = ["", "x", "a longer one"][slot % 3];
                presences.show(name, shown(slot, data)).unwrap();
            } else {
                presences.hide(name, slot);
            }
            for members in presences.topics.values() {
                let lens = members.by_slot.values().map(|it| encoded_len(&it.data));
                assert_eq!(members.len, lens.sum::<usize>());
                assert!(members.len > 0);
            }
        }
        for name in &names {
            (0..8).for_each(|slot| {
                presences.hide(name, slot);
            });
        }
        assert!(presences.topics.is_empty());
        let mut taken = Vec::new();
        while let Some((name, shown)) = presences.take_changed() {
            assert!(shown.is_empty());
            taken.push(name);
        }
        assert_eq!(taken.len(), 3, "each once, however often it changed");
    }

    /// One that has no place leaves what was there.
    #[test]
    fn a_topic_is_bounded() {
        let (mut presences, name) = (Presences::default(), Arc::from("a"));
        let long = Bytes::from(vec![0; PRESENCE_DATA_LIMIT]);
        let mut slot = 0;
        let error = loop {
            let mut shown = shown(slot, "");
            shown.data = long.clone();
            if let Err(error) = presences.show(&name, shown) {
                break error;
            }
            slot += 1;
        };
        let limit = PRESENCE_LIMIT;
        assert_eq!(error, TrackError::Full { limit });
        assert_eq!(slot, PRESENCE_LIMIT / (PRESENCE_DATA_LIMIT + 18));
        assert_eq!(presences.shown("a").len(), slot);
        presences.show(&name, shown(0, "short")).unwrap();
        assert_eq!(presences.changed, None, "nobody is told");
    }
}
