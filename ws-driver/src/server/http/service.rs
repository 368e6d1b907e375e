//! The application's side of plain HTTP: closures and tower services behind one type.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower_service::Service;
use ws_proto::{Version, Versions};

use super::pace::Pace;
use crate::runtime::Runtime;
use crate::util::panics::{self, Panicked};

type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a response, whatever it is made of.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a plain HTTP request, as it arrives. It implements [`Body`] of the crate `http-body`. Read it by `frame`
/// or `collect` of the trait `BodyExt` (crate `http-body-util`), or pass it to a framework. Its length has no limit;
/// `Limited` of that crate sets one.
///
/// If the peer sends too slowly for the [`body_timeout`](crate::ServerBuilder::body_timeout), the body fails
/// once with an [`io::Error`](std::io::Error) of kind [`TimedOut`](std::io::ErrorKind::TimedOut), and the
/// stream ends after the response.
pub struct RequestBody {
    /// `None` after a timeout.
    incoming: Option<Incoming>,
    pace: Option<Pace>,
}

impl RequestBody {
    pub(crate) fn new<R: Runtime>(
        incoming: Incoming,
        runtime: &R,
        body_timeout: Option<Duration>,
    ) -> Self {
        // Most requests have no body. They need no timer.
        let body_timeout = body_timeout.filter(|_| !incoming.is_end_stream());
        Self {
            incoming: Some(incoming),
            pace: Pace::new(runtime, body_timeout),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { incoming, pace } = &mut *self;
        let Some(body) = incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        match (&polled, pace) {
            (_, None) => {}
            (Poll::Ready(Some(Ok(frame))), Some(pace)) => {
                pace.note_moved(frame.data_ref().map_or(0, Bytes::len));
            }
            (Poll::Ready(Some(Err(_)) | None), Some(_)) => {}
            (Poll::Pending, Some(pace)) => {
                let late = ready!(pace.poll_late(cx));
                // Dropped, so that hyper reads no more of it and closes the stream after the response.
                *incoming = None;
                return Poll::Ready(Some(Err(late.into())));
            }
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.incoming.as_ref().map_or_else(none, Body::size_hint)
    }
}

/// The future of an answer.
pub(crate) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

/// Answers plain HTTP requests. Implemented by closures `Fn(Request<RequestBody>) -> Future<Output =
/// Response<B>>` and by tower services, such as an axum `Router`.
///
/// `B` is any [`Body`] of [`Bytes`], such as a `String`. `M` distinguishes the two implementations and is
/// always inferred.
pub trait HttpService<M>: Send + Sync + 'static {
    /// Answers a request.
    #[doc(hidden)]
    fn answer(
        &self,
        request: Request<RequestBody>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;
}

/// Marks closures in [`HttpService`].
#[derive(Debug)]
pub struct Closure<F, B>(std::marker::PhantomData<fn() -> (F, B)>);

/// Marks tower services in [`HttpService`].
#[derive(Debug)]
pub struct Tower<B>(std::marker::PhantomData<fn() -> B>);

impl<C, F, B> HttpService<Closure<F, B>> for C
where
    C: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn answer(&self, request: Request<RequestBody>) -> Answering {
        let answer = self(request);
        Box::pin(async move { Ok(answer.await.map(boxed)) })
    }
}

impl<S, B> HttpService<Tower<B>> for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn answer(&self, request: Request<RequestBody>) -> Answering {
        // A clone for each request: `poll_ready` may reserve something that the `call` on the same value uses.
        let mut service = self.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            let response = service.call(request).await.map_err(Into::into)?;
            Ok(response.map(boxed))
        })
    }
}

/// A service of either kind.
#[derive(Clone)]
pub(crate) struct RequestService(Arc<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>);

impl RequestService {
    pub(crate) fn new<M>(service: impl HttpService<M>) -> Self {
        Self(Arc::new(move |request| service.answer(request)))
    }

    /// Answers a request. If the service fails or panics, the answer is a 500 that does not say why; the log does.
    pub(crate) async fn call(&self, request: Request<RequestBody>) -> Response<ResponseBody> {
        match panics::run(|| (self.0)(request)).await {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => tracing::error!(target: "ws", "on_request failed: {error}"),
            Err(Panicked) => tracing::error!(target: "ws", "on_request panicked"),
        }
        text(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong\n").map(boxed)
    }
}

pub(crate) fn boxed<B>(body: B) -> ResponseBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Makes the answer to a plain request if the server has no `on_request` (R-H5). In HTTP/2 it is a 400, because a 426 must
/// have an `Upgrade`, which HTTP/2 does not allow (H2-R2).
pub(crate) fn upgrade_required(
    versions: Versions,
    http_version: http::Version,
    is_tls: bool,
) -> Response<Full<Bytes>> {
    if http_version >= http::Version::HTTP_2 {
        let body =
            "400 Bad Request\n\nThis is a WebSocket server: open it with a WebSocket client.\n";
        return text(StatusCode::BAD_REQUEST, body);
    }
    let body = if is_tls {
        "426 Upgrade Required\n\nThis is a WebSocket server: open it with a WebSocket client \
         (wss:// instead of https://).\n"
    } else {
        "426 Upgrade Required\n\nThis is a WebSocket server: open it with a WebSocket client \
         (ws:// instead of http://).\n"
    };
    let mut response = text(StatusCode::UPGRADE_REQUIRED, body);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if versions.contains(Version::Rfc6455) {
        headers.insert(VERSION, HeaderValue::from_static("13, 8, 7"));
    }
    response
}

const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

/// Answers a client that has too many connections, or opens them too fast (RFC 6585 §4).
pub(crate) fn too_many_requests() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, "429 Too Many Requests\n");
    let (retry_after, second) = (http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    response.headers_mut().insert(retry_after, second);
    response
}

pub(crate) fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
