//! The door of a server to those of somebody else: a request that another HTTP server read, if that is
//! built on hyper, is checked and answered here, and its stream comes over.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use ws_proto::{RequestHead, State, UpgradeRequest, Version};

use super::request::{self, Decided, Examined};
use super::{Answer, Refused};
use crate::handle::connection::Connection;
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::registry::Entry;
use crate::runtime::Runtime;
use crate::server::Server;
use crate::server::http::service;
use crate::server::reporter::{Ending, Witness};
use crate::server::shared::Shared;
use crate::server::shutdown_phase::Phase;
use crate::server::task::{self, Handover};

impl<R: Runtime> Server<R> {
    /// Answers a request that another HTTP server read, if that is built on hyper 1, and runs `handler`
    /// with the connection once it gives the stream up. The checks, the options, the registry and the
    /// shutdown are those of this server, whether it listens or [not](crate::ServerBuilder::build); its
    /// `on_request` is not asked.
    ///
    /// The response is to be sent as it is, whatever it is: a 101, a refusal, or 426 if the request asks
    /// for no upgrade. A WebSocket in HTTP/2 (RFC 8441) is refused with 501, and the log says so. The other server has to allow upgrades (`with_upgrades` of hyper's connections; axum
    /// does), to speak HTTP/1.1 and not to change the response. At the
    /// [`connection_limit`](crate::ServerBuilder::connection_limit) and once this server has
    /// [closed](Self::close) the answer is 503. What the other server has read goes to the connection.
    ///
    /// draft-76 works as on the port. draft-75 needs `title_case_headers(true)` of the other server's
    /// builder, as its clients compare the response byte by byte.
    ///
    /// As the stream is not ours the operating system is not asked to probe the peer: a connection of a
    /// draft, which has no ping, notices a peer that vanished only by what the stream says.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing was answered, and the request cannot be
    /// upgraded any more.
    pub async fn handle_request<B, H, F>(
        &self,
        request: &mut Request<B>,
        peer_addr: impl Into<Option<SocketAddr>> + Send,
        handler: H,
    ) -> Response<AnswerBody>
    where
        B: Body + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
        H: FnOnce(Connection) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        match self.examine_request(request, peer_addr).await {
            Ok(upgrade) => upgrade.accept(handler),
            Err(response) => response,
        }
    }

    /// As [`handle_request`](Self::handle_request), in two steps: checks a request and asks `on_upgrade`,
    /// but leaves it to the caller to accept.
    ///
    /// # Errors
    ///
    /// The response to send, if there is nothing to accept.
    ///
    /// # Cancel safety
    ///
    /// As [`handle_request`](Self::handle_request).
    pub async fn examine_request<B>(
        &self,
        request: &mut Request<B>,
        peer_addr: impl Into<Option<SocketAddr>> + Send,
    ) -> Result<PendingUpgrade<R>, Response<AnswerBody>>
    where
        B: Body + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        let (head, ()) = head.into_parts();
        self.examine(&head, on_upgrade, request.body_mut(), peer_addr.into())
            .await
            .map_err(|response| response.map(AnswerBody))
    }

    async fn examine<B>(
        &self,
        head: &http::request::Parts,
        on_upgrade: Option<OnUpgrade>,
        body: B,
        peer_addr: Option<SocketAddr>,
    ) -> Result<PendingUpgrade<R>, Response<Full<Bytes>>>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let shared = &self.shared;
        let is_extended = is_extended_connect(head.version, &head.method, &head.headers);
        let examined = request::examine(shared, head);
        if matches!(examined, Examined::Plain) && !is_extended {
            let versions = shared.options.config.get_versions();
            return Err(service::upgrade_required(versions, false));
        }
        let limit = shared.options.connection_limit;
        let (entry, is_full) = match shared.clients.enter(limit) {
            Some(entry) => (entry, false),
            // Observers are told of it by an id all the same.
            None => (shared.clients.enter(None).expect("there is no limit"), true),
        };
        let info = ConnectionInfo {
            id: entry.id,
            peer_addr,
            tls: None,
            version: None,
        };
        let observers = shared.options.observers.clone();
        let mut witness = Witness::new(observers, info, shared.clients.clone());
        witness.note_state(State::Opening);
        if is_extended {
            tracing::error!(target: "ws", "{EXTENDED_CONNECT}");
            let refused = Refused {
                response: service::text(StatusCode::NOT_IMPLEMENTED, EXTENDED_CONNECT_BODY),
                reason: Rejected::ExtendedConnect,
            };
            return Err(witness.refused(Box::new(refused)));
        }
        let pending = match examined {
            Examined::Plain => unreachable!("it was answered above"),
            Examined::Refused(refused) => return Err(witness.refused(refused)),
            Examined::Pending(pending) => pending,
        };
        witness.info.version = Some(pending.request.version());
        witness.note_state(pending.handshake.state());
        if shared.stop.has_reached(Phase::Closed) {
            let refused = pending.refuse(StatusCode::SERVICE_UNAVAILABLE, Rejected::Closed);
            return Err(witness.refused(refused));
        }
        if let Some(limit) = limit.filter(|_| is_full) {
            let reason = Rejected::ConnectionLimit { limit };
            let refused = pending.refuse(StatusCode::SERVICE_UNAVAILABLE, reason);
            return Err(witness.refused(refused));
        }
        let Some(on_upgrade) = on_upgrade else {
            tracing::error!(
                target: "ws",
                "the HTTP server allows no upgrade of this request: it is to be served by hyper with \
                 upgrades, and to reach us with its extensions"
            );
            let refused = pending.refuse(StatusCode::INTERNAL_SERVER_ERROR, Rejected::NoUpgrade);
            return Err(witness.refused(refused));
        };
        let deadline = pending.handshake.poll_timeout();
        let request = pending.request.clone();
        let decided = match pending.decide(shared, &witness.info, body).await {
            Ok(decided) if decided.decision.is_accepted() => decided,
            // An answer that rejects is given at once.
            Ok(decided) => match decided.conclude() {
                Ok(_) => unreachable!("a rejection does not accept"),
                Err(refused) => return Err(witness.refused(refused)),
            },
            Err(refused) => return Err(witness.refused(refused)),
        };
        witness.expect(Ending::Dropped);
        Ok(PendingUpgrade {
            shared: Arc::clone(shared),
            request,
            entry,
            witness,
            decided,
            on_upgrade,
            deadline,
        })
    }
}

/// Tells whether a request is for a WebSocket in HTTP/2 or HTTP/3 (RFC 8441 §4, RFC 9220). The pseudo-header
/// `:protocol` is not here without hyper's feature `http2`, but the version number of RFC 6455 is, and nothing
/// else that uses CONNECT has that one.
#[doc(hidden)]
pub fn is_extended_connect(
    version: http::Version,
    method: &http::Method,
    headers: &http::HeaderMap,
) -> bool {
    version >= http::Version::HTTP_2
        && *method == http::Method::CONNECT
        && headers.contains_key(http::header::SEC_WEBSOCKET_VERSION)
}

/// What the log says of such a request: the browser shows a connection that ended with 1006.
const EXTENDED_CONNECT: &str = "a WebSocket was asked for in HTTP/2 or HTTP/3 (extended CONNECT, \
    RFC 8441), which is not supported; the answer is 501. Serve this port by HTTP/1.1 alone: docs/integrations.md";

const EXTENDED_CONNECT_BODY: &str = "501 Not Implemented\n\nA WebSocket inside of HTTP/2 or HTTP/3 \
    (RFC 8441) is not supported here; open it in HTTP/1.1.\n";

/// A request for an upgrade that another HTTP server read, that passed all checks, and that `on_upgrade`
/// accepted: see [`Server::examine_request`].
///
/// If it is dropped instead of [accepted](Self::accept) or [rejected](Self::reject), the caller answers the
/// request by itself, and observers are told [`Rejected::Dropped`].
pub struct PendingUpgrade<R: Runtime> {
    shared: Arc<Shared<R>>,
    request: UpgradeRequest,
    entry: Entry,
    witness: Witness,
    decided: Decided,
    on_upgrade: OnUpgrade,
    /// When the opening handshake has to be done.
    deadline: Option<Instant>,
}

impl<R: Runtime> PendingUpgrade<R> {
    /// Accepts the request: returns the response to send, and runs `handler` with the connection, in a
    /// task of its own, once the other server gives the stream up. If it does not within the
    /// `handshake_timeout`, the handler is not called.
    ///
    /// It is a 101, unless what was set with [`subprotocol`](Self::subprotocol) or
    /// [`header`](Self::header) cannot be used: then it is a 500, and the log says why; or the server has
    /// closed meanwhile: then it is a 503.
    pub fn accept<H, F>(self, handler: H) -> Response<AnswerBody>
    where
        H: FnOnce(Connection) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        let Self {
            shared,
            entry,
            mut witness,
            decided,
            on_upgrade,
            deadline,
            ..
        } = self;
        let concluded = match shared.stop.has_reached(Phase::Closed) {
            true => Err(decided.refuse(StatusCode::SERVICE_UNAVAILABLE, Rejected::Closed)),
            false => decided.conclude(),
        };
        let accepted = match concluded {
            Ok(accepted) => accepted,
            Err(refused) => return witness.refused(refused).map(AnswerBody),
        };
        witness.expect(Ending::Disconnected);
        let handover = Handover {
            entry,
            witness,
            handshake: accepted.handshake,
            ticket: accepted.ticket,
            on_upgrade,
            deadline,
        };
        let life = task::take_over(Arc::clone(&shared), handover, handler);
        shared.runtime.spawn(life);
        accepted.response.map(AnswerBody)
    }

    /// Refuses the request after all, with a status of 200 to 599 and a body: returns the response to send,
    /// and tells the observers. A status that cannot be used makes it a 500, and the log says why.
    pub fn reject(mut self, status: u16, body: impl Into<Bytes>) -> Response<AnswerBody> {
        let answer = Answer::reject(status).body(body);
        self.decided.decision.change(|_| answer);
        match self.decided.conclude() {
            Ok(_) => unreachable!("a rejection does not accept"),
            Err(refused) => self.witness.refused(refused).map(AnswerBody),
        }
    }

    /// Chooses a subprotocol among those that the client offers, or none, instead of what the server's
    /// options or `on_upgrade` chose.
    #[must_use]
    pub fn subprotocol<'a>(mut self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        self.decided
            .decision
            .change(|answer| answer.subprotocol(subprotocol));
        self
    }

    /// Compresses messages of this connection, where the client offers it (RFC 7692), or never, whatever
    /// the server's options or `on_upgrade` say: see [`Answer::deflate`].
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<ws_proto::Deflate>>) -> Self {
        self.decided
            .decision
            .change(|answer| answer.deflate(deflate));
        self
    }

    /// Adds a header to the 101. Those that belong to the handshake itself cannot be set.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.decided
            .decision
            .change(|answer| answer.header(name, value));
        self
    }

    /// Leaves a value for the handler: [`Connection::extensions`](crate::Connection::extensions) has it.
    #[must_use]
    pub fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.decided
            .decision
            .change(|answer| answer.extension(value));
        self
    }

    /// Sets the peer's address, if it was not known before.
    #[must_use]
    pub fn with_peer_addr(mut self, peer_addr: impl Into<Option<SocketAddr>>) -> Self {
        self.witness.info.peer_addr = peer_addr.into();
        self
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        self.request.head()
    }

    /// Returns the version that will be spoken.
    pub fn version(&self) -> Version {
        self.request.version()
    }

    /// Returns the origin of the page that opens the connection, if a browser does.
    pub fn origin(&self) -> Option<&str> {
        self.request.origin()
    }

    /// Iterates over the subprotocols that the client offers, best first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.request.subprotocols()
    }
}

impl<R: Runtime> fmt::Debug for PendingUpgrade<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUpgrade")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// The body of an answer to a request for an upgrade: nothing, or a line that says why not.
#[derive(Clone, Debug)]
pub struct AnswerBody(Full<Bytes>);

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
