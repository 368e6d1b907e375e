//! A timer for deadlines that end something. It reports a deadline only after the task had one more chance to read its
//! stream.
//!
//! A process that stood still (a debugger, a frozen container, a laptop that slept) wakes up with deadlines that have
//! passed and with bytes in its sockets that came in time. Some runtimes run their timers before they look at their
//! sockets.

use std::future::{Future, poll_fn};
#[cfg(feature = "upgrade")]
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::runtime::{Runtime, Timer};
#[cfg(feature = "upgrade")]
use crate::util::race::race;

/// A timer that is later than this shows that the process stood still or is overloaded. Runtimes round to a
/// millisecond or two.
const LATE: Duration = Duration::from_millis(10);

/// How long a late runtime gets to look at its sockets. It looks at its timers and its sockets in the same round, so
/// a second timer that runs out shows that it has looked at the sockets since. The process may have stood still once
/// more, so the runtime is then also asked for a look without a wait.
const LOOK_WAIT: Duration = Duration::from_millis(10);

/// A timer whose [`poll`](Self::poll) is ready once its deadline has passed and a later read of the stream brought
/// nothing. The caller polls the stream first, in each poll of its task.
#[derive(Debug)]
pub(crate) struct DeadlineTimer<R: Runtime> {
    timer: R::Timer,
    deadline: Option<Instant>,
    expiry: Expiry,
}

/// How far a deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// It has not passed.
    Ahead,
    /// It had passed long before the timer ran out, so the runtime gets [`LOOK_WAIT`].
    Late,
    /// It has passed, and the runtime was asked to look at the sockets once more.
    Unconfirmed,
}

impl<R: Runtime> DeadlineTimer<R> {
    /// Makes a timer that is not set.
    pub(crate) fn new(runtime: &R) -> Self {
        Self {
            timer: runtime.timer(),
            deadline: None,
            expiry: Expiry::Ahead,
        }
    }

    /// Sets the deadline, unless it is the one that is set.
    pub(crate) fn set(&mut self, deadline: Instant) {
        if self.deadline != Some(deadline) {
            self.deadline = Some(deadline);
            self.expiry = Expiry::Ahead;
            self.timer.set(deadline);
        }
    }

    /// Returns the deadline that is set and that the timer has not reported yet.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Is ready once the deadline has passed, and wakes the task for that. Afterwards no deadline is set.
    pub(crate) fn poll(&mut self, runtime: &R, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        if self.timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let now = runtime.now();
        match self.expiry {
            Expiry::Ahead if now.saturating_duration_since(deadline) > LATE => {
                self.expiry = Expiry::Late;
                self.timer.set(now + LOOK_WAIT);
                // A timer wakes the task only after a poll.
                if self.timer.poll(cx).is_ready() {
                    runtime.yield_now(cx);
                }
                Poll::Pending
            }
            Expiry::Ahead | Expiry::Late => {
                // The timer stays due, so the next poll of the task, behind its read, comes back here.
                self.expiry = Expiry::Unconfirmed;
                self.timer.set(deadline);
                runtime.yield_now(cx);
                Poll::Pending
            }
            Expiry::Unconfirmed => {
                self.deadline = None;
                Poll::Ready(())
            }
        }
    }

    /// Waits as [`poll`](Self::poll) does: the second side of a race with what uses the stream.
    pub(crate) fn wait(&mut self, runtime: &R) -> impl Future<Output = ()> + Unpin {
        poll_fn(|cx| self.poll(runtime, cx))
    }
}

/// Waits for `work`, but not beyond a deadline; `None` if that has passed.
#[cfg(feature = "upgrade")]
pub(crate) async fn until<R: Runtime, T>(
    runtime: &R,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut timer = DeadlineTimer::new(runtime);
    if let Some(deadline) = deadline {
        timer.set(deadline);
    }
    race(pin!(work), timer.wait(runtime)).await.first()
}
