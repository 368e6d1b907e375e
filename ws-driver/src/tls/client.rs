//! TLS of a client: whom it trusts, and how a stream is opened with it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::client::{ClientConnection, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::pem::Pem;
use super::stream::TlsStream;
use super::verify::Explaining;
use super::{ALPN, TlsConfigError, TlsError, provider};

/// Whom a client trusts, for [`ConnectConfig::tls`](crate::ConnectConfig::tls): by default, those who
/// Mozilla trusts to certify a server.
///
/// A server's certificate must be for the host of the URL, be valid now, and lead to a root that is
/// trusted. So must that of a proxy whose URL begins with `https`. There is no option to leave that out; a configuration of rustls can have a verifier of its
/// own.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl Default for ClientTls {
    /// Trusts the roots of Mozilla's programme, as this library was built with them.
    fn default() -> Self {
        // Made once, as it is long, and so that a server that was met before is taken up again.
        static PUBLIC: OnceLock<ClientTls> = OnceLock::new();
        let public = || Self::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        PUBLIC.get_or_init(public).clone()
    }
}

impl ClientTls {
    /// Trusts the roots in a PEM file, and no others. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or has no certificate in it.
    pub fn roots_from_file(path: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        Self::of_roots(&Pem::of_file(path.as_ref())?)
    }

    /// Trusts the roots in PEM, and no others.
    ///
    /// # Errors
    ///
    /// Fails if there is no certificate in it.
    pub fn roots_from_pem(roots: &[u8]) -> Result<Self, TlsConfigError> {
        Self::of_roots(&Pem::of_bytes("the argument roots", roots))
    }

    /// Takes a configuration of rustls as it is: for a client certificate, a verifier of one's own,
    /// another provider of cryptography. Let its ALPN have `http/1.1` and nothing else, or be empty.
    pub fn from_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self {
            config: config.into(),
        }
    }

    fn of_roots(pem: &Pem) -> Result<Self, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        for certificate in pem.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| pem.unusable(error))?;
        }
        Ok(Self::new(roots))
    }

    /// `roots` are not empty.
    fn new(roots: RootCertStore) -> Self {
        let provider = provider();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("there are roots, and no revocation lists that could be malformed");
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of all versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Explaining(verifier)))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self {
            config: Arc::new(config),
        }
    }

    /// Opens a stream to a host.
    pub(crate) async fn open<S>(&self, stream: S, host: &str) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::InvalidServerName { host: host.into() })?;
        let session = ClientConnection::new(Arc::clone(&self.config), name)?;
        let mut stream = TlsStream::new(stream, session.into());
        stream.handshake().await?;
        Ok(stream)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}
