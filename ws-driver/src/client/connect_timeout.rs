//! The time that a client has to open a connection: one limit for all its steps.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::attempts::Attempts;
use super::error::{ConnectError, ConnectStage};
use crate::driver::deadline::DeadlineTimer;
use crate::runtime::Runtime;

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
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_over(cx).map(|waited| {
                let attempts = Attempts::default();
                Err(ConnectError::Timeout {
                    stage,
                    waited,
                    attempts,
                })
            }),
        })
        .await
    }

    /// Is ready with the `connect_timeout` once it has passed. To be asked last in each poll, when what is
    /// waited for has not come.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let waited = self.timeout.unwrap_or_default();
        self.timer.poll(&self.runtime, cx).map(|()| waited)
    }
}
