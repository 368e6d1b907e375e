//! The rate limit: counts what arrives, and pauses reading or fails the connection when it is too much. What the limit
//! counts is written at [`RateLimit`].
//!
//! A bucket is one number: the time at which it will be full again. A token that is taken moves that time on, and time
//! that passes fills the bucket without any work. So a bucket costs no timer; only a pause has one.
//!
//! A connection without a limit has no state for it, and the run of whole messages in `receiving.rs` does not look here.

use std::time::Instant;

use super::Connection;
use super::assembler::Assembled;
use super::closing::Phase;
use super::timers::{Moment, Timer};
use crate::error::ProtocolError;
use crate::frame::{Opcode, Piece};
use crate::rate_limit::{Rate, RateExcess, RateLimit};

/// The state of the limit of one connection.
#[derive(Debug)]
pub(super) struct RateLimiter {
    messages: Bucket,
    bytes: Bucket,
    /// The number of pongs that arrived.
    pongs: u64,
    /// The bytes of the open message that came in frames.
    arrived: usize,
    /// The bytes of it that were given out in fragments.
    given_out: usize,
    /// Whether nothing is to be read until [`Timer::RateLimit`] runs out. Invariant: that timer is armed then.
    is_waiting: bool,
}

/// What something that arrived takes out of the buckets.
struct Charge {
    messages: u64,
    bytes: usize,
    /// Whether more of the same message follows.
    is_continued: bool,
}

impl RateLimiter {
    pub(super) const fn new() -> Self {
        Self {
            messages: Bucket::FULL,
            bytes: Bucket::FULL,
            pongs: 0,
            arrived: 0,
            given_out: 0,
            is_waiting: false,
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Returns what something takes; `None` if it is free.
    fn charge(&mut self, assembled: &Assembled, pings_sent: u64) -> Option<Charge> {
        let whole = |bytes| Charge {
            messages: 1,
            bytes,
            is_continued: false,
        };
        match assembled {
            Assembled::Message(message) => {
                // A compressed message of which nothing comes out costs the work of inflating it.
                let arrived = std::mem::take(&mut self.arrived);
                Some(whole(message.len().max(arrived)))
            }
            Assembled::Fragment(fragment) => {
                self.given_out = self.given_out.saturating_add(fragment.content.len());
                let mut bytes = fragment.content.len();
                if fragment.last {
                    let arrived = std::mem::take(&mut self.arrived);
                    let given_out = std::mem::take(&mut self.given_out);
                    bytes = bytes.saturating_add(arrived.saturating_sub(given_out));
                }
                Some(Charge {
                    messages: u64::from(fragment.first),
                    bytes,
                    is_continued: !fragment.last,
                })
            }
            Assembled::Control(Opcode::Close, _) => None,
            Assembled::Control(Opcode::Pong, payload) => {
                self.pongs += 1;
                // As many as there were pings were asked for. Counted, and not matched by payload, because a peer may
                // change the payload or answer late.
                (self.pongs > pings_sent).then(|| whole(payload.len()))
            }
            Assembled::Control(_, payload) => Some(whole(payload.len())),
        }
    }

    fn take(&mut self, limit: RateLimit, now: Moment, charge: &Charge) {
        if let Some(rate) = limit.messages {
            self.messages.take(rate, now, charge.messages);
        }
        if let Some(rate) = limit.bytes {
            let bytes = u64::try_from(charge.bytes).unwrap_or(u64::MAX);
            self.bytes.take(rate, now, bytes);
        }
    }

    /// Returns the time from which each bucket has a token.
    fn open_at(&self, limit: RateLimit) -> Moment {
        let messages = limit.messages.map(|rate| self.messages.open_at(rate));
        let bytes = limit.bytes.map(|rate| self.bytes.open_at(rate));
        messages.max(bytes).unwrap_or(Moment::OPENED)
    }

    /// Returns the error of something that arrives when a bucket has no token.
    fn excess(&self, limit: RateLimit, now: Moment) -> Option<ProtocolError> {
        let is_empty = |bucket: &Bucket, rate: &Rate| bucket.open_at(*rate) > now;
        let (counted, rate) =
            if let Some(rate) = limit.messages.filter(|rate| is_empty(&self.messages, rate)) {
                ("messages and control frames", rate)
            } else {
                let rate = limit.bytes.filter(|rate| is_empty(&self.bytes, rate))?;
                ("bytes", rate)
            };
        Some(ProtocolError::RateLimited {
            counted,
            per_second: rate.per_second,
            burst: rate.burst,
        })
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    /// The time at which the bucket is full, if nothing more is taken.
    full_at: Moment,
}

impl Bucket {
    const FULL: Self = Self {
        full_at: Moment::OPENED,
    };

    fn take(&mut self, rate: Rate, now: Moment, tokens: u64) {
        self.full_at = self.full_at.max(now).later(nanos_of(rate, tokens));
    }

    /// Returns the time from which the bucket has one token at least.
    fn open_at(&self, rate: Rate) -> Moment {
        let others = rate.burst.saturating_sub(1);
        self.full_at.earlier(nanos_of(rate, u64::from(others)))
    }
}

/// Returns the time in which a bucket gets so many tokens.
fn nanos_of(rate: Rate, tokens: u64) -> u64 {
    // At least one a second: a rate of zero is for `ConnectionConfig::check` to refuse.
    let per_second = u128::from(rate.per_second.max(1));
    // Rounded up, so that no rate is so high that bytes are free.
    let nanos = (u128::from(tokens) * 1_000_000_000).div_ceil(per_second);
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

impl Connection {
    /// Tells whether the rate limit keeps the connection from reading.
    #[inline]
    pub(super) fn is_rate_waiting(&self) -> bool {
        matches!(&self.phase, Phase::Open(Some(limiter)) if limiter.is_waiting())
    }

    /// Returns when the peer may send again, if the rate limit keeps the connection from reading.
    pub(super) fn rate_wait_end(&self) -> Option<Instant> {
        let is_waiting = self.is_rate_waiting();
        is_waiting.then(|| self.timers.end_of(Timer::RateLimit))?
    }

    /// Counts a piece of a message, and tells whether it may begin one, if it does. If not, the connection has failed.
    // At the beginning and not at the end: what is too much is then not held first, and a message that also breaks another
    // rule fails by the same one however it was chopped.
    #[inline]
    pub(super) fn may_begin(&mut self, now: Instant, piece: &Piece<'_>) -> bool {
        let Phase::Open(Some(limiter)) = &mut self.phase else {
            return true;
        };
        if matches!(
            piece.opcode,
            Opcode::Text | Opcode::Binary | Opcode::Continuation
        ) {
            limiter.arrived = limiter.arrived.saturating_add(piece.payload.len());
        }
        !piece.first
            || !matches!(piece.opcode, Opcode::Text | Opcode::Binary)
            || !self.assembler.is_between_messages()
            || self.has_tokens(now)
    }

    /// Counts something that arrived; tells whether it is delivered. If not, the connection has failed.
    #[inline]
    pub(super) fn admit(&mut self, now: Instant, assembled: &Assembled) -> bool {
        !matches!(self.phase, Phase::Open(Some(_))) || self.admit_limited(now, assembled)
    }

    fn admit_limited(&mut self, now: Instant, assembled: &Assembled) -> bool {
        let (Phase::Open(Some(limiter)), Some(limit)) =
            (&mut self.phase, self.config.receive_rate_limit)
        else {
            return true;
        };
        let Some(charge) = limiter.charge(assembled, self.pings_sent) else {
            return true;
        };
        if matches!(assembled, Assembled::Control(..)) && !self.has_tokens(now) {
            return false;
        }
        self.take_tokens(now, limit, &charge);
        true
    }

    /// Tells whether each bucket has a token, or an empty one only makes the peer wait. If not, the connection has failed.
    fn has_tokens(&mut self, now: Instant) -> bool {
        let (Phase::Open(Some(limiter)), Some(limit)) =
            (&self.phase, self.config.receive_rate_limit)
        else {
            return true;
        };
        if limit.excess == RateExcess::Wait {
            return true;
        }
        match limiter.excess(limit, self.timers.moment(now)) {
            Some(error) => {
                self.fail(now, error);
                false
            }
            None => true,
        }
    }

    /// Takes tokens, and makes the peer wait if none are left.
    fn take_tokens(&mut self, now: Instant, limit: RateLimit, charge: &Charge) {
        let Phase::Open(Some(limiter)) = &mut self.phase else {
            return;
        };
        let moment = self.timers.moment(now);
        limiter.take(limit, moment, charge);
        let open_at = limiter.open_at(limit);
        let may_wait = limit.excess == RateExcess::Wait || charge.is_continued;
        if open_at > moment && may_wait {
            limiter.is_waiting = true;
            let wait = self.timers.instant(open_at).saturating_duration_since(now);
            self.timers.set(Timer::RateLimit, now, Some(wait));
        }
    }

    pub(super) fn handle_rate_timeout(&mut self) {
        if let Phase::Open(Some(limiter)) = &mut self.phase {
            limiter.is_waiting = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::timers::Timers;
    use std::time::Duration;

    /// Whatever the rate is, a bucket gives its burst at once and the rate after that, to a token.
    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let timers = Timers::new(start);
        for (per_second, burst, seconds) in [(1, 1, 9), (3, 7, 5), (7, 1, 3), (1000, 20, 2)] {
            let rate = Rate::per_second(per_second).burst(burst);
            let mut bucket = Bucket::FULL;
            let mut given = 0;
            for millis in 0..=seconds * 1000 {
                let now = timers.moment(start + Duration::from_millis(millis));
                while bucket.open_at(rate) <= now {
                    bucket.take(rate, now, 1);
                    given += 1;
                }
            }
            let most = u64::from(burst) + u64::from(per_second) * seconds;
            // The last token can be a rounded nanosecond late.
            assert!((most - 1..=most).contains(&given), "{rate:?}: {given}");
        }
    }

    /// A bucket below zero opens once the debt and one token more are paid; nothing overflows.
    #[test]
    fn a_debt_delays_by_its_length() {
        let start = Instant::now();
        let timers = Timers::new(start);
        let rate = Rate::per_second(10).burst(5);
        let mut bucket = Bucket::FULL;
        bucket.take(rate, timers.moment(start), 25);
        let opens = timers.instant(bucket.open_at(rate)) - start;
        assert_eq!(opens, Duration::from_millis(2100));
        bucket.take(rate, timers.moment(start), u64::MAX);
        bucket.take(rate, timers.moment(start), u64::MAX);
        assert!(bucket.open_at(rate) > timers.moment(start));
    }
}
