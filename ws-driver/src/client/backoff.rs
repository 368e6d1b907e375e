//! The pauses between attempts to connect. They grow, and are random, so that clients which lost their server at the same moment
//! do not come back at the same moment. No clock: the caller says how long a connection lasted.

use std::time::Duration;

/// The pauses of one client.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) longest: Duration,
    /// Pauses since a connection has worked.
    pauses: u32,
}

/// A connection that lasted for so long has worked. One that ends sooner counts as an attempt that failed, because a server
/// that accepts and closes at once is not to be called without a pause.
const WORKED: Duration = Duration::from_secs(5);

/// The longest pause that a server can ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The longest pause of all: a month, so that no sum overflows.
const PAUSE_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            pauses: 0,
        }
    }
}

impl Backoff {
    /// Notes that a connection has ended which lasted so long.
    pub(super) fn note_ended(&mut self, lasted: Duration) {
        if lasted >= WORKED {
            self.pauses = 0;
        }
    }

    /// Returns the next pause: between nothing and a bound that doubles from the first to the longest (full jitter), behind what
    /// the server has asked for. `random` is any number.
    pub(super) fn next_pause(&mut self, random: u32, retry_after: Option<Duration>) -> Duration {
        let doublings = self.pauses.min(31);
        self.pauses = self.pauses.saturating_add(1);
        let bound = self.first.saturating_mul(1 << doublings);
        let bound = bound.min(self.longest).min(PAUSE_LIMIT);
        let share = f64::from(random) / f64::from(u32::MAX);
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_LIMIT);
        asked + bound.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The bound doubles up to the longest pause, the pause is anything below it, and a connection that has worked begins anew.
    #[test]
    fn pauses_grow_and_are_spread() {
        let mut backoff = Backoff::default();
        let bounds = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        for bound in bounds {
            assert_eq!(backoff.clone().next_pause(0, None), Duration::ZERO);
            let half = backoff.clone().next_pause(u32::MAX / 2, None);
            assert!(
                half > MS * (bound / 2 - 1) && half <= MS * bound / 2,
                "{half:?}"
            );
            assert_eq!(backoff.next_pause(u32::MAX, None), MS * bound);
        }
        backoff.note_ended(WORKED - MS);
        assert_eq!(backoff.next_pause(u32::MAX, None), MS * 30_000);
        backoff.note_ended(WORKED);
        assert_eq!(backoff.next_pause(u32::MAX, None), MS * 500);
    }

    /// What a server asks for comes on top, up to a limit, and no number of pauses overflows.
    #[test]
    fn a_server_can_ask_for_a_pause() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_pause(u32::MAX, Some(MS * 3000)), MS * 3500);
        let ever = Some(Duration::MAX);
        assert_eq!(backoff.next_pause(0, ever), RETRY_AFTER_LIMIT);
        backoff.pauses = u32::MAX;
        assert_eq!(backoff.next_pause(u32::MAX, None), MS * 30_000);
        (backoff.first, backoff.longest) = (Duration::MAX, Duration::MAX);
        assert_eq!(
            backoff.next_pause(u32::MAX, ever),
            PAUSE_LIMIT + RETRY_AFTER_LIMIT
        );
        backoff.first = Duration::ZERO;
        assert_eq!(backoff.next_pause(u32::MAX, None), Duration::ZERO);
    }
}
