//! Checks and answers a request for an upgrade that another HTTP server has read. The rules are those of a stream, but
//! the other server writes the head. Does not know how the stream is taken over.

use std::error::Error;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use ws_proto::hooks::{PackedEvent, PackedUpgrade, poll_packed_event};
use ws_proto::{HandshakeError, ReasonPhrase, Rejection, ServerHandshake};

use super::Refused;
use super::asked::Asked;
use super::decide::{self, AcceptedUpgrade, Decision};
use crate::driver::deadline::until;
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::server::shared::SharedServer;

/// The bytes that a draft-76 client sends after its head.
const KEY3_LEN: usize = 8;

/// The result of the checks of a request.
pub(crate) enum Examined {
    /// The request asks for no WebSocket.
    Plain,
    /// The request asks for a WebSocket in HTTP/2 or HTTP/3, which is not supported.
    Unsupported,
    /// The request waits for the answer of the application.
    Checked(Box<CheckedRequest>),
    Refused(Box<Refused>),
}

/// A request that passed all checks.
pub(crate) struct CheckedRequest {
    pub(crate) handshake: ServerHandshake,
    pub(crate) request: PackedUpgrade,
}

/// A request with the answer of the application.
pub(crate) struct DecidedRequest {
    pub(crate) handshake: ServerHandshake,
    pub(crate) decision: Decision,
}

/// A request that is answered with 101, or in HTTP/2 with 200.
pub(crate) struct AcceptedRequest {
    pub(crate) response: Response<Full<Bytes>>,
    pub(crate) handshake: ServerHandshake,
    pub(crate) upgrade: AcceptedUpgrade,
}

/// Checks the head of a request.
pub(crate) fn examine<R: Runtime>(
    shared: &SharedServer<R>,
    head: &http::request::Parts,
) -> Examined {
    let config = &shared.settings.config;
    let now = shared.runtime.now();
    let asked = Asked::of(head.version, &head.method, &head.headers, &head.extensions);
    let mut handshake = match asked {
        Asked::Upgrade => ServerHandshake::from_request(config, head, now),
        #[cfg(feature = "http2")]
        Asked::Connect => ServerHandshake::from_connect(config, head, now),
        Asked::No => return Examined::Plain,
        Asked::Unsupported => return Examined::Unsupported,
    };
    match poll_packed_event(&mut handshake) {
        Some(PackedEvent::Upgrade(request)) => {
            Examined::Checked(Box::new(CheckedRequest { handshake, request }))
        }
        Some(PackedEvent::Failed(error)) => Examined::Refused(failed(handshake, error)),
        Some(PackedEvent::Http | PackedEvent::Http2 | PackedEvent::Open) | None => Examined::Plain,
    }
}

impl CheckedRequest {
    /// Asks the application, within the `handshake_timeout`. Reads key3 from the body first, for clients of draft-76
    /// that declare it as one.
    pub(crate) async fn decide<R, B>(
        self,
        shared: &SharedServer<R>,
        info: &ConnectionInfo,
        body: B,
    ) -> Result<DecidedRequest, Box<Refused>>
    where
        R: Runtime,
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self {
            mut handshake,
            request,
        } = self;
        let deciding = async {
            // A longer body is not key3. Then key3 is expected in the stream.
            let body = Limited::new(body, KEY3_LEN).collect().await;
            let key3 = body.map(|body| body.to_bytes()).unwrap_or_default();
            (key3, decide::decide(shared, request, info).await)
        };
        let deadline = handshake.poll_timeout();
        let Some((key3, decision)) = until(&shared.runtime, deadline, deciding).await else {
            let now = shared.runtime.now();
            // At least the deadline, because `until` may report it a little before the clock reaches it.
            handshake.handle_timeout(deadline.map_or(now, |deadline| now.max(deadline)));
            let Some(PackedEvent::Failed(error)) = poll_packed_event(&mut handshake) else {
                unreachable!("a handshake that is late fails");
            };
            return Err(failed(handshake, error));
        };
        handshake.handle_read(shared.runtime.now(), &key3);
        Ok(DecidedRequest {
            handshake,
            decision,
        })
    }

    /// Refuses the request for a reason of the server, with a status that is valid for a rejection.
    pub(crate) fn refuse(self, status: StatusCode, reason: Rejected) -> Box<Refused> {
        refused(self.handshake, status, reason)
    }
}

impl DecidedRequest {
    /// Refuses the request as [`CheckedRequest::refuse`] does, whatever the application answered.
    pub(crate) fn refuse(self, status: StatusCode, reason: Rejected) -> Box<Refused> {
        refused(self.handshake, status, reason)
    }

    /// Answers the request as the application decided.
    pub(crate) fn conclude(self) -> Result<AcceptedRequest, Box<Refused>> {
        let Self {
            mut handshake,
            decision,
        } = self;
        let concluded = decide::answer(&mut handshake, decision);
        let response = response(&mut handshake);
        match concluded {
            Ok(upgrade) => Ok(AcceptedRequest {
                response,
                handshake,
                upgrade,
            }),
            Err(reason) => Err(Box::new(Refused { response, reason })),
        }
    }
}

fn refused(mut handshake: ServerHandshake, status: StatusCode, reason: Rejected) -> Box<Refused> {
    handshake
        .reject(Rejection::new(status))
        .expect("the request is pending, and the status can reject");
    Box::new(Refused {
        response: response(&mut handshake),
        reason,
    })
}

fn failed(mut handshake: ServerHandshake, error: HandshakeError) -> Box<Refused> {
    Box::new(Refused {
        response: response(&mut handshake),
        reason: Rejected::Handshake(error),
    })
}

/// Takes the response of the handshake for hyper, with its reason phrase: the drafts prescribe it byte by byte.
fn response(handshake: &mut ServerHandshake) -> Response<Full<Bytes>> {
    let (mut head, body) = handshake
        .response()
        .expect("an answered request has a response")
        .into_parts();
    if let Some(reason) = head.extensions.remove::<ReasonPhrase>() {
        let reason = hyper::ext::ReasonPhrase::from_static(reason.as_str().as_bytes());
        head.extensions.insert(reason);
    }
    Response::from_parts(head, Full::new(body))
}
