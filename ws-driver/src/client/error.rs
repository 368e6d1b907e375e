//! Why a client has no connection, and how far it got.

use std::fmt;
use std::io;
use std::time::Duration;

use ws_proto::{ConfigError, HandshakeError};

use super::attempts::Attempts;
#[cfg(feature = "proxy")]
use super::proxy::ProxyError;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// How far a client is on its way to an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStage {
    /// The host's name is looked up, and the stream is opened.
    Reach,
    /// A tunnel is asked of the proxy, after the handshake of TLS with it if its URL says so.
    Proxy,
    /// The handshake of TLS.
    Tls,
    /// The opening handshake.
    Handshake,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reach => "reaching the host",
            Self::Proxy => "asking the proxy for a tunnel",
            Self::Tls => "the handshake of TLS",
            Self::Handshake => "the opening handshake",
        })
    }
}

/// Why a client could not open a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL or an option makes no sense.
    Config(ConfigError),
    /// The URL begins with `wss`, but TLS is not built in.
    TlsUnsupported,
    /// The name of the host, or of the proxy, could not be looked up.
    Lookup {
        /// The name.
        host: String,
        /// Why not.
        error: io::Error,
    },
    /// The host, or the proxy, could not be reached: none of its addresses took a stream.
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What came of each address.
        attempts: Attempts,
    },
    /// The stream broke.
    Io(io::Error),
    /// The proxy opened no tunnel.
    #[cfg(feature = "proxy")]
    Proxy(ProxyError),
    /// There is no TLS with the server: for instance, its certificate is not trusted.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// The server did not agree, or took too long.
    Handshake(HandshakeError),
    /// All of it took longer than the `connect_timeout`.
    Timeout {
        /// How far it got.
        stage: ConnectStage,
        /// The timeout.
        waited: Duration,
        /// What came of the addresses of the host; empty unless the stage is [`ConnectStage::Reach`].
        attempts: Attempts,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TlsUnsupported => f.write_str(
                "wss needs TLS, which is not built in (feature rustls); ws is supported",
            ),
            Self::Lookup { host, error } => {
                write!(
                    f,
                    "cannot connect: no address of {host:?} was found: {error}"
                )
            }
            Self::Unreachable {
                host,
                port,
                attempts,
            } => write!(
                f,
                "cannot connect: {host:?}, port {port}, takes no stream: {attempts}"
            ),
            Self::Io(error) => write!(f, "cannot connect: {error}"),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => write!(f, "no tunnel to the server: {error}"),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => write!(f, "no TLS with the server: {error}"),
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
    /// Returns what is behind the cause, as the text of the cause is part of this one's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::TlsUnsupported | Self::Unreachable { .. } | Self::Timeout { .. } => None,
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
    /// Is `Tls` if rustls says what is wrong with the stream.
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "rustls")]
        let error = match TlsError::of_stream(error) {
            Ok(error) => return Self::Tls(error),
            Err(error) => error,
        };
        Self::Io(error)
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
