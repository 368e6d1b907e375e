//! Every option of a client, with its default. `None` means no limit; for a wait it means no deadline.

use std::fmt;
use std::time::Duration;

use http::header::HeaderMap;

use super::headers;
use crate::config::ConnectionConfig;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::error::ConfigError;
use crate::handshake::deflate::Offer;
use crate::handshake::host::Host;
use crate::handshake::http::header::{Header, checked_header};
use crate::handshake::origin::Origin;
use crate::handshake::subprotocol::Subprotocol;
use crate::redact::Hidden;
use crate::version::Version;

/// Options of a client: the opening handshake and what follows.
///
/// Its `Debug` shows neither the values of headers nor the subprotocols, because either can be a secret token.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientConfig {
    pub(super) version: Version,
    pub(super) host: Option<Host>,
    pub(super) origin: Option<Origin>,
    pub(super) subprotocols: Vec<Subprotocol>,
    pub(super) require_subprotocol: bool,
    pub(super) headers: Vec<Header>,
    pub(super) head_limit: usize,
    pub(super) header_limit: usize,
    pub(super) response_body_limit: usize,
    pub(super) handshake_timeout: Option<Duration>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Deflate>,
    pub(super) connection: ConnectionConfig,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            version: Version::Rfc6455,
            host: None,
            origin: None,
            subprotocols: Vec::new(),
            require_subprotocol: false,
            headers: Vec::new(),
            head_limit: 16 << 10,
            header_limit: 100,
            // Enough for a short page or a JSON error. The body only helps to understand the status.
            response_body_limit: 4 << 10,
            handshake_timeout: Some(Duration::from_secs(10)),
            #[cfg(feature = "deflate")]
            deflate: None,
            connection: ConnectionConfig::default(),
        }
    }
}

impl ClientConfig {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the version; the default is RFC 6455. A client cannot detect which version a server speaks.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets the `Host` header, for a server that is reached by an address or under another name. The default is the host
    /// of the URL. The port that the scheme implies is not sent.
    ///
    /// It changes the request only: the host of the URL is the one that is looked up, and the one for which the
    /// certificate of a `wss` server must be valid. In the drafts the server repeats the header in its answer, and
    /// the default of [`origin`](Self::origin) has this host.
    #[must_use]
    pub fn host(mut self, host: impl Into<Option<Host>>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the origin. By default a request of RFC 6455 has no origin, because this client is not a browser. The
    /// drafts require one, so there the default is the origin of the URL.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Option<Origin>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the subprotocols to offer, best first. The default is an empty list. A draft can offer one.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: impl Into<Vec<Subprotocol>>) -> Self {
        self.subprotocols = subprotocols.into();
        self
    }

    /// Fails the handshake if subprotocols are offered and the server chooses none of them, as browsers
    /// do. The default is off. The drafts always require the choice.
    #[must_use]
    pub fn require_subprotocol(mut self, require_subprotocol: bool) -> Self {
        self.require_subprotocol = require_subprotocol;
        self
    }

    /// Adds a header to the request, such as `Cookie` or `Authorization`. The name keeps its case.
    ///
    /// # Errors
    ///
    /// Fails if the name is not a token, the value is not printable ASCII, or the header
    /// belongs to the handshake or to the transport.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.headers.push(checked_header(name, value)?);
        Ok(self)
    }

    /// Takes the headers of a request that was made for another library, in addition to those that were set before.
    /// Set the [`version`](Self::version) first.
    ///
    /// | Header | Effect |
    /// |---|---|
    /// | `Host`, `Origin` | set the options [`host`](Self::host) and [`origin`](Self::origin) |
    /// | `Sec-WebSocket-Protocol` | adds to the option [`subprotocols`](Self::subprotocols) |
    /// | `Upgrade: websocket`, `Connection: upgrade`, `Sec-WebSocket-Version: 13`, a well-formed `Sec-WebSocket-Key` | none, because the handshake has its own; each has a fresh key. Another value is an error |
    /// | `Sec-WebSocket-Extensions` | an error; the option `deflate` offers compression |
    /// | any other | as by [`header`](Self::header) |
    ///
    /// # Errors
    ///
    /// Fails if a header contradicts the handshake, if `Host` or `Origin` appears twice or is malformed, if a subprotocol
    /// is not a token, and as [`header`](Self::header) does.
    pub fn headers(self, headers: &HeaderMap) -> Result<Self, ConfigError> {
        headers::take(self, headers)
    }

    /// Limits the head of the response, in bytes. The default is 16 KiB.
    #[must_use]
    pub fn head_limit(mut self, head_limit: usize) -> Self {
        self.head_limit = head_limit;
        self
    }

    /// Limits the header lines of the response. The default is 100.
    #[must_use]
    pub fn header_limit(mut self, header_limit: usize) -> Self {
        self.header_limit = header_limit;
        self
    }

    /// Limits the kept part of the body of a response that is not a 101, in bytes on the wire. The default is 4 KiB.
    /// The client waits for it within the [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub fn response_body_limit(mut self, response_body_limit: usize) -> Self {
        self.response_body_limit = response_body_limit;
        self
    }

    /// Limits the time of the whole opening handshake, from the request to the open connection. The default is 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, handshake_timeout: impl Into<Option<Duration>>) -> Self {
        self.handshake_timeout = handshake_timeout.into();
        self
    }

    /// Offers permessage-deflate (RFC 7692), and compresses messages if the server accepts. The default is off.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = deflate.into();
        self
    }

    /// Returns the limits of a peer's silence on the connection, see
    /// [`ConnectionConfig::silence_limits`].
    pub fn silence_limits(&self) -> Option<(Duration, Duration)> {
        self.connection.silence_limits()
    }

    /// Sets the options of the connection.
    #[must_use]
    pub fn connection(mut self, connection: ConnectionConfig) -> Self {
        self.connection = connection;
        self
    }

    /// Returns the options of the connection, as set by [`connection`](Self::connection).
    pub fn get_connection(&self) -> &ConnectionConfig {
        &self.connection
    }

    /// Returns the offer of compression.
    #[cfg(feature = "deflate")]
    pub(super) fn offer(&self) -> Offer {
        Offer::new(self.deflate.as_ref())
    }

    /// Returns the offer of compression, which is empty without the feature.
    #[cfg(not(feature = "deflate"))]
    pub(super) fn offer(&self) -> Offer {
        Offer
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClientConfig");
        shown
            .field("version", &self.version)
            .field("host", &self.host)
            .field("origin", &self.origin)
            .field("subprotocols", &Hidden(&self.subprotocols))
            .field("require_subprotocol", &self.require_subprotocol)
            // `checked_header` marked the values as sensitive, so they are not shown.
            .field("headers", &self.headers)
            .field("head_limit", &self.head_limit)
            .field("header_limit", &self.header_limit)
            .field("response_body_limit", &self.response_body_limit)
            .field("handshake_timeout", &self.handshake_timeout);
        #[cfg(feature = "deflate")]
        shown.field("deflate", &self.deflate);
        shown.field("connection", &self.connection).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are a promise. A change of a default changes this test.
    #[test]
    fn the_defaults_are_frozen() {
        let connection = format!("{:?}", ConnectionConfig::default());
        let is_compiled = if cfg!(feature = "deflate") {
            "deflate: None, "
        } else {
            ""
        };
        assert_eq!(
            format!("{:?}", ClientConfig::default()).replace(is_compiled, ""),
            format!(
                "ClientConfig {{ version: Rfc6455, host: None, origin: None, subprotocols: [], \
                 require_subprotocol: false, headers: [], head_limit: 16384, header_limit: 100, \
                 response_body_limit: 4096, handshake_timeout: Some(10s), connection: {connection} }}"
            )
        );
    }
}
