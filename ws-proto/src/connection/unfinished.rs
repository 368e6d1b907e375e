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
use super::timers::Timer;
use crate::error::ProtocolError;

/// What must come of an open message in one `message_timeout`, in bytes on the wire without headers. With the default
/// that is 68 bytes a second, less than any line that still carries TCP.
const MESSAGE_PROGRESS: u32 = 4 << 10;

/// What is known of the message that is open. Small, as each connection has room for one, open or not.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that arrived of it, as they came: compressed, if it is.
    arrived: u64,
    /// Those of the lap, up to what counts as progress.
    arrived_in_lap: u32,
    lap: Lap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lap {
    /// It is not watched, as the lap that runs began before it.
    #[default]
    Earlier,
    /// It is watched since the lap began.
    Watched,
    /// So it is, but there was a time in which we did not read.
    Excused,
}

impl Progress {
    /// Counts bytes that arrived.
    pub(super) fn note_arrived(&mut self, len: u64) {
        self.arrived = self.arrived.saturating_add(len);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.arrived_in_lap = self.arrived_in_lap.saturating_add(len);
    }
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
            if is_paused && progress.lap == Lap::Watched {
                progress.lap = Lap::Excused;
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
        let is_stuck = progress.lap == Lap::Watched && progress.arrived_in_lap < MESSAGE_PROGRESS;
        if is_stuck && !is_paused {
            self.fail(now, ProtocolError::MessageStalled { waited, received });
        } else {
            self.begin_message_lap(now);
        }
    }

    fn begin_message_lap(&mut self, now: Instant) {
        let is_excused = !self.wants_read();
        if let Some(progress) = self.assembler.held(&self.config) {
            progress.arrived_in_lap = 0;
            progress.lap = if is_excused {
                Lap::Excused
            } else {
                Lap::Watched
            };
            self.timers
                .set(Timer::Message, now, self.config.message_timeout);
        }
    }
}
