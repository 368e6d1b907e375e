//! Keepalive: pings a silent peer, and fails the connection if nothing arrives after that. The drafts have no ping;
//! there a driver has the transport probe the peer.
//!
//! A broadcast that all peers answer would align the pings of all connections for good. So each connection can take a
//! part of its own off the interval. The part is drawn once, because the intervals differ from then on: that costs one
//! byte for a connection and nothing for a message.

use std::time::{Duration, Instant};

use super::Connection;
use super::timers::Timer;
use crate::error::ProtocolError;
use crate::randomness::Randomness;

/// The steps in a whole interval. A byte of them is up to a quarter of the interval: enough to spread the pings of a
/// server over 5 s with the defaults, at the price of 14 % more pings.
const STEPS: u32 = 1024;

impl Connection {
    /// Takes a random part, up to a quarter, off the `keepalive_interval` of this connection.
    ///
    /// It spreads the pings of many connections that fell silent at the same moment. It does nothing in the drafts,
    /// which have no ping. Call it once for each connection of a server. Can change
    /// [`poll_timeout`](Self::poll_timeout).
    pub fn spread_keepalive(&mut self, randomness: &mut dyn Randomness) {
        let mut drawn = [0];
        randomness.fill(&mut drawn);
        self.keepalive_steps = drawn[0];
        if self.timers.is_set(Timer::Keepalive) {
            self.start_keepalive(self.timers.instant(self.last_read));
        }
    }

    pub(super) fn start_keepalive(&mut self, now: Instant) {
        if self.version.features().ping {
            self.timers
                .set(Timer::Keepalive, now, self.keepalive_interval());
        }
    }

    /// Returns the interval less the part of this connection.
    fn keepalive_interval(&self) -> Option<Duration> {
        let interval = self.config.keepalive_interval?;
        let part = interval / STEPS * u32::from(self.keepalive_steps);
        Some(interval.saturating_sub(part))
    }

    /// Notes that something arrived.
    pub(super) fn note_alive(&mut self, now: Instant) {
        // Anything is a sign of life and not only a pong, because a pong can be stuck behind a large message. A
        // running keepalive timer is left alone: to move it with each read costs more than to look again when it runs
        // out.
        if self.timers.is_set(Timer::Pong) {
            self.timers.stop(Timer::Pong);
            self.start_keepalive(now);
        }
    }

    pub(super) fn handle_keepalive_timeout(&mut self, now: Instant) {
        let Some(interval) = self.keepalive_interval() else {
            return;
        };
        if !self.phase.answers_pings() {
            return;
        }
        let last_read = self.timers.instant(self.last_read);
        if now.saturating_duration_since(last_read) < interval {
            self.timers.set(Timer::Keepalive, last_read, Some(interval));
            return;
        }
        // A peer that has not seen the last ping would not see this one sooner. And if nothing is ever written, pings
        // must not queue without end.
        if self.outgoing.left() >= self.ping_end {
            self.push_keepalive_ping(now);
        }
        self.paused = !self.wants_read();
        self.drains = false;
        self.timers.set(Timer::Pong, now, self.config.pong_timeout);
        // Without a `pong_timeout` no silence fails the connection, but the pings go on.
        if !self.timers.is_set(Timer::Pong) {
            let interval = interval.max(LEAST_WAIT);
            self.timers.set(Timer::Keepalive, now, Some(interval));
        }
    }

    pub(super) fn handle_pong_timeout(&mut self, now: Instant) {
        // While we did not read, silence proves nothing. But if bytes wait as well, the transport takes nothing: an
        // application that waits for capacity to send may pause reading for ever, and this must find it.
        let is_excused = self.paused && self.buffered_amount() == 0;
        // While the transport takes some of the bytes, the ping can be stuck behind the others.
        if is_excused || self.drains {
            self.paused = !self.wants_read();
            self.drains = false;
            let wait = self.config.pong_timeout.map(|wait| wait.max(LEAST_WAIT));
            self.timers.set(Timer::Pong, now, wait);
            return;
        }
        let waited = self.config.pong_timeout.unwrap_or_default();
        self.fail(now, ProtocolError::PongTimeout { waited });
    }
}

/// The shortest wait that is armed again after it ran out. So time goes on for a caller that always passes the
/// deadline, even with a wait of zero, which [`ConnectionConfig::check`](crate::ConnectionConfig::check) refuses.
const LEAST_WAIT: Duration = Duration::from_millis(1);
