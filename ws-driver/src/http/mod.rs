//! Plain HTTP on the port of a server: hyper reads the requests, the application's service answers
//! them. A request for an upgrade that comes later on the same stream works as if it came first.

pub(crate) mod io;
mod pace;
pub(crate) mod service;
pub(crate) mod upgrade;
#[cfg(feature = "hyper")]
pub(crate) mod upgraded;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use ws_proto::{Outgoing, ServerHandshake};

use self::io::{HyperIo, HyperTimer};
use self::pace::Pace;
use self::service::{RequestBody, ResponseBody};
use self::upgrade::{Decided, Examined};
use crate::deadline::DeadlineTimer;
use crate::exchange::Exchange;
use crate::runtime::Runtime;
use crate::server::negotiate::Ticket;
use crate::server::shared::Shared;
use crate::server::stop::Phase;
use crate::witness::{Ending, Witness};

/// The least buffer that hyper takes.
const HYPER_BUFFER_LEN: usize = 8192;

/// A stream on which a request for an upgrade was accepted; the 101 is written.
pub(crate) struct Upgraded<S> {
    pub(crate) stream: S,
    pub(crate) handshake: ServerHandshake,
    pub(crate) ticket: Ticket,
}

/// An upgrade that was accepted while hyper has the stream.
type Accepted = Arc<Mutex<Option<(ServerHandshake, Ticket)>>>;

/// Serves plain HTTP on a stream, to its end or to an upgrade; `received` is what was read from it
/// already.
pub(crate) async fn serve<R, S>(
    shared: &Arc<Shared<R>>,
    stream: S,
    received: Bytes,
    witness: &mut Witness,
) -> Option<Upgraded<S>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    witness.expect(Ending::NoUpgrade);
    let accepted = Accepted::default();
    let peer_was_late = AtomicBool::new(false);
    let (witness, stop) = (Mutex::new(witness), &shared.stop);
    let service = hyper::service::service_fn(|request| {
        // Boxed, as hyper wants it `Unpin`.
        let accepted = Arc::clone(&accepted);
        Box::pin(answer(shared, &witness, accepted, &peer_was_late, request))
    });
    let config = &shared.options.config;
    let wait = config.handshake_wait();
    let pace = Pace::new(&shared.runtime, shared.options.http.body_timeout);
    let io = HyperIo::new(shared.runtime.clone(), stream, received, wait, pace);
    let mut connection = http1::Builder::new()
        .timer(HyperTimer(shared.runtime.clone()))
        .header_read_timeout(wait)
        .max_buf_size(config.head_len_limit().max(HYPER_BUFFER_LEN))
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
        connection.poll_without_shutdown(cx).map(Some)
    })
    .await;
    let served = served?;
    let parts = connection.into_parts();
    // A peer that let one of our deadlines pass is not waited for again: it has gone, or does harm.
    let is_late = parts.io.is_late()
        || served.as_ref().is_err_and(hyper::Error::is_timeout)
        || peer_was_late.load(Ordering::Relaxed);
    let stream = parts.io.into_stream();
    let upgraded = accepted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match upgraded {
        Some((mut handshake, ticket)) if served.is_ok() => {
            handshake.handle_read(shared.runtime.now(), &parts.read_buf);
            Some(Upgraded {
                stream,
                handshake,
                ticket,
            })
        }
        Some(_) | None => {
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
        let wait = shared.options.config.close_wait();
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

/// Answers one request: the handshake if it asks for an upgrade, else the application.
async fn answer<R: Runtime>(
    shared: &Shared<R>,
    witness: &Mutex<&mut Witness>,
    accepted: Accepted,
    peer_was_late: &AtomicBool,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let lock = || witness.lock().unwrap_or_else(PoisonError::into_inner);
    let decided = match upgrade::examine(shared, &head) {
        Examined::Plain => {
            let is_tls = {
                let mut witness = lock();
                witness.expect(Ending::NoUpgrade);
                witness.note_request(&head);
                witness.info.tls.is_some()
            };
            let timeout = shared.options.http.body_timeout;
            let body = RequestBody::new(body, &shared.runtime, timeout);
            let request = Request::from_parts(head, body);
            return Ok(match &shared.options.on_request {
                Some(service) => service.call(request).await,
                None => service::upgrade_required(shared.options.config.spoken_versions(), is_tls)
                    .map(service::boxed),
            });
        }
        Examined::Pending(pending) => {
            let info = {
                let mut witness = lock();
                witness.expect(Ending::Disconnected);
                witness.info.clone()
            };
            pending.decide(shared, &info, body).await
        }
        Examined::Refused(refused) => Err(refused),
    };
    let response = match decided.and_then(Decided::conclude) {
        Ok(granted) => {
            let upgrade = (granted.handshake, granted.ticket);
            *accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
            granted.response
        }
        Err(refused) => {
            lock().note_rejected(&refused.reason);
            peer_was_late.store(refused.is_peer_late, Ordering::Relaxed);
            refused.response
        }
    };
    Ok(response.map(service::boxed))
}

/// Waits for `work`, but not beyond a deadline.
pub(crate) async fn until<R: Runtime, T>(
    runtime: &R,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut timer = DeadlineTimer::new(runtime);
    if let Some(deadline) = deadline {
        timer.set(deadline);
    }
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll(runtime, cx).map(|()| None),
    })
    .await
}
