//! Why there is no connection, as a server tells it.

use std::fmt;

use ws_proto::HandshakeError;

#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// Why an upgrade was refused, or a stream before it came to that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rejected {
    /// It broke a rule or an option of the server.
    Handshake(HandshakeError),
    /// `on_upgrade` said so.
    Application {
        /// The status of the answer.
        status: http::StatusCode,
    },
    /// There is no TLS with the peer.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// There were as many streams as the option `connection_limit` allows. Only on requests that another
    /// HTTP server read; streams wait.
    ConnectionLimit {
        /// The limit.
        limit: usize,
    },
    /// The server had closed, or shut down before the handshake was done.
    Closed,
    /// The application dropped the upgrade of a request that another HTTP server read, to answer it by
    /// itself.
    Dropped,
    /// The other HTTP server that read the request cannot give its stream up.
    NoUpgrade,
    /// The request is for a WebSocket in HTTP/2 or HTTP/3, which another HTTP server read (RFC 8441).
    ExtendedConnect,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Application { status } => write!(f, "on_upgrade answered {status}"),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.fmt(f),
            Self::ConnectionLimit { limit } => write!(
                f,
                "there are {limit} connections already, and no more are allowed (option \
                 connection_limit)"
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
