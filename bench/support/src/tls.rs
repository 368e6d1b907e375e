//! TLS by tokio-rustls, for the servers that have none of their own.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{Pem, Start};

impl Start {
    /// Returns what accepts TLS with the certificate that the server was started with, by the defaults of rustls.
    ///
    /// # Errors
    ///
    /// Fails if it was started without one, or the certificate or the key cannot be read.
    pub fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let Pem { certificate, key } = self.pem()?;
        let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        Ok(Arc::new(config).into())
    }
}
