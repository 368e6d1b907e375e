//! Explains why a certificate is not trusted in more detail than the verifiers of rustls and of systems do: whether it is self-signed, the
//! most frequent cause of an unknown issuer. It trusts no certificate that the verifier does not trust.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use webpki::EndEntityCert;

use super::error::CertificateProblem;

/// A verifier with an error of its own for a self-signed certificate.
#[derive(Debug)]
pub(super) struct ExplainingVerifier(pub(super) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for ExplainingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = &self.0;
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            // A trusted root of the same name and another key, as that of a certificate that was made anew, gives an error of
            // the signature instead of an unknown issuer.
            let is_unknown = matches!(
                &error,
                rustls::Error::InvalidCertificate(error) if matches!(
                    CertificateProblem::of(error),
                    CertificateProblem::UnknownIssuer | CertificateProblem::Other
                )
            );
            // Looked at after the verifier has refused the certificate, so this cannot make it trusted.
            if is_unknown && is_self_issued(end_entity) {
                CertificateError::Other(OtherError(Arc::new(SelfSigned))).into()
            } else {
                error
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Returns whether issuer and subject are the same. The signature is not checked, because this only chooses the text of
/// an error.
fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.issuer() == certificate.subject())
}

/// The error for a certificate that is its own issuer and is not one of the roots.
#[derive(Debug)]
pub(super) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is self-signed")
    }
}

impl Error for SelfSigned {}
