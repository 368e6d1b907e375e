//! The link from a node to the engine of its cluster: whether it is up, whether the node may publish yet, and whether what
//! it publishes still comes back. No clock and no task: the time comes in.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The link, as the node knows it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Link {
    state: State,
    /// How many nodes the engine reached when it was last asked while the link was open.
    audience: usize,
    /// How many nodes have to be there before anything is published. What broke our link may have broken theirs, and an
    /// engine that starts anew knows nobody. It outlives a link that breaks before they are.
    owed: usize,
    /// The longest wait for the other nodes.
    hold: Duration,
    watchdog: Watchdog,
    /// How often the link was up.
    ups: u64,
    /// How long the node has waited in all before it published.
    held: Duration,
}

#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
enum State {
    /// There is no link.
    Down {
        since: Instant,
        /// `None` before the first link.
        error: Option<Arc<str>>,
    },
    /// The engine answers, but may not know yet who is to get what we publish.
    Held {
        since: Instant,
        /// Whether the engine has confirmed all of our subscriptions.
        is_subscribed: bool,
        /// Whether the engine has published a greeting. One whose writes are paused publishes what it has kept when it goes
        /// on, and nodes that have connected again meanwhile do not hear that.
        is_greeted: bool,
        /// How many nodes the engine reaches, counted after the greeting.
        reached: usize,
    },
    /// The node publishes.
    Open,
    /// The backplane has ended.
    Ended { since: Instant, error: Arc<str> },
}

/// Asks itself through the engine whether the subscription lives. Each question is a message of the node to all nodes, so to
/// itself.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
struct Watchdog {
    /// Numbers of the last question, and of the last that came back.
    asked: u64,
    answered: u64,
    asked_at: Option<Instant>,
    /// Whether other messages have arrived since the question before.
    hears: bool,
    /// How long the last answer took.
    lag: Option<Duration>,
}

/// What has arrived in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Heard {
    #[default]
    Nothing,
    Messages,
    /// The node did not read, because its members were slower than what had arrived.
    NotListening,
}

/// How the node is linked to the engine of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterHealth {
    /// Messages go to the other nodes and come from them. A cluster without a backplane is always up.
    Up,
    /// There was no link yet, or there is one and the subscriptions are not complete.
    Connecting {
        /// Since when.
        since: Instant,
    },
    /// There is no link. What is published waits in the queue. The backplane connects again by itself.
    Down {
        /// Since when.
        since: Instant,
        /// Why.
        error: Arc<str>,
    },
    /// The backplane has ended, or its runtime has, and nothing is published any more.
    Ended {
        /// Since when.
        since: Instant,
        /// Why.
        error: Arc<str>,
    },
}

impl ClusterHealth {
    /// Returns whether messages go to the other nodes and come from them.
    pub fn is_up(&self) -> bool {
        *self == Self::Up
    }
}

impl fmt::Display for ClusterHealth {
    /// Says the state and why, without the time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Connecting { .. } => f.write_str("connecting"),
            Self::Down { error, .. } => write!(f, "down: {error}"),
            Self::Ended { error, .. } => write!(f, "ended: {error}"),
        }
    }
}

/// The time on a new link in which an engine sees which old ones have ended.
const SETTLE: Duration = Duration::from_millis(200);

/// Questions without an answer before the link counts as broken, if nothing else arrives.
const LOST_PROBES: u64 = 2;
/// The same while other messages arrive: an answer is behind all that the engine has for us, and that can be much.
const LATE_PROBES: u64 = 30;

impl Link {
    pub(super) fn new(now: Instant, hold: Duration) -> Self {
        Self {
            state: State::Down {
                since: now,
                error: None,
            },
            audience: 0,
            owed: 0,
            hold,
            watchdog: Watchdog::default(),
            ups: 0,
            held: Duration::ZERO,
        }
    }

    /// Notes that the engine answers.
    pub(super) fn note_up(&mut self, now: Instant) {
        if matches!(self.state, State::Ended { .. }) {
            return;
        }
        self.watchdog = Watchdog {
            lag: self.watchdog.lag,
            ..Watchdog::default()
        };
        self.ups += 1;
        self.state = State::Held {
            since: now,
            is_subscribed: false,
            is_greeted: false,
            reached: 0,
        };
    }

    /// Notes that there is no link. Returns whether there was one.
    pub(super) fn note_down(&mut self, error: Arc<str>, now: Instant) -> bool {
        match &mut self.state {
            State::Down { error: known, .. } => {
                *known = Some(error);
                false
            }
            State::Ended { .. } => false,
            State::Held { .. } | State::Open => {
                if matches!(self.state, State::Open) {
                    self.owed = self.audience;
                }
                let error = Some(error);
                self.state = State::Down { since: now, error };
                true
            }
        }
    }

    pub(super) fn note_end(&mut self, error: Arc<str>, now: Instant) {
        if !matches!(self.state, State::Ended { .. }) {
            self.state = State::Ended { since: now, error };
        }
    }

    /// Notes that the engine has confirmed all subscriptions.
    pub(super) fn note_subscribed(&mut self) {
        if let State::Held { is_subscribed, .. } = &mut self.state {
            *is_subscribed = true;
        }
    }

    /// Tells whether it is time for a greeting: a message that nobody misses, before those that somebody would.
    pub(super) fn wants_greeting(&self) -> bool {
        matches!(
            self.state,
            State::Held {
                is_subscribed: true,
                is_greeted: false,
                ..
            }
        )
    }

    /// Notes that the engine has published the greeting.
    pub(super) fn note_greeted(&mut self) {
        if let State::Held { is_greeted, .. } = &mut self.state {
            *is_greeted = true;
        }
    }

    /// Notes how many nodes the engine reaches, this one included.
    pub(super) fn note_audience(&mut self, nodes: usize) {
        match &mut self.state {
            // A node that is there before the greeting can have gone when the engine publishes it.
            State::Held {
                is_greeted,
                reached,
                ..
            } => {
                if *is_greeted {
                    *reached = nodes;
                }
            }
            State::Open => self.audience = nodes,
            State::Down { .. } | State::Ended { .. } => {}
        }
    }

    /// Tells whether the node may publish. It may once its own subscriptions are confirmed, the engine publishes, and as many
    /// nodes as before are there; or after the hold.
    pub(super) fn may_publish(&mut self, now: Instant) -> bool {
        if let State::Held {
            since,
            is_subscribed,
            is_greeted,
            reached,
        } = self.state
        {
            let waited = now.saturating_duration_since(since);
            let is_ready = is_subscribed && is_greeted && reached >= self.owed;
            if is_ready || waited >= self.hold {
                self.owed = 0;
                self.held += waited;
                self.state = State::Open;
            }
        }
        matches!(self.state, State::Open)
    }

    /// Tells whether the engine answers.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Held { .. } | State::Open)
    }

    /// Tells whether the other nodes are to be counted, because the node waits for them. Not at once: an engine that stood
    /// still may count connections that have ended, before it sees their ends.
    pub(super) fn wants_count(&self, now: Instant) -> bool {
        let State::Held {
            since,
            is_greeted: true,
            ..
        } = self.state
        else {
            return false;
        };
        now.saturating_duration_since(since) >= SETTLE
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Tells whether nothing that was published for a while has come back.
    pub(super) fn is_broken(&self) -> bool {
        let Watchdog {
            asked,
            answered,
            hears,
            ..
        } = self.watchdog;
        asked - answered > if hears { LATE_PROBES } else { LOST_PROBES }
    }

    /// Notes what has arrived since the question before. A node that did not read could not hear an answer.
    pub(super) fn note_heard(&mut self, heard: Heard) {
        self.watchdog.hears = heard == Heard::Messages;
        if heard == Heard::NotListening {
            self.watchdog.answered = self.watchdog.asked;
        }
    }

    /// Begins a question to itself; returns its number, or nothing if this is no time to ask.
    pub(super) fn begin_probe(&mut self, now: Instant) -> Option<u64> {
        if !matches!(self.state, State::Open) {
            return None;
        }
        let watchdog = &mut self.watchdog;
        watchdog.asked += 1;
        // The time of the last one that came back counts, and one behind it is not asked for longer.
        if watchdog.asked == watchdog.answered + 1 {
            watchdog.asked_at = Some(now);
        }
        Some(watchdog.asked)
    }

    /// Notes that a question has come back.
    pub(super) fn note_probe(&mut self, number: u64, now: Instant) {
        let watchdog = &mut self.watchdog;
        if number <= watchdog.answered || number > watchdog.asked {
            return;
        }
        watchdog.answered = number;
        if let Some(asked_at) = watchdog.asked_at.take() {
            watchdog.lag = Some(now.saturating_duration_since(asked_at));
        }
    }

    pub(super) fn health(&self) -> ClusterHealth {
        match &self.state {
            State::Open => ClusterHealth::Up,
            State::Held { since, .. } | State::Down { since, error: None } => {
                ClusterHealth::Connecting { since: *since }
            }
            State::Down {
                since,
                error: Some(error),
            } => ClusterHealth::Down {
                since: *since,
                error: Arc::clone(error),
            },
            State::Ended { since, error } => ClusterHealth::Ended {
                since: *since,
                error: Arc::clone(error),
            },
        }
    }

    pub(super) fn ups(&self) -> u64 {
        self.ups
    }

    pub(super) fn held(&self) -> Duration {
        self.held
    }

    pub(super) fn lag(&self) -> Option<Duration> {
        self.watchdog.lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(5);

    fn link() -> (Link, Instant) {
        let now = Instant::now();
        (Link::new(now, HOLD), now)
    }

    fn open(now: Instant) -> Link {
        let mut link = Link::new(now, HOLD);
        link.note_up(now);
        link.note_subscribed();
        link.note_greeted();
        assert!(link.may_publish(now));
        link.note_audience(3);
        link
    }

    /// Only ours at first, for nobody else is known; then those of the others, too.
    #[test]
    fn a_node_publishes_once_its_own_subscriptions_are_confirmed() {
        let (mut link, now) = link();
        assert!(!link.may_publish(now));
        link.note_up(now);
        assert!(!link.may_publish(now) && !link.wants_greeting());
        link.note_subscribed();
        assert!(!link.may_publish(now) && link.wants_greeting());
        link.note_greeted();
        assert!(link.may_publish(now) && !link.wants_greeting());

        let mut link = open(now);
        assert!(link.note_down("cut".into(), now));
        assert!(!link.note_down("refused".into(), now));
        assert!(!link.may_publish(now + HOLD * 2));
        link.note_up(now);
        link.note_greeted();
        link.note_audience(3);
        assert!(!link.may_publish(now));
        link.note_subscribed();
        assert!(link.may_publish(now));
    }

    /// An engine that publishes nothing for a while does so later, to those who are there then.
    #[test]
    fn nodes_that_were_there_before_the_engine_published_do_not_count() {
        let now = Instant::now();
        let mut link = open(now);
        link.note_down("nothing was published".into(), now);
        link.note_up(now);
        link.note_subscribed();
        assert!(!link.wants_count(now + SETTLE));
        link.note_audience(3);
        link.note_greeted();
        assert!(!link.may_publish(now));
        assert!(link.wants_count(now + SETTLE));
        link.note_audience(3);
        assert!(link.may_publish(now));
    }

    /// A node waits until as many as before are there, and no longer than the hold.
    #[test]
    fn on_a_new_link_a_node_waits_for_the_others() {
        let now = Instant::now();
        let mut link = open(now);
        link.note_down("killed".into(), now);
        link.note_up(now);
        link.note_subscribed();
        link.note_greeted();
        link.note_audience(2);
        assert!(!link.may_publish(now));
        link.note_audience(3);
        assert!(link.may_publish(now));

        link.note_down("killed".into(), now);
        link.note_up(now);
        link.note_subscribed();
        link.note_greeted();
        link.note_audience(2);
        assert!(!link.may_publish(now + HOLD - Duration::from_millis(1)));
        assert!(link.may_publish(now + HOLD));
        assert_eq!(link.held(), HOLD);
    }

    /// A link that breaks before all are back leaves the rest of the wait to the next one.
    #[test]
    fn a_broken_link_does_not_end_the_wait_for_the_others() {
        let now = Instant::now();
        let mut link = open(now);
        link.note_down("killed".into(), now);
        link.note_up(now);
        link.note_down("cut".into(), now);
        link.note_up(now);
        link.note_subscribed();
        link.note_greeted();
        assert!(!link.may_publish(now));
        link.note_audience(3);
        assert!(link.may_publish(now));
    }

    /// Two questions may be lost or late, a third is one too many; an answer to any later one makes up for all before.
    #[test]
    fn a_subscription_without_answers_is_broken() {
        let now = Instant::now();
        let mut link = open(now);
        assert_eq!(link.begin_probe(now), Some(1));
        assert_eq!(link.begin_probe(now), Some(2));
        link.note_probe(2, now + Duration::from_millis(7));
        link.note_probe(1, now);
        assert_eq!(link.lag(), Some(Duration::from_millis(7)));
        for _ in 0..2 {
            link.begin_probe(now);
        }
        assert!(!link.is_broken());
        link.begin_probe(now);
        assert!(link.is_broken());
        // It is late behind other messages, or the node did not read.
        link.note_heard(Heard::Messages);
        assert!(!link.is_broken());
        for _ in 0..LATE_PROBES - LOST_PROBES {
            link.begin_probe(now);
        }
        assert!(link.is_broken());
        link.note_heard(Heard::NotListening);
        assert!(!link.is_broken());
        link.note_heard(Heard::Nothing);
        for _ in 0..=LOST_PROBES {
            assert!(!link.is_broken());
            link.begin_probe(now);
        }
        assert!(link.is_broken());
        link.note_down("the watchdog".into(), now);
        link.note_up(now);
        assert!(!link.is_broken());
        assert_eq!(link.begin_probe(now), None, "nothing is published yet");
    }

    #[test]
    fn the_end_is_final() {
        let (mut link, now) = link();
        link.note_end("the runtime is gone".into(), now);
        link.note_up(now);
        assert!(!link.may_publish(now + HOLD));
        assert!(matches!(link.health(), ClusterHealth::Ended { .. }));
    }
}
