//! The time that a client has to open a connection: one limit for all its steps.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use super::attempts::Attempts;
use super::error::{ConnectError, ConnectStage};
use crate::driver::deadline::DeadlineTimer;
use crate::runtime::Runtime;
use crate::util::race::{Winner, race};

/// Waits for one stage after the other, but not for longer than the `connect_timeout` in all.
pub(crate) struct Patience<R: Runtime> {
    runtime: R,
    timer: DeadlineTimer<R>,
    timeout: Option<Duration>,
}

impl<R: Runtime> Patience<R> {
    pub(super) fn new(runtime: &R, timeout: Option<Duration>) -> Self {
        let mut timer = DeadlineTimer::new(runtime);
        if let Some(deadline) = timeout.and_then(|wait| runtime.now().checked_add(wait)) {
            timer.set(deadline);
        }
        Self {
            runtime: runtime.clone(),
            timer,
            timeout,
        }
    }

    pub(crate) async fn wait<T>(
        &mut self,
        stage: ConnectStage,
        work: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        match race(pin!(work), self.wait_over()).await {
            Winner::First(result) => result,
            Winner::Second(waited) => Err(ConnectError::Timeout {
                stage,
                waited,
                attempts: Attempts::default(),
            }),
        }
    }

    /// Waits until the `connect_timeout` has passed, and returns it: the second side of a race with the work.
    pub(crate) fn wait_over(&mut self) -> impl Future<Output = Duration> + Unpin {
        let waited = self.timeout.unwrap_or_default();
        poll_fn(move |cx| self.timer.poll(&self.runtime, cx).map(|()| waited))
    }
}
