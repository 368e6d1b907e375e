//! Reaches a host by whichever of its addresses answers first: Happy Eyeballs (RFC 8305). Knows neither
//! proxies nor what is spoken on the stream.
//!
//! There is one lookup for both families, so nothing waits for the answer of the other (RFC 8305 §3).

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::attempts::{Attempts, FailedAttempt};
use super::connect_timeout::Patience;
use super::error::{ConnectError, ConnectStage};
use crate::driver::deadline::DeadlineTimer;
use crate::runtime::Runtime;
use crate::util::race::{Winner, race};

/// Opens a stream to a host, which is a name or an address without brackets.
pub(crate) async fn reach<R: Runtime>(
    runtime: &R,
    host: &str,
    port: u16,
    patience: &mut Patience<R>,
) -> Result<(R::Stream, SocketAddr), ConnectError> {
    let lookup = lookup(runtime, host, port);
    let addrs = patience.wait(ConnectStage::Reach, lookup).await?;
    let mut tries = Race::new(addrs, runtime.now());
    let mut timer = DeadlineTimer::new(runtime);
    let connecting = poll_fn(|cx| {
        let connect = |addr| runtime.connect(addr);
        tries.poll(cx, runtime, &mut timer, connect)
    });
    match race(connecting, patience.wait_over()).await {
        Winner::First(Some(first)) => Ok(first),
        Winner::First(None) => Err(ConnectError::Unreachable {
            host: host.to_owned(),
            port,
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
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(addr) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(addr, port)]);
    }
    let found = match runtime.resolve(host, port).await {
        Ok(addrs) if addrs.is_empty() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )),
        found => found,
    };
    found.map_err(|error| ConnectError::Lookup {
        host: host.to_owned(),
        error,
    })
}

/// Attempts at the addresses of a host. The first one that succeeds ends the race, and dropping the race
/// drops the others.
struct Race<F> {
    /// Not tried yet, in the order in which they are.
    waiting: VecDeque<SocketAddr>,
    /// At most [`ADDRESS_LIMIT`].
    running: Vec<Attempt<F>>,
    failed: Vec<FailedAttempt>,
    /// When the next attempt starts, if there is one.
    next_start: Instant,
    /// Addresses beyond [`ADDRESS_LIMIT`].
    left_out: usize,
}

struct Attempt<F> {
    addr: SocketAddr,
    stream: Pin<Box<F>>,
    deadline: Instant,
}

impl<F> Race<F> {
    fn new(addrs: Vec<SocketAddr>, now: Instant) -> Self {
        let mut waiting = interleaved(addrs);
        let left_out = waiting.len().saturating_sub(ADDRESS_LIMIT);
        waiting.truncate(ADDRESS_LIMIT);
        Self {
            waiting,
            running: Vec::new(),
            failed: Vec::new(),
            next_start: now,
            left_out,
        }
    }

    /// Is ready with the first stream, or with nothing if each address was tried in vain.
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
        // A deadline that has passed counts only when the attempts were polled in vain since.
        let mut believed = None;
        // Each turn starts an attempt or ends one, or else returns.
        loop {
            if self.next_start <= now {
                if let Some(addr) = self.waiting.pop_front() {
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
                // RFC 8305 §5: the next attempt does not wait for its turn once one has failed.
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

    /// Polls all attempts; returns the first that succeeded, and puts the others that are over aside: those that
    /// failed, and those whose deadline was not after `now`, if that is known.
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
            self.failed.push(FailedAttempt { addr, error });
        }
        None
    }

    /// When something is to be done next, whatever the attempts do.
    fn deadline(&self) -> Option<Instant> {
        let next_start = self.waiting.front().map(|_| self.next_start);
        let deadlines = self.running.iter().map(|attempt| attempt.deadline);
        deadlines.chain(next_start).min()
    }

    /// Ends the race, and tells what was tried.
    fn into_attempts(self) -> Attempts {
        let unanswered = self.running.into_iter().map(|attempt| FailedAttempt {
            addr: attempt.addr,
            error: no_answer(),
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

/// Orders addresses so that the families alternate, beginning with that of the first. Within a family the
/// order stays, because the system has sorted them (RFC 8305 §4, RFC 6724).
fn interleaved(addrs: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
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

/// How long an attempt is alone before the next one starts (RFC 8305 §5 recommends this value).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long one address is waited for. TCP asks again after 1, 3, 7 and 15 s, so a network that lost four
/// of five can still answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The addresses of one name that are tried. With [`ATTEMPT_DELAY`] all of them start within 4 s.
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
