//! A timer for deadlines that end something: it believes that one has passed only after the task had one more
//! chance to read its stream.
//!
//! A process that stood still (a debugger, a frozen container, a laptop that slept) wakes up with deadlines
//! that have passed and with bytes in its sockets that came in time. Some runtimes run their timers before
//! they look at their sockets.

#[cfg(any(feature = "rustls", feature = "upgrade"))]
use std::future::{Future, poll_fn};
#[cfg(feature = "upgrade")]
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::runtime::{Runtime, Timer};
#[cfg(feature = "upgrade")]
use crate::util::race::race;

/// A timer that is more than this late says that the process stood still, or is overloaded. Runtimes round
/// to a millisecond or two.
const LATE: Duration = Duration::from_millis(10);

/// How long the runtime gets to look at its sockets then. Its timers and its sockets are looked at in the
/// same round, so a second timer that runs out proves that the sockets were looked at since: unless the process
/// stood still once more, so it is asked for a look without a wait, too.
const LOOK_WAIT: Duration = Duration::from_millis(10);

/// A timer whose [`poll`](Self::poll) is ready once its deadline has passed and the stream was read in vain since.
/// The caller has to poll the stream first, in each poll of its task.
#[derive(Debug)]
pub(crate) struct DeadlineTimer<R: Runtime> {
    timer: R::Timer,
    deadline: Option<Instant>,
    stage: Stage,
}

/// What is known of the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not passed.
    Ahead,
    /// It had passed long before the timer ran out, and the runtime was given time.
    Late,
    /// It has passed, and the runtime was asked to look at the sockets.
    Doubted,
}

impl<R: Runtime> DeadlineTimer<R> {
    /// Makes a timer that is not set.
    pub(crate) fn new(runtime: &R) -> Self {
        Self {
            timer: runtime.timer(),
            deadline: None,
            stage: Stage::Ahead,
        }
    }

    /// Sets the deadline, unless it is the one that is set.
    pub(crate) fn set(&mut self, deadline: Instant) {
        if self.deadline != Some(deadline) {
            self.deadline = Some(deadline);
            self.stage = Stage::Ahead;
            self.timer.set(deadline);
        }
    }

    /// Returns the deadline that is set and not known to have passed.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Is ready once the deadline has passed, and wakes the task until then. Once it was ready it is not set.
    pub(crate) fn poll(&mut self, runtime: &R, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        if self.timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let now = runtime.now();
        match self.stage {
            Stage::Ahead if now.saturating_duration_since(deadline) > LATE => {
                self.stage = Stage::Late;
                self.timer.set(now + LOOK_WAIT);
                // It has to be polled to wake the task.
                if self.timer.poll(cx).is_ready() {
                    runtime.yield_now(cx);
                }
                Poll::Pending
            }
            Stage::Ahead | Stage::Late => {
                self.stage = Stage::Doubted;
                self.timer.set(deadline);
                runtime.yield_now(cx);
                Poll::Pending
            }
            Stage::Doubted => {
                self.deadline = None;
                Poll::Ready(())
            }
        }
    }

    /// Waits as [`poll`](Self::poll) does: the second side of a race with what uses the stream.
    #[cfg(any(feature = "rustls", feature = "upgrade"))]
    pub(crate) fn wait(&mut self, runtime: &R) -> impl Future<Output = ()> + Unpin {
        poll_fn(|cx| self.poll(runtime, cx))
    }
}

/// Waits for `work`, but not beyond a deadline.
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
