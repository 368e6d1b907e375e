//! Why a proxy opened no tunnel.

use std::error::Error;
use std::fmt;
use std::io;

#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// Why a proxy opened no tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy refused.
    Refused {
        /// What it answered: a status with its reason, or the name of a reply of SOCKS5.
        answer: String,
    },
    /// The proxy wants to know who we are, or does not let us in as whom we said we are.
    Login {
        /// What it answered.
        answer: String,
    },
    /// The answer is none of a proxy of that kind.
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The head of the answer is too large.
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// SOCKS5 cannot name a host that long.
    HostTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// There is no TLS with the proxy: for instance, its certificate is not trusted.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// The proxy ended the stream.
    Disconnected,
    /// The stream to the proxy broke.
    Io(io::Error),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { answer } => write!(f, "the proxy refused: {answer}"),
            Self::Login { answer } => write!(
                f,
                "the proxy wants another user and password than those in its URL: {answer} \
                 (option proxy)"
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
                write!(f, "a host of {len} bytes; SOCKS5 can name one of {limit}")
            }
            #[cfg(feature = "rustls")]
            Self::Tls(error) => write!(f, "no TLS with the proxy: {error}"),
            Self::Disconnected => f.write_str("the proxy ended the stream before it had answered"),
            Self::Io(error) => write!(f, "the stream to the proxy broke: {error}"),
        }
    }
}

impl Error for ProxyError {
    /// Returns what is behind the cause, as the text of the cause is part of this one's.
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
    /// Is [`Tls`](Self::Tls) if rustls says what is wrong with the stream.
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "rustls")]
        let error = match TlsError::of_stream(error) {
            Ok(error) => return Self::Tls(error),
            Err(error) => error,
        };
        Self::Io(error)
    }
}
