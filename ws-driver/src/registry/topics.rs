//! Named topics and their members. A broadcast to a topic costs no more than its members. To join and to leave takes
//! constant time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use super::interest::Interest;
use super::presence::Presences;
use super::roster::{Member, Members, Roster};

/// The longest name of a topic, in bytes. It is long enough for a path or a few ids, and short enough that names from
/// peers cost little memory.
pub const TOPIC_NAME_LIMIT: usize = 256;

/// Why a connection could not join a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The connection belongs to no server: it was opened as a client, or made by the test kit.
    NoServer,
    /// The connection has ended.
    Closed,
    /// The connection has joined as many topics as the option `topic_limit` allows.
    TooManyTopics {
        /// The number of topics that it has joined.
        joined: usize,
        /// The limit: option `topic_limit`.
        limit: usize,
    },
    /// The name is too long.
    NameTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit: [`TOPIC_NAME_LIMIT`].
        limit: usize,
    },
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer => f.write_str(
                "a connection of a client or of the test kit has no topics; only a server's connections have",
            ),
            Self::Closed => f.write_str("the connection has ended; only open connections join topics"),
            Self::TooManyTopics { joined, limit } => write!(
                f,
                "the connection has joined {joined} topics; {limit} are allowed \
                 (option topic_limit)"
            ),
            Self::NameTooLong { len, limit } => write!(
                f,
                "the name of the topic has {len} bytes; {limit} are allowed (TOPIC_NAME_LIMIT)"
            ),
        }
    }
}

impl std::error::Error for TopicError {}

/// All topics of a server. A topic exists only while it has members.
///
/// A member is identified by its slot in the registry. `M` is the value that is kept for it.
pub(crate) struct Topics<M> {
    /// The members of each topic.
    ///
    /// Invariant: no roster is empty, so a topic that everybody left costs no memory.
    rosters: HashMap<Arc<str>, Roster<M>>,
    /// By slot: the place of the member in the roster of each topic that it has joined. It makes leaving take
    /// constant time. A connection without topics has no entry.
    places: HashMap<usize, HashMap<Arc<str>, usize>>,
    /// What a backplane is to deliver. It changes with the first and the last member of a topic.
    pub(super) interest: Interest,
    /// The members that show themselves.
    pub(super) presences: Presences,
}

impl<M> Default for Topics<M> {
    fn default() -> Self {
        Self {
            rosters: HashMap::new(),
            places: HashMap::new(),
            interest: Interest::default(),
            presences: Presences::default(),
        }
    }
}

impl<M: Member> Topics<M> {
    /// Adds a member to a topic; returns whether it was not in it before.
    pub(crate) fn join(
        &mut self,
        name: &str,
        member: M,
        limit: Option<usize>,
    ) -> Result<bool, TopicError> {
        let slot = member.slot();
        if name.len() > TOPIC_NAME_LIMIT {
            let (len, limit) = (name.len(), TOPIC_NAME_LIMIT);
            return Err(TopicError::NameTooLong { len, limit });
        }
        let joined = self.places.get(&slot);
        if joined.is_some_and(|places| places.contains_key(name)) {
            return Ok(false);
        }
        let joined = joined.map_or(0, HashMap::len);
        if let Some(limit) = limit.filter(|limit| joined >= *limit) {
            return Err(TopicError::TooManyTopics { joined, limit });
        }
        // One copy of the name for all members.
        let name = match self.rosters.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => {
                let name = Arc::from(name);
                self.interest.note_first(&name);
                name
            }
        };
        let roster = self.rosters.entry(Arc::clone(&name)).or_default();
        let place = roster.push(member);
        self.places.entry(slot).or_default().insert(name, place);
        Ok(true)
    }

    /// Removes a member from a topic; returns whether it was in it.
    pub(crate) fn leave(&mut self, name: &str, slot: usize) -> bool {
        let Entry::Occupied(mut places) = self.places.entry(slot) else {
            return false;
        };
        let Some((name, place)) = places.get_mut().remove_entry(name) else {
            return false;
        };
        if places.get().is_empty() {
            places.remove();
        }
        shrink(&mut self.places);
        self.remove(&name, slot, place);
        true
    }

    /// Removes a member from all topics.
    pub(crate) fn leave_all(&mut self, slot: usize) {
        let places = self.places.remove(&slot);
        shrink(&mut self.places);
        for (name, place) in places.into_iter().flatten() {
            self.remove(&name, slot, place);
        }
    }

    /// Returns the name of a topic that a member has joined.
    pub(super) fn name_of_member(&self, name: &str, slot: usize) -> Option<Arc<str>> {
        let (name, _) = self.places.get(&slot)?.get_key_value(name)?;
        Some(Arc::clone(name))
    }

    pub(crate) fn contains(&self, name: &str, slot: usize) -> bool {
        let places = self.places.get(&slot);
        places.is_some_and(|places| places.contains_key(name))
    }

    pub(crate) fn len(&self, name: &str) -> usize {
        self.rosters.get(name).map_or(0, Roster::len)
    }

    pub(crate) fn members(&self, name: &str) -> Members<M> {
        let roster = self.rosters.get(name);
        roster.map(Roster::members).unwrap_or_default()
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.rosters.keys().map(Arc::clone).collect()
    }

    /// Makes all topics missing, because an engine has no subscription of ours.
    pub(super) fn restart_interest(&mut self) {
        self.interest.restart(self.rosters.keys());
    }

    /// Frees the place of a member in a roster.
    fn remove(&mut self, name: &Arc<str>, slot: usize, place: usize) {
        self.presences.hide(name, slot);
        let Entry::Occupied(mut roster) = self.rosters.entry(Arc::clone(name)) else {
            debug_assert!(false, "a member of a topic is in its roster");
            return;
        };
        // Dropped under the registry's lock, because it is never the last handle: the registry has one of each open
        // connection.
        let (_, moved) = roster.get_mut().remove(place);
        if let Some(slot) = moved {
            let places = self.places.get_mut(&slot);
            let moved = places.and_then(|places| places.get_mut(name));
            debug_assert!(
                moved.is_some(),
                "the members in a roster have joined the topic"
            );
            if let Some(moved) = moved {
                *moved = place;
            }
        }
        if roster.get().is_empty() {
            roster.remove();
            shrink(&mut self.rosters);
            self.interest.note_last(name);
        }
    }
}

/// Gives memory back after a peak.
fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>) {
    // Only from a quarter down to a half: a map that changes around a size is not moved each time, and each removal
    // pays for a constant part of the move.
    if map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Member for usize {
        fn slot(&self) -> usize {
            *self
        }
    }

    /// After any sequence of joins and leaves the rosters are what a plain set of pairs says, and when
    /// all have left nothing is left.
    #[test]
    fn rosters_agree_with_a_plain_model_and_leave_no_trace() {
        let mut topics = Topics::default();
        let mut model = BTreeSet::new();
        let mut random = 1u32;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let slot = usize::try_from(random >> 28).unwrap();
            let name = format!("topic {}", (random >> 24) & 7);
            match (random >> 20) & 15 {
                0..=7 => {
                    let joined = topics.join(&name, slot, Some(6));
                    let count = model.iter().filter(|(_, other)| *other == slot).count();
                    if model.contains(&(name.clone(), slot)) {
                        assert_eq!(joined, Ok(false));
                    } else if count < 6 {
                        assert_eq!(joined, Ok(true));
                        model.insert((name, slot));
                    } else {
                        let (joined_len, limit) = (6, 6);
                        let error = TopicError::TooManyTopics {
                            joined: joined_len,
                            limit,
                        };
                        assert_eq!(joined, Err(error));
                    }
                }
                8..=14 => {
                    let left = topics.leave(&name, slot);
                    assert_eq!(left, model.remove(&(name, slot)));
                }
                _ => {
                    topics.leave_all(slot);
                    model.retain(|(_, other)| *other != slot);
                }
            }
            let found: BTreeSet<_> = topics
                .names()
                .iter()
                .flat_map(|name| {
                    let members = topics.members(name);
                    assert!(!members.is_empty(), "a topic without members exists");
                    assert_eq!(topics.len(name), members.len());
                    let pairs = members.iter().map(|slot| (name.to_string(), *slot));
                    pairs.collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(found, model);
        }
        (0..16).for_each(|slot| topics.leave_all(slot));
        assert_eq!((topics.rosters.len(), topics.places.len()), (0, 0));
        assert_eq!(
            (topics.rosters.capacity(), topics.places.capacity()),
            (0, 0)
        );
    }

    /// Names up to the limit are taken, longer ones are refused with what was seen and allowed.
    #[test]
    fn the_length_of_a_name_is_limited() {
        let mut topics = Topics::default();
        let longest = "x".repeat(TOPIC_NAME_LIMIT);
        assert_eq!(topics.join(&longest, 0, None), Ok(true));
        let error = topics.join(&format!("{longest}x"), 0, None);
        assert_eq!(
            error,
            Err(TopicError::NameTooLong {
                len: 257,
                limit: 256
            })
        );
        assert_eq!(
            topics.join("", 0, Some(1)).unwrap_err().to_string(),
            "the connection has joined 1 topics; 1 are allowed (option topic_limit)"
        );
    }
}
