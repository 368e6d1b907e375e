//! An upgrade request in the hands of the application, and its answer, whether we or another HTTP server read the
//! request.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `observe`, `driver`, `registry`, `handle`, `server::Server`,
//! `server::http`, `server::reporter`, `server::shared`, `server::shutdown_phase`, `server::task`.

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

use crate::id::ConnectionId;
use crate::observe::ConnectionInfo;
#[cfg(feature = "upgrade")]
use crate::observe::rejected::Rejected;
use crate::tls::TlsInfo;

/// A request to open a connection that has passed all checks of the options and waits for the
/// application's answer; see [`on_upgrade`](crate::ServerBuilder::on_upgrade).
#[derive(Clone, Debug)]
pub struct Upgrade {
    request: UpgradeRequest,
    id: ConnectionId,
    peer_addr: Option<SocketAddr>,
    tls: Option<TlsInfo>,
}

impl Upgrade {
    pub(crate) fn new(request: UpgradeRequest, info: &ConnectionInfo) -> Self {
        Self {
            request,
            id: info.id,
            peer_addr: info.peer_addr,
            tls: info.tls.clone(),
        }
    }

    /// Accepts the request.
    pub fn accept(&self) -> Answer {
        Answer::accept()
    }

    /// Rejects the request with a status of 200 to 599, and a short body that says no more.
    pub fn reject(&self, status: u16) -> Answer {
        Answer::reject(status)
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        self.request.head()
    }

    /// Returns a header of the request, if it is there and is text.
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

    /// Returns the origin of the page that opens the connection, if a browser does.
    pub fn origin(&self) -> Option<&str> {
        self.request.origin()
    }

    /// Iterates over the subprotocols that the client offers, best first.
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

    /// Returns what TLS was agreed on, if there is any.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }
}

/// The application's answer to an [`Upgrade`].
///
/// What is wrong with it, such as a header that must not be set, is found when it is used: the
/// request is then answered with 500, and the log says why.
#[derive(Debug)]
pub struct Answer {
    pub(crate) verdict: Result<Verdict, ConfigError>,
    pub(crate) extensions: http::Extensions,
}

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

    /// Adds a header. Those that belong to the handshake itself cannot be set.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.verdict = self.verdict.and_then(|verdict| match verdict {
            Verdict::Accept(accept) => accept.header(name, value).map(Verdict::Accept),
            Verdict::Reject(rejection) => rejection.header(name, value).map(Verdict::Reject),
        });
        self
    }

    /// Chooses a subprotocol among those that the client offers, or none. A rejection has none.
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

    /// Compresses messages of this connection, where the client offers it (RFC 7692), or never: whatever
    /// the option [`deflate`](crate::ServerBuilder::deflate) of the server says. `None` is for a
    /// connection that carries secrets, whose length could tell what is in them (RFC 7692 §8). A
    /// rejection has none.
    ///
    /// A broadcast is compressed once as the server's option says, and sent like that to whoever can
    /// inflate it; without the option each connection compresses it for itself.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Accept(accept) => Verdict::Accept(accept.deflate(deflate)),
            Verdict::Reject(_) => verdict,
        });
        self
    }

    /// Sets the body of a rejection. An accepted request has none.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Accept(_) => verdict,
            Verdict::Reject(rejection) => Verdict::Reject(rejection.body(body)),
        });
        self
    }

    /// Leaves a value for the handler, for instance who the user is:
    /// [`Connection::extensions`](crate::Connection::extensions) has it.
    #[must_use]
    pub fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.extensions.insert(value);
        self
    }
}

/// A request that another HTTP server read and that is answered with something other than a 101, and why.
#[cfg(feature = "upgrade")]
pub(crate) struct Refused {
    pub(crate) response: Response<Full<Bytes>>,
    pub(crate) reason: Rejected,
}
