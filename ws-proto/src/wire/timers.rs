//! Deadlines: an enum that indexes a fixed table. Knows nothing of what a deadline means.

use std::time::{Duration, Instant};

/// The waits that an open connection can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The peer has been silent long enough to be pinged.
    Keepalive,
    /// Something must have arrived after a ping.
    Pong,
    /// The peer's close, or the end of the stream after it, must have arrived.
    Close,
    /// Something of what waits must have been written.
    Stall,
    /// Something of a message that began must have arrived.
    Message,
}

impl Timer {
    /// All of them, each once: looking at one after the other ends, even if a wait of zero is armed
    /// again and again. The close comes first, so that what another of them says by it can be written
    /// before the wait for its answer runs out.
    pub(crate) const ALL: [Self; 5] = [
        Self::Close,
        Self::Keepalive,
        Self::Pong,
        Self::Stall,
        Self::Message,
    ];

    const fn index(self) -> usize {
        match self {
            Self::Keepalive => 0,
            Self::Pong => 1,
            Self::Close => 2,
            Self::Stall => 3,
            Self::Message => 4,
        }
    }
}

/// The table of deadlines. None is set at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    /// Arms a timer, or disarms it if there is nothing to wait for or the end is out of reach.
    pub(crate) fn set(&mut self, timer: Timer, now: Instant, wait: Option<Duration>) {
        self.0[timer.index()] = wait.and_then(|wait| now.checked_add(wait));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer.index()] = None;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer.index()].is_some()
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Tells whether the timer has run out by `now`, and disarms it if so.
    pub(crate) fn expire(&mut self, timer: Timer, now: Instant) -> bool {
        self.0[timer.index()]
            .take_if(|deadline| *deadline <= now)
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_runs_out_once_and_not_before_its_time() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
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
