//! Keepalive: pings a silent peer, and fails the connection if nothing arrives after that. Anything
//! that arrives is a sign of life, as a pong can be stuck behind a large message. While nothing is
//! read, because the application does not take what came, silence proves nothing, but a transport that
//! takes nothing does; and a peer that slowly drains a transport that is full cannot have seen the ping
//! that waits behind.

use std::time::Instant;

use super::Connection;
use crate::error::ProtocolError;
use crate::frame::Opcode;
use crate::wire::Timer;

impl Connection {
    pub(super) fn start_keepalive(&mut self, now: Instant) {
        if self.version.features().ping {
            self.timers
                .set(Timer::Keepalive, now, self.config.keepalive_interval);
        }
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
        self.compression.rest();
        let Some(interval) = self.config.keepalive_interval else {
            return;
        };
        if !self.phase.answers_pings() {
            return;
        }
        if now.saturating_duration_since(self.last_read) < interval {
            self.timers
                .set(Timer::Keepalive, self.last_read, Some(interval));
            return;
        }
        self.codec
            .encode_control(Opcode::Ping, b"", &mut self.outgoing);
        self.pings_sent += 1;
        self.paused = !self.wants_read();
        self.drains = false;
        self.timers.set(Timer::Pong, now, self.config.pong_timeout);
        if !self.timers.is_set(Timer::Pong) {
            self.start_keepalive(now);
        }
    }

    pub(super) fn handle_pong_timeout(&mut self, now: Instant) {
        // An application that waits for room to send may not read for ever.
        let is_excused = self.paused && self.buffered_amount() == 0;
        if is_excused || self.drains {
            self.paused = !self.wants_read();
            self.drains = false;
            self.timers.set(Timer::Pong, now, self.config.pong_timeout);
            return;
        }
        let waited = self.config.pong_timeout.unwrap_or_default();
        self.fail(now, ProtocolError::PongTimeout { waited });
    }
}
