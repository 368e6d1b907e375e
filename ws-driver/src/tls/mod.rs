//! TLS for servers and clients, by rustls. It is the same for all runtimes and runs in the task of the connection.
//!
//! Without the feature `rustls` only [`TlsInfo`] and [`TlsVersion`] exist, so that signatures do not depend on the
//! feature.
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
#[cfg(any(feature = "rustls-native-certs", feature = "rustls-platform-verifier"))]
mod system;
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

/// Returns the provider of cryptography for both sides.
#[cfg(feature = "rustls")]
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    // ring needs no more than a C compiler wherever rustls builds; aws-lc-rs needs more tools on some systems. The
    // provider is always passed explicitly, because the default of the process may be missing or another one.
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}

/// The protocol for ALPN (RFC 7301): opening handshakes are in HTTP/1.1.
#[cfg(feature = "rustls")]
const ALPN: &[u8] = b"http/1.1";
