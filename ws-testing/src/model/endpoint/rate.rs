//! The model of the rate limit: how many messages and bytes a peer may send in a second.

use std::time::Duration;

use super::{End, Endpoint};
use crate::model::view::{RateSetup, Tokens};
use crate::plain::Item;

/// The parts of a token, so that a bucket gets a whole number of them in each nanosecond.
const TOKEN: i128 = 1_000_000_000;

/// A bucket with this in it now.
#[derive(Debug)]
struct Bucket {
    tokens: Tokens,
    level: i128,
    seen: Duration,
}

/// The buckets of messages and of bytes, if they are limited.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: [Option<Bucket>; 2],
    closes: bool,
    pongs: u64,
    /// How much arrived of the compressed message that ends next, and how much of a message was given out in parts.
    arrived: usize,
    given_out: usize,
    /// Until when nothing is to be read.
    pub(super) wait: Option<Duration>,
}

impl Bucket {
    fn new(tokens: Tokens) -> Self {
        Self {
            tokens,
            level: i128::from(tokens.burst) * TOKEN,
            seen: Duration::ZERO,
        }
    }

    fn fill(&mut self, now: Duration) {
        let nanos = i128::try_from((now - self.seen).as_nanos()).unwrap();
        let full = i128::from(self.tokens.burst) * TOKEN;
        self.level = full.min(self.level + nanos * i128::from(self.tokens.per_second));
        self.seen = now;
    }

    /// How long it takes until there is a token.
    fn wait(&self) -> Duration {
        let missing = u128::try_from(TOKEN - self.level).unwrap_or(0);
        let nanos = missing.div_ceil(u128::from(self.tokens.per_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap())
    }
}

impl Rates {
    pub(super) fn new(setup: Option<&RateSetup>) -> Self {
        setup.map_or_else(Self::default, |setup| Self {
            buckets: [setup.messages, setup.bytes].map(|tokens| tokens.map(Bucket::new)),
            closes: setup.closes,
            ..Self::default()
        })
    }

    fn longest_wait(&self) -> Duration {
        let waits = self.buckets.iter().flatten().map(Bucket::wait);
        waits.max().unwrap_or_default()
    }
}

impl Endpoint {
    /// X18: whether something that arrived is not too much.
    pub(super) fn admit(&mut self, now: Duration, item: &Item) -> bool {
        let (begins, ends, len) = match item {
            Item::Begin => return !self.is_open() || self.has_tokens(now),
            Item::Arrived(len) => {
                self.rates.arrived = *len;
                return true;
            }
            Item::Ping(content) => (true, true, content.len()),
            Item::Message(_, content) => {
                let arrived = std::mem::take(&mut self.rates.arrived);
                (true, true, content.len().max(arrived))
            }
            Item::Part(_, content, first, last) => {
                self.rates.given_out += content.len();
                let mut len = content.len();
                if *last {
                    let arrived = std::mem::take(&mut self.rates.arrived);
                    len += arrived.saturating_sub(std::mem::take(&mut self.rates.given_out));
                }
                (*first, *last, len)
            }
            Item::Pong(content) => {
                self.rates.pongs += u64::from(self.is_open());
                if self.rates.pongs <= self.pings_sent {
                    return true;
                }
                (true, true, content.len())
            }
            Item::Close(..) | Item::Fail(_) => return true,
        };
        if !self.is_open() {
            return true;
        }
        // What a message takes was judged when it began.
        if matches!(item, Item::Ping(_) | Item::Pong(_)) && !self.has_tokens(now) {
            return false;
        }
        let rates = &mut self.rates;
        rates
            .buckets
            .iter_mut()
            .flatten()
            .for_each(|bucket| bucket.fill(now));
        let taken = [i128::from(begins), i128::try_from(len).unwrap()];
        for (bucket, count) in rates.buckets.iter_mut().zip(taken) {
            if let Some(bucket) = bucket {
                bucket.level -= count * TOKEN;
            }
        }
        let wait = rates.longest_wait();
        if !wait.is_zero() && (!rates.closes || !ends) {
            rates.wait = Some(now + wait);
        }
        true
    }

    /// Whether there is a token, or none is needed; otherwise that is the end.
    fn has_tokens(&mut self, now: Duration) -> bool {
        let rates = &mut self.rates;
        let buckets = rates.buckets.iter_mut().flatten();
        buckets.for_each(|bucket| bucket.fill(now));
        if rates.closes && !rates.longest_wait().is_zero() {
            self.end(now, End::Fail(1008));
            return false;
        }
        true
    }
}
