//! The application's side of plain HTTP: closures and tower services, made one kind of thing.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower_service::Service;
use ws_proto::{Version, Versions};

use crate::panics::{self, Panicked};

type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a response, whatever it is made of.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a plain HTTP request, as it arrives.
pub struct RequestBody(Incoming);

impl RequestBody {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self(incoming)
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
        Pin::new(&mut self.0).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// An answer in the making.
pub(crate) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

/// What answers plain HTTP requests: a closure `Fn(Request<RequestBody>) -> Future<Output =
/// Response<B>>`, or a tower service such as an axum `Router`.
///
/// `B` is any [`Body`] of [`Bytes`]; a `String` is one. `M` only tells the two kinds apart and is
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

/// A service, whatever kind it is.
#[derive(Clone)]
pub(crate) struct RequestService(Arc<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>);

impl RequestService {
    pub(crate) fn new<M>(service: impl HttpService<M>) -> Self {
        Self(Arc::new(move |request| service.answer(request)))
    }

    /// Answers a request; a service that fails makes it a 500.
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

/// The answer to a plain request where there is nothing but WebSocket (R-H5).
pub(crate) fn upgrade_required(versions: Versions, is_tls: bool) -> Response<Full<Bytes>> {
    let body = match is_tls {
        false => {
            "426 Upgrade Required\n\nThis is a WebSocket server: open it with a WebSocket client \
             (ws:// instead of http://).\n"
        }
        true => {
            "426 Upgrade Required\n\nThis is a WebSocket server: open it with a WebSocket client \
             (wss:// instead of https://).\n"
        }
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

pub(crate) fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
