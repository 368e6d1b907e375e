//! Round trips: how long a ping of ours takes until its pong (RFC 6455 §5.5.3).
//!
//! A ping is remembered from when it is queued until its pong arrives. The memory for that exists only meanwhile, so a
//! connection of which no ping is on its way holds a null pointer for it. Messages cost nothing: only what handles
//! pings and pongs looks here.
//!
//! A pong is known by its payload. A peer may answer only the latest of several pings, so a pong answers every ping
//! that went out before the one that it names. A pong that names no ping on its way is unsolicited and changes nothing.

use std::time::{Duration, Instant};

use super::Connection;
use super::closing::Phase;
use super::sending::count;
use super::timers::{Moment, Timer};
use crate::error::SendError;
use crate::frame::Opcode;
use crate::message::Payload;

/// The most pings that are remembered. If another one is queued, the oldest that nobody waits for is forgotten. It is
/// large enough for a ping every few milliseconds on a slow path.
const UNANSWERED_LIMIT: usize = 64;

/// A ping whose pong somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingId(
    // The count of pings that were sent, with this one.
    u64,
);

/// What is known of a round trip that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundTrip {
    /// No pong yet.
    Waiting,
    /// The pong took this long.
    Answered(Duration),
    /// There was no pong within the `pong_timeout`.
    TimedOut {
        /// The length of the wait.
        waited: Duration,
    },
    /// The connection is closing, so there will be no pong.
    Closed,
}

/// The last round trip in microseconds.
// Half as large as a count of nanoseconds: it fits into the padding of the connection. An hour is more than any
// round trip takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency(u32);

impl Latency {
    /// Stands for no round trip at all.
    pub(super) const UNKNOWN: Self = Self(u32::MAX);

    fn new(took: Duration) -> Self {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        Self(micros.min(u32::MAX - 1))
    }

    fn get(self) -> Option<Duration> {
        let micros = u64::from(self.0);
        (self.0 != Self::UNKNOWN.0).then(|| Duration::from_micros(micros))
    }
}

/// The pings that are on their way. Boxed by the connection, because most connections have none most of the time.
#[derive(Debug)]
pub(super) struct Pings {
    /// In the order in which they were queued. Invariant: it is not empty, and has at most [`UNANSWERED_LIMIT`] places.
    list: Vec<Ping>,
    /// How many waits have ended since this was made.
    settled: u64,
}

#[derive(Debug)]
struct Ping {
    id: PingId,
    payload: Payload,
    /// The time at which it was queued.
    at: Moment,
    /// The position behind it, in the count of all bytes that ever left.
    end: u64,
    wait: Wait,
}

/// Whether somebody waits for a pong.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Nobody,
    Somebody,
    /// The wait is over, and its result was not taken yet.
    Over(RoundTrip),
}

impl Connection {
    /// Returns how long the last ping took that a pong has answered, from when the ping was queued, in whole
    /// microseconds. `None` before the first one, and in the drafts, which have no ping.
    ///
    /// Pings of the keepalive count, and those of [`ping_at`](Self::ping_at). A pong answers the ping with its payload.
    /// The peer can answer late, so this is no less than what the network takes.
    pub fn latency(&self) -> Option<Duration> {
        self.latency.get()
    }

    /// Queues a ping like [`ping`](Self::ping), and measures the time until its pong for [`latency`](Self::latency).
    ///
    /// # Errors
    ///
    /// Fails like [`ping`](Self::ping).
    pub fn ping_at(&mut self, now: Instant, payload: &[u8]) -> Result<(), SendError> {
        let end = self.send_control(Opcode::Ping, payload)?;
        self.remember_ping(now, payload, end, Wait::Nobody);
        Ok(())
    }

    /// Queues a ping whose pong the caller waits for. [`take_round_trip`](Self::take_round_trip) returns the result, at
    /// the latest after the `pong_timeout`. A caller that does not want it any more
    /// [forgets](Self::forget_round_trip) it.
    pub(crate) fn begin_round_trip(&mut self, now: Instant) -> Result<PingId, SendError> {
        // Also while the peer's close waits for the application: a ping could still be sent then, but its pong would
        // be discarded.
        if !matches!(self.phase, Phase::Open(_)) {
            return Err(SendError::Closed);
        }
        let waits = self.pings.as_ref().map_or(0, |pings| pings.waits());
        if waits >= UNANSWERED_LIMIT {
            let limit = UNANSWERED_LIMIT;
            return Err(SendError::TooManyPings { limit });
        }
        let payload = self.own_payload();
        let end = self.send_control(Opcode::Ping, &payload)?;
        Ok(self.remember_ping(now, &payload, end, Wait::Somebody))
    }

    /// Returns what is known of a round trip. If that is its end, it is forgotten.
    pub(crate) fn take_round_trip(&mut self, id: PingId) -> RoundTrip {
        let found = self.pings.as_mut().and_then(|pings| pings.take(id));
        self.drop_empty_pings();
        found.unwrap_or(RoundTrip::Closed)
    }

    /// Forgets that somebody waits for a pong.
    pub(crate) fn forget_round_trip(&mut self, id: PingId) {
        if let Some(pings) = &mut self.pings {
            pings.forget(id);
            self.drop_empty_pings();
            self.watch_round_trips();
        }
    }

    /// Returns a count that changes when a wait for a pong ends, unless the [state](Self::state) changes as well.
    pub(crate) fn round_trips_settled(&self) -> u64 {
        self.pings.as_ref().map_or(0, |pings| pings.settled)
    }

    /// Queues a ping of the keepalive.
    pub(super) fn push_keepalive_ping(&mut self, now: Instant) {
        // Nothing at all arrived for a whole interval, so no pong to an earlier ping is to be expected. A peer that
        // never answers would otherwise make the list grow.
        if let Some(pings) = &mut self.pings {
            let is_awaited = |ping: &Ping| !matches!(ping.wait, Wait::Nobody);
            pings.list.retain(is_awaited);
        }
        let payload = self.own_payload();
        let end = self.push_control(Opcode::Ping, &payload);
        self.remember_ping(now, &payload, end, Wait::Nobody);
    }

    /// Takes a pong.
    pub(super) fn handle_pong(&mut self, now: Instant, payload: &[u8]) {
        let Some(pings) = &mut self.pings else {
            return;
        };
        // A ping that was not taken to be written cannot be what the peer answers. One that was taken can be, although
        // the caller has not reported yet that it was written.
        let taken = self.outgoing.left() + count(self.in_flight.len());
        let timers = &self.timers;
        let took = |at| now.saturating_duration_since(timers.instant(at));
        let Some((end, at)) = pings.find(payload, taken) else {
            return;
        };
        self.latency = Latency::new(took(at));
        pings.answer(end, took);
        self.drop_empty_pings();
        self.watch_round_trips();
    }

    pub(super) fn handle_round_trip_timeout(&mut self, now: Instant) {
        let Some(waited) = self.config.pong_timeout else {
            return;
        };
        let timers = &self.timers;
        if let Some(pings) = &mut self.pings {
            pings.time_out(waited, |at| {
                now.saturating_duration_since(timers.instant(at))
            });
        }
        self.watch_round_trips();
    }

    /// Ends all waits, because no pong is looked at any more. The caller stops the timer. Results that were not taken
    /// stay.
    pub(super) fn end_round_trips(&mut self) {
        if let Some(pings) = &mut self.pings {
            let is_over = |ping: &Ping| matches!(ping.wait, Wait::Over(_));
            pings.list.retain(is_over);
            self.drop_empty_pings();
        }
    }

    /// Moves the ends of pings that a new control frame of `len` bytes, which begins at `begin`, went ahead of.
    pub(super) fn move_pings(&mut self, begin: u64, len: u64) {
        let pings = self.pings.iter_mut().flat_map(|pings| &mut pings.list);
        for ping in pings.filter(|ping| ping.end > begin) {
            ping.end += len;
        }
    }

    /// Returns the payload of the next ping of our own: its number, so that each is known by its pong. Not that of
    /// another ping on its way, which an application may have chosen.
    fn own_payload(&self) -> [u8; 4] {
        let [.., a, b, c, d] = (self.pings_sent + 1).to_be_bytes();
        let mut number = u32::from_be_bytes([a, b, c, d]);
        let pings = self.pings.as_ref();
        while pings.is_some_and(|pings| pings.has(&number.to_be_bytes())) {
            number = number.wrapping_add(1);
        }
        number.to_be_bytes()
    }

    /// Remembers the last ping that was queued.
    fn remember_ping(&mut self, now: Instant, payload: &[u8], end: u64, wait: Wait) -> PingId {
        let id = PingId(self.pings_sent);
        // The end may have come already, and wait for the application. A pong would be discarded.
        if !self.phase.reads() {
            return id;
        }
        let ping = Ping {
            id,
            payload: payload.into(),
            at: self.timers.moment(now),
            end,
            wait,
        };
        self.pings
            .get_or_insert_with(|| Box::new(Pings::new()))
            .push(ping);
        self.watch_round_trips();
        id
    }

    /// Arms the timer for the wait that began first.
    fn watch_round_trips(&mut self) {
        let first = self.pings.as_ref().and_then(|pings| pings.first_wait());
        match first {
            Some(at) => {
                let begun = self.timers.instant(at);
                self.timers
                    .set(Timer::RoundTrip, begun, self.config.pong_timeout);
            }
            None => self.timers.stop(Timer::RoundTrip),
        }
    }

    fn drop_empty_pings(&mut self) {
        self.pings.take_if(|pings| pings.list.is_empty());
    }
}

impl Pings {
    fn new() -> Self {
        Self {
            // Most often there is one.
            list: Vec::with_capacity(1),
            settled: 0,
        }
    }

    /// Adds a ping. At the limit one that nobody waits for is forgotten, the oldest or the new one.
    fn push(&mut self, ping: Ping) {
        if self.list.len() >= UNANSWERED_LIMIT {
            let is_free = |ping: &Ping| matches!(ping.wait, Wait::Nobody);
            let Some(oldest) = self.list.iter().position(is_free) else {
                return;
            };
            self.list.remove(oldest);
        }
        self.list.push(ping);
    }

    /// Returns the number of pings that somebody waits for, or has waited for and not asked since.
    fn waits(&self) -> usize {
        let waits = self.list.iter();
        waits
            .filter(|ping| !matches!(ping.wait, Wait::Nobody))
            .count()
    }

    /// Returns when the first ping was queued that somebody waits for.
    fn first_wait(&self) -> Option<Moment> {
        let mut waits = self.list.iter();
        let first = waits.find(|ping| matches!(ping.wait, Wait::Somebody));
        first.map(|ping| ping.at)
    }

    fn has(&self, payload: &[u8]) -> bool {
        self.unanswered().any(|ping| *ping.payload == *payload)
    }

    /// Finds the ping that a pong with this payload answers, among those in the first `taken` bytes. Returns its end,
    /// and when it was queued. Of several with this payload it is the one that went out first.
    fn find(&self, payload: &[u8], taken: u64) -> Option<(u64, Moment)> {
        let candidates = self
            .unanswered()
            .filter(|ping| ping.end <= taken && *ping.payload == *payload);
        let found = candidates.min_by_key(|ping| ping.end);
        found.map(|ping| (ping.end, ping.at))
    }

    fn unanswered(&self) -> impl Iterator<Item = &Ping> {
        let list = self.list.iter();
        list.filter(|ping| !matches!(ping.wait, Wait::Over(_)))
    }

    /// Notes that all pings up to this position are answered. By position and not by time, because a ping that waits
    /// behind data can be overtaken by a later one.
    fn answer(&mut self, end: u64, took: impl Fn(Moment) -> Duration) {
        let settled = &mut self.settled;
        self.list.retain_mut(|ping| match ping.wait {
            Wait::Over(_) => true,
            Wait::Nobody => ping.end > end,
            Wait::Somebody => {
                if ping.end <= end {
                    // As exact as `latency`, so that both say the same of the same pong.
                    let took = Latency::new(took(ping.at)).get().unwrap_or_default();
                    ping.wait = Wait::Over(RoundTrip::Answered(took));
                    *settled += 1;
                }
                true
            }
        });
    }

    /// Ends the waits that took `limit` or longer.
    fn time_out(&mut self, limit: Duration, took: impl Fn(Moment) -> Duration) {
        for ping in &mut self.list {
            if matches!(ping.wait, Wait::Somebody) && took(ping.at) >= limit {
                ping.wait = Wait::Over(RoundTrip::TimedOut { waited: limit });
                self.settled += 1;
            }
        }
    }

    fn take(&mut self, id: PingId) -> Option<RoundTrip> {
        let place = self.list.iter().position(|ping| ping.id == id)?;
        match self.list[place].wait {
            Wait::Nobody => None,
            Wait::Somebody => Some(RoundTrip::Waiting),
            Wait::Over(round_trip) => {
                self.list.remove(place);
                Some(round_trip)
            }
        }
    }

    fn forget(&mut self, id: PingId) {
        let Some(place) = self.list.iter().position(|ping| ping.id == id) else {
            return;
        };
        match self.list[place].wait {
            Wait::Nobody => {}
            // Still measured for `latency`.
            Wait::Somebody => self.list[place].wait = Wait::Nobody,
            Wait::Over(_) => {
                self.list.remove(place);
            }
        }
    }
}
