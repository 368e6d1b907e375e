//! Stalled writing: fails a connection on which bytes wait that the transport does not take. Whoever
//! waits for room to send would wait for ever with a peer that does not read, as what it sends is a
//! sign of life; and in the drafts, which have no ping, with any.
//!
//! Neither a send nor a write reads a clock or moves a timer for this. The first call of
//! `handle_timeout` that finds bytes waiting begins to watch, so until then the deadline is at once;
//! which a driver only sees when a write was not taken in full. A lap of half the timeout then asks
//! what has left since. Each lap begins with bytes that wait, so one in which nothing left is a wait of
//! all of it; what leaves begins anew. A stall is so found after the timeout, or half as much more if
//! something left before it in the same lap. Nothing is armed for a connection that writes all it has.
//!
//! Only an open connection is watched: from the close on the `close_timeout` bounds each wait.

use std::time::Instant;

use super::Connection;
use super::closing::Phase;
use super::timers::{Moment, Timer};
use crate::error::ProtocolError;

/// What is known of writing.
#[derive(Debug)]
pub(super) struct Stall {
    /// Since when nothing is known to have left, while it is watched; otherwise the last time that
    /// `handle_timeout` was told.
    since: Moment,
    /// What had left by then.
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
    /// When to begin to watch: at once, if there is something to watch. That time has passed, as nobody
    /// told it yet.
    pub(super) fn watch_deadline(&self) -> Option<Instant> {
        let is_due = !self.watches_writing && self.may_stall();
        is_due.then(|| self.last_told())
    }

    /// Returns the last time that is known, or one before it: neither a send nor a write has a clock.
    pub(super) fn last_told(&self) -> Instant {
        self.timers.instant(self.stall.since.max(self.last_read))
    }

    /// Takes the time, before the timers are looked at.
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
            self.watches_writing = false;
            self.stall = Stall::new(self.timers.moment(now));
        } else if self.outgoing.left() != self.stall.left {
            self.begin_lap(now);
        } else if now.saturating_duration_since(self.timers.instant(self.stall.since)) < timeout {
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
            && matches!(self.phase, Phase::Open)
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
