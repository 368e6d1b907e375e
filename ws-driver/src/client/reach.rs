//! Connects to whichever address of a host answers first: Happy Eyeballs (RFC 8305). Does not know about proxies, nor
//! about the protocol on the stream.
//!
//! One lookup covers both families, so no answer waits for the other one (RFC 8305 §3).

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::attempts::{Attempts, FailedAttempt};
use super::connect_timeout::ConnectTimer;
use super::error::{ConnectError, ConnectStage};
use super::reporter::ConnectReporter;
use super::resolver::Resolver;
use crate::driver::deadline::DeadlineTimer;
use crate::observe::connecting::ConnectEvent;
use crate::runtime::Runtime;
use crate::util::race::{Winner, race};

/// Where a stream leads.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// A name, or an address without brackets.
    pub(crate) host: &'a str,
    /// Of an IPv6 address: the name or the number of an interface.
    pub(crate) zone: Option<&'a str>,
    pub(crate) port: u16,
}

/// Opens a stream to a host. Names are looked up by `resolver`, if there is one, or else by the runtime.
pub(super) async fn reach<R: Runtime>(
    runtime: &R,
    target: Target<'_>,
    resolver: Option<&Resolver>,
    connect_timer: &mut ConnectTimer<R>,
    reporter: &ConnectReporter,
) -> Result<(R::Stream, SocketAddr), ConnectError> {
    let lookup = lookup(runtime, target, resolver, reporter);
    let addrs = connect_timer.wait(ConnectStage::Reach, lookup).await?;
    let mut tries = Race::new(addrs, runtime.now(), reporter);
    let mut timer = DeadlineTimer::new(runtime);
    let connecting = poll_fn(|cx| {
        let connect = |addr| runtime.connect(addr);
        tries.poll(cx, runtime, &mut timer, connect)
    });
    match race(connecting, connect_timer.wait_over()).await {
        Winner::First(Some(first)) => Ok(first),
        Winner::First(None) => Err(ConnectError::Unreachable {
            host: target.full_host(),
            port: target.port,
            attempts: tries.into_attempts(),
        }),
        Winner::Second(waited) => Err(ConnectError::Timeout {
            stage: ConnectStage::Reach,
            waited,
            attempts: tries.into_attempts(),
        }),
    }
}

/// Returns the addresses of a host, at least one.
async fn lookup<R: Runtime>(
    runtime: &R,
    target: Target<'_>,
    resolver: Option<&Resolver>,
    reporter: &ConnectReporter,
) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Some(addr) = target.addr() {
        return Ok(vec![addr]);
    }
    let Target { host, zone, port } = target;
    let found = match (zone, resolver) {
        // The system knows the numbers of its interfaces, and takes this form of an address for a name.
        (Some(_), _) => runtime.resolve(&target.full_host(), port).await,
        (None, Some(resolver)) => resolver.resolve(host, port).await,
        (None, None) => runtime.resolve(host, port).await,
    };
    let found = match found {
        Ok(addrs) if addrs.is_empty() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )),
        found => found,
    };
    let addrs = found.map_err(|error| ConnectError::Lookup {
        host: target.full_host(),
        error: Arc::new(error),
    })?;
    let with_port = |mut addr: SocketAddr| {
        // Names have no ports, so resolvers of other libraries return 0 for "that of the URL". It is no port to connect to.
        if addr.port() == 0 {
            addr.set_port(port);
        }
        addr
    };
    let addrs: Vec<_> = addrs.into_iter().map(with_port).collect();
    let addrs_found = &addrs;
    reporter.note(|| ConnectEvent::Resolved {
        host,
        addrs: addrs_found,
    });
    Ok(addrs)
}

impl Target<'_> {
    /// Returns the address, if no lookup is needed.
    fn addr(&self) -> Option<SocketAddr> {
        let addr = self.host.parse::<IpAddr>().ok()?;
        match (addr, self.zone) {
            (addr, None) => Some(SocketAddr::new(addr, self.port)),
            (IpAddr::V6(addr), Some(zone)) => {
                let scope_id = zone.parse().ok()?;
                Some(SocketAddrV6::new(addr, self.port, 0, scope_id).into())
            }
            (IpAddr::V4(_), Some(_)) => None,
        }
    }

    /// Returns the host with its zone, as RFC 4007 §11 writes it.
    fn full_host(&self) -> String {
        match self.zone {
            Some(zone) => format!("{}%{zone}", self.host),
            None => self.host.to_owned(),
        }
    }
}

/// Attempts at the addresses of a host. The first one that succeeds ends the race; the drop of the race drops the
/// others.
struct Race<'a, F> {
    /// The addresses that are not tried yet, in order.
    waiting: VecDeque<SocketAddr>,
    /// At most [`ADDRESS_LIMIT`].
    running: Vec<Attempt<F>>,
    failed: Vec<FailedAttempt>,
    /// When the next attempt starts, if an address is left.
    next_start: Instant,
    /// The number of addresses beyond [`ADDRESS_LIMIT`].
    left_out: usize,
    reporter: &'a ConnectReporter,
}

struct Attempt<F> {
    addr: SocketAddr,
    /// Boxed, because the list moves its elements when another attempt ends.
    stream: Pin<Box<F>>,
    deadline: Instant,
}

impl<'a, F> Race<'a, F> {
    fn new(addrs: Vec<SocketAddr>, now: Instant, reporter: &'a ConnectReporter) -> Self {
        let mut waiting = interleaved(addrs);
        let left_out = waiting.len().saturating_sub(ADDRESS_LIMIT);
        waiting.truncate(ADDRESS_LIMIT);
        Self {
            waiting,
            running: Vec::new(),
            failed: Vec::new(),
            next_start: now,
            left_out,
            reporter,
        }
    }

    /// Is ready with the first stream, or with `None` if all addresses have failed.
    fn poll<R: Runtime>(
        &mut self,
        cx: &mut Context<'_>,
        runtime: &R,
        timer: &mut DeadlineTimer<R>,
        connect: impl Fn(SocketAddr) -> F,
    ) -> Poll<Option<(R::Stream, SocketAddr)>>
    where
        F: Future<Output = io::Result<R::Stream>>,
    {
        let mut now = runtime.now();
        // A deadline ends an attempt only if the attempt was polled after it. The process may have stood still while the
        // answer arrived in time.
        let mut believed = None;
        // Bounded: each turn starts an attempt, ends one, or returns.
        loop {
            if self.next_start <= now {
                if let Some(addr) = self.waiting.pop_front() {
                    self.reporter.note(|| ConnectEvent::Trying { addr });
                    self.running.push(Attempt {
                        addr,
                        stream: Box::pin(connect(addr)),
                        deadline: now + ATTEMPT_TIMEOUT,
                    });
                    self.next_start = now + ATTEMPT_DELAY;
                }
            }
            let failed_before = self.failed.len();
            if let Some(first) = self.poll_running(cx, believed) {
                return Poll::Ready(Some(first));
            }
            if self.failed.len() > failed_before {
                // RFC 8305 §5: after a failure the next attempt starts at once.
                self.next_start = now;
                if !self.waiting.is_empty() {
                    continue;
                }
            }
            let Some(deadline) = self.deadline() else {
                return Poll::Ready(None);
            };
            timer.set(deadline);
            if timer.poll(runtime, cx).is_pending() {
                return Poll::Pending;
            }
            now = runtime.now().max(deadline);
            believed = Some(deadline);
        }
    }

    /// Polls all attempts and returns the first that succeeded. Moves the attempts that have ended to `failed`: those
    /// with an error, and those whose deadline is not after `now`, if it is given.
    fn poll_running<S>(
        &mut self,
        cx: &mut Context<'_>,
        now: Option<Instant>,
    ) -> Option<(S, SocketAddr)>
    where
        F: Future<Output = io::Result<S>>,
    {
        let mut index = 0;
        while let Some(attempt) = self.running.get_mut(index) {
            let error = match attempt.stream.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Some((stream, attempt.addr)),
                Poll::Ready(Err(error)) => error,
                Poll::Pending if now.is_some_and(|now| attempt.deadline <= now) => no_answer(),
                Poll::Pending => {
                    index += 1;
                    continue;
                }
            };
            let addr = self.running.remove(index).addr;
            let cause = &error;
            self.reporter
                .note(|| ConnectEvent::AddressFailed { addr, error: cause });
            let error = Arc::new(error);
            self.failed.push(FailedAttempt { addr, error });
        }
        None
    }

    /// Returns when the race has to act next, even if no attempt ends.
    fn deadline(&self) -> Option<Instant> {
        let next_start = self.waiting.front().map(|_| self.next_start);
        let deadlines = self.running.iter().map(|attempt| attempt.deadline);
        deadlines.chain(next_start).min()
    }

    /// Ends the race and returns the result for each address.
    fn into_attempts(self) -> Attempts {
        let unanswered = self.running.into_iter().map(|attempt| FailedAttempt {
            addr: attempt.addr,
            error: Arc::new(no_answer()),
        });
        Attempts {
            tried: self.failed.into_iter().chain(unanswered).collect(),
            untried: self.waiting.len() + self.left_out,
        }
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}

/// Orders addresses so that the families alternate, beginning with the family of the first. Within a family the order
/// stays, because the system has sorted the addresses (RFC 8305 §4, RFC 6724).
fn interleaved(addrs: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    // Resolvers can return an address once for each socket type.
    let mut seen = BTreeSet::new();
    let is_ipv6_first = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let addrs = addrs.into_iter().filter(|addr| seen.insert(*addr));
    let (preferred, other): (Vec<_>, Vec<_>) =
        addrs.partition(|addr| addr.is_ipv6() == is_ipv6_first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut order = VecDeque::new();
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// How long the client waits for an attempt before it starts the next one (RFC 8305 §5 recommends this value).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long the client waits for one address. TCP repeats a SYN after 1, 3, 7 and 15 s, so an address can answer even if
/// four of five are lost.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of addresses that are tried. With [`ATTEMPT_DELAY`] all attempts start within 4 s.
const ADDRESS_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8305 §4: the families alternate, the order within each stays, and no address comes twice.
    #[test]
    fn the_families_alternate() {
        for (addrs, expected) in [
            ("", ""),
            ("a4", "a4"),
            ("a6 b6 c4", "a6 c4 b6"),
            ("a4 b4 c4 d6 e6", "a4 d6 b4 e6 c4"),
            ("a6 a6 b6 c4 c4", "a6 c4 b6"),
        ] {
            let parse = |name: &str| -> SocketAddr {
                let (digit, family) = name.split_at(1);
                let addr = if family == "6" {
                    format!("[::{digit}]:1")
                } else {
                    let last = digit.as_bytes()[0];
                    format!("10.0.0.{last}:1")
                };
                addr.parse().unwrap()
            };
            let list = |names: &str| names.split_whitespace().map(parse).collect::<Vec<_>>();
            assert_eq!(interleaved(list(addrs)), list(expected), "{addrs}");
        }
    }
}
