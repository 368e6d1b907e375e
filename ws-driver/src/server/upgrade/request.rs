//! A request for an upgrade that another HTTP server read: the checks and the answers are those of a stream, but
//! the server writes the head. Does not know how the stream gets here.

use std::error::Error;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use ws_proto::{
    HandshakeError, HandshakeEvent, ReasonPhrase, Rejection, Request as Asked, ServerHandshake,
    UpgradeRequest,
};

use super::Refused;
use super::decide::{self, Decision, Ticket};
use crate::driver::deadline::until;
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::server::shared::Shared;

/// What draft-76 sends behind its head.
const KEY3_LEN: usize = 8;

/// What became of the checks of a request.
pub(crate) enum Examined {
    /// It asks for no upgrade.
    Plain,
    /// It waits for the application's answer.
    Pending(Box<Pending>),
    Refused(Box<Refused>),
}

/// A request that passed all checks.
pub(crate) struct Pending {
    pub(crate) handshake: ServerHandshake,
    pub(crate) request: UpgradeRequest,
}

/// A request with the answer that the application wants for it.
pub(crate) struct Decided {
    pub(crate) handshake: ServerHandshake,
    pub(crate) decision: Decision,
}

/// A request that is answered with 101.
pub(crate) struct Accepted {
    pub(crate) response: Response<Full<Bytes>>,
    pub(crate) handshake: ServerHandshake,
    pub(crate) ticket: Ticket,
}

/// Checks the head of a request.
pub(crate) fn examine<R: Runtime>(shared: &Shared<R>, head: &http::request::Parts) -> Examined {
    let config = &shared.options.config;
    let mut handshake = ServerHandshake::from_request(config, head, shared.runtime.now());
    match handshake.poll_event() {
        Some(HandshakeEvent::Request(Asked::Upgrade(request))) => {
            Examined::Pending(Box::new(Pending { handshake, request }))
        }
        Some(HandshakeEvent::Failed(error)) => Examined::Refused(failed(handshake, error)),
        Some(_) | None => Examined::Plain,
    }
}

impl Pending {
    /// Asks the application, for no longer than the handshake may take. Clients of draft-76 that declare
    /// key3 as a body have it taken for one.
    pub(crate) async fn decide<R, B>(
        self,
        shared: &Shared<R>,
        info: &ConnectionInfo,
        body: B,
    ) -> Result<Decided, Box<Refused>>
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
            let body = Limited::new(body, KEY3_LEN).collect().await;
            let key3 = body.map(|body| body.to_bytes()).unwrap_or_default();
            (key3, decide::decide(shared, request, info).await)
        };
        let deadline = handshake.poll_timeout();
        let Some((key3, decision)) = until(&shared.runtime, deadline, deciding).await else {
            let now = shared.runtime.now();
            handshake.handle_timeout(deadline.map_or(now, |deadline| now.max(deadline)));
            let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
                unreachable!("a handshake that is late fails");
            };
            return Err(failed(handshake, error));
        };
        handshake.handle_read(shared.runtime.now(), &key3);
        Ok(Decided {
            handshake,
            decision,
        })
    }

    /// Refuses for a reason of the server's own, with a status that may reject.
    pub(crate) fn refuse(self, status: StatusCode, reason: Rejected) -> Box<Refused> {
        refused(self.handshake, status, reason)
    }
}

impl Decided {
    /// As [`Pending::refuse`], whatever the application wants.
    pub(crate) fn refuse(self, status: StatusCode, reason: Rejected) -> Box<Refused> {
        refused(self.handshake, status, reason)
    }

    /// Answers as the application wants it.
    pub(crate) fn conclude(self) -> Result<Accepted, Box<Refused>> {
        let Self {
            mut handshake,
            decision,
        } = self;
        let concluded = decide::answer(&mut handshake, decision);
        let response = response(&mut handshake);
        match concluded {
            Ok(ticket) => Ok(Accepted {
                response,
                handshake,
                ticket,
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

/// Makes hyper send an answer of the handshake as it is.
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
