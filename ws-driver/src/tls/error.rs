//! The errors of TLS with a peer.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::verify::SelfSigned;

/// Why TLS with a peer failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate of the peer is not trusted.
    Certificate {
        /// The problem.
        problem: CertificateProblem,
        /// The error of rustls.
        error: CertificateError,
    },
    /// The peer refused: it does not trust our certificate, or the two sides share no version or cipher suite.
    Refused {
        /// The alert that it sent.
        alert: AlertDescription,
    },
    /// The peer speaks HTTP without TLS.
    PlainHttp,
    /// The peer speaks another protocol.
    NotTls {
        /// Its first bytes.
        seen: Box<[u8]>,
    },
    /// The peer ended the stream during the handshake.
    Disconnected,
    /// The handshake took too long.
    Timeout {
        /// The timeout.
        waited: Duration,
    },
    /// The host is not a valid name for a certificate.
    InvalidServerName {
        /// The host.
        host: String,
    },
    /// The stream broke.
    Io(Arc<io::Error>),
    /// The peer broke a rule of TLS, or our configuration is invalid.
    Other(rustls::Error),
}

impl TlsError {
    /// Tells whether another attempt can succeed as it is: the stream ended, broke, or was too slow.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Disconnected | Self::Timeout { .. } | Self::Io(_) => true,
            Self::Certificate { .. }
            | Self::Refused { .. }
            | Self::PlainHttp
            | Self::NotTls { .. }
            | Self::InvalidServerName { .. }
            | Self::Other(_) => false,
        }
    }

    /// Extracts an error of rustls from the error of a stream, or returns that error.
    ///
    /// A peer can refuse TLS after our side of the handshake is done: in TLS 1.3 a server verifies the certificate of the
    /// client only then (RFC 8446 §2). Its alert is found at the next read.
    pub(crate) fn of_stream(error: io::Error) -> Result<Self, io::Error> {
        let is_tls = error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>());
        if !is_tls {
            return Err(error);
        }
        let inner = error.into_inner().expect("it was looked at");
        let inner = inner.downcast::<rustls::Error>();
        Ok((*inner.expect("its type was looked at")).into())
    }

    /// Makes the error for a peer whose first bytes are not TLS.
    pub(super) fn not_tls(bytes: &[u8]) -> Self {
        // An HTTP method, or the begin of an HTTP response. No TLS record begins with an upper-case letter.
        if bytes.first().is_some_and(u8::is_ascii_uppercase) {
            return Self::PlainHttp;
        }
        let seen = &bytes[..bytes.len().min(SEEN_LIMIT)];
        Self::NotTls { seen: seen.into() }
    }
}

/// Why a certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The certificate is its own issuer and is not a trusted root.
    SelfSigned,
    /// The certificate does not lead to a trusted root.
    UnknownIssuer,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another host.
    WrongHost,
    /// Another problem.
    Other,
}

impl CertificateProblem {
    pub(super) fn of(error: &CertificateError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "rustls has more of them than are named here"
        )]
        match error {
            CertificateError::Other(other) if other.0.is::<SelfSigned>() => Self::SelfSigned,
            // The signature of a root that has the name of a trusted one, and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongHost
            }
            _ => Self::Other,
        }
    }
}

/// Where the trusted roots are set.
const ROOTS: &str = "option tls: ClientTls::roots_from_file trusts those in a file";

/// The maximum number of bytes of a peer that an error quotes.
const SEEN_LIMIT: usize = 16;

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "rustls has more of them than are named here"
        )]
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate {
                problem: CertificateProblem::of(&error),
                error,
            },
            rustls::Error::AlertReceived(alert) => Self::Refused { alert },
            error => Self::Other(error),
        }
    }
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { problem, error } => {
                f.write_str("the certificate is not trusted: ")?;
                match problem {
                    CertificateProblem::SelfSigned => {
                        write!(f, "it is self-signed and not a trusted root ({ROOTS})")
                    }
                    CertificateProblem::UnknownIssuer => {
                        write!(f, "it does not lead to a trusted root ({ROOTS})")
                    }
                    // The text of rustls has the times and the hosts.
                    CertificateProblem::Expired
                    | CertificateProblem::NotYetValid
                    | CertificateProblem::WrongHost
                    | CertificateProblem::Other => error.fmt(f),
                }
            }
            Self::Refused { alert } => write!(f, "the peer refused TLS with the alert {alert:?}"),
            Self::PlainHttp => {
                f.write_str("the peer speaks HTTP without TLS, where TLS is required")
            }
            Self::NotTls { seen } => {
                write!(
                    f,
                    "the first bytes of the peer are not TLS: \"{}\"",
                    seen.escape_ascii()
                )
            }
            Self::Disconnected => f.write_str("the stream ended during the TLS handshake"),
            Self::Timeout { waited } => write!(
                f,
                "the TLS handshake was not done after {waited:?} (option handshake_timeout)"
            ),
            Self::InvalidServerName { host } => {
                write!(f, "{host:?} is not a valid name for a certificate")
            }
            Self::Io(error) => write!(f, "the stream broke during the TLS handshake: {error}"),
            Self::Other(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl Error for TlsError {
    /// Returns the source of the cause, because the text of the cause is a part of this one's.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Other(error) => error.source(),
            Self::Certificate { .. }
            | Self::Refused { .. }
            | Self::PlainHttp
            | Self::NotTls { .. }
            | Self::Disconnected
            | Self::Timeout { .. }
            | Self::InvalidServerName { .. } => None,
        }
    }
}
