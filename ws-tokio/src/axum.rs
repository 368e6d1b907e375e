//! An extractor for axum 0.8. It turns a request for an upgrade into a connection of a [`Server`].
//!
//! The server is a part of the router's state and need not listen on a port. Its options, registry, shutdown
//! and observers apply. If its options refuse a request, the extractor answers with the status and the text
//! that a client would get at the port of the server.
//!
//! ```
//! use axum::{Router, response::Response, routing::{any, get}};
//! use ws_tokio::{Server, axum::WebSocketUpgrade};
//!
//! fn router(server: Server) -> Router {
//!     Router::new()
//!         .route("/", get(|| async { "the page" }))
//!         .route("/echo", any(echo))
//!         .with_state(server)
//! }
//!
//! async fn echo(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(|mut connection| async move {
//!         while let Some(message) = connection.recv().await {
//!             let _ = connection.send(message).await;
//!         }
//!     })
//! }
//! # let _ = router(Server::builder().build().unwrap());
//! ```
//!
//! With axum's feature `http2` a browser can ask for a WebSocket in HTTP/2 (RFC 8441), by a CONNECT, which a route with
//! `get` answers with 405. So the route has `any`. That needs the feature `http2` of this crate, too. Without it the answer is a
//! 501, with a line in the log; docs/integrations.md explains how to make browsers use HTTP/1.1.
//!
//! draft-76 works. draft-75 does not work with `axum::serve`, because its clients compare the header names of
//! the response byte by byte. For them serve the router by hyper, with
//! [`title_case_headers`](https://docs.rs/hyper/1/hyper/server/conn/http1/struct.Builder.html).

use std::fmt;
use std::net::SocketAddr;

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::Request;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use ws_driver::ws_proto::{RequestHead, Version};
use ws_driver::{Connection, asks_for_websocket};

use crate::{PendingUpgrade, Server};

/// A request for an upgrade that has passed all checks of a [`Server`]. The server is the router's state, or
/// a part of it by `FromRef`.
///
/// Extract an `Option` of it for a route with a page and a WebSocket. It is `None` for a request that asks
/// for no upgrade.
#[derive(Debug)]
pub struct WebSocketUpgrade(PendingUpgrade);

impl WebSocketUpgrade {
    /// Accepts the request. Returns the response for axum, and runs `handler` with the connection in a task
    /// of its own.
    ///
    /// The response is a 101, in HTTP/2 a 200. It is a 500 if a [`subprotocol`](Self::subprotocol) or a
    /// [`header`](Self::header) that was set is invalid; then the log says why. It is a 503 if the server has
    /// closed meanwhile.
    pub fn on_upgrade<H, F>(self, handler: H) -> Response
    where
        H: FnOnce(Connection) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        self.0.accept(handler).map(Body::new)
    }

    /// Rejects the request with a status of 200 to 599 and a body. Returns the response for axum, and tells
    /// the observers of the server.
    pub fn reject(self, status: u16, body: impl Into<String>) -> Response {
        self.0.reject(status, body.into()).map(Body::new)
    }

    /// Sets the subprotocol: one that the client offers, or `None`. Replaces the choice of the server's
    /// options.
    #[must_use]
    pub fn subprotocol<'a>(self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        Self(self.0.subprotocol(subprotocol))
    }

    /// Compresses messages of this connection if the client offers it (RFC 7692); `None` never does. Replaces
    /// the server's option. Use `None` for a connection that carries secrets, because the length of compressed
    /// messages can reveal them (RFC 7692 §8); see [`Answer::deflate`](crate::Answer::deflate).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(self, deflate: impl Into<Option<crate::Deflate>>) -> Self {
        Self(self.0.deflate(deflate))
    }

    /// Adds a header to the 101. Headers of the handshake itself cannot be set.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Adds a value for the handler, such as the user's name. The handler finds it in
    /// [`Connection::extensions`].
    #[must_use]
    pub fn extension(self, value: impl Clone + Send + Sync + 'static) -> Self {
        Self(self.0.extension(value))
    }

    /// Adds a value for the handler that need not be [`Clone`], such as the receiving half of a channel. The handler
    /// takes it by [`Connection::take_extension`].
    #[must_use]
    pub fn extension_once<T: Send + 'static>(self, value: T) -> Self {
        Self(self.0.extension_once(value))
    }

    /// Sets the peer's address. Only axum's extractor `ConnectInfo` knows it.
    #[must_use]
    pub fn with_peer_addr(self, peer_addr: impl Into<Option<SocketAddr>>) -> Self {
        Self(self.0.with_peer_addr(peer_addr))
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        self.0.head()
    }

    /// Returns the version that will be spoken.
    pub fn version(&self) -> Version {
        self.0.version()
    }

    /// Returns the origin of the page that opens the connection; `None` if the client is not a browser.
    pub fn origin(&self) -> Option<&str> {
        self.0.origin()
    }

    /// Iterates over the subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.0.subprotocols()
    }
}

impl<S> FromRequestParts<S> for WebSocketUpgrade
where
    Server: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = UpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UpgradeRejection> {
        let server = Server::from_ref(state);
        let mut request = Request::new(Body::empty());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        // The stream is in the extensions. They are swapped back afterwards, because other extractors need the rest.
        std::mem::swap(request.extensions_mut(), &mut parts.extensions);
        let examined = server.examine_request(&mut request, None).await;
        std::mem::swap(request.extensions_mut(), &mut parts.extensions);
        let upgrade = examined.map_err(UpgradeRejection::new)?;
        // Among accepted requests only those of draft-76 may have a body. An extractor of parts cannot read it.
        let has_body = |length| length != "0";
        if parts.headers.get(CONTENT_LENGTH).is_some_and(has_body) {
            return Err(UpgradeRejection::new(upgrade.reject(400, KEY3_IS_BODY)));
        }
        Ok(Self(upgrade))
    }
}

/// The answer to a draft-76 client that declares the bytes after its head as a body.
const KEY3_IS_BODY: &str = "key3 of draft-76 is the body of this request, which an extractor of axum \
                            does not get\n";

impl<S> OptionalFromRequestParts<S> for WebSocketUpgrade
where
    Server: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = UpgradeRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, UpgradeRejection> {
        let (version, method) = (parts.version, &parts.method);
        // Also for a CONNECT that is not supported: a page would be its answer otherwise, and in HTTP/2 a 200 accepts the
        // WebSocket (RFC 8441 §5).
        if !asks_for_websocket(version, method, &parts.headers, &parts.extensions) {
            return Ok(None);
        }
        let upgrade = <Self as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Some(upgrade))
    }
}

/// The response to a request that did not become a connection.
///
/// The request asks for no WebSocket (426, in HTTP/2 400), breaks a rule (400, 426 and others), was refused by an option of
/// the server (403) or by its `on_upgrade`, exceeds the `connection_limit` (503), or arrived by HTTP/2 without the feature
/// `http2` (501).
pub struct UpgradeRejection(Box<Response>);

impl UpgradeRejection {
    fn new(response: http::Response<ws_driver::AnswerBody>) -> Self {
        Self(Box::new(response.map(Body::new)))
    }
}

impl IntoResponse for UpgradeRejection {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl fmt::Debug for UpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpgradeRejection")
            .field(&self.0.status())
            .finish()
    }
}
