//! How many streams each address has, and how fast it opens more. No clock: the time comes in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::observe::rejected::Rejected;

/// Limits for each address of a peer: none by default; see
/// [`ServerBuilder::address_limits`](crate::ServerBuilder::address_limits).
///
/// Addresses of IPv6 that have their first 64 bits in common count as one, because whoever has one of them has all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressLimits {
    connections: Option<usize>,
    handshakes_per_second: Option<u32>,
}

impl AddressLimits {
    /// Makes limits that limit nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the streams that an address has at a time, open or in the opening handshake, plain HTTP included: unlimited.
    #[must_use]
    pub fn connections(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.connections = limit.into();
        self
    }

    /// Limits the streams that an address opens in a second: unlimited. As many can come at the same moment, and then one
    /// whenever its share of a second has passed (a token bucket).
    #[must_use]
    pub fn handshakes_per_second(mut self, limit: impl Into<Option<u32>>) -> Self {
        self.handshakes_per_second = limit.into();
        self
    }

    pub(crate) fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// The streams of a server by their addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    limits: AddressLimits,
    usage: HashMap<IpAddr, Usage>,
    /// The address that each stream counts for, by its slot.
    streams: HashMap<usize, IpAddr>,
    /// How many requests each client of a session has open, by the slot of the session. None is zero.
    #[cfg(feature = "http2")]
    requests: HashMap<(usize, IpAddr), usize>,
    /// The client whose request was admitted last, by the slot of the session.
    #[cfg(feature = "http2")]
    last: HashMap<usize, IpAddr>,
    /// The length of `usage` at which what is not in use is looked for again.
    sweep_at: usize,
}

#[derive(Debug)]
struct Usage {
    streams: usize,
    /// When the bucket of the address is full again.
    full_at: Instant,
}

/// The length of the table below which nothing is looked for.
const LEAST_SWEEP: usize = 1024;
/// What a bucket holds.
const BUCKET: Duration = Duration::from_secs(1);

impl Addresses {
    pub(super) fn new(limits: AddressLimits) -> Self {
        Self {
            limits,
            usage: HashMap::new(),
            streams: HashMap::new(),
            #[cfg(feature = "http2")]
            requests: HashMap::new(),
            #[cfg(feature = "http2")]
            last: HashMap::new(),
            sweep_at: LEAST_SWEEP,
        }
    }

    /// Counts a stream for an address, instead of the one before, and once for the same one. A stream that is refused counts for
    /// none.
    pub(super) fn admit(&mut self, slot: usize, ip: IpAddr, now: Instant) -> Result<(), Rejected> {
        let ip = network(ip);
        if self.streams.get(&slot) == Some(&ip) {
            return Ok(());
        }
        self.leave(slot);
        self.take(ip, true, now)?;
        self.streams.insert(slot, ip);
        Ok(())
    }

    /// Counts a session for the client of one of its requests, once however many of them are open.
    #[cfg(feature = "http2")]
    pub(super) fn begin(&mut self, slot: usize, ip: IpAddr, now: Instant) -> Result<(), Rejected> {
        let ip = network(ip);
        if let Some(open) = self.requests.get_mut(&(slot, ip)) {
            *open += 1;
            return Ok(());
        }
        // The next request of the same client is no further handshake, as on a stream of HTTP/1.1.
        let is_handshake = self.last.remove(&slot) != Some(ip);
        self.take(ip, is_handshake, now)?;
        self.last.insert(slot, ip);
        self.requests.insert((slot, ip), 1);
        Ok(())
    }

    /// Notes that a request of a session, which was admitted, is answered or gone.
    #[cfg(feature = "http2")]
    pub(super) fn end(&mut self, slot: usize, ip: IpAddr) {
        let ip = network(ip);
        let Some(open) = self.requests.get_mut(&(slot, ip)) else {
            return;
        };
        *open -= 1;
        if *open == 0 {
            self.requests.remove(&(slot, ip));
            self.give_back(ip);
        }
    }

    /// Takes a place of an address.
    fn take(&mut self, ip: IpAddr, is_handshake: bool, now: Instant) -> Result<(), Rejected> {
        self.sweep(now);
        let usage = self.usage.entry(ip).or_insert(Usage {
            streams: 0,
            full_at: now,
        });
        let handshakes = self.limits.handshakes_per_second;
        if let Some(limit) = handshakes.filter(|_| is_handshake) {
            let share = BUCKET.checked_div(limit).unwrap_or(Duration::MAX);
            let full_at = usage.full_at.max(now).checked_add(share);
            let full_at = full_at.filter(|full_at| *full_at - now <= BUCKET);
            let Some(full_at) = full_at else {
                return Err(Rejected::AddressHandshakes { limit });
            };
            usage.full_at = full_at;
        }
        if let Some(limit) = self
            .limits
            .connections
            .filter(|limit| usage.streams >= *limit)
        {
            return Err(Rejected::AddressConnections { limit });
        }
        usage.streams += 1;
        Ok(())
    }

    /// Notes that a stream has ended.
    pub(super) fn leave(&mut self, slot: usize) {
        #[cfg(feature = "http2")]
        self.last.remove(&slot);
        if let Some(ip) = self.streams.remove(&slot) {
            self.give_back(ip);
        }
    }

    fn give_back(&mut self, ip: IpAddr) {
        if let Some(usage) = self.usage.get_mut(&ip) {
            usage.streams -= 1;
        }
    }

    /// Forgets addresses without streams whose bucket is full. It looks at all of them whenever there are twice as many as it
    /// left, so that each new address pays for a few.
    fn sweep(&mut self, now: Instant) {
        if self.usage.len() < self.sweep_at {
            return;
        }
        self.usage
            .retain(|_, usage| usage.streams > 0 || usage.full_at > now);
        self.sweep_at = (self.usage.len() * 2).max(LEAST_SWEEP);
    }
}

/// The address that a peer counts for: of IPv6 its network of 64 bits.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_streams() {
        let now = Instant::now();
        let mut addresses = Addresses::new(AddressLimits::new().connections(2));
        let refused = |admitted: Result<(), Rejected>| {
            matches!(admitted, Err(Rejected::AddressConnections { limit: 2 }))
        };
        let (one, two) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert!(addresses.admit(0, one, now).is_ok());
        assert!(addresses.admit(1, one, now).is_ok());
        assert!(refused(addresses.admit(2, ip("::ffff:192.0.2.1"), now)));
        assert!(addresses.admit(2, two, now).is_ok());
        // Another address for the same stream gives the first one back.
        assert!(addresses.admit(1, two, now).is_ok());
        assert!(addresses.admit(3, one, now).is_ok());
        assert!(refused(addresses.admit(4, one, now)));
        addresses.leave(3);
        addresses.leave(3);
        addresses.leave(4);
        assert!(addresses.admit(4, one, now).is_ok());
        // A stream that was refused counts for nobody.
        assert!(refused(addresses.admit(0, two, now)));
        assert!(addresses.admit(5, one, now).is_ok());

        assert!(addresses.admit(6, ip("2001:db8::1"), now).is_ok());
        assert!(addresses.admit(7, ip("2001:db8::ffff:0:0:1"), now).is_ok());
        assert!(refused(addresses.admit(8, ip("2001:db8::2"), now)));
        assert!(addresses.admit(8, ip("2001:db8:0:1::2"), now).is_ok());
    }

    #[test]
    fn an_address_opens_so_many_streams_in_a_second() {
        let begin = Instant::now();
        let mut addresses = Addresses::new(AddressLimits::new().handshakes_per_second(4));
        let mut slot = 0;
        let mut admit = |ip, now| {
            slot += 1;
            addresses.admit(slot, ip, now).is_ok()
        };
        let (one, two) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert_eq!(
            [(); 6].map(|()| admit(one, begin)),
            [true, true, true, true, false, false]
        );
        assert!(admit(two, begin));
        assert!(!admit(one, begin + MS * 249));
        assert!(admit(one, begin + MS * 250));
        assert!(!admit(one, begin + MS * 499));
        let later = begin + MS * 60_000;
        assert_eq!(
            [(); 6].map(|()| admit(one, later)),
            [true, true, true, true, false, false]
        );
        // A clock that goes back opens nothing.
        assert!(!admit(one, begin));

        // Further requests of the same client on its stream are no further streams.
        let mut addresses = Addresses::new(AddressLimits::new().handshakes_per_second(1));
        assert!(
            [(); 9]
                .iter()
                .all(|()| addresses.admit(0, one, begin).is_ok())
        );
        assert!(addresses.admit(0, two, begin).is_ok());
        assert!(addresses.admit(0, one, begin).is_err());

        let mut none = Addresses::new(AddressLimits::new().handshakes_per_second(0));
        assert!(none.admit(0, one, begin).is_err());
    }

    /// A client of a session counts while a request of it is open, once for all of them, whoever else asks in the session.
    #[cfg(feature = "http2")]
    #[test]
    fn a_client_of_a_session_counts_while_it_has_a_request() {
        let now = Instant::now();
        let (one, two) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mut addresses = Addresses::new(AddressLimits::new().connections(1));
        assert!(addresses.begin(0, one, now).is_ok());
        assert!(addresses.begin(0, two, now).is_ok());
        assert!(addresses.begin(0, one, now).is_ok());
        assert!(addresses.admit(1, one, now).is_err());
        assert!(addresses.begin(2, one, now).is_err());
        addresses.end(0, one);
        assert!(addresses.admit(1, one, now).is_err());
        addresses.end(0, one);
        assert!(addresses.admit(1, one, now).is_ok());
        // Now its socket has the place.
        assert!(addresses.begin(0, one, now).is_err());
        addresses.leave(1);
        // The place of a request is given back behind its session, too.
        addresses.leave(0);
        assert!(addresses.admit(1, two, now).is_err());
        addresses.end(0, two);
        assert!(addresses.admit(1, two, now).is_ok());
        assert!(addresses.requests.is_empty() && addresses.last.is_empty());

        let mut addresses = Addresses::new(AddressLimits::new().handshakes_per_second(1));
        for _ in 0..9 {
            assert!(addresses.begin(0, one, now).is_ok());
            addresses.end(0, one);
        }
        assert!(addresses.begin(0, two, now).is_ok());
        assert!(addresses.begin(0, one, now).is_err());
        assert!(addresses.begin(0, one, now).is_err(), "it was not admitted");
    }

    /// Addresses that come once do not stay.
    #[test]
    fn the_table_is_bounded_by_what_is_in_use() {
        let mut now = Instant::now();
        let limits = AddressLimits::new().connections(1).handshakes_per_second(1);
        let mut addresses = Addresses::new(limits);
        for number in 0..100_000u32 {
            now += MS;
            let slot = usize::try_from(number % 100).unwrap();
            let ip = IpAddr::V4(number.into());
            addresses.admit(slot, ip, now).unwrap();
            addresses.leave(slot);
            assert!(
                addresses.usage.len() <= 2 * 1001,
                "{}",
                addresses.usage.len()
            );
        }
        assert!(addresses.streams.is_empty());
    }
}
