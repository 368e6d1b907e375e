//! The errors of a client whose proxy did not open a tunnel.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// Why a proxy did not open a tunnel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy refused.
    Refused {
        /// Its answer: a status with its reason, or the name of a SOCKS5 reply.
        answer: String,
    },
    /// The proxy requires a login, or does not accept this one.
    Login {
        /// Its answer.
        answer: String,
    },
    /// The answer is malformed. The peer may be a proxy of another kind.
    Malformed {
        /// The problem.
        problem: &'static str,
    },
    /// The head of the answer is too large.
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The host is too long for SOCKS5.
    HostTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// TLS with the proxy failed: for instance, its certificate is not trusted.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// The proxy ended the stream.
    Disconnected,
    /// The stream to the proxy broke.
    Io(Arc<io::Error>),
}

impl ProxyError {
    /// Tells whether another attempt can succeed as it is; see [`ConnectError::is_transient`](crate::ConnectError). A proxy that
    /// refuses may have failed to reach the server, so that is transient, and a login is not.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Disconnected | Self::Io(_) => true,
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.is_transient(),
            Self::Login { .. }
            | Self::Malformed { .. }
            | Self::HeadTooLarge { .. }
            | Self::HostTooLong { .. } => false,
        }
    }

    /// Returns the error of the stream, if that is the cause; see
    /// [`ConnectError::io_error`](crate::ConnectError::io_error).
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Io(error) => Some(error),
            #[cfg(feature = "rustls")]
            Self::Tls(TlsError::Io(error)) => Some(error),
            #[cfg(feature = "rustls")]
            Self::Tls(_) => None,
            Self::Refused { .. }
            | Self::Login { .. }
            | Self::Malformed { .. }
            | Self::HeadTooLarge { .. }
            | Self::HostTooLong { .. }
            | Self::Disconnected => None,
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { answer } => write!(f, "the proxy refused: {answer}"),
            Self::Login { answer } => write!(
                f,
                "the proxy requires other credentials than those in its URL: {answer} (option proxy)"
            ),
            Self::Malformed { problem } => {
                write!(
                    f,
                    "the proxy's answer is malformed: {problem}; is it a proxy of that kind?"
                )
            }
            Self::HeadTooLarge { limit } => {
                write!(
                    f,
                    "the proxy's answer has a head of more than {limit} bytes"
                )
            }
            Self::HostTooLong { len, limit } => {
                write!(
                    f,
                    "the host has {len} bytes, and SOCKS5 allows at most {limit}"
                )
            }
            #[cfg(feature = "rustls")]
            Self::Tls(error) => write!(f, "TLS with the proxy failed: {error}"),
            Self::Disconnected => f.write_str("the proxy ended the stream without an answer"),
            Self::Io(error) => write!(f, "the stream to the proxy broke: {error}"),
        }
    }
}

impl Error for ProxyError {
    /// Returns the source of the cause, because the text of the cause is a part of this one's.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.source(),
            Self::Refused { .. }
            | Self::Login { .. }
            | Self::Malformed { .. }
            | Self::HeadTooLarge { .. }
            | Self::HostTooLong { .. }
            | Self::Disconnected => None,
        }
    }
}

impl From<io::Error> for ProxyError {
    /// Makes a `Tls` error if the cause is an error of rustls, and an [`Io`](Self::Io) error otherwise.
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "rustls")]
        let error = match TlsError::of_stream(error) {
            Ok(error) => return Self::Tls(error),
            Err(error) => error,
        };
        Self::Io(Arc::new(error))
    }
}
