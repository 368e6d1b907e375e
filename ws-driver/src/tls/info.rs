//! The facts that a connection reports about its TLS.

use std::fmt;
use std::sync::Arc;

/// The result of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The name that the client asked for (SNI, RFC 6066 §3), in lower case. It is `None` on a client, and if
    /// the client connected to an address. The name is not verified, and it can differ from the `Host` header.
    pub server_name: Option<Arc<str>>,
    /// The protocol that both sides chose (ALPN, RFC 7301), such as `http/1.1`. It is `None` if the client offered none that the
    /// server speaks.
    pub alpn: Option<Arc<str>>,
    /// The certificates that the client has shown, in DER (RFC 5280), its own first. The server has verified them. It is
    /// `None` on a client, and if the server asked for none, which is the default of `ServerTls`.
    pub client_certificates: Option<Arc<[Box<[u8]>]>>,
}

/// A version of TLS. Older versions are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    Tls12,
    /// TLS 1.3, RFC 8446.
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}
