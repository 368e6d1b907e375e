//! Disturbances of one direction of a stream that are nobody's fault: it moves less than it could,
//! is slow, or is not ready now but in a moment. A seed decides all of it. Knows nothing of wakers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::random::Rng;

/// The weather of a pipe.
#[derive(Debug)]
pub(crate) struct Weather {
    rng: Rng,
    /// The most that one call moves; how much it is, is drawn for each.
    chop: usize,
    /// The longest that bytes are on their way.
    delay: Duration,
    /// When what was written arrives, and how much that is; in order.
    on_the_way: VecDeque<(Instant, usize)>,
    /// When the end of the pipe arrives, if it was ended.
    end: Option<Instant>,
    last: Option<Instant>,
}

impl Weather {
    /// Draws the weather of a pipe, and how much the pipe holds.
    pub(crate) fn draw(mut rng: Rng) -> (Self, usize) {
        let chop = rng.pick(&[usize::MAX, usize::MAX, 8192, 700, 90]);
        let longest = rng.pick(&[0, 0, 3, 30, 250]);
        let capacity = rng.pick(&[64 << 10, 64 << 10, 16 << 10, 4 << 10, 1 << 10]);
        let weather = Self {
            rng,
            chop,
            delay: Duration::from_millis(longest),
            on_the_way: VecDeque::new(),
            end: None,
            last: None,
        };
        (weather, capacity)
    }

    /// Tells whether a call does not get anywhere although it could.
    pub(crate) fn hesitates(&mut self) -> bool {
        self.rng.once_in(24)
    }

    /// Draws how much of `len` bytes a call moves.
    pub(crate) fn chop(&mut self, len: usize) -> usize {
        let most = len.min(self.chop);
        if most > 1 && self.rng.once_in(2) {
            self.rng.len(1..=most)
        } else {
            most
        }
    }

    /// Notes bytes that were written, or the end of the pipe if there are none; returns when they
    /// arrive.
    pub(crate) fn send(&mut self, now: Instant, len: usize) -> Instant {
        let longest = u64::try_from(self.delay.as_micros()).expect("delays are short");
        let at = now + Duration::from_micros(self.rng.within(0..=longest));
        let at = self.last.map_or(at, |last| at.max(last));
        self.last = Some(at);
        match len {
            0 => self.end = Some(at),
            _ if at > now => self.on_the_way.push_back((at, len)),
            _ => {}
        }
        at
    }

    /// Returns how many bytes have not arrived.
    pub(crate) fn on_the_way(&mut self, now: Instant) -> usize {
        while self.on_the_way.front().is_some_and(|(at, _)| *at <= now) {
            self.on_the_way.pop_front();
        }
        self.on_the_way.iter().map(|(_, len)| len).sum()
    }

    /// Tells whether the end of the pipe has arrived, if it was ended.
    pub(crate) fn end_is_here(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| end <= now)
    }

    pub(crate) fn clear(&mut self) {
        self.on_the_way.clear();
    }
}
