//! Why a server has no connection with a peer, for its observers.

use std::fmt;

use ws_proto::HandshakeError;

use crate::front::proxy_protocol::ProxyProtocolError;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// Why an upgrade was refused, or why a stream ended before it asked for one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rejected {
    /// The request broke a rule of the protocol or an option of the server.
    Handshake(HandshakeError),
    /// `on_upgrade` refused the request.
    Application {
        /// The status of the response.
        status: http::StatusCode,
    },
    /// The handshake of TLS failed.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// The stream did not begin with a usable header of the PROXY protocol.
    ProxyProtocol(ProxyProtocolError),
    /// There were as many streams as the option `connection_limit` allows. This happens only to requests that another
    /// HTTP server read, because streams wait.
    ConnectionLimit {
        /// The limit: option `connection_limit`.
        limit: usize,
    },
    /// The address of the peer had as many streams as the option `address_limits` allows.
    AddressConnections {
        /// The limit: `connections` of the option.
        limit: usize,
    },
    /// The address of the peer opened streams faster than the option `address_limits` allows.
    AddressHandshakes {
        /// The limit: `handshakes_per_second` of the option.
        limit: u32,
    },
    /// The server had closed, or it shut down before the handshake was done.
    Closed,
    /// The application dropped the upgrade of a request that another HTTP server read, so that it can answer by itself.
    Dropped,
    /// The other HTTP server that read the request cannot hand its stream over.
    NoUpgrade,
    /// Another HTTP server has read a request for a WebSocket in HTTP/2 without the feature `http2`, or without the
    /// extension that has its `:protocol`, or in HTTP/3 (RFC 8441, RFC 9220).
    ExtendedConnect,
}

impl Rejected {
    /// Tells whether the address of the peer has taken what one may.
    pub(crate) fn is_about_address(&self) -> bool {
        matches!(
            self,
            Self::AddressConnections { .. } | Self::AddressHandshakes { .. }
        )
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Application { status } => write!(f, "on_upgrade answered {status}"),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.fmt(f),
            Self::ProxyProtocol(error) => error.fmt(f),
            Self::ConnectionLimit { limit } => write!(
                f,
                "there are {limit} connections already, and no more are allowed (option \
                 connection_limit)"
            ),
            Self::AddressConnections { limit } => write!(
                f,
                "the address has {limit} connections already, and no more are allowed (option address_limits)"
            ),
            Self::AddressHandshakes { limit } => write!(
                f,
                "the address opens more than {limit} connections in a second (option address_limits)"
            ),
            Self::Closed => f.write_str("the server has closed"),
            Self::Dropped => f.write_str("the application dropped the upgrade"),
            Self::ExtendedConnect => f.write_str(
                "a WebSocket in HTTP/2 or HTTP/3 (extended CONNECT, RFC 8441) is not supported",
            ),
            Self::NoUpgrade => f.write_str("the HTTP server cannot give the stream up"),
        }
    }
}
