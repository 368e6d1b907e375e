//! The pauses between attempts to connect. They grow, and are random, so that the nodes of a cluster do not come back to an
//! engine all at once.

use std::time::Duration;

use ws_driver::Runtime;

pub(crate) struct Backoff {
    /// The longest that the next pause can be.
    longest: Duration,
}

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);

/// A link that lasted for so long has worked.
const WORKED: Duration = Duration::from_secs(5);

impl Default for Backoff {
    fn default() -> Self {
        Self { longest: FIRST }
    }
}

impl Backoff {
    /// Notes that there was a link for some time.
    pub(crate) fn note_link(&mut self, lasted: Duration) {
        if lasted >= WORKED {
            self.longest = FIRST;
        }
    }

    /// Returns a time between zero and the longest (full jitter), which doubles each time.
    pub(crate) fn next_pause(&mut self, runtime: &impl Runtime) -> Duration {
        let mut bytes = [0; 4];
        runtime.fill_random(&mut bytes);
        let share = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
        let pause = self.longest.mul_f64(share);
        self.longest = (self.longest * 2).min(LAST);
        pause
    }
}
