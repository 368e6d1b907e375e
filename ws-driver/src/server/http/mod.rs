//! Plain HTTP on the port of a server: hyper reads the requests, the application's service answers
//! them. All heads are read by `ws-proto`, so that a request for an upgrade that comes later on the same stream is
//! what it were if it came first, and so is what is no request at all.
//!
//! Imports: `util`, `runtime`, `driver`, `server::reporter`, `server::shared`, `server::shutdown_phase`.

mod body_end;
mod gate;
pub(crate) mod io;
mod pace;
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

use self::gate::{Answered, Gate, Taken};
use self::io::{HyperIo, HyperTimer};
use self::pace::Pace;
use self::service::{RequestBody, ResponseBody};
use crate::driver::fairness::{self, SharedBudget};
use crate::driver::opening::Exchange;
use crate::runtime::Runtime;
use crate::server::reporter::{Ending, Witness};
use crate::server::shared::Shared;
use crate::server::shutdown_phase::Phase;

/// The least buffer that hyper takes.
const HYPER_BUFFER_LEN: usize = 8192;

/// A stream whose next request is not for hyper.
pub(crate) struct Next<S> {
    pub(crate) stream: S,
    pub(crate) request: Taken,
}

/// Serves plain HTTP on a stream, to its end or to a request that is no plain one; `received` is what was
/// read from it already.
pub(crate) async fn serve<R, S>(
    shared: &Arc<Shared<R>>,
    stream: S,
    received: Bytes,
    witness: &mut Witness,
) -> Option<Next<S>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    witness.expect(Ending::NoUpgrade);
    let gate = Gate::new(Arc::clone(&shared.config), received);
    let answered = gate.answered();
    let (witness, stop) = (Mutex::new(witness), &shared.stop);
    let service = hyper::service::service_fn(|request| {
        let answering = answer(shared, &witness, answered.clone(), request);
        // Boxed, as hyper wants it `Unpin`.
        Box::pin(answering)
    });
    let config = &shared.options.config;
    let wait = config.get_handshake_timeout();
    let pace = Pace::new(&shared.runtime, shared.options.http.body_timeout);
    let budget = SharedBudget::new();
    let io = HyperIo::new(shared.runtime.clone(), stream, Some(gate), wait, pace)
        .with_budget(budget.clone());
    let mut connection = http1::Builder::new()
        .timer(HyperTimer(shared.runtime.clone()))
        .header_read_timeout(wait)
        .max_buf_size(config.get_head_limit().max(HYPER_BUFFER_LEN))
        .title_case_headers(true)
        .serve_connection(io, service);
    let mut stopping = pin!(stop.wait(Phase::ShuttingDown));
    let mut aborting = pin!(stop.wait(Phase::Aborting));
    let mut is_stopping = false;
    let served = poll_fn(|cx| {
        if !is_stopping && stopping.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
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
        io.handle_timeout();
    }
    // A peer that let one of our deadlines pass is not waited for again: it has gone, or does harm.
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

/// Ends a stream that served plain HTTP. The peer gets the `close_timeout` to take what TLS says at the
/// end, and to end its side: to close a stream with unread bytes would reset it, and the last answer
/// would be lost. A late peer gets one try, without a wait.
async fn close<R, S>(shared: &Shared<R>, stream: S, is_late: bool)
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let is_over = is_late || shared.stop.has_reached(Phase::ShuttingDown);
    let now = shared.runtime.now();
    let deadline = if is_over {
        Some(now)
    } else {
        let wait = shared.options.config.get_close_timeout();
        wait.and_then(|wait| now.checked_add(wait))
    };
    let mut nothing = Outgoing::new();
    let finishing = Exchange::new(shared.runtime.clone(), stream).finish(&mut nothing, deadline);
    if is_over {
        // A shutdown must not keep the one try from being made.
        finishing.await;
    } else {
        shared.stop.unless(Phase::ShuttingDown, finishing).await;
    }
}

/// Answers one request.
async fn answer<R: Runtime>(
    shared: &Shared<R>,
    witness: &Mutex<&mut Witness>,
    answered: Answered,
    request: Request<Incoming>,
) -> Result<Response<Watched>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let is_tls = {
        let mut witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
        witness.expect(Ending::NoUpgrade);
        witness.note_request(&head);
        witness.info.tls.is_some()
    };
    let timeout = shared.options.http.body_timeout;
    let body = RequestBody::new(body, &shared.runtime, timeout);
    let request = Request::from_parts(head, body);
    let response = match &shared.options.on_request {
        Some(service) => service.call(request).await,
        None => service::upgrade_required(shared.options.config.get_versions(), is_tls)
            .map(service::boxed),
    };
    Ok(response.map(|body| Watched { body, answered }))
}

/// The body of an answer. Once it is dropped, nothing more of the answer comes.
struct Watched {
    body: ResponseBody,
    answered: Answered,
}

impl Body for Watched {
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

impl Drop for Watched {
    fn drop(&mut self) {
        self.answered.note();
    }
}
