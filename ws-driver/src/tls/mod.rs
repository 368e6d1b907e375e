//! TLS for servers and clients, by rustls: one way for all runtimes, inside the task of the connection.
//!
//! Without the feature `rustls` only the names are here that a connection needs to say that it has
//! none.
//!
//! Imports: nothing.

#[cfg(feature = "rustls")]
mod client;
#[cfg(feature = "rustls")]
mod error;
mod info;
#[cfg(feature = "rustls")]
mod pem;
#[cfg(feature = "rustls")]
pub(crate) mod server;
#[cfg(feature = "rustls")]
pub(crate) mod stream;
#[cfg(feature = "rustls")]
mod verify;

#[cfg(feature = "rustls")]
pub use self::client::ClientTls;
#[cfg(feature = "rustls")]
pub use self::error::{CertificateProblem, TlsError};
pub use self::info::{TlsInfo, TlsVersion};
#[cfg(feature = "rustls")]
pub use self::pem::TlsConfigError;
#[cfg(feature = "rustls")]
pub use self::server::ServerTls;

/// The cryptography of both sides: ring, which builds with no more than a C compiler wherever rustls does.
/// It is always named, so what an application installs as the default of its process does no harm and
/// is not needed.
#[cfg(feature = "rustls")]
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}

/// What is agreed on by ALPN (RFC 7301): WebSockets of ours begin in HTTP/1.1.
#[cfg(feature = "rustls")]
const ALPN: &[u8] = b"http/1.1";
