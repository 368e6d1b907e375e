//! The overall connect timeout: one limit for all steps of opening a connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use super::attempts::Attempts;
use super::error::{ConnectError, ConnectStage};
use crate::driver::deadline::DeadlineTimer;
use crate::runtime::Runtime;
use crate::util::race::{Winner, race};

/// Bounds the steps of opening a connection. All of them share one deadline.
pub(crate) struct ConnectTimer<R: Runtime> {
    runtime: R,
    timer: DeadlineTimer<R>,
    timeout: Option<Duration>,
}

impl<R: Runtime> ConnectTimer<R> {
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

    /// Waits for one step. Fails with a timeout that names the step.
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

    /// Waits until the `connect_timeout` has passed, and returns it. This is the second side of a race with the step,
    /// because a [`DeadlineTimer`] has to be polled last.
    pub(crate) fn wait_over(&mut self) -> impl Future<Output = Duration> + Unpin {
        let waited = self.timeout.unwrap_or_default();
        poll_fn(move |cx| self.timer.poll(&self.runtime, cx).map(|()| waited))
    }
}
