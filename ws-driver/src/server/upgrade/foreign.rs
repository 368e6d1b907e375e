//! The integration with other HTTP servers. A request that a server built on hyper has read is checked and answered
//! here, and its stream is taken over.
//!
//! The other server has read the head and writes ours. The checks and answers are the same as on the port, because both
//! go through `ServerHandshake`.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use ws_proto::{RequestHead, Role, State, UpgradeRequest, Version};

use super::request::{self, DecidedRequest, Examined};
use super::{Answer, Refused};
use crate::front::canonical;
use crate::handle::connection::Connection;
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::registry::Entry;
use crate::runtime::Runtime;
use crate::server::Server;
use crate::server::delivery::{Delivery, ToHandler};
use crate::server::http::service;
use crate::server::reporter::{Ending, Requester, StreamReporter};
use crate::server::shared::SharedServer;
use crate::server::shutdown_phase::ShutdownPhase;
use crate::server::task::{self, Handover};

impl<R: Runtime> Server<R> {
    /// Answers a request that another HTTP server, built on hyper 1, has read. Runs `handler` with the
    /// connection once that server releases the stream. The checks, the options, the registry and the
    /// shutdown of this server apply, whether it listens or [not](crate::ServerBuilder::build). Its
    /// `on_request` is not called.
    ///
    /// Send the response unchanged. It is a 101, a refusal, or a 426 if the request asks for no WebSocket. At the
    /// [`connection_limit`](crate::ServerBuilder::connection_limit), and once this server has
    /// [closed](Self::close), the response is a 503.
    ///
    /// In HTTP/1.1 the other server must allow upgrades: use `with_upgrades` of hyper's connections;
    /// axum does. Bytes that it has read after the request go to the connection.
    ///
    /// A WebSocket in HTTP/2 (RFC 8441) needs the feature `http2`, `enable_connect_protocol` of hyper's builder, and the
    /// extensions that hyper gives its request. The response is a 200 then, and a 400 instead of a 426. Without the feature, or
    /// without the extensions, it is refused with 501 and a line in the log.
    ///
    /// draft-76 works as on the port. draft-75 needs `title_case_headers(true)` in the builder of the other
    /// server, because its clients compare the response byte by byte.
    ///
    /// The operating system is not asked to probe the peer, because this server does not know the kind of
    /// stream. The drafts have no ping, so a connection of a draft notices that its peer has vanished only by
    /// an error of the stream.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing is answered, and the request can no longer be
    /// upgraded.
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

    /// Checks a request and calls `on_upgrade`, but leaves the final answer to the caller. This is
    /// [`handle_request`](Self::handle_request) in two steps.
    ///
    /// # Errors
    ///
    /// Returns the response to send if the request was not accepted.
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
        // Removed, because an upgrade can be taken only once.
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        #[cfg(feature = "http2")]
        if let Some(protocol) = request.extensions().get::<hyper::ext::Protocol>() {
            head.extensions_mut().insert(protocol.clone());
        }
        let (head, ()) = head.into_parts();
        let peer_addr: Option<SocketAddr> = peer_addr.into();
        let requester = Requester {
            addr: peer_addr.map(canonical),
            tls: None,
            is_local: false,
        };
        let body = request.body_mut();
        examine(&self.shared, &head, on_upgrade, body, requester)
            .await
            .map_err(|response| response.map(AnswerBody))
    }
}

/// Checks a request that an HTTP server has read, and asks the application.
pub(crate) async fn examine<R, B>(
    shared: &Arc<SharedServer<R>>,
    head: &http::request::Parts,
    on_upgrade: Option<OnUpgrade>,
    body: B,
    requester: Requester,
) -> Result<PendingUpgrade<R>, Response<Full<Bytes>>>
where
    R: Runtime,
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let examined = request::examine(shared, head);
    if matches!(examined, Examined::Plain) {
        let versions = shared.settings.config.get_versions();
        return Err(service::upgrade_required(versions, head.version, false));
    }
    let limit = shared.settings.connection_limit;
    let (entry, is_full) = match shared.clients.enter(limit) {
        Some(entry) => (entry, false),
        // Observers get the rejection with an id, so the request enters the registry beyond the limit.
        None => (shared.clients.enter(None).expect("there is no limit"), true),
    };
    let info = ConnectionInfo {
        id: entry.id,
        role: Role::Server,
        peer_addr: requester.addr,
        tls: requester.tls,
        version: None,
        http_version: Some(head.version),
    };
    let observers = shared.settings.observers.clone();
    let mut reporter =
        StreamReporter::new(observers, info, shared.clients.clone(), shared.clock.now());
    reporter.is_local = requester.is_local;
    reporter.note_forwarded(&shared.settings, &head.headers);
    reporter.note_state(State::Opening);
    if matches!(examined, Examined::Unsupported) {
        // An error and not a refusal without a word: the browser shows only 1006, so the operator of the server is
        // the one who has to learn the cause.
        tracing::error!(target: "ws", "{EXTENDED_CONNECT}");
        let refused = Refused {
            response: service::text(StatusCode::NOT_IMPLEMENTED, EXTENDED_CONNECT_BODY),
            reason: Rejected::ExtendedConnect,
        };
        return Err(reporter.refused(Box::new(refused)));
    }
    let pending = match examined {
        Examined::Plain | Examined::Unsupported => unreachable!("it was answered above"),
        Examined::Refused(refused) => return Err(reporter.refused(refused)),
        Examined::Checked(pending) => pending,
    };
    reporter.info.version = Some(pending.request.version());
    reporter.note_state(pending.handshake.state());
    if shared.stop.has_reached(ShutdownPhase::Closed) {
        let refused = pending.refuse(StatusCode::SERVICE_UNAVAILABLE, Rejected::Closed);
        return Err(reporter.refused(refused));
    }
    if let Some(limit) = limit.filter(|_| is_full) {
        let reason = Rejected::ConnectionLimit { limit };
        let refused = pending.refuse(StatusCode::SERVICE_UNAVAILABLE, reason);
        return Err(reporter.refused(refused));
    }
    // Whoever has read the request has told us whose it is.
    if let Err(reason) = reporter.admit(&shared.settings, shared.runtime.now()) {
        let refused = pending.refuse(StatusCode::TOO_MANY_REQUESTS, reason);
        return Err(reporter.refused(refused));
    }
    let Some(on_upgrade) = on_upgrade else {
        tracing::error!(
            target: "ws",
            "the HTTP server allows no upgrade of this request: serve it by hyper with upgrades, and \
             pass the request on with its extensions"
        );
        let refused = pending.refuse(StatusCode::INTERNAL_SERVER_ERROR, Rejected::NoUpgrade);
        return Err(reporter.refused(refused));
    };
    // Read before `decide` consumes the handshake. The same deadline bounds the release of the stream.
    let deadline = pending.handshake.poll_timeout();
    let request = pending.request.clone().unpack();
    let decided = {
        let deciding = pin!(pending.decide(shared, &reporter.info, body));
        let stop = &shared.stop;
        stop.unless(ShutdownPhase::ShuttingDown, deciding).await
    };
    let Some(decided) = decided else {
        // As on the port: a shutdown waits for no peer, and for no database.
        let refused = Refused {
            response: service::text(StatusCode::SERVICE_UNAVAILABLE, CLOSED_BODY),
            reason: Rejected::Closed,
        };
        return Err(reporter.refused(Box::new(refused)));
    };
    let decided = match decided {
        Ok(decided) if decided.decision.is_accepted() => decided,
        // A rejection needs no decision of the caller.
        Ok(decided) => match decided.conclude() {
            Ok(_) => unreachable!("a rejection does not accept"),
            Err(refused) => return Err(reporter.refused(refused)),
        },
        Err(refused) => return Err(reporter.refused(refused)),
    };
    reporter.expect(Ending::Dropped);
    Ok(PendingUpgrade {
        shared: Arc::clone(shared),
        request,
        entry,
        reporter,
        decided,
        on_upgrade,
        deadline,
    })
}

/// The log line for a WebSocket in HTTP/2 or HTTP/3 that is not supported. The browser shows no more than a connection that
/// ended with 1006.
#[cfg(not(feature = "http2"))]
const EXTENDED_CONNECT: &str = "a WebSocket was asked for in HTTP/2 or HTTP/3 (extended CONNECT, \
    RFC 8441), and the answer is 501: turn the feature http2 on, or serve this port by HTTP/1.1 alone: docs/integrations.md";

/// The same with the feature: a request in HTTP/2 has lost the extension.
#[cfg(feature = "http2")]
const EXTENDED_CONNECT: &str = "a WebSocket was asked for in HTTP/3, or in HTTP/2 without the extension of hyper that \
    has its :protocol (extended CONNECT, RFC 8441), and the answer is 501: docs/integrations.md";

const CLOSED_BODY: &str = "503 Service Unavailable\n\nThe server has closed.\n";

const EXTENDED_CONNECT_BODY: &str = "501 Not Implemented\n\nA WebSocket inside of HTTP/2 or HTTP/3 \
    (RFC 8441) is not supported here; open it in HTTP/1.1.\n";

/// A request for an upgrade that another HTTP server has read. It has passed all checks, and `on_upgrade`
/// has accepted it; see [`Server::examine_request`].
///
/// [Accept](Self::accept) or [reject](Self::reject) it. If it is dropped, the caller has to answer the
/// request, and observers get [`Rejected::Dropped`].
pub struct PendingUpgrade<R: Runtime> {
    shared: Arc<SharedServer<R>>,
    request: UpgradeRequest,
    // Before the entry, because whoever waits for the place waits for the observers.
    reporter: StreamReporter,
    entry: Entry,
    decided: DecidedRequest,
    on_upgrade: OnUpgrade,
    /// The end of the `handshake_timeout`.
    deadline: Option<Instant>,
}

impl<R: Runtime> PendingUpgrade<R> {
    /// Accepts the request. Returns the response to send, and runs `handler` with the connection, in a task
    /// of its own, once the other server releases the stream. If the stream is not released within the
    /// `handshake_timeout`, the handler is not called.
    ///
    /// The response is a 101, in HTTP/2 a 200. It is a 500 if a [`subprotocol`](Self::subprotocol) or a
    /// [`header`](Self::header) that was set is invalid; then the log says why. It is a 503 if the server has
    /// closed meanwhile, and a 429 if the address has reached one of the `address_limits`.
    pub fn accept<H, F>(self, handler: H) -> Response<AnswerBody>
    where
        H: FnOnce(Connection) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        self.open(ToHandler(handler)).map(AnswerBody)
    }

    /// Accepts the request as [`accept`](Self::accept) does, and delivers the connection.
    pub(in crate::server) fn open(self, delivery: impl Delivery) -> Response<Full<Bytes>> {
        let Self {
            shared,
            entry,
            mut reporter,
            decided,
            on_upgrade,
            deadline,
            ..
        } = self;
        // Checked again: any time may have passed since the request was examined.
        let admitted = reporter.admit(&shared.settings, shared.runtime.now());
        let concluded = if shared.stop.has_reached(ShutdownPhase::Closed) {
            Err(decided.refuse(StatusCode::SERVICE_UNAVAILABLE, Rejected::Closed))
        } else if let Err(reason) = admitted {
            Err(decided.refuse(StatusCode::TOO_MANY_REQUESTS, reason))
        } else {
            decided.conclude()
        };
        let accepted = match concluded {
            Ok(accepted) => accepted,
            Err(refused) => return reporter.refused(refused),
        };
        reporter.expect(Ending::Disconnected);
        let handover = Handover {
            entry,
            reporter,
            handshake: accepted.handshake,
            upgrade: accepted.upgrade,
            on_upgrade,
            deadline,
        };
        let task = task::take_over(Arc::clone(&shared), handover, delivery);
        shared.runtime.spawn(task);
        accepted.response
    }

    /// Rejects the request with a status of 200 to 599, in HTTP/2 of 300 to 599, and a body. Returns the response to send, and tells
    /// the observers. If the status is invalid, the response is a 500, and the log says why.
    pub fn reject(mut self, status: u16, body: impl Into<Bytes>) -> Response<AnswerBody> {
        let answer = Answer::reject(status).body(body);
        self.decided.decision.change(|_| answer);
        match self.decided.conclude() {
            Ok(_) => unreachable!("a rejection does not accept"),
            Err(refused) => self.reporter.refused(refused).map(AnswerBody),
        }
    }

    /// Sets the subprotocol: one that the client offers, or `None`. Replaces the choice of the server's
    /// options and of `on_upgrade`.
    #[must_use]
    pub fn subprotocol<'a>(mut self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        self.decided
            .decision
            .change(|answer| answer.subprotocol(subprotocol));
        self
    }

    /// Compresses messages of this connection if the client offers it (RFC 7692); `None` never does. Replaces
    /// the server's option and the choice of `on_upgrade`; see [`Answer::deflate`].
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<ws_proto::Deflate>>) -> Self {
        self.decided
            .decision
            .change(|answer| answer.deflate(deflate));
        self
    }

    /// Adds a header to the answer that accepts. Headers of the handshake itself cannot be set.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.decided
            .decision
            .change(|answer| answer.header(name, value));
        self
    }

    /// Adds a value for the handler, which finds it in
    /// [`Connection::extensions`](crate::Connection::extensions).
    #[must_use]
    pub fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.decided
            .decision
            .change(|answer| answer.extension(value));
        self
    }

    /// Adds a value for the handler that need not be [`Clone`]; see
    /// [`Answer::extension_once`](crate::Answer::extension_once).
    #[must_use]
    pub fn extension_once<T: Send + 'static>(mut self, value: T) -> Self {
        self.decided
            .decision
            .change(|answer| answer.extension_once(value));
        self
    }

    /// Sets the peer's address, for integrations that learn it late. If that is a proxy which `forwarded_for` believes, its
    /// header counts, as it does for an address that was known before. The `address_limits` are held when the request is
    /// [accepted](Self::accept).
    #[must_use]
    pub fn with_peer_addr(mut self, peer_addr: impl Into<Option<SocketAddr>>) -> Self {
        let peer_addr: Option<SocketAddr> = peer_addr.into();
        let headers = self.request.head().headers();
        self.reporter
            .note_peer(&self.shared.settings, peer_addr.map(canonical), headers);
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

    /// Returns the origin of the page that opens the connection; `None` if the client is not a browser.
    pub fn origin(&self) -> Option<&str> {
        self.request.origin()
    }

    /// Iterates over the subprotocols that the client offers, in its order of preference.
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

/// The body of a response to a request for an upgrade: empty, or a line with the reason of a refusal.
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
