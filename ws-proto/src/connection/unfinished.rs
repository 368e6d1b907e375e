//! Unfinished messages: fails a connection whose peer began a message and sends next to nothing more of it. A few bytes
//! can hold a message of the whole limit: compressed, or declared and sent up to its last byte; and pongs are signs of life.
//!
//! Messages that come whole cost nothing here. A read that leaves a message open begins a lap, if none runs. Its end asks
//! what came of that message since: enough, or another message, begins the next lap. A message that came to a
//! halt is so found after the timeout, or up to twice as long if something came of it, or of one before it, in the
//! same lap. A lap in which we did not read proves nothing.
//!
//! Only an open connection is watched: from the close on the `close_timeout` bounds each wait.

use std::time::Instant;

use super::Connection;
use super::closing::Phase;
use crate::error::ProtocolError;
use crate::wire::Timer;

/// What must come of an open message in one `message_timeout`, in bytes on the wire without headers. With the default
/// that is 68 bytes a second, less than any line that still carries TCP.
const MESSAGE_PROGRESS: u64 = 4 << 10;

/// What is known of the message that is open.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that arrived of it, as they came: compressed, if it is.
    pub(super) arrived: u64,
    /// Since the lap began in which it is watched; `None` if it began later.
    lap: Option<Lap>,
}

#[derive(Clone, Copy, Debug)]
struct Lap {
    /// What had arrived by then.
    arrived: u64,
    /// Whether there was a time in it in which we did not read.
    is_excused: bool,
}

impl Connection {
    /// Looks at the message that a read left open. To be called at the end of each read.
    #[inline]
    pub(super) fn watch_message(&mut self, now: Instant) {
        if !self.assembler.is_between_messages() {
            self.watch_open_message(now);
        }
    }

    fn watch_open_message(&mut self, now: Instant) {
        let is_paused = !self.wants_read();
        let Some(progress) = self.assembler.held(&self.config) else {
            return;
        };
        if !matches!(self.phase, Phase::Open) || self.config.message_timeout.is_none() {
            return;
        }
        if self.timers.is_set(Timer::Message) {
            if let Some(lap) = &mut progress.lap {
                lap.is_excused |= is_paused;
            }
        } else {
            self.begin_message_lap(now);
        }
    }

    pub(super) fn handle_message_timeout(&mut self, now: Instant) {
        let is_paused = !self.wants_read();
        let (Some(waited), Some(progress)) = (
            self.config.message_timeout,
            self.assembler.held(&self.config),
        ) else {
            return;
        };
        let received = progress.arrived;
        let is_stuck = progress
            .lap
            .is_some_and(|lap| !lap.is_excused && received - lap.arrived < MESSAGE_PROGRESS);
        if is_stuck && !is_paused {
            self.fail(now, ProtocolError::MessageStalled { waited, received });
        } else {
            self.begin_message_lap(now);
        }
    }

    fn begin_message_lap(&mut self, now: Instant) {
        let is_excused = !self.wants_read();
        if let Some(progress) = self.assembler.held(&self.config) {
            let arrived = progress.arrived;
            progress.lap = Some(Lap {
                arrived,
                is_excused,
            });
            self.timers
                .set(Timer::Message, now, self.config.message_timeout);
        }
    }
}
