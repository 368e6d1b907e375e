//! The model of incomplete messages: how much of one must arrive in time.

use std::time::Duration;

use super::{End, Endpoint};

/// What is known of the message that is open.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Messages that were whole before it.
    pub(super) count: usize,
    /// How much of it came, if it is held.
    held: Option<usize>,
    /// Which one it was when the wait began, and how much of it had come; whether the application kept us from reading
    /// meanwhile.
    waited_for: (usize, usize),
    is_excused: bool,
    /// Whether the wait was made longer, because the rate limit kept the peer waiting at its end.
    is_extended: bool,
}

/// What must come of it in each wait.
const PROGRESS: usize = 4096;

impl Endpoint {
    /// A read is done, and left so much of a message that is not whole.
    pub(super) fn watch_message(&mut self, now: Duration, held: Option<usize>) {
        self.unfinished.held = held;
        if held.is_none() || !self.is_open() || self.setup.message_timeout.is_none() {
            return;
        }
        if self.message.is_none() {
            self.await_message(now);
        } else if self.unfinished.waited_for.0 == self.unfinished.count {
            self.unfinished.is_excused |= !self.has_room();
        }
    }

    pub(super) fn handle_message_timeout(&mut self, now: Duration) {
        let Some(held) = self.unfinished.held else {
            return;
        };
        let Unfinished {
            count,
            waited_for: (waited_for, before),
            is_excused,
            is_extended,
            ..
        } = self.unfinished;
        let is_excused = is_excused || !self.has_room();
        if waited_for != count || held - before >= PROGRESS || is_excused {
            return self.await_message(now);
        }
        match self.rates.wait {
            Some(end) if !is_extended => {
                self.unfinished.is_extended = true;
                self.message = self.after(end, self.setup.message_timeout);
            }
            Some(_) | None => self.end(now, End::Fail(1008)),
        }
    }

    fn await_message(&mut self, now: Duration) {
        self.unfinished.waited_for = (self.unfinished.count, self.unfinished.held.unwrap_or(0));
        self.unfinished.is_excused = !self.has_room();
        self.unfinished.is_extended = false;
        self.message = self.after(now, self.setup.message_timeout);
    }
}
