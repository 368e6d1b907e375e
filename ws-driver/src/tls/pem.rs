//! Certificates and keys from PEM (RFC 7468), with errors that name the file and its contents. Does not know about
//! connections.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider;

/// A PEM text and its origin.
pub(super) struct Pem {
    origin: PemOrigin,
    bytes: Vec<u8>,
}

/// The origin of a PEM text: a file, or an argument with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PemOrigin {
    File(PathBuf),
    Memory(&'static str),
}

impl Pem {
    /// Reads a file. Blocks meanwhile.
    pub(super) fn of_file(path: &Path) -> Result<Self, TlsConfigError> {
        let bytes = fs::read(path).map_err(|error| TlsConfigError::Unreadable {
            file: path.into(),
            error: Arc::new(error),
        })?;
        Ok(Self {
            origin: PemOrigin::File(path.into()),
            bytes,
        })
    }

    /// Takes bytes, and their name for errors.
    pub(super) fn of_bytes(name: &'static str, bytes: &[u8]) -> Self {
        Self {
            origin: PemOrigin::Memory(name),
            bytes: bytes.into(),
        }
    }

    /// Returns all certificates, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let certificates = CertificateDer::pem_slice_iter(&self.bytes);
        let certificates: Vec<_> = certificates
            .collect::<Result<_, _>>()
            .map_err(|problem| self.malformed(&problem))?;
        if certificates.is_empty() {
            return Err(TlsConfigError::NoCertificate {
                origin: self.origin.to_string(),
                found: self.labels(),
            });
        }
        Ok(certificates)
    }

    /// Returns the first private key, of whatever kind.
    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        match PrivateKeyDer::pem_slice_iter(&self.bytes).next() {
            Some(key) => key.map_err(|problem| self.malformed(&problem)),
            None => Err(TlsConfigError::NoKey {
                origin: self.origin.to_string(),
                found: self.labels(),
            }),
        }
    }

    pub(super) fn unusable(&self, error: rustls::Error) -> TlsConfigError {
        TlsConfigError::Unusable {
            origin: self.origin.to_string(),
            error,
        }
    }

    fn malformed(&self, problem: &pem::Error) -> TlsConfigError {
        let problem = if let pem::Error::MissingSectionEnd { end_marker } = problem {
            // rustls would show the label as a list of numbers.
            let label = String::from_utf8_lossy(end_marker);
            format!("the section {label} has no end")
        } else {
            problem.to_string()
        };
        TlsConfigError::Malformed {
            origin: self.origin.to_string(),
            problem,
        }
    }

    /// Lists the sections of the text, such as `CERTIFICATE, PRIVATE KEY`. An error shows only these labels, because the
    /// contents may be a secret.
    fn labels(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let labels = text.lines().filter_map(|line| {
            let label = line.trim().strip_prefix("-----BEGIN ")?;
            label.strip_suffix("-----")
        });
        let mut labels: Vec<_> = labels.take(LABEL_LIMIT).collect();
        labels.dedup();
        if labels.is_empty() {
            return "nothing in PEM".to_owned();
        }
        labels.join(", ")
    }
}

/// The maximum number of sections that an error names.
const LABEL_LIMIT: usize = 8;

/// Combines a certificate chain and its key.
pub(super) fn certified_key(certificates: &Pem, key: &Pem) -> Result<CertifiedKey, TlsConfigError> {
    let chain = certificates.certificates()?;
    let private_key = provider()
        .key_provider
        .load_private_key(key.key()?)
        .map_err(|error| key.unusable(error))?;
    let certified = CertifiedKey::new(chain, private_key);
    // Checked at the start: otherwise every handshake would fail, and only the other side would see why.
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsConfigError::KeyMismatch {
            certificate: certificates.origin.to_string(),
            key: key.origin.to_string(),
        }),
        Err(error) => Err(certificates.unusable(error)),
    }
}

impl fmt::Display for PemOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory(name) => f.write_str(name),
        }
    }
}

/// Why certificates or keys could not be loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error.
        error: Arc<io::Error>,
    },
    /// The text is not valid PEM.
    Malformed {
        /// The file, or the argument.
        origin: String,
        /// The problem.
        problem: String,
    },
    /// The text contains no certificate.
    NoCertificate {
        /// The file, or the argument.
        origin: String,
        /// The labels of its sections.
        found: String,
    },
    /// The text contains no private key that can be read without a password.
    NoKey {
        /// The file, or the argument.
        origin: String,
        /// The labels of its sections.
        found: String,
    },
    /// The key does not belong to the first certificate.
    KeyMismatch {
        /// The origin of the certificate.
        certificate: String,
        /// The origin of the key.
        key: String,
    },
    /// The key or the certificate cannot be used.
    Unusable {
        /// The file, or the argument.
        origin: String,
        /// The error.
        error: rustls::Error,
    },
    /// This machine has no root certificate that can be used; see `ClientTls::system_roots` and
    /// `ClientTls::platform_verifier`.
    NoSystemRoots {
        /// What was found, with the files that cannot be read.
        problem: String,
    },
    /// There are no files to read again, or the certificate belongs to a configuration of the application.
    NotReloadable {
        /// The reason.
        problem: &'static str,
    },
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, error } => {
                write!(f, "{} cannot be read: {error}", file.display())
            }
            Self::Malformed { origin, problem } => write!(f, "{origin} is not PEM: {problem}"),
            Self::NoCertificate { origin, found } => write!(
                f,
                "{origin} has no certificate, but {found}; it must have a section CERTIFICATE"
            ),
            Self::NoKey { origin, found } => write!(
                f,
                "{origin} has no private key that can be used, but {found}; it must have a section \
                 PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY, without a password"
            ),
            Self::KeyMismatch { certificate, key } => write!(
                f,
                "the key in {key} does not belong to the first certificate in {certificate}; its own \
                 certificate must come first, then the intermediate ones"
            ),
            Self::Unusable { origin, error } => write!(f, "{origin} cannot be used: {error}"),
            Self::NoSystemRoots { problem } => write!(
                f,
                "this machine has no root certificates that can be used: {problem} (the environment variables \
                 SSL_CERT_FILE and SSL_CERT_DIR can name others)"
            ),
            Self::NotReloadable { problem } => {
                write!(f, "the certificate cannot be replaced: {problem}")
            }
        }
    }
}

impl Error for TlsConfigError {
    /// Returns the source of the cause, because the text of the cause is a part of this one's.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => error.source(),
            Self::Unusable { error, .. } => error.source(),
            Self::Malformed { .. }
            | Self::NoCertificate { .. }
            | Self::NoKey { .. }
            | Self::KeyMismatch { .. }
            | Self::NoSystemRoots { .. }
            | Self::NotReloadable { .. } => None,
        }
    }
}

/// Lets `?` work in a function that also binds a server.
impl From<TlsConfigError> for io::Error {
    fn from(error: TlsConfigError) -> Self {
        let kind = match &error {
            TlsConfigError::Unreadable { error, .. } => error.kind(),
            TlsConfigError::Malformed { .. }
            | TlsConfigError::NoCertificate { .. }
            | TlsConfigError::NoKey { .. }
            | TlsConfigError::KeyMismatch { .. }
            | TlsConfigError::Unusable { .. }
            | TlsConfigError::NoSystemRoots { .. }
            | TlsConfigError::NotReloadable { .. } => io::ErrorKind::InvalidInput,
        };
        // As text, because a `main` that returns the error prints it by `Debug`.
        Self::new(kind, error.to_string())
    }
}
