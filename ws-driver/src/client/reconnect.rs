//! A client that connects again: to the same server with the same options, after a pause. What the connections are used for is
//! the application's loop.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::config::ConnectConfig;
use super::error::ConnectError;
use super::request::{ClientRequest, IntoClientRequest};
use crate::handle::connection::Connection;
use crate::runtime::{Runtime, sleep};
use crate::util::backoff::Backoff;

/// Opens connections to one server, one after the other. Each [`connect`](Self::connect) waits as long as it has to.
///
/// The first attempt is made at once. Before any other is a pause, a random time below a bound that doubles from
/// [`first_pause`](Self::first_pause) to [`longest_pause`](Self::longest_pause) (full jitter). It begins anew if 5 s
/// or more have passed since the last connection opened. A server that answers with `Retry-After` (RFC 9110 §10.2.3) gets that time on top, 5 minutes at most.
///
/// Only errors that are [transient](ConnectError::is_transient) are tried again.
///
/// There is no task behind it, and nothing is kept of a connection that ended: what is to be sent again, such as subscriptions,
/// is sent by the loop, after `connect`. Messages that the server sent meanwhile are missed, unless its application keeps them;
/// see [`ClusterTopic::resume`](crate::ClusterTopic::resume).
pub struct Reconnector<R> {
    runtime: R,
    request: ClientRequest,
    options: ConnectConfig,
    backoff: Backoff,
    attempt_limit: Option<NonZeroU32>,
    /// Attempts in a row that failed.
    failures: u32,
    /// When the last connection opened.
    opened: Option<Instant>,
    /// What the last answer asked for.
    retry_after: Option<Duration>,
    /// Whether there was an attempt.
    has_begun: bool,
    /// When the pause ends that was begun last.
    resume_at: Option<Instant>,
}

/// The defaults of the options.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that a server can ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(5 * 60);

impl<R: Runtime + Default> Reconnector<R> {
    /// Makes a client of a server, as [`connect_with`](crate::connect_with) takes it. It does not connect yet.
    ///
    /// # Errors
    ///
    /// Fails if the URL or the request is invalid.
    pub fn new(
        request: impl IntoClientRequest,
        options: impl Into<ConnectConfig>,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            runtime: R::default(),
            request: request.into_client_request()?,
            options: options.into(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            attempt_limit: None,
            failures: 0,
            opened: None,
            retry_after: None,
            has_begun: false,
            resume_at: None,
        })
    }

    /// Sets the longest that the first pause can be: 500 ms.
    #[must_use]
    pub fn first_pause(mut self, first_pause: Duration) -> Self {
        self.backoff.first = first_pause;
        self
    }

    /// Sets the longest that any pause can be: 30 s.
    #[must_use]
    pub fn longest_pause(mut self, longest_pause: Duration) -> Self {
        self.backoff.longest = longest_pause;
        self
    }

    /// Limits the attempts in a row that fail: unlimited. At the limit [`connect`](Self::connect) fails with the error of the
    /// last one.
    #[must_use]
    pub fn attempt_limit(mut self, attempt_limit: impl Into<Option<NonZeroU32>>) -> Self {
        self.attempt_limit = attempt_limit.into();
        self
    }

    /// Opens the next connection. Waits before each attempt but the first, and tries until one succeeds. Each attempt takes the
    /// `connect_timeout` at most.
    ///
    /// Lines in the log, with the target `ws`, name each attempt, failure and pause (level `DEBUG`), and the connection that
    /// opened after another one or after a failure (level `INFO`).
    ///
    /// # Errors
    ///
    /// Fails if an error is not [transient](ConnectError::is_transient), and at the [`attempt_limit`](Self::attempt_limit). It
    /// can be called again then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the attempt ends. The next call waits for the rest of the pause, if it was in one.
    pub async fn connect(&mut self) -> Result<Connection, ConnectError> {
        loop {
            if let Some(opened) = self.opened.take() {
                self.backoff.note_ended(self.runtime.now() - opened);
            }
            let is_first = !std::mem::replace(&mut self.has_begun, true);
            if !is_first {
                self.pause().await;
            }
            let attempt = self.failures.saturating_add(1);
            let server = self.request.url.authority().to_owned();
            tracing::debug!(target: "ws", "attempt {attempt} to connect to {server}");
            let opening = crate::client::connect_with::<R>(self.request.clone(), &self.options);
            let error = match opening.await {
                Ok(connection) => {
                    if !is_first {
                        tracing::info!(target: "ws", "connected to {server} again, at attempt {attempt}");
                    }
                    self.failures = 0;
                    self.opened = Some(self.runtime.now());
                    return Ok(connection);
                }
                Err(error) => error,
            };
            tracing::debug!(target: "ws", "attempt {attempt} to connect to {server} failed: {error}");
            self.retry_after = error.retry_after();
            self.failures = self.failures.saturating_add(1);
            let failures = self.failures;
            let is_last = self
                .attempt_limit
                .is_some_and(|limit| failures >= limit.get());
            if is_last || !error.is_transient() {
                self.failures = 0;
                return Err(error);
            }
        }
    }

    /// Waits before an attempt. A wait that is dropped goes on with the next one.
    async fn pause(&mut self) {
        let now = self.runtime.now();
        if self.resume_at.is_none() {
            let mut bytes = [0; 4];
            self.runtime.fill_random(&mut bytes);
            let random = u32::from_le_bytes(bytes);
            let asked = self.retry_after.take().unwrap_or_default();
            let pause = asked.min(RETRY_AFTER_LIMIT) + self.backoff.next_pause(random);
            tracing::debug!(target: "ws", "waits {pause:?} before the next attempt to connect");
            self.resume_at = now.checked_add(pause);
        }
        if let Some(resume_at) = self.resume_at {
            sleep(&self.runtime, resume_at.saturating_duration_since(now)).await;
        }
        self.resume_at = None;
    }
}

impl<R> fmt::Debug for Reconnector<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnector")
            .field("request", &self.request)
            .field("options", &self.options)
            .field("backoff", &self.backoff)
            .field("attempt_limit", &self.attempt_limit)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}
