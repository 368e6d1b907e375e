//! Deadlines, in a fixed table that an enum indexes. Knows nothing of what a deadline means.

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
}

impl Timer {
    /// All timers, in the order in which they are looked at. Each is there once, so a call ends even if a wait of zero
    /// is armed again and again.
    // The close comes first: a close that another timer causes in the same call can then be written before the wait
    // for its answer runs out.
    pub(crate) const ALL: [Self; 6] = [
        Self::Close,
        Self::Keepalive,
        Self::Pong,
        Self::Stall,
        Self::Message,
        Self::Context,
    ];

    const fn index(self) -> usize {
        match self {
            Self::Keepalive => 0,
            Self::Pong => 1,
            Self::Close => 2,
            Self::Stall => 3,
            Self::Message => 4,
            Self::Context => 5,
        }
    }
}

/// A point in time, in nanoseconds since the connection opened. An earlier time counts as that time; the range is 584
/// years.
// Half as large as an `Instant`, of which an idle connection would hold nine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Stands for a deadline that is not set.
    const NEVER: Self = Self(u64::MAX);
}

/// The table of deadlines.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    opened: Instant,
    deadlines: [Moment; Timer::ALL.len()],
}

impl Timers {
    /// Makes the table of a connection that opens now, without a deadline.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            opened: now,
            deadlines: [Moment::NEVER; Timer::ALL.len()],
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
        self.deadlines[timer.index()] = end.map_or(Moment::NEVER, |end| self.moment(end));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.deadlines[timer.index()] = Moment::NEVER;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::new(self.opened);
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer.index()] != Moment::NEVER
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let earliest = self.deadlines.iter().copied().min();
        earliest
            .filter(|deadline| *deadline != Moment::NEVER)
            .map(|deadline| self.instant(deadline))
    }

    /// Tells whether the timer has run out by `now`, and disarms it if so.
    pub(crate) fn expire(&mut self, timer: Timer, now: Instant) -> bool {
        let has_expired = self.is_set(timer) && self.deadlines[timer.index()] <= self.moment(now);
        if has_expired {
            self.stop(timer);
        }
        has_expired
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
        timers.set(Timer::Pong, start, Some(second));
        assert_eq!(timers.next(), Some(start + second));
        assert!(!timers.expire(Timer::Pong, start));
        assert!(timers.expire(Timer::Pong, start + second));
        assert!(!timers.expire(Timer::Pong, start + second));
        assert!(!timers.expire(Timer::Close, start + second));
        assert_eq!(timers.next(), Some(start + 2 * second));
        assert!(timers.expire(Timer::Close, start + 3 * second));
        assert_eq!(timers.next(), None);
        timers.set(Timer::Keepalive, start, Some(Duration::MAX));
        assert_eq!(timers.next(), None, "a wait without an end is no deadline");
    }
}
