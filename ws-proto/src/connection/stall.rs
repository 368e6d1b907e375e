//! Stalled writing: fails a connection whose transport does not take the bytes that wait.
//!
//! Without it a sender could wait for capacity for ever. A peer that does not read can still send, and whatever it
//! sends is a sign of life; and the drafts have no ping at all.
//!
//! Neither a send nor a write reads a clock or moves a timer for this. The first call of `handle_timeout` that finds
//! bytes waiting begins a lap, so until then the deadline is "at once". A driver sees that deadline only when a write
//! was not taken in full. At the end of a lap of half the timeout the count of bytes that ever left says what
//! happened. A lap always begins with bytes that wait: if no byte left during a lap, the whole lap counts as stalled;
//! any byte restarts it. So a stall is found after the timeout, or after up to 1.5 times the timeout if something left
//! earlier in the same lap. A slow trickle is safe. A connection that writes all it has arms nothing, and wakes no
//! more often than without.
//!
//! Only an open connection is watched: from the close on the `close_timeout` bounds each wait.

use std::time::Instant;

use super::Connection;
use super::closing::Phase;
use super::timers::{Moment, Timer};
use crate::error::ProtocolError;

/// The progress of writing.
#[derive(Debug)]
pub(super) struct Stall {
    /// During a lap: the time since which no byte is known to have left. Otherwise the time of the last
    /// `handle_timeout`.
    since: Moment,
    /// The count of bytes that had left by then.
    left: u64,
}

impl Stall {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            since: now,
            left: 0,
        }
    }
}

impl Connection {
    /// Returns a deadline that has passed already, if a lap has to begin.
    pub(super) fn watch_deadline(&self) -> Option<Instant> {
        let is_due = !self.watches_writing && self.may_stall();
        is_due.then(|| self.last_known_time())
    }

    /// Returns the last time that the connection was given, or an earlier one. A send and a write have no clock.
    pub(super) fn last_known_time(&self) -> Instant {
        self.timers.instant(self.stall.since.max(self.last_read))
    }

    /// Begins a lap if bytes wait and no lap runs. Called by each `handle_timeout`, before the timers.
    pub(super) fn watch_writing(&mut self, now: Instant) {
        if self.watches_writing {
            return;
        }
        self.stall.since = self.timers.moment(now);
        if self.may_stall() {
            self.begin_lap(now);
        }
    }

    pub(super) fn handle_stall_timeout(&mut self, now: Instant) {
        let Some(timeout) = self.config.stall_timeout else {
            return;
        };
        if !self.may_stall() {
            // Nothing waits any more. The next bytes begin a lap of their own.
            self.watches_writing = false;
            self.stall = Stall::new(self.timers.moment(now));
        } else if self.outgoing.left() != self.stall.left {
            self.begin_lap(now);
        } else if now.saturating_duration_since(self.timers.instant(self.stall.since)) < timeout {
            // The lap was half the timeout. The other half decides.
            let since = self.timers.instant(self.stall.since);
            self.timers.set(Timer::Stall, since, Some(timeout));
        } else {
            let (waited, buffered) = (timeout, self.buffered_amount());
            self.fail(now, ProtocolError::WriteStalled { waited, buffered });
        }
    }

    fn may_stall(&self) -> bool {
        self.buffered_amount() > 0
            && self.config.stall_timeout.is_some()
            && matches!(self.phase, Phase::Open(_))
    }

    fn begin_lap(&mut self, now: Instant) {
        self.watches_writing = true;
        self.stall = Stall {
            since: self.timers.moment(now),
            left: self.outgoing.left(),
        };
        let lap = self.config.stall_timeout.map(|timeout| timeout / 2);
        self.timers.set(Timer::Stall, now, lap);
    }
}
