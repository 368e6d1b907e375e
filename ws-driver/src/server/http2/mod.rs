//! HTTP/2 on the port of a server (RFC 9113): hyper reads the frames of a session, and each request of it goes the way of
//! one in HTTP/1.1. A request for a WebSocket (RFC 8441) becomes a connection with a task of its own. Knows nothing of the
//! handlers of connections.
//!
//! Imports: `id`, `runtime`, `handle::clients`, `observe`, `driver`, `server::http`, `server::reporter`, `server::shared`,
//! `server::shutdown_phase`, `server::upgrade::asked`.

mod answer;
mod place;
mod prefixed;
mod tasks;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;

use self::answer::Requests;
use self::prefixed::Prefixed;
use self::tasks::{SessionExecutor, SessionTasks};
use super::http::io::{HyperIo, HyperTimer};
use super::reporter::{Ending, Requester, StreamReporter};
use super::shared::SharedServer;
use super::shutdown_phase::ShutdownPhase;
use crate::driver::deadline::DeadlineTimer;
use crate::driver::fairness::{self, SharedBudget};
use crate::runtime::Runtime;

/// Answers a request for a WebSocket, and gives the connection to the application if it is accepted. One function serves all
/// sockets of a server, so the code of a session does not name the type of the handler.
pub(super) type Adopt = Arc<dyn Fn(Asking) -> Adopting + Send + Sync>;

/// The answer to a request for a WebSocket.
pub(super) type Adopting = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// A request for a WebSocket.
pub(super) struct Asking {
    /// The head, with what hyper knows of `:protocol` and of the stream.
    pub(super) head: http::request::Parts,
    pub(super) body: Incoming,
    pub(super) requester: Requester,
}

/// The requests of a session that can be open at a time, sockets included: what hyper has by default. Browsers open 100 at most.
const STREAM_LIMIT: u32 = 200;

/// The requests of a session that were reset before they were accepted; one more ends the session (CVE-2023-44487). It is the
/// default of the crate h2, written down because it is a promise of SECURITY.md.
const RESET_LIMIT: usize = 20;

/// The bytes of a stream that wait for the peer's window, for each stream.
const SEND_BUFFER_LIMIT: usize = 64 << 10;

/// The bytes of a stream that the peer may send ahead of what the application has read: the window of RFC 9113 §6.9.2.
const STREAM_WINDOW: u32 = (64 << 10) - 1;

/// What the frames of DATA below 256 bytes that nobody has read lack of 256 bytes each, all together, for each stream. The crate h2
/// counts that and ends the session beyond it, because each of them costs some 260 bytes, whatever its payload. So a stream can hold
/// about as much memory by them as by a message of the default limit.
const SMALL_FRAME_LIMIT: u32 = 1 << 20;

/// The window of a session: h2 takes half of it for the limit of small frames. It is far above the windows of all streams together,
/// so that handlers that do not read stop no other socket of their session.
const SESSION_WINDOW: u32 = 2 * STREAM_LIMIT * SMALL_FRAME_LIMIT;

/// How long a peer that takes no byte has to answer the GOAWAY of a session without a stream.
const GOAWAY_WAIT: Duration = Duration::from_secs(1);

/// Serves a session until it ends. `received` are bytes that were read before, its preface among them.
pub(super) async fn serve<R, S>(
    shared: &Arc<SharedServer<R>>,
    stream: S,
    received: Bytes,
    adopt: Adopt,
    mut reporter: StreamReporter,
) where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    reporter.expect(Ending::NoUpgrade);
    reporter.info.http_version = Some(http::Version::HTTP_2);
    let runtime = &shared.runtime;
    let tasks = Arc::new(SessionTasks::default());
    let executor = SessionExecutor::new(shared, &tasks);
    let requests = Arc::new(Requests::new(Arc::clone(shared), adopt, reporter));
    let serving = Arc::clone(&requests);
    let service = service_fn(move |request| {
        let (requests, progress) = (Arc::clone(&serving), tasks::begin());
        async move { Ok::<_, Infallible>(requests.answer(request, progress).await) }
    });
    let budget = SharedBudget::new();
    // A stream that takes nothing stops all sockets, so it is judged as they are, and not like an answer.
    let write_timeout = shared.settings.connection.get_stall_timeout();
    let written = Arc::<AtomicUsize>::default();
    let stream = Prefixed::new(received, stream, Arc::clone(&written));
    let io = HyperIo::new(runtime.clone(), stream, None, write_timeout, None);
    let io = io.with_budget(budget.clone());
    let head_limit = shared.settings.config.get_head_limit();
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(HyperTimer(runtime.clone()))
        .enable_connect_protocol()
        .max_concurrent_streams(STREAM_LIMIT)
        .max_header_list_size(u32::try_from(head_limit).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_LIMIT)
        .max_send_buf_size(SEND_BUFFER_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(SESSION_WINDOW);
    // No keepalive of hyper: it counts what is received alone, so it ends the session of a peer that reads steadily while the answer
    // to its PING waits behind seconds of output. Sockets have their own, which excuses that; a request without its answer waits for
    // the application, an answer has the `body_timeout`, and a session with neither is `Idle`.
    let session = builder.serve_connection(io, service);
    if let Err(error) = drive(shared, session, &tasks, &budget, written).await {
        tracing::debug!(target: "ws", "a session of HTTP/2 has ended: {error}");
    }
    // The requests find that the session is gone, and end. The end of the stream is told behind them.
    tasks.ended().await;
    drop(requests);
}

/// Polls a session until it ends, has been idle for too long, or the server stops. It is gone then.
async fn drive<R: Runtime, S: Session>(
    shared: &SharedServer<R>,
    session: S,
    tasks: &SessionTasks,
    budget: &SharedBudget,
    written: Arc<AtomicUsize>,
) -> hyper::Result<()> {
    let (runtime, stop) = (&shared.runtime, &shared.stop);
    let mut session = pin!(session);
    let mut stopping = pin!(stop.wait(ShutdownPhase::ShuttingDown));
    let mut aborting = pin!(stop.wait(ShutdownPhase::Aborting));
    let mut idle = Idle::new(shared, written);
    poll_fn(|cx| {
        if !idle.is_leaving && stopping.as_mut().poll(cx).is_ready() {
            idle.is_leaving = true;
            session.as_mut().leave();
        }
        if aborting.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        budget.renew();
        let served = session.as_mut().poll(cx);
        if served.is_ready() {
            return served;
        }
        if budget.is_spent() {
            fairness::give_way(runtime, cx);
        }
        match idle.poll(runtime, tasks, cx) {
            Poll::Ready(Idled::AskToLeave) => {
                session.as_mut().leave();
                // The GOAWAY is written in the next poll.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Idled::Leave) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A session of hyper, whose type has many parts.
trait Session: Future<Output = hyper::Result<()>> {
    /// Tells the peer to begin no more streams (GOAWAY, RFC 9113 §6.8).
    fn leave(self: Pin<&mut Self>);
}

impl<I, S, B, E> Session for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What a session without a stream does next.
enum Idled {
    /// It tells its peer that it goes.
    AskToLeave,
    /// It goes.
    Leave,
}

/// Bounds the time of a session that has no stream: a socket, or a request without its answer. Its peer can keep the session
/// alive by answers to PINGs, and would keep a place of the `connection_limit`.
///
/// hyper does not tell when the end of an answer has left. So after the GOAWAY the session stays while bytes leave, for the
/// `body_timeout` at most: a peer that takes the last 64 KiB of an answer more slowly is cut off, as in HTTP/1.1.
struct Idle<R: Runtime> {
    timer: DeadlineTimer<R>,
    /// The wait for the next request, as in HTTP/1.1.
    timeout: Option<Duration>,
    /// The option `body_timeout`.
    body_timeout: Option<Duration>,
    /// The bytes that were written to the stream of the network.
    written: Arc<AtomicUsize>,
    /// Whether a GOAWAY was sent.
    is_leaving: bool,
    wait: IdleWait,
}

/// What the timer of an idle session is set for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IdleWait {
    /// Nothing: the session has a stream.
    None,
    Request,
    /// The end, which began then, with so many bytes written.
    End {
        since: Instant,
        written: usize,
    },
}

impl<R: Runtime> Idle<R> {
    fn new(shared: &SharedServer<R>, written: Arc<AtomicUsize>) -> Self {
        Self {
            timer: DeadlineTimer::new(&shared.runtime),
            timeout: shared.settings.config.get_handshake_timeout(),
            body_timeout: shared.settings.http.body_timeout,
            written,
            is_leaving: false,
            wait: IdleWait::None,
        }
    }

    /// Is ready when the session has been idle for too long. The session is polled first.
    fn poll(&mut self, runtime: &R, tasks: &SessionTasks, cx: &mut Context<'_>) -> Poll<Idled> {
        if tasks.poll_idle(cx).is_pending() {
            if self.wait != IdleWait::None {
                self.set(runtime, IdleWait::None, None);
            }
            return Poll::Pending;
        }
        match (self.wait, self.is_leaving) {
            (IdleWait::None | IdleWait::Request, true) => self.wait_for_end(runtime, runtime.now()),
            (IdleWait::None, false) => self.set(runtime, IdleWait::Request, self.timeout),
            (IdleWait::Request, false) | (IdleWait::End { .. }, _) => {}
        }
        while self.timer.poll(runtime, cx).is_ready() {
            let IdleWait::End { since, written } = self.wait else {
                self.is_leaving = true;
                return Poll::Ready(Idled::AskToLeave);
            };
            let waited = runtime.now().saturating_duration_since(since);
            let is_late = self.body_timeout.is_some_and(|timeout| waited >= timeout);
            if is_late || written == self.written.load(Ordering::Relaxed) {
                return Poll::Ready(Idled::Leave);
            }
            self.wait_for_end(runtime, since);
        }
        Poll::Pending
    }

    fn wait_for_end(&mut self, runtime: &R, since: Instant) {
        let written = self.written.load(Ordering::Relaxed);
        self.set(runtime, IdleWait::End { since, written }, Some(GOAWAY_WAIT));
    }

    fn set(&mut self, runtime: &R, wait: IdleWait, time: Option<Duration>) {
        self.wait = wait;
        self.timer = DeadlineTimer::new(runtime);
        if let Some(end) = time.and_then(|time| runtime.now().checked_add(time)) {
            self.timer.set(end);
        }
    }
}
