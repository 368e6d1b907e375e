//! The errors of a client that could not open a connection.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ws_proto::{ConfigError, HandshakeError, UnexpectedResponse};

use super::attempts::Attempts;
#[cfg(feature = "proxy")]
use super::proxy::ProxyError;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// A step on the way to an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStage {
    /// The client looks up the host and opens a stream.
    Reach,
    /// The client asks the proxy for a tunnel, after the TLS handshake with an `https` proxy.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The opening handshake.
    Handshake,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reach => "reaching the host",
            Self::Proxy => "asking the proxy for a tunnel",
            Self::Tls => "the TLS handshake",
            Self::Handshake => "the opening handshake",
        })
    }
}

/// Why a client could not open a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL or an option is invalid.
    Config(ConfigError),
    /// A request of the crate `http` that cannot open a WebSocket: its method is not `GET`, or its version is not HTTP/1.1.
    InvalidRequest {
        /// The problem with it.
        problem: String,
    },
    /// The URL begins with `wss`, but TLS is not built in.
    TlsUnsupported,
    /// The lookup of the host, or of the proxy, failed.
    Lookup {
        /// The name.
        host: String,
        /// The error of the lookup.
        error: Arc<io::Error>,
    },
    /// The host, or the proxy, could not be reached at any of its addresses.
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The result for each address.
        attempts: Attempts,
    },
    /// The stream broke.
    Io(Arc<io::Error>),
    /// The proxy did not open a tunnel.
    #[cfg(feature = "proxy")]
    Proxy(ProxyError),
    /// TLS with the server failed: for instance, its certificate is not trusted.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// The opening handshake failed: the server refused it, broke a rule, or took too long.
    Handshake(HandshakeError),
    /// All steps together took longer than the `connect_timeout`.
    Timeout {
        /// The last step.
        stage: ConnectStage,
        /// The timeout.
        waited: Duration,
        /// The result for each address of the host; empty unless the stage is [`ConnectStage::Reach`].
        attempts: Attempts,
    },
}

impl ConnectError {
    /// Tells whether another attempt can succeed as it is, because networks, names and servers come back. An invalid option,
    /// a certificate that is not trusted and a refusal are not transient, except for the statuses 408, 425, 429, 500, 502, 503 and
    /// 504.
    ///
    /// A lookup that fails is transient, because it does not say whether the name does not exist or the network is away.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Lookup { .. } | Self::Unreachable { .. } | Self::Io(_) | Self::Timeout { .. } => {
                true
            }
            Self::Config(_) | Self::InvalidRequest { .. } | Self::TlsUnsupported => false,
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => error.is_transient(),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.is_transient(),
            Self::Handshake(error) => error.is_transient(),
        }
    }

    /// Returns the answer of a server that refused the upgrade: its status, its headers and its body, up to the
    /// [`response_body_limit`](ws_proto::ClientConfig::response_body_limit). It is `None` for other errors, and for a redirect.
    pub fn response(&self) -> Option<&UnexpectedResponse> {
        let Self::Handshake(HandshakeError::Status { response, .. }) = self else {
            return None;
        };
        Some(response)
    }

    /// Returns how long the server asks to wait before the next attempt (`Retry-After`, RFC 9110 §10.2.3), if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.response()?.header("Retry-After")?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number that does not fit asks for a long wait, and not for none.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        // A date that has passed asks for no wait.
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Returns the error of the operating system, or of the stream, if one is the cause: of the lookup, of the stream to the
    /// server or the proxy, or of TLS. The errors of addresses that did not answer are in
    /// [`Unreachable`](Self::Unreachable).
    ///
    /// [`source`](std::error::Error::source) does not return it, because its text is a part of this error's.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Lookup { error, .. } | Self::Io(error) => Some(error),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => error.io_error(),
            #[cfg(feature = "rustls")]
            Self::Tls(TlsError::Io(error)) => Some(error),
            #[cfg(feature = "rustls")]
            Self::Tls(_) => None,
            Self::Config(_)
            | Self::InvalidRequest { .. }
            | Self::TlsUnsupported
            | Self::Unreachable { .. }
            | Self::Handshake(_)
            | Self::Timeout { .. } => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::InvalidRequest { problem } => {
                write!(f, "the request cannot open a WebSocket: {problem}")
            }
            Self::TlsUnsupported => f.write_str(
                "wss needs TLS, which is not built in (feature rustls); ws is supported",
            ),
            Self::Lookup { host, error } => {
                write!(
                    f,
                    "cannot connect: no address was found for {host:?}: {error}"
                )
            }
            Self::Unreachable {
                host,
                port,
                attempts,
            } => write!(f, "cannot connect to {host:?}, port {port}: {attempts}"),
            Self::Io(error) => write!(f, "cannot connect: {error}"),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => write!(f, "cannot open a tunnel to the server: {error}"),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => write!(f, "TLS with the server failed: {error}"),
            Self::Handshake(error) => write!(f, "opening handshake failed: {error}"),
            Self::Timeout {
                stage,
                waited,
                attempts,
            } => {
                write!(
                    f,
                    "no connection after {waited:?}; the last step was {stage} (option connect_timeout)"
                )?;
                if attempts.tried().is_empty() {
                    return Ok(());
                }
                write!(f, "; {attempts}")
            }
        }
    }
}

impl std::error::Error for ConnectError {
    /// Returns the source of the cause, because the text of the cause is a part of this one's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::InvalidRequest { .. }
            | Self::TlsUnsupported
            | Self::Unreachable { .. }
            | Self::Timeout { .. } => None,
            Self::Lookup { error, .. } | Self::Io(error) => error.source(),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => error.source(),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.source(),
            Self::Handshake(error) => error.source(),
        }
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for ConnectError {
    /// Makes a `Tls` error if the cause is an error of rustls.
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "rustls")]
        let error = match TlsError::of_stream(error) {
            Ok(error) => return Self::Tls(error),
            Err(error) => error,
        };
        Self::Io(Arc::new(error))
    }
}

#[cfg(feature = "proxy")]
impl From<ProxyError> for ConnectError {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

#[cfg(feature = "rustls")]
impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
