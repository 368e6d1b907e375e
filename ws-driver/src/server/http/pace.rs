//! Bounds the wait for a peer that sends or takes only a few bytes now and then. Does not know what the bytes mean.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::driver::deadline::DeadlineTimer;
use crate::runtime::Runtime;

/// The bytes that a peer has to move in each timeout's worth of waiting. With the default of 30 s that is 546 bytes a
/// second. The slowest links in use are several times faster, and an attacker that holds a place for a long time has to
/// pay for it.
pub(crate) const LEAST_LEN: usize = 16 << 10;

/// Adds up the time in which we wait for a peer. The sum restarts after each [`LEAST_LEN`] bytes. Time in which the
/// application does not read, or has nothing to write, does not count.
pub(crate) struct Pace {
    runtime: Box<dyn PaceRuntime>,
    timeout: Duration,
    /// The bytes that moved since the sum was zero.
    moved: usize,
    /// The time waited since then, without the current wait.
    waited: Duration,
    /// The current wait: its begin and its deadline. In a mutex only so that a body is `Sync`.
    waiting: Option<(Instant, Mutex<Box<dyn Deadline>>)>,
}

impl Pace {
    /// Returns `None` without a timeout.
    pub(crate) fn new<R: Runtime>(runtime: &R, timeout: Option<Duration>) -> Option<Self> {
        Some(Self {
            runtime: Box::new(runtime.clone()),
            timeout: timeout?,
            moved: 0,
            waited: Duration::ZERO,
            waiting: None,
        })
    }

    /// Waits for the peer. Is ready once the sum of the waits is too long.
    pub(crate) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let (_, deadline) = self.waiting.get_or_insert_with(|| {
            let now = self.runtime.now();
            let left = self.timeout.saturating_sub(self.waited);
            let deadline = self.runtime.deadline(now.checked_add(left));
            (now, Mutex::new(deadline))
        });
        let deadline = deadline.get_mut().unwrap_or_else(PoisonError::into_inner);
        deadline.poll(cx).map(|()| {
            let error = TooSlow {
                moved: self.moved,
                timeout: self.timeout,
            };
            io::Error::new(io::ErrorKind::TimedOut, error)
        })
    }

    /// Records that `len` bytes moved, which ends the current wait.
    pub(crate) fn note_moved(&mut self, len: usize) {
        if let Some((since, _)) = self.waiting.take() {
            let waited = self.runtime.now().saturating_duration_since(since);
            self.waited = self.waited.saturating_add(waited);
        }
        self.moved = self.moved.saturating_add(len);
        if self.moved >= LEAST_LEN {
            self.moved = 0;
            self.waited = Duration::ZERO;
        }
    }
}

/// The part of a [`Runtime`] that a pace needs, as a trait object: the type of a body does not name the runtime.
trait PaceRuntime: Send + Sync {
    fn now(&self) -> Instant;
    fn deadline(&self, at: Option<Instant>) -> Box<dyn Deadline>;
}

impl<R: Runtime> PaceRuntime for R {
    fn now(&self) -> Instant {
        Runtime::now(self)
    }

    fn deadline(&self, at: Option<Instant>) -> Box<dyn Deadline> {
        let mut timer = DeadlineTimer::new(self);
        if let Some(at) = at {
            timer.set(at);
        }
        Box::new((self.clone(), timer))
    }
}

/// A deadline. Its poll is ready once it has passed.
trait Deadline: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<R: Runtime> Deadline for (R, DeadlineTimer<R>) {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (runtime, timer) = self;
        timer.poll(runtime, cx)
    }
}

/// The peer was too slow.
#[derive(Debug)]
struct TooSlow {
    moved: usize,
    timeout: Duration,
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, timeout } = self;
        write!(
            f,
            "the peer moved {moved} bytes in {timeout:?} of waiting; at least {LEAST_LEN} are required \
             (option body_timeout)"
        )
    }
}

impl std::error::Error for TooSlow {}
