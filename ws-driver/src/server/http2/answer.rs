//! Answers the requests of a session: a WebSocket goes to the checks of an upgrade, anything else to the application's
//! service. Knows nothing of the frames of HTTP/2.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::place::RequestPlace;
use super::tasks::Progress;
use super::{Adopt, Asking};
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::server::http;
use crate::server::http::service::{self, ResponseBody};
use crate::server::reporter::{Requester, StreamReporter};
use crate::server::shared::SharedServer;
use crate::server::upgrade::asked::Asked;

/// The length of a piece of an answer: that of a frame of HTTP/2, unless the peer allows longer ones (RFC 9113 §4.2).
const PIECE_LIMIT: usize = 16 << 10;

/// The requests of one session.
pub(super) struct Requests<R: Runtime> {
    shared: Arc<SharedServer<R>>,
    adopt: Adopt,
    /// The other end of the session.
    requester: Requester,
    /// Reports the stream of the session. Requests use it one after the other, each with the address of its client.
    reporter: Mutex<StreamReporter>,
}

impl<R: Runtime> Requests<R> {
    pub(super) fn new(
        shared: Arc<SharedServer<R>>,
        adopt: Adopt,
        reporter: StreamReporter,
    ) -> Self {
        Self {
            shared,
            adopt,
            requester: reporter.requester(),
            reporter: Mutex::new(reporter),
        }
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        progress: Arc<Progress>,
    ) -> Response<SessionBody> {
        let (head, body) = request.into_parts();
        let asked = Asked::of(head.version, &head.method, &head.headers, &head.extensions);
        let mut place = None;
        let response = match asked {
            Asked::Connect | Asked::Unsupported => {
                let requester = self.requester.clone();
                let asking = Asking {
                    head,
                    body,
                    requester,
                };
                let response = (self.adopt)(asking).await;
                response.map(service::boxed)
            }
            Asked::No | Asked::Upgrade if self.is_foreign_protocol(&head) => {
                // RFC 9220 §3.
                service::text(StatusCode::NOT_IMPLEMENTED, "501 Not Implemented\n")
                    .map(service::boxed)
            }
            Asked::No | Asked::Upgrade => self.answer_plain(head, body, &mut place).await,
        };
        progress.note_taken(0);
        response.map(|body| SessionBody {
            body,
            rest: Bytes::new(),
            progress,
            _place: place,
        })
    }

    /// Answers a request that asks for no WebSocket. `place` is that of its client, until the answer has left.
    async fn answer_plain(
        &self,
        mut head: ::http::request::Parts,
        body: Incoming,
        place: &mut Option<RequestPlace>,
    ) -> Response<ResponseBody> {
        let shared = &self.shared;
        if let Err(error) = shared
            .settings
            .config
            .check_http2_headers(&mut head.headers)
        {
            shared.clients.note_rejected(&Rejected::Handshake(error));
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return service::text(status, "431 Request Header Fields Too Large\n")
                .map(service::boxed);
        }
        let begun = {
            let reporter = self.reporter.lock();
            let mut reporter = reporter.unwrap_or_else(PoisonError::into_inner);
            http::begin(shared, &mut reporter, &mut head, |reporter| {
                *place = RequestPlace::take(shared, reporter)?;
                Ok(())
            })
        };
        http::respond(shared, begun, head, body).await
    }

    /// Returns whether a request is for another protocol in a stream of the session, and nobody is there who could speak it.
    fn is_foreign_protocol(&self, head: &::http::request::Parts) -> bool {
        let is_extended = head.extensions.get::<hyper::ext::Protocol>().is_some();
        is_extended && self.shared.settings.on_request.is_none()
    }
}

/// The body of an answer, in short pieces. It notes whether hyper waits for the application or for the peer.
///
/// hyper gives a piece of any length to h2 as soon as there is a byte of window for it, and would be done with a long one then,
/// though its peer has not taken it. The last byte of each frame is a piece of its own, because h2 has no window for it before it has
/// window for all that is in front: otherwise hyper would be done with an answer whose last piece waits, and nobody would bound that.
pub(super) struct SessionBody {
    body: ResponseBody,
    /// The rest of the frame that is being passed on.
    rest: Bytes,
    progress: Arc<Progress>,
    _place: Option<RequestPlace>,
}

impl Body for SessionBody {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) else {
                self.progress.note_waits();
                return Poll::Pending;
            };
            match polled.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(bytes))) => self.rest = bytes,
                Some(Ok(Err(trailers))) => {
                    self.progress.note_taken(0);
                    return Poll::Ready(Some(Ok(trailers)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.progress.note_taken(0);
                    return Poll::Ready(None);
                }
            }
        }
        // The last byte is held back, also where more may follow: whether it does is not known yet.
        let len = match self.rest.len() {
            len @ (0 | 1) => len,
            len => (len - 1).min(PIECE_LIMIT),
        };
        let piece = self.rest.split_to(len);
        self.progress.note_taken(len);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// hyper asks before it takes the first piece.
    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}
