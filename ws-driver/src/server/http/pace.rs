//! How long a peer is waited for that sends, or takes, a little now and then. Knows nothing of what the
//! bytes are.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::driver::deadline::DeadlineTimer;
use crate::runtime::Runtime;

/// Bytes that a peer has to move in each timeout's worth of waiting. With the default of 30 s it is 546
/// bytes a second: the slowest link that people use is several times faster, and a peer that holds a
/// place for long has to pay for it.
pub(crate) const LEAST_LEN: usize = 16 << 10;

/// Adds up the time in which we wait for a peer, and begins anew with each [`LEAST_LEN`] bytes. Time in which
/// the application does not ask for bytes, or has none, is not the peer's.
pub(crate) struct Pace {
    runtime: Box<dyn Waits>,
    timeout: Duration,
    /// Bytes since the sum was zero.
    moved: usize,
    /// Time waited since then, less the wait that is under way.
    waited: Duration,
    /// The wait that is under way: when it began, and its deadline. Locked only so that a body is `Sync`.
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

    /// Takes that the peer has to be waited for; is ready once that took too long.
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

    /// Takes that bytes moved.
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

/// What is needed of a [`Runtime`], so that a body need not name it.
trait Waits: Send + Sync {
    fn now(&self) -> Instant;
    fn deadline(&self, at: Option<Instant>) -> Box<dyn Deadline>;
}

impl<R: Runtime> Waits for R {
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

/// A deadline that is ready once it has passed.
trait Deadline: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<R: Runtime> Deadline for (R, DeadlineTimer<R>) {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (runtime, timer) = self;
        timer.poll(runtime, cx)
    }
}

/// Why a peer is not waited for any longer.
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
            "{moved} bytes in {timeout:?} of waiting for the peer, and {LEAST_LEN} are the least \
             (option body_timeout)"
        )
    }
}

impl std::error::Error for TooSlow {}
