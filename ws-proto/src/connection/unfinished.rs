//! Unfinished messages: fails a connection whose peer began a message and sends next to nothing more of it.
//!
//! Otherwise a peer could hold the memory of a message of the whole limit, and send only pongs, which are signs of
//! life. The message can be a few compressed bytes, or be sent up to its last byte.
//!
//! A read that ends between two messages costs one comparison. A read that leaves a message open begins a lap, if no
//! lap runs. At the end of the lap the bytes that came of that message decide. Enough bytes, or another message, begin
//! the next lap. So a message that came to a halt is found after the timeout, or after up to twice the timeout if some
//! of it, or of a message before it, came in the same lap. A lap in which we did not read, because the application did not
//! take what had arrived, proves nothing. The waits of the rate limit are the peer's own doing: they excuse nothing, or a ping
//! in each lap would. A lap that ends in such a wait is longer, once, so that a peer with a debt has its time behind it.
//!
//! Only an open connection is watched: from the close on the `close_timeout` bounds each wait.

use std::time::Instant;

use super::Connection;
use super::assembler::Rules;
use super::closing::Phase;
use super::timers::Timer;
use crate::error::ProtocolError;

/// The bytes of an open message that must arrive in one `message_timeout`, on the wire and without headers. With the
/// default that is 68 bytes a second, less than any line that still carries TCP.
const MESSAGE_PROGRESS: u32 = 4 << 10;

/// The progress of the open message.
// Small, because each connection has memory for it whether a message is open or not.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The bytes of the message that arrived, compressed if it is.
    arrived: u64,
    /// The bytes that arrived in this lap; at `u32::MAX` the count stays, which is enough to compare.
    arrived_in_lap: u32,
    lap: Lap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lap {
    /// The lap began before the message, so it proves nothing.
    #[default]
    Earlier,
    /// The message was open during the whole lap, and we read all the time.
    Watched,
    /// As [`Watched`](Self::Watched), and the lap was made longer, because it ended in a wait of the rate limit.
    Extended,
    /// The message was open during the whole lap, but reading was paused by a full receive queue for a time.
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
    /// Watches the message that a read left open, if there is one. Called at the end of each read.
    #[inline]
    pub(super) fn watch_message(&mut self, now: Instant) {
        if !self.assembler.is_between_messages() {
            self.watch_open_message(now);
        }
    }

    /// Returns the progress of the open message, if there is one that is held until it is whole.
    fn held(&mut self) -> Option<&mut Progress> {
        let rules = Rules::new(self.version, self.role, &self.config);
        self.assembler.held(rules)
    }

    fn watch_open_message(&mut self, now: Instant) {
        let is_paused = self.is_receive_queue_full();
        let has_lap = self.timers.is_set(Timer::Message);
        if !matches!(self.phase, Phase::Open(_)) || self.config.message_timeout.is_none() {
            return;
        }
        let Some(progress) = self.held() else {
            return;
        };
        if has_lap {
            if is_paused && matches!(progress.lap, Lap::Watched | Lap::Extended) {
                progress.lap = Lap::Excused;
            }
        } else {
            self.begin_message_lap(now);
        }
    }

    pub(super) fn handle_message_timeout(&mut self, now: Instant) {
        let is_paused = self.is_receive_queue_full();
        let rate_wait_end = self.rate_wait_end();
        let (Some(waited), Some(progress)) = (self.config.message_timeout, self.held()) else {
            return;
        };
        let received = progress.arrived;
        let is_slow = progress.arrived_in_lap < MESSAGE_PROGRESS && !is_paused;
        match (progress.lap, rate_wait_end) {
            (Lap::Watched, Some(end)) if is_slow => {
                progress.lap = Lap::Extended;
                self.timers.set(Timer::Message, end, Some(waited));
            }
            (Lap::Watched | Lap::Extended, _) if is_slow => {
                self.fail(now, ProtocolError::MessageStalled { waited, received });
            }
            (Lap::Earlier | Lap::Watched | Lap::Extended | Lap::Excused, _) => {
                self.begin_message_lap(now);
            }
        }
    }

    fn begin_message_lap(&mut self, now: Instant) {
        let is_excused = self.is_receive_queue_full();
        if let Some(progress) = self.held() {
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
