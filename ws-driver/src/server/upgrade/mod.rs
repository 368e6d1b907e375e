//! Upgrade requests as the application sees them, and its answers. It does not matter whether this server or another
//! HTTP server has read the request.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `front::canonical`, `observe`, `driver`, `registry`, `handle`, `server::Server`,
//! `server::delivery`, `server::http`, `server::reporter`, `server::shared`, `server::shutdown_phase`, `server::task`.

#[cfg(feature = "upgrade")]
pub(crate) mod asked;
pub(super) mod decide;
#[cfg(feature = "upgrade")]
pub(crate) mod foreign;
#[cfg(feature = "upgrade")]
pub(crate) mod request;

use std::net::SocketAddr;

use bytes::Bytes;
#[cfg(feature = "upgrade")]
use http::Response;
use http::StatusCode;
#[cfg(feature = "upgrade")]
use http_body_util::Full;
#[cfg(feature = "deflate")]
use ws_proto::Deflate;
use ws_proto::{Accept, ConfigError, Rejection, RequestHead, Subprotocol, UpgradeRequest, Version};

use crate::handle::once::Once;
use crate::id::ConnectionId;
use crate::observe::ConnectionInfo;
#[cfg(feature = "upgrade")]
use crate::observe::rejected::Rejected;
use crate::tls::TlsInfo;

/// A request to open a connection. It has passed all checks of the server's options and waits for the answer
/// of the application; see [`on_upgrade`](crate::ServerBuilder::on_upgrade).
#[derive(Clone, Debug)]
pub struct Upgrade {
    request: UpgradeRequest,
    id: ConnectionId,
    peer_addr: Option<SocketAddr>,
    tls: Option<TlsInfo>,
    http_version: http::Version,
}

impl Upgrade {
    pub(crate) fn new(request: UpgradeRequest, info: &ConnectionInfo) -> Self {
        Self {
            request,
            id: info.id,
            peer_addr: info.peer_addr,
            tls: info.tls.clone(),
            http_version: info.http_version.unwrap_or(http::Version::HTTP_11),
        }
    }

    /// Accepts the request.
    pub fn accept(&self) -> Answer {
        Answer::accept()
    }

    /// Rejects the request with a status of 200 to 599; in HTTP/2 of 300 to 599, because any 2xx accepts there (RFC 8441
    /// §5). The body is short and gives no reason.
    pub fn reject(&self, status: u16) -> Answer {
        Answer::reject(status)
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        self.request.head()
    }

    /// Returns the value of a header of the request; `None` if the header is missing or is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head().header(name)
    }

    /// Returns the path of the request, without the query.
    pub fn path(&self) -> &str {
        self.head().path()
    }

    /// Returns the version that will be spoken.
    pub fn version(&self) -> Version {
        self.request.version()
    }

    /// Returns the version of HTTP: 1.1, or 2 for a request in a session of HTTP/2 (RFC 8441).
    pub fn http_version(&self) -> http::Version {
        self.http_version
    }

    /// Returns the origin of the page that opens the connection; `None` if the client is not a browser.
    pub fn origin(&self) -> Option<&str> {
        self.request.origin()
    }

    /// Iterates over the subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.request.subprotocols()
    }

    /// Returns the subprotocol that the server's options choose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.request.subprotocol()
    }

    /// Returns the id that the connection will have.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns the peer's address, if the stream has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    /// Returns the result of the TLS handshake; `None` if the stream has no TLS.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }
}

/// The application's answer to an [`Upgrade`].
///
/// An invalid part of it, such as a header that must not be set, is found when the answer is used. The
/// request is then answered with 500, and the log says why.
#[derive(Debug)]
pub struct Answer {
    pub(crate) verdict: Result<Verdict, ConfigError>,
    pub(crate) extensions: http::Extensions,
}

/// An [`Answer`] without its extensions.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accept(Accept),
    Reject(Rejection),
}

impl Answer {
    pub(super) fn accept() -> Self {
        Self {
            verdict: Ok(Verdict::Accept(Accept::new())),
            extensions: http::Extensions::new(),
        }
    }

    pub(super) fn reject(status: u16) -> Self {
        let verdict = StatusCode::from_u16(status)
            .map(|status| Verdict::Reject(Rejection::new(status)))
            .map_err(|_| ConfigError::InvalidStatus { status });
        Self {
            verdict,
            extensions: http::Extensions::new(),
        }
    }

    /// Adds a header. Headers of the handshake itself cannot be set.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.verdict = self.verdict.and_then(|verdict| match verdict {
            Verdict::Accept(accept) => accept.header(name, value).map(Verdict::Accept),
            Verdict::Reject(rejection) => rejection.header(name, value).map(Verdict::Reject),
        });
        self
    }

    /// Sets the subprotocol: one that the client offers, or `None`. It has no effect on a rejection.
    #[must_use]
    pub fn subprotocol<'a>(mut self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        let subprotocol = subprotocol.into();
        self.verdict = self.verdict.and_then(|verdict| match verdict {
            Verdict::Accept(accept) => {
                let subprotocol = subprotocol.map(str::parse::<Subprotocol>).transpose()?;
                Ok(Verdict::Accept(accept.subprotocol(subprotocol)))
            }
            Verdict::Reject(_) => Ok(verdict),
        });
        self
    }

    /// Compresses messages of this connection if the client offers it (RFC 7692); `None` never does. Replaces
    /// the option [`deflate`](crate::ServerBuilder::deflate) of the server. Use `None` for a connection that
    /// carries secrets, because the length of compressed messages can reveal them (RFC 7692 §8). It has no
    /// effect on a rejection.
    ///
    /// A broadcast is compressed once, as the server's option says, for all connections that can inflate it.
    /// Without the option each connection compresses it separately.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Accept(accept) => Verdict::Accept(accept.deflate(deflate)),
            Verdict::Reject(_) => verdict,
        });
        self
    }

    /// Sets the body of a rejection. It has no effect on an accepted request.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Accept(_) => verdict,
            Verdict::Reject(rejection) => Verdict::Reject(rejection.body(body)),
        });
        self
    }

    /// Adds a value for the handler, such as the user's name. The handler finds it in
    /// [`Connection::extensions`](crate::Connection::extensions). [`extension_once`](Self::extension_once) takes a value
    /// that cannot be cloned.
    #[must_use]
    pub fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Adds a value for the handler that need not be [`Clone`], such as the receiving half of a channel. The handler
    /// takes it by [`Connection::take_extension`](crate::Connection::take_extension). A second value of the same type
    /// replaces the first. If the request is rejected, the value is dropped.
    #[must_use]
    pub fn extension_once<T: Send + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(Once::new(value));
        self
    }
}

/// A refused request that another HTTP server has read: the response and the reason.
#[cfg(feature = "upgrade")]
pub(crate) struct Refused {
    pub(crate) response: Response<Full<Bytes>>,
    pub(crate) reason: Rejected,
}
