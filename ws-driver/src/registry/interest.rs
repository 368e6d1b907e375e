//! The topics whose messages a node wants from the other nodes of its cluster: those that have members. It compares levels,
//! what is wanted with what was asked for, and not edges. So a topic that is joined and left many times while nobody
//! looks costs nothing, and no join or leave can be lost.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Invariants: a topic in `missing` has members and is not in `asked`; one in `idle` has none and is in `asked`. So
/// both are bounded by what is open, and by what the backplane has.
#[derive(Default)]
pub(crate) struct Interest {
    /// How long a connection waits for a subscription. `None` without a backplane; then nothing is kept.
    watched: Option<Duration>,
    has_ended: bool,
    /// Topics with members that nobody has asked the backplane for.
    missing: HashSet<Arc<str>>,
    /// What the backplane was asked for.
    asked: HashMap<Arc<str>, Asked>,
    /// Topics that somebody wants who is no member, and how many do. They count as members.
    wanted: HashMap<Arc<str>, usize>,
    /// Topics that were asked for and have no members any more.
    idle: HashSet<Arc<str>>,
    has_news: bool,
}

struct Asked {
    is_confirmed: bool,
    /// Why the engine does not deliver it. It is asked again on the next link.
    refused: Option<Arc<str>>,
    /// How many sweeps ago the last member left.
    idle_sweeps: u8,
}

/// What is known of the subscription to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no backplane, so there is nothing to wait for.
    Alone,
    /// The backplane has not confirmed it yet.
    Waiting,
    Confirmed,
    /// The engine does not deliver it.
    Refused(Arc<str>),
    /// The backplane has ended and confirms nothing more.
    Ended,
}

/// Sweeps that a topic without members is kept for, because members come back: the next page of a browser joins what
/// the last one left.
const IDLE_SWEEPS: u8 = 2;

impl Interest {
    /// Begins to note which topics have members. `timeout` bounds the wait for a subscription.
    pub(super) fn watch(&mut self, timeout: Duration) {
        self.watched = Some(timeout);
    }

    pub(super) fn timeout(&self) -> Duration {
        self.watched.unwrap_or_default()
    }

    /// Notes that a topic has got its first member.
    pub(super) fn note_first(&mut self, name: &Arc<str>) {
        if self.watched.is_none() {
            return;
        }
        match self.asked.get_mut(name) {
            Some(asked) => {
                asked.idle_sweeps = 0;
                self.idle.remove(name);
            }
            None => {
                self.missing.insert(Arc::clone(name));
                self.has_news = true;
            }
        }
    }

    /// Notes that a topic has lost its last member.
    pub(super) fn note_last(&mut self, name: &Arc<str>) {
        if self.wanted.contains_key(name) {
            return;
        }
        if self.watched.is_some() && !self.missing.remove(name) {
            self.idle.insert(Arc::clone(name));
        }
    }

    /// Notes that somebody wants a topic.
    pub(super) fn want(&mut self, name: &Arc<str>) {
        *self.wanted.entry(Arc::clone(name)).or_default() += 1;
        self.note_first(name);
    }

    pub(super) fn is_wanted(&self, name: &str) -> bool {
        self.wanted.contains_key(name)
    }

    /// Notes that somebody does not want a topic any more.
    pub(super) fn unwant(&mut self, name: &Arc<str>, has_members: bool) {
        let Some(count) = self.wanted.get_mut(name) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.wanted.remove(name);
        if !has_members {
            self.note_last(name);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    /// Returns whether there is something to ask for since the last call.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Takes topics to ask the backplane for.
    pub(crate) fn take_missing(&mut self, limit: usize) -> Vec<Arc<str>> {
        let taken: Vec<_> = self.missing.iter().take(limit).map(Arc::clone).collect();
        for name in &taken {
            self.missing.remove(name);
            let asked = Asked {
                is_confirmed: false,
                refused: None,
                idle_sweeps: 0,
            };
            self.asked.insert(Arc::clone(name), asked);
        }
        self.has_news |= !self.missing.is_empty();
        taken
    }

    /// Takes topics that the backplane need not deliver any more.
    pub(crate) fn take_idle(&mut self, limit: usize) -> Vec<Arc<str>> {
        let is_old = |asked: &Asked| asked.is_confirmed && asked.idle_sweeps >= IDLE_SWEEPS;
        let old = self.idle.iter();
        // One that is not confirmed stays: its confirmation could be taken for that of a later subscription.
        let old = old.filter(|name| self.asked.get(*name).is_some_and(is_old));
        let taken: Vec<_> = old.take(limit).map(Arc::clone).collect();
        for name in &taken {
            self.idle.remove(name);
            self.asked.remove(name);
        }
        // There can be more of them.
        self.has_news |= taken.len() == limit;
        taken
    }

    /// Ages the topics without members.
    pub(crate) fn sweep(&mut self) {
        for name in &self.idle {
            if let Some(asked) = self.asked.get_mut(name) {
                asked.idle_sweeps = asked.idle_sweeps.saturating_add(1);
                self.has_news |= asked.idle_sweeps >= IDLE_SWEEPS;
            }
        }
    }

    /// Notes that the backplane delivers a topic from now on.
    pub(crate) fn confirm(&mut self, name: &str) {
        if let Some(asked) = self.asked.get_mut(name) {
            asked.is_confirmed = true;
        }
    }

    /// Notes that the engine does not deliver a topic.
    pub(crate) fn refuse(&mut self, name: &str, error: &Arc<str>) {
        if let Some(asked) = self.asked.get_mut(name) {
            asked.is_confirmed = true;
            asked.refused = Some(Arc::clone(error));
        }
    }

    /// Begins anew with an engine that has no subscription of ours: all topics with members are missing.
    pub(super) fn restart<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        self.asked.clear();
        self.idle.clear();
        self.missing = names.map(Arc::clone).collect();
        self.missing.extend(self.wanted.keys().map(Arc::clone));
        self.has_news = true;
    }

    /// Notes that the backplane has ended.
    pub(super) fn end(&mut self) {
        *self = Self {
            has_ended: true,
            ..Self::default()
        };
    }

    pub(crate) fn standing(&self, name: &str) -> Standing {
        if self.has_ended {
            return Standing::Ended;
        }
        if self.watched.is_none() {
            return Standing::Alone;
        }
        match self.asked.get(name) {
            Some(Asked {
                refused: Some(error),
                ..
            }) => Standing::Refused(Arc::clone(error)),
            Some(asked) if asked.is_confirmed => Standing::Confirmed,
            Some(_) | None => Standing::Waiting,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whatever topics come and go, and whenever the backplane looks: what it was asked for, and not freed from, is what has
    /// members, and what had some not long ago. Nothing is asked for twice, and nothing is kept that nobody needs.
    #[test]
    fn what_is_asked_for_is_what_has_members() {
        let mut interest = Interest::default();
        interest.watch(Duration::from_secs(1));
        let names: Vec<Arc<str>> = (0..12).map(|name| Arc::from(name.to_string())).collect();
        let mut members = BTreeSet::new();
        let mut engine = BTreeSet::new();
        let mut random = 1u32;
        for _ in 0..50_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let name = &names[usize::try_from(random >> 16).unwrap() % names.len()];
            match random >> 28 {
                0..=4 => {
                    if members.insert(Arc::clone(name)) {
                        interest.note_first(name);
                    }
                }
                5..=9 => {
                    if members.remove(name) {
                        interest.note_last(name);
                    }
                }
                10..=11 => {
                    for taken in interest.take_missing(3) {
                        assert!(members.contains(&taken), "nobody is a member of {taken}");
                        assert!(engine.insert(taken), "it was asked for already");
                    }
                }
                12 => engine.iter().for_each(|name| interest.confirm(name)),
                13 => interest.sweep(),
                14 => {
                    for taken in interest.take_idle(3) {
                        assert!(!members.contains(&taken), "{taken} has members");
                        assert!(engine.remove(&taken), "it was not asked for");
                    }
                }
                _ => {
                    if random & 0xf000 == 0 {
                        engine.clear();
                        interest.restart(members.iter());
                    }
                }
            }
            assert_eq!(interest.len(), engine.len());
            for name in &names {
                let is_known = engine.contains(name) || interest.missing.contains(name);
                assert!(is_known || !members.contains(name), "{name} is forgotten");
                let standing = interest.standing(name);
                assert!(standing == Standing::Waiting || engine.contains(name));
            }
            assert!(interest.missing.len() + interest.idle.len() <= names.len());
        }
        members.clear();
        for name in &names {
            if engine.contains(name) && !interest.idle.contains(name)
                || interest.missing.contains(name)
            {
                interest.note_last(name);
            }
        }
        engine.iter().for_each(|name| interest.confirm(name));
        (0..IDLE_SWEEPS).for_each(|_| interest.sweep());
        assert!(interest.take_news());
        assert_eq!(interest.take_idle(100).len(), engine.len());
        assert_eq!(
            (interest.len(), interest.missing.len(), interest.idle.len()),
            (0, 0, 0)
        );
    }

    /// More topics than one request takes are asked for, and let go of, one request after the other.
    #[test]
    fn more_than_one_request_is_news_again() {
        let mut interest = Interest::default();
        interest.watch(Duration::from_secs(1));
        let names: Vec<Arc<str>> = (0..10).map(|name| Arc::from(name.to_string())).collect();
        names.iter().for_each(|name| interest.note_first(name));
        let mut requests = 0;
        while interest.take_news() {
            interest.take_missing(3);
            requests += 1;
        }
        assert_eq!((requests, interest.len()), (4, 10));
        for name in &names {
            interest.confirm(name);
            interest.note_last(name);
        }
        (0..IDLE_SWEEPS).for_each(|_| interest.sweep());
        while interest.take_news() {
            interest.take_idle(3);
        }
        assert_eq!(interest.len(), 0);
    }

    #[test]
    fn without_a_backplane_nothing_is_kept() {
        let (mut interest, name) = (Interest::default(), Arc::from("a"));
        interest.note_first(&name);
        assert_eq!(interest.standing("a"), Standing::Alone);
        assert_eq!(interest.missing.capacity(), 0);
        interest.note_last(&name);
        assert_eq!(interest.idle.capacity(), 0);
    }
}
