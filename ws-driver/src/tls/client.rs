//! TLS of a client: its trusted roots, and the handshake over a stream.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConnection, Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::pem::{Pem, certified_key};
use super::stream::TlsStream;
use super::verify::ExplainingVerifier;
use super::{ALPN, TlsConfigError, TlsError, provider};

/// The trusted roots of a client, for [`ConnectConfig::tls`](crate::ConnectConfig::tls): by default Mozilla's
/// root certificates, whatever features are on.
///
/// The certificate of a server must be for the host of the URL, be valid now, and lead to a trusted root. The
/// same holds for a proxy whose URL begins with `https`. There is no option to disable this. A configuration
/// of rustls can have a verifier of its own.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl Default for ClientTls {
    /// Trusts Mozilla's root certificates, as they were when this library was built.
    fn default() -> Self {
        // Built-in roots are the same on every machine and in an empty container; those of the system depend on both.
        // They stay the default whatever features are on: another crate of the tree may have chosen those, and must not
        // change whom this client trusts.
        //
        // Made once, because the list is long, and because the configuration holds the sessions that rustls resumes.
        static PUBLIC: OnceLock<ClientTls> = OnceLock::new();
        let public =
            || Self::of_root_store(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        PUBLIC.get_or_init(public).clone()
    }
}

impl ClientTls {
    /// Trusts only the roots in a PEM file. Blocks while it reads the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or contains no valid certificate.
    pub fn roots_from_file(path: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        Self::of_roots(&Pem::of_file(path.as_ref())?)
    }

    /// Trusts only the roots in a PEM text.
    ///
    /// # Errors
    ///
    /// Fails if the text contains no valid certificate.
    pub fn roots_from_pem(roots: &[u8]) -> Result<Self, TlsConfigError> {
        Self::of_roots(&Pem::of_bytes("the argument roots", roots))
    }

    /// Identifies this client by a certificate in a PEM file and its private key in another one, or in the same, to a server or a
    /// proxy that asks for it. The file has the client's own certificate first, then those that lead to its root, which the other
    /// side has to know. Replaces an identity that was set before. Blocks while it reads the files.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, contains no certificate or no key without a password, or if the key belongs to another
    /// certificate.
    pub fn identity_from_files(
        self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        let certificates = Pem::of_file(certificates.as_ref())?;
        self.identified(&certificates, &Pem::of_file(key.as_ref())?)
    }

    /// Identifies this client by a certificate and its key as PEM texts; see
    /// [`identity_from_files`](Self::identity_from_files).
    ///
    /// # Errors
    ///
    /// Fails as that does.
    pub fn identity_from_pem(
        self,
        certificates: &[u8],
        key: &[u8],
    ) -> Result<Self, TlsConfigError> {
        let certificates = Pem::of_bytes("the argument certificates", certificates);
        self.identified(&certificates, &Pem::of_bytes("the argument key", key))
    }

    fn identified(self, certificates: &Pem, key: &Pem) -> Result<Self, TlsConfigError> {
        let certified = certified_key(certificates, key)?;
        let mut config = Arc::unwrap_or_clone(self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        // A clone has the sessions in common, and one that is resumed has the identity with which it began.
        config.resumption = Resumption::default();
        Ok(Self::from_config(config))
    }

    /// Uses a configuration of rustls as it is, for instance with a custom verifier or another provider of cryptography. Its ALPN must be empty, or contain `http/1.1` and nothing else.
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
        Ok(Self::of_root_store(roots))
    }

    /// Makes the configuration. `roots` must not be empty.
    pub(super) fn of_root_store(roots: RootCertStore) -> Self {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .expect("there are roots, and no revocation lists that could be malformed");
        Self::of_verifier(verifier)
    }

    /// Makes the configuration.
    pub(super) fn of_verifier(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of all versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ExplainingVerifier(verifier)))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self {
            config: Arc::new(config),
        }
    }

    /// Speaks TLS with a host over a stream to it, for something else than WebSockets, such as a
    /// [`Backplane`](crate::Backplane). A client of WebSockets does it by itself.
    ///
    /// # Errors
    ///
    /// Fails if the host is no name or address, its certificate is not trusted, or the stream breaks.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the stream is closed.
    pub async fn connect<S>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        self.open(stream, host).await
    }

    /// Does the TLS handshake with a host over a stream to it.
    pub(crate) async fn open<S>(&self, stream: S, host: &str) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // The dot of an absolute name is for the lookup. No certificate has it, and not all verifiers leave it out.
        let absolute = host.strip_suffix('.').unwrap_or(host);
        let name = ServerName::try_from(absolute.to_owned())
            .map_err(|_| TlsError::InvalidServerName { host: host.into() })?;
        let session = ClientConnection::new(Arc::clone(&self.config), name)?;
        let mut stream = TlsStream::new(stream, session.into());
        stream.handshake(Vec::new()).await?;
        Ok(stream)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}
