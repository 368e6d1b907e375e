//! TLS of the client beyond what `ClientTls` reads from a file: a certificate of its own, and no check of the
//! other one.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use ws_tokio::ClientTls;
use ws_tokio::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use ws_tokio::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use ws_tokio::rustls::pki_types::pem::PemObject;
use ws_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use ws_tokio::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

/// Whom to trust, and how to identify.
pub struct TlsFiles<'a> {
    pub ca: Option<&'a Path>,
    /// The certificate of the client, and its key.
    pub identity: Option<(&'a Path, &'a Path)>,
    pub insecure: bool,
}

impl TlsFiles<'_> {
    /// Makes the configuration; `None` if nothing was asked for.
    pub fn client_tls(&self) -> Result<Option<ClientTls>, Box<dyn Error>> {
        if self.identity.is_none() && !self.insecure {
            let roots = self.ca.map(ClientTls::roots_from_file);
            return Ok(roots.transpose()?);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if self.insecure {
            let verifier = Arc::new(Unchecked(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        } else {
            builder.with_root_certificates(roots(self.ca)?)
        };
        let mut config = match self.identity {
            Some((cert, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
                builder.with_client_auth_cert(certificates(cert)?, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(ClientTls::from_config(config)))
    }
}

/// Reads the roots in a file; without one, those of Mozilla.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, Box<dyn Error>> {
    let Some(file) = ca else {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        return Ok(roots.collect());
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| named(file, &error))?;
    }
    Ok(roots)
}

/// Reads the certificates in a file, of which there must be one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error>> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| named(file, &error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| named(file, &error))?;
    if certificates.is_empty() {
        return Err(format!("{} has no certificate", file.display()).into());
    }
    Ok(certificates)
}

fn named(file: &Path, error: &dyn Error) -> String {
    format!("{}: {error}", file.display())
}

/// Trusts every certificate. It still checks that the server has the key of the one that it shows, because
/// nothing else would tell a broken server from a working one.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
