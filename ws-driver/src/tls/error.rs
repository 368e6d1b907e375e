//! Why there is no TLS with a peer.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::verify::SelfSigned;

/// Why there is no TLS with a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate of the peer is not trusted.
    Certificate {
        /// Why not.
        problem: CertificateProblem,
        /// The same, as rustls has it.
        error: CertificateError,
    },
    /// The peer refused: it does not trust our certificate, or there is nothing that both speak.
    Refused {
        /// What it said.
        alert: AlertDescription,
    },
    /// The peer speaks HTTP without TLS.
    PlainHttp,
    /// The peer speaks something else than TLS.
    NotTls {
        /// Its first bytes.
        seen: Box<[u8]>,
    },
    /// The peer ended the stream in the handshake.
    Disconnected,
    /// The handshake was not done in time.
    Timeout {
        /// How long was waited.
        waited: Duration,
    },
    /// A client cannot ask for the certificate of such a host.
    InvalidServerName {
        /// The host.
        host: String,
    },
    /// The stream broke.
    Io(Arc<io::Error>),
    /// The peer broke a rule of TLS, or our configuration makes no sense.
    Other(rustls::Error),
}

impl TlsError {
    /// Finds what rustls says in the error of a stream. A peer can refuse TLS once our side of the handshake
    /// is done, since in TLS 1.3 a server looks at the certificate of the client only then (RFC 8446 §2); what
    /// it says is found when the stream is read.
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

    /// Names what else a peer speaks.
    pub(super) fn not_tls(bytes: &[u8]) -> Self {
        // A method, or the beginning of a response.
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
    /// It is its own issuer, and none of the roots.
    SelfSigned,
    /// It does not lead to one of the roots.
    UnknownIssuer,
    /// It is valid no more.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is for another host.
    WrongHost,
    /// Something else.
    Other,
}

impl CertificateProblem {
    fn of(error: &CertificateError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "rustls has more of them than are named here"
        )]
        match error {
            CertificateError::Other(other) if other.0.is::<SelfSigned>() => Self::SelfSigned,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
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

/// Where roots are set.
const ROOTS: &str = "option tls: ClientTls::roots_from_file trusts those in a file";

/// Bytes of a peer that are quoted.
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
                        write!(f, "it is self-signed and none of the roots ({ROOTS})")
                    }
                    CertificateProblem::UnknownIssuer => {
                        write!(f, "it does not lead to one of the roots ({ROOTS})")
                    }
                    // rustls names the times and the hosts.
                    CertificateProblem::Expired
                    | CertificateProblem::NotYetValid
                    | CertificateProblem::WrongHost
                    | CertificateProblem::Other => error.fmt(f),
                }
            }
            Self::Refused { alert } => write!(f, "the peer refused TLS with the alert {alert:?}"),
            Self::PlainHttp => f.write_str("the peer speaks HTTP without TLS, where TLS is spoken"),
            Self::NotTls { seen } => {
                write!(f, "\"{}\" is not the beginning of TLS", seen.escape_ascii())
            }
            Self::Disconnected => f.write_str("the stream ended in the handshake of TLS"),
            Self::Timeout { waited } => write!(
                f,
                "the handshake of TLS was not done after {waited:?} (option handshake_timeout)"
            ),
            Self::InvalidServerName { host } => {
                write!(f, "{host:?} is no name that a certificate can be for")
            }
            Self::Io(error) => write!(f, "the stream broke in the handshake of TLS: {error}"),
            Self::Other(error) => write!(f, "the handshake of TLS failed: {error}"),
        }
    }
}

impl Error for TlsError {
    /// Returns what is behind the cause, as the text of the cause is part of this one's.
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
