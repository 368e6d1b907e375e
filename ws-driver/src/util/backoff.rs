//! The pauses between attempts to reach something. They grow, and are random, so that those who lost it at the same moment do not
//! come back at the same moment. No clock and no randomness: the caller has both.

use std::time::Duration;

/// Pauses between attempts to connect, for a loop of your own; [`Reconnector`](crate::Reconnector) has one. Each is a random time
/// below a bound that doubles (full jitter).
#[derive(Clone, Debug)]
pub struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// Pauses since a connection has worked.
    pauses: u32,
}

/// A connection that lasted for so long has worked. One that ends sooner counts as an attempt that failed, because whoever
/// accepts and closes at once is not to be called without a pause.
const WORKED: Duration = Duration::from_secs(5);

/// The longest pause of all: a month, so that no sum overflows.
const PAUSE_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Backoff {
    /// Makes pauses whose bound doubles from the first to the longest one.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            pauses: 0,
        }
    }

    /// Notes that a connection has ended. If it lasted 5 s, it has worked, and the bound begins anew. Returns whether it did.
    pub fn note_ended(&mut self, lasted: Duration) -> bool {
        let has_worked = lasted >= WORKED;
        if has_worked {
            self.pauses = 0;
        }
        has_worked
    }

    /// Returns the next pause. `random` is a random number from its whole range.
    pub fn next_pause(&mut self, random: u32) -> Duration {
        let doublings = self.pauses.min(31);
        self.pauses = self.pauses.saturating_add(1);
        let bound = self.first.saturating_mul(1 << doublings);
        let bound = bound.min(self.longest).min(PAUSE_LIMIT);
        bound.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn backoff() -> Backoff {
        Backoff::new(MS * 500, MS * 30_000)
    }

    /// The bound doubles up to the longest pause, the pause is anything below it, and a connection that has worked begins anew.
    #[test]
    fn pauses_grow_and_are_spread() {
        let mut backoff = backoff();
        let bounds = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        for bound in bounds {
            assert_eq!(backoff.clone().next_pause(0), Duration::ZERO);
            let half = backoff.clone().next_pause(u32::MAX / 2);
            assert!(
                half > MS * (bound / 2 - 1) && half <= MS * bound / 2,
                "{half:?}"
            );
            assert_eq!(backoff.next_pause(u32::MAX), MS * bound);
        }
        assert!(!backoff.note_ended(WORKED - MS));
        assert_eq!(backoff.next_pause(u32::MAX), MS * 30_000);
        assert!(backoff.note_ended(WORKED));
        assert_eq!(backoff.next_pause(u32::MAX), MS * 500);
    }

    /// No number of pauses overflows, and no time.
    #[test]
    fn pauses_are_bounded() {
        let mut pauses = backoff();
        pauses.pauses = u32::MAX;
        assert_eq!(pauses.next_pause(u32::MAX), MS * 30_000);
        let mut pauses = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(pauses.next_pause(u32::MAX), PAUSE_LIMIT);
        let mut pauses = Backoff::new(Duration::ZERO, Duration::MAX);
        assert_eq!(pauses.next_pause(u32::MAX), Duration::ZERO);
    }
}
