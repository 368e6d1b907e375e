//! Deadlines, one for each timer. Knows nothing of what a deadline means, except which ones are rare.

use std::time::{Duration, Instant};

/// A wait of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The peer has been silent long enough to be pinged.
    Keepalive,
    /// Something must have arrived after a ping.
    Pong,
    /// The peer's close, or the end of the stream after it, must have arrived.
    Close,
    /// Some of the bytes that wait must have been written.
    Stall,
    /// Something of a message that began must have arrived.
    Message,
    /// The compressor must have been used, or its context goes.
    Context,
    /// The pong that somebody waits for must have arrived.
    RoundTrip,
    /// The peer may send again.
    RateLimit,
}

impl Timer {
    /// All timers, in the order in which they are looked at. Each is there once, so a call ends even if a wait of zero
    /// is armed again and again.
    // The close comes first: a close that another timer causes in the same call can then be written before the wait
    // for its answer runs out.
    pub(crate) const ALL: [Self; 8] = [
        Self::Close,
        Self::Keepalive,
        Self::Pong,
        Self::Stall,
        Self::Message,
        Self::Context,
        Self::RoundTrip,
        Self::RateLimit,
    ];

    const fn place(self) -> Place {
        match self {
            Self::Keepalive | Self::Pong | Self::Close => Place::Common,
            Self::Stall => Place::Rare(0),
            Self::Message => Place::Rare(1),
            Self::Context => Place::Rare(2),
            Self::RoundTrip => Place::Rare(3),
            Self::RateLimit => Place::Rare(4),
        }
    }
}

/// The place of a deadline.
enum Place {
    /// A place that timers share, because at most one of them is armed at a time: a connection waits for something to
    /// ping for, then for a sign of life, and from its close on for the end.
    Common,
    /// A place in the table of the timers that an idle connection does not arm.
    Rare(usize),
}

/// The number of timers that have a [rare place](Place::Rare).
const RARE_LEN: usize = 5;

/// A point in time, in nanoseconds since the connection opened. An earlier time counts as that time; the range is 584
/// years.
// Half as large as an `Instant`, of which an idle connection would hold three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Stands for a deadline that is not set.
    const NEVER: Self = Self(u64::MAX);

    /// The time at which the connection opened.
    pub(crate) const OPENED: Self = Self(0);

    /// Returns the moment so many nanoseconds later. It is never out of range.
    pub(crate) fn later(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos).min(u64::MAX - 1))
    }

    /// Returns the moment so many nanoseconds earlier, or the time at which the connection opened.
    pub(crate) const fn earlier(self, nanos: u64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }
}

/// The deadlines of a connection.
#[derive(Debug)]
pub(crate) struct Timers {
    opened: Instant,
    /// The timer in the common place and its deadline.
    common: Option<(Timer, Moment)>,
    /// Boxed, because every idle connection would have a place for them. Invariant: at least one is set.
    rare: Option<Box<[Moment; RARE_LEN]>>,
}

impl Timers {
    /// Makes the table of a connection that opens now, without a deadline.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            opened: now,
            common: None,
            rare: None,
        }
    }

    #[inline]
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        let since = at.saturating_duration_since(self.opened);
        // A time that is out of range never comes.
        Moment(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.opened + Duration::from_nanos(moment.0)
    }

    /// Arms a timer; disarms it if there is no wait, or its end is out of range.
    pub(crate) fn set(&mut self, timer: Timer, now: Instant, wait: Option<Duration>) {
        let end = wait.and_then(|wait| now.checked_add(wait));
        let deadline = end.map_or(Moment::NEVER, |end| self.moment(end));
        if deadline == Moment::NEVER {
            return self.stop(timer);
        }
        match timer.place() {
            Place::Common => {
                debug_assert!(
                    self.common.is_none_or(|(armed, _)| armed == timer),
                    "{timer:?} is armed while {:?} is",
                    self.common
                );
                self.common = Some((timer, deadline));
            }
            Place::Rare(index) => {
                let rare = self
                    .rare
                    .get_or_insert_with(|| Box::new([Moment::NEVER; RARE_LEN]));
                rare[index] = deadline;
            }
        }
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        match (timer.place(), &mut self.rare) {
            (Place::Common, _) => {
                self.common = self.common.filter(|(armed, _)| *armed != timer);
            }
            (Place::Rare(index), Some(rare)) => {
                rare[index] = Moment::NEVER;
                // A connection at rest holds no memory for this (P5).
                if rare.iter().all(|deadline| *deadline == Moment::NEVER) {
                    self.rare = None;
                }
            }
            (Place::Rare(_), None) => {}
        }
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::new(self.opened);
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.deadline(timer) != Moment::NEVER
    }

    /// Returns the deadline of a timer that is armed.
    pub(crate) fn end_of(&self, timer: Timer) -> Option<Instant> {
        self.is_set(timer)
            .then(|| self.instant(self.deadline(timer)))
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let rare = self.rare.iter().flat_map(|rare| rare.iter().copied());
        let common = self.common.map(|(_, deadline)| deadline);
        rare.chain(common)
            .min()
            .map(|deadline| self.instant(deadline))
    }

    /// Tells whether the timer has run out by `now`, and disarms it if so.
    pub(crate) fn expire(&mut self, timer: Timer, now: Instant) -> bool {
        let has_expired = self.is_set(timer) && self.deadline(timer) <= self.moment(now);
        if has_expired {
            self.stop(timer);
        }
        has_expired
    }

    fn deadline(&self, timer: Timer) -> Moment {
        match (timer.place(), self.common, &self.rare) {
            (Place::Common, Some((armed, deadline)), _) if armed == timer => deadline,
            (Place::Rare(index), _, Some(rare)) => rare[index],
            (Place::Common | Place::Rare(_), _, _) => Moment::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_runs_out_once_and_not_before_its_time() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::new(start);
        timers.set(Timer::Close, start, Some(2 * second));
        timers.set(Timer::Stall, start, Some(second));
        assert_eq!(timers.next(), Some(start + second));
        assert!(!timers.expire(Timer::Stall, start));
        assert!(timers.expire(Timer::Stall, start + second));
        assert!(!timers.expire(Timer::Stall, start + second));
        assert!(!timers.expire(Timer::Close, start + second));
        assert_eq!(timers.next(), Some(start + 2 * second));
        assert!(timers.expire(Timer::Close, start + 3 * second));
        assert_eq!(timers.next(), None);
        timers.set(Timer::Keepalive, start, Some(Duration::MAX));
        assert_eq!(timers.next(), None, "a wait without an end is no deadline");
    }
}
