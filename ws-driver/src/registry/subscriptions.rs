//! What a cluster asks of the registry: which topics to subscribe to, and which of them are subscribed to by now.

use std::time::{Duration, Instant};

use super::Registry;
use super::interest::Standing;
use super::topics::{TOPIC_NAME_LIMIT, TopicError};
use crate::id::ConnectionId;
use crate::util::sync::{Arc, Notice};

/// The notices about [`Interest`](super::interest::Interest), which is behind the lock of the registry.
#[derive(Default)]
pub(super) struct SubscriptionNotices {
    /// Notified when there is something to ask a backplane for.
    pub(super) news: Notice,
    /// Notified when something has changed about the members that show themselves.
    pub(super) presence: Notice,
    /// Notified when topics are confirmed, when time has passed, and at the end.
    pub(super) confirmed: Notice,
}

/// How a wait for a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscribed {
    Yes,
    /// The engine refuses the topic, and says why.
    Refused(Arc<str>),
    /// This time was over: the `subscribe_timeout`.
    NotInTime(Duration),
    /// The backplane has ended.
    Never,
}

impl Registry {
    /// Begins to note which topics have members. `timeout` bounds the wait of [`join_wait`](Self::join_wait).
    pub(crate) fn watch_topics(&self, timeout: Duration) {
        let mut slots = self.lock();
        slots.topics.interest.watch(timeout);
        slots.topics.presences.watch();
    }

    /// Waits until there is something to ask a backplane for.
    pub(crate) async fn interest_news(&self) {
        loop {
            let news = self.notices.news.listen();
            if self.lock().topics.interest.take_news() {
                return;
            }
            news.await;
        }
    }

    pub(crate) fn take_missing(&self, limit: usize) -> Vec<Arc<str>> {
        self.lock().topics.interest.take_missing(limit)
    }

    pub(crate) fn take_idle(&self, limit: usize) -> Vec<Arc<str>> {
        self.lock().topics.interest.take_idle(limit)
    }

    /// Begins anew with an engine that has no subscription of ours.
    pub(crate) fn restart_interest(&self) {
        self.lock().topics.restart_interest();
        self.notices.news.notify(usize::MAX);
    }

    /// Ages the topics that nobody is a member of.
    pub(crate) fn sweep_interest(&self) {
        let mut slots = self.lock();
        slots.topics.interest.sweep();
        drop(slots);
        self.notices.news.notify(usize::MAX);
    }

    pub(crate) fn confirm<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut slots = self.lock();
        names.for_each(|name| slots.topics.interest.confirm(name));
        drop(slots);
        self.notices.confirmed.notify(usize::MAX);
    }

    /// Notes that the engine does not deliver a topic.
    pub(crate) fn refuse_topic(&self, name: &str, error: &Arc<str>) {
        self.lock().topics.interest.refuse(name, error);
        self.notices.confirmed.notify(usize::MAX);
    }

    /// Lets those who wait for a subscription look at the clock.
    pub(crate) fn note_time(&self) {
        self.notices.confirmed.notify(usize::MAX);
    }

    /// Notes that no backplane asks any more.
    pub(crate) fn end_interest(&self) {
        self.lock().topics.interest.end();
        self.notices.news.notify(usize::MAX);
        self.notices.confirmed.notify(usize::MAX);
    }

    /// The number of topics that a backplane was asked for.
    pub(crate) fn subscriptions_len(&self) -> usize {
        self.lock().topics.interest.len()
    }

    /// Joins a topic, and waits until messages of other nodes arrive. Returns whether the connection was not a member
    /// before.
    ///
    /// Somebody has to call [`note_time`](Self::note_time) now and then, because the caller has no timer.
    pub(crate) async fn join_wait(
        &self,
        topic: &str,
        id: ConnectionId,
        now: impl Fn() -> Instant,
    ) -> Result<(bool, Subscribed), TopicError> {
        let is_new = self.join(topic, id)?;
        Ok((is_new, self.subscribed(topic, now).await))
    }

    /// Waits until messages of other nodes to a topic arrive, which somebody has joined or wants.
    pub(crate) async fn subscribed(&self, topic: &str, now: impl Fn() -> Instant) -> Subscribed {
        let timeout = self.lock().topics.interest.timeout();
        let deadline = now().checked_add(timeout);
        loop {
            let confirmed = self.notices.confirmed.listen();
            let standing = self.lock().topics.interest.standing(topic);
            return match standing {
                Standing::Alone | Standing::Confirmed => Subscribed::Yes,
                Standing::Refused(error) => Subscribed::Refused(error),
                Standing::Ended => Subscribed::Never,
                Standing::Waiting if deadline.is_some_and(|deadline| now() >= deadline) => {
                    Subscribed::NotInTime(timeout)
                }
                Standing::Waiting => {
                    confirmed.await;
                    continue;
                }
            };
        }
    }

    /// Tells whether a topic has a member, or somebody who wants it.
    pub(crate) fn wants_topic(&self, topic: &str) -> bool {
        let slots = self.lock();
        slots.topics.len(topic) > 0 || slots.topics.interest.is_wanted(topic)
    }

    /// Asks for a topic without a member, until the result is dropped.
    pub(crate) fn want_topic(&self, topic: &str) -> Result<Wanted<'_>, TopicError> {
        if topic.len() > TOPIC_NAME_LIMIT {
            let (len, limit) = (topic.len(), TOPIC_NAME_LIMIT);
            return Err(TopicError::NameTooLong { len, limit });
        }
        let topic = Arc::from(topic);
        self.lock().topics.interest.want(&topic);
        self.notices.news.notify(usize::MAX);
        Ok(Wanted {
            registry: self,
            topic,
        })
    }
}

/// A topic that somebody wants.
pub(crate) struct Wanted<'a> {
    registry: &'a Registry,
    topic: Arc<str>,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        let mut slots = self.registry.lock();
        let has_members = slots.topics.len(&self.topic) > 0;
        slots.topics.interest.unwant(&self.topic, has_members);
    }
}
