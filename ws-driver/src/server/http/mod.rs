//! Plain HTTP on the port of a server: hyper reads the requests, and the application's service answers them.
//! `ws-proto` reads all heads. So a request for an upgrade, or a malformed one, that comes later on the same stream is
//! treated like a first one.
//!
//! Imports: `util`, `runtime`, `observe`, `driver`, `server::reporter`, `server::shared`, `server::shutdown_phase`.

mod body_end;
mod gate;
pub(crate) mod io;
pub(crate) mod pace;
pub(crate) mod service;
#[cfg(feature = "upgrade")]
pub(crate) mod upgraded;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use ws_proto::Outgoing;

use self::gate::{Answered, Gate, HandedBack};
use self::io::{HyperIo, HyperTimer};
use self::pace::Pace;
use self::service::{RequestBody, ResponseBody};
use crate::driver::fairness::{self, SharedBudget};
use crate::driver::opening::Exchange;
use crate::observe::rejected::Rejected;
use crate::observe::span::ConnectionSpan;
use crate::runtime::Runtime;
use crate::server::reporter::{Ending, StreamReporter};
use crate::server::shared::SharedServer;
use crate::server::shutdown_phase::ShutdownPhase;

/// The smallest buffer limit that hyper accepts; it panics below.
const HYPER_BUFFER_LEN: usize = 8192;

/// A stream whose next request is not for hyper, and that request.
pub(crate) struct Next<S> {
    pub(crate) stream: S,
    pub(crate) request: HandedBack,
}

/// Serves plain HTTP on a stream until it ends or a request is not plain. `received` are bytes that were read before.
pub(crate) async fn serve<R, S>(
    shared: &Arc<SharedServer<R>>,
    stream: S,
    received: Bytes,
    reporter: &mut StreamReporter,
) -> Option<Next<S>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    reporter.expect(Ending::NoUpgrade);
    let gate = Gate::new(Arc::clone(&shared.config), received);
    let answered = gate.answered();
    // The service is a shared closure, so it needs a lock. hyper answers one request at a time: no contention.
    let (reporter, stop) = (Mutex::new(reporter), &shared.stop);
    let service = hyper::service::service_fn(|request| {
        let answering = answer(shared, &reporter, answered.clone(), request);
        // Boxed, because hyper requires `Unpin`.
        Box::pin(answering)
    });
    let config = &shared.settings.config;
    let wait = config.get_handshake_timeout();
    let pace = Pace::new(&shared.runtime, shared.settings.http.body_timeout);
    let budget = SharedBudget::new();
    let io = HyperIo::new(shared.runtime.clone(), stream, Some(gate), wait, pace)
        .with_budget(budget.clone());
    let mut connection = http1::Builder::new()
        .timer(HyperTimer(shared.runtime.clone()))
        .header_read_timeout(wait)
        .max_buf_size(config.get_head_limit().max(HYPER_BUFFER_LEN))
        .title_case_headers(true)
        .serve_connection(io, service);
    let mut stopping = pin!(stop.wait(ShutdownPhase::ShuttingDown));
    let mut aborting = pin!(stop.wait(ShutdownPhase::Aborting));
    let mut is_stopping = false;
    // `without_shutdown`: hyper must not close a stream that may carry an upgrade next. `close` below ends it.
    let served = poll_fn(|cx| {
        if !is_stopping && stopping.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // `Aborting` follows `ShuttingDown`, so until then a second listener for each stream is not needed.
        if is_stopping && aborting.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        budget.renew();
        let served = connection.poll_without_shutdown(cx);
        if served.is_pending() && budget.is_spent() {
            fairness::give_way(&shared.runtime, cx);
        }
        served.map(Some)
    })
    .await;
    let served = served?;
    let mut io = connection.into_parts().io;
    let has_timed_out = served.as_ref().is_err_and(hyper::Error::is_timeout);
    if has_timed_out {
        // hyper would end the stream without a word. The handshake has a 408 for a head that has begun.
        io.handle_timeout();
    }
    // A peer that missed one deadline is not waited for again: it has gone, or it means harm.
    let is_late = io.is_late() || has_timed_out;
    match io.into_parts() {
        (stream, Some(request)) if served.is_ok() || has_timed_out => {
            Some(Next { stream, request })
        }
        (stream, Some(_) | None) => {
            close(shared, stream, is_late).await;
            None
        }
    }
}

/// Ends a stream that served plain HTTP. The peer has the `close_timeout` to take the close_notify of TLS and to end its
/// side. Otherwise unread bytes would reset the stream, and the last answer would be lost. For a late peer this is tried
/// once, without a wait.
async fn close<R, S>(shared: &SharedServer<R>, stream: S, is_late: bool)
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let is_over = is_late || shared.stop.has_reached(ShutdownPhase::ShuttingDown);
    let now = shared.runtime.now();
    let deadline = if is_over {
        Some(now)
    } else {
        let wait = shared.settings.config.get_close_timeout();
        wait.and_then(|wait| now.checked_add(wait))
    };
    let mut nothing = Outgoing::new();
    let mut exchange = Exchange::new(shared.runtime.clone(), stream);
    let finishing = pin!(exchange.finish(&mut nothing, deadline));
    if is_over {
        // Not raced with the shutdown, which would end the try as soon as the stream is pending.
        finishing.await;
    } else {
        shared
            .stop
            .unless(ShutdownPhase::ShuttingDown, finishing)
            .await;
    }
}

/// Answers one request.
async fn answer<R: Runtime>(
    shared: &SharedServer<R>,
    reporter: &Mutex<&mut StreamReporter>,
    answered: Answered,
    request: Request<Incoming>,
) -> Result<Response<WatchedBody>, std::convert::Infallible> {
    let (mut head, body) = request.into_parts();
    let begun = {
        let mut reporter = reporter.lock().unwrap_or_else(PoisonError::into_inner);
        begin(shared, &mut reporter, &mut head, |reporter| {
            reporter.admit_request(&shared.settings, shared.runtime.now())
        })
    };
    let response = respond(shared, begun, head, body).await;
    Ok(response.map(|body| WatchedBody { body, answered }))
}

/// What is known of a request before it is answered.
pub(crate) struct Begun {
    is_tls: bool,
    /// Whether its client may have one more.
    admitted: Result<(), Rejected>,
    /// The span in which it is answered.
    span: ConnectionSpan,
}

/// Notes a request that is not an upgrade: for whom it speaks, and that it is there. `admit` counts it for that client.
pub(crate) fn begin<R: Runtime>(
    shared: &SharedServer<R>,
    reporter: &mut StreamReporter,
    head: &mut http::request::Parts,
    admit: impl FnOnce(&StreamReporter) -> Result<(), Rejected>,
) -> Begun {
    reporter.expect(Ending::NoUpgrade);
    reporter.info.http_version = Some(head.version);
    reporter.note_forwarded(&shared.settings, &head.headers);
    let admitted = admit(reporter);
    if admitted.is_ok() {
        reporter.note_request(head);
    }
    if shared.settings.on_request.is_some() {
        head.extensions.insert(reporter.info.clone());
    }
    let span = match &shared.settings.forwarded_for {
        Some(_) => ConnectionSpan::of_request(reporter.info.peer_addr),
        None => ConnectionSpan::none(),
    };
    Begun {
        is_tls: reporter.info.tls.is_some(),
        admitted,
        span,
    }
}

/// Answers a request that is not an upgrade.
pub(crate) async fn respond<R: Runtime>(
    shared: &SharedServer<R>,
    begun: Begun,
    head: http::request::Parts,
    body: Incoming,
) -> Response<ResponseBody> {
    if let Err(reason) = begun.admitted {
        shared.clients.note_rejected(&reason);
        return service::too_many_requests().map(service::boxed);
    }
    let http_version = head.version;
    let timeout = shared.settings.http.body_timeout;
    let body = RequestBody::new(body, &shared.runtime, timeout);
    let request = Request::from_parts(head, body);
    match &shared.settings.on_request {
        Some(service) => begun.span.around(pin!(service.call(request))).await,
        None => {
            let versions = shared.settings.config.get_versions();
            service::upgrade_required(versions, http_version, begun.is_tls).map(service::boxed)
        }
    }
}

/// The body of an answer. Its drop tells the gate that hyper has taken the answer.
struct WatchedBody {
    body: ResponseBody,
    answered: Answered,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.answered.note();
    }
}
