//! TLS of the client: whom it trusts, its own certificate, and what `ClientTls` has not, no check of the other one.

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
use ws_tokio::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ws_tokio::rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};

/// Whom to trust, and how to identify.
pub struct TlsFiles<'a> {
    pub ca: Option<&'a Path>,
    /// Whether the roots of this machine are trusted.
    pub system_roots: bool,
    /// The certificate of the client, and its key.
    pub identity: Option<(&'a Path, &'a Path)>,
    pub insecure: bool,
}

impl TlsFiles<'_> {
    /// Makes the configuration; `None` if nothing was asked for.
    pub fn client_tls(&self) -> Result<Option<ClientTls>, Box<dyn Error>> {
        let trust = if self.insecure {
            Some(unchecked()?)
        } else if self.system_roots {
            Some(ClientTls::system_roots()?)
        } else {
            self.ca.map(ClientTls::roots_from_file).transpose()?
        };
        Ok(match self.identity {
            Some((cert, key)) => Some(trust.unwrap_or_default().identity_from_files(cert, key)?),
            None => trust,
        })
    }
}

/// Makes a configuration that trusts every certificate.
fn unchecked() -> Result<ClientTls, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(ClientTls::from_config(config))
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
