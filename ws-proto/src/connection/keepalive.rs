//! Keepalive: pings a silent peer, and fails the connection if nothing arrives after that. Anything
//! that arrives is a sign of life, as a pong can be stuck behind a large message. While nothing is
//! read, because the application does not take what came, silence proves nothing, but a transport that
//! takes nothing does; and a peer that slowly drains a transport that is full cannot have seen the ping
//! that waits behind.
//!
//! One event, a broadcast that all answer, would align the pings of all connections for good. So each can take a part
//! of its own off the interval, drawn once: that costs one byte for a connection and nothing for a message.

use std::time::{Duration, Instant};

use super::Connection;
use super::timers::Timer;
use crate::error::ProtocolError;
use crate::frame::Opcode;
use crate::randomness::Randomness;

/// The most that is taken off the interval is a quarter: enough to spread the pings of a server over 5 s with the
/// defaults, and they come to 14 % more. Steps of a byte for it make it a 1024th.
const STEPS: u32 = 1024;

impl Connection {
    /// Takes a random part, up to a quarter, off the `keepalive_interval` of this connection, drawn here. So the pings
    /// of many connections that were silent since the same moment are spread. Does nothing in the drafts, which
    /// have no ping. Call it once for each connection of a server; it can change [`poll_timeout`](Self::poll_timeout).
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

    /// The interval less the part that is this connection's.
    fn keepalive_interval(&self) -> Option<Duration> {
        let interval = self.config.keepalive_interval?;
        let part = interval / STEPS * u32::from(self.keepalive_steps);
        Some(interval.saturating_sub(part))
    }

    /// Something arrived. A running keepalive timer is left alone, as moving it for each read costs
    /// more than looking at it when it runs out.
    pub(super) fn note_alive(&mut self, now: Instant) {
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
        // Who has not seen the last ping would not see this one sooner; and if nothing is ever written, pings
        // must not queue without end.
        if self.outgoing.left() >= self.ping_end {
            self.push_control(Opcode::Ping, b"");
        }
        self.paused = !self.wants_read();
        self.drains = false;
        self.timers.set(Timer::Pong, now, self.config.pong_timeout);
        if !self.timers.is_set(Timer::Pong) {
            let interval = interval.max(LEAST_WAIT);
            self.timers.set(Timer::Keepalive, now, Some(interval));
        }
    }

    pub(super) fn handle_pong_timeout(&mut self, now: Instant) {
        // An application that waits for room to send may not read for ever.
        let is_excused = self.paused && self.buffered_amount() == 0;
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

/// What a wait that ran out is armed again for, at least: time goes on for who tells the deadline each time,
/// even with a wait of zero, which [`ConnectionConfig::check`](crate::ConnectionConfig::check) refuses.
const LEAST_WAIT: Duration = Duration::from_millis(1);
