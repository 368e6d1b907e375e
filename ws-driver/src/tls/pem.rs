//! Certificates and keys from PEM (RFC 7468), with errors that name the file and what is in it. Knows
//! nothing of connections.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider;

/// PEM, and where it is from.
pub(super) struct Pem {
    origin: PemOrigin,
    bytes: Vec<u8>,
}

/// Where PEM is from: a file, or a value of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PemOrigin {
    File(PathBuf),
    Memory(&'static str),
}

impl Pem {
    /// Reads a file; blocks meanwhile.
    pub(super) fn of_file(path: &Path) -> Result<Self, TlsConfigError> {
        let bytes = fs::read(path).map_err(|error| TlsConfigError::Unreadable {
            file: path.into(),
            error,
        })?;
        Ok(Self {
            origin: PemOrigin::File(path.into()),
            bytes,
        })
    }

    /// Takes bytes, and the name by which errors speak of them.
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
        match certificates.is_empty() {
            true => Err(TlsConfigError::NoCertificate {
                origin: self.origin.to_string(),
                found: self.labels(),
            }),
            false => Ok(certificates),
        }
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
            // Else it would be shown as a list of numbers.
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

    /// Names what is there, such as `CERTIFICATE, PRIVATE KEY`.
    fn labels(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let labels = text.lines().filter_map(|line| {
            let label = line.trim().strip_prefix("-----BEGIN ")?;
            label.strip_suffix("-----")
        });
        let mut labels: Vec<_> = labels.take(LABEL_LIMIT).collect();
        labels.dedup();
        match labels.is_empty() {
            true => "nothing in PEM".to_owned(),
            false => labels.join(", "),
        }
    }
}

/// Sections that an error names.
const LABEL_LIMIT: usize = 8;

/// Puts a certificate, those that lead to its root, and its key together.
pub(super) fn certified_key(certificates: &Pem, key: &Pem) -> Result<CertifiedKey, TlsConfigError> {
    let chain = certificates.certificates()?;
    let private_key = provider()
        .key_provider
        .load_private_key(key.key()?)
        .map_err(|error| key.unusable(error))?;
    let certified = CertifiedKey::new(chain, private_key);
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

/// What is wrong with the files or bytes that certificates and keys are taken from.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not PEM.
    Malformed {
        /// The file, or the argument.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no certificate in it.
    NoCertificate {
        /// The file, or the argument.
        origin: String,
        /// What is in it.
        found: String,
    },
    /// There is no private key in it that can be read without a password.
    NoKey {
        /// The file, or the argument.
        origin: String,
        /// What is in it.
        found: String,
    },
    /// The key is not that of the first certificate.
    KeyMismatch {
        /// Where the certificate is from.
        certificate: String,
        /// Where the key is from.
        key: String,
    },
    /// The key or the certificate cannot be used.
    Unusable {
        /// The file, or the argument.
        origin: String,
        /// Why.
        error: rustls::Error,
    },
    /// There are no files to read again, or the certificate is not ours to exchange.
    NotReloadable {
        /// Why.
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
                "the key of {key} is not that of the first certificate of {certificate}; a server's \
                 own certificate comes first, then those that lead to its root"
            ),
            Self::Unusable { origin, error } => write!(f, "{origin} cannot be used: {error}"),
            Self::NotReloadable { problem } => {
                write!(f, "the certificate cannot be loaded again: {problem}")
            }
        }
    }
}

impl Error for TlsConfigError {
    /// Returns what is behind the cause, as the text of the cause is part of this one's.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => error.source(),
            Self::Unusable { error, .. } => error.source(),
            Self::Malformed { .. }
            | Self::NoCertificate { .. }
            | Self::NoKey { .. }
            | Self::KeyMismatch { .. }
            | Self::NotReloadable { .. } => None,
        }
    }
}

/// So that `?` works where a server is started.
impl From<TlsConfigError> for io::Error {
    fn from(error: TlsConfigError) -> Self {
        let kind = match &error {
            TlsConfigError::Unreadable { error, .. } => error.kind(),
            TlsConfigError::Malformed { .. }
            | TlsConfigError::NoCertificate { .. }
            | TlsConfigError::NoKey { .. }
            | TlsConfigError::KeyMismatch { .. }
            | TlsConfigError::Unusable { .. }
            | TlsConfigError::NotReloadable { .. } => io::ErrorKind::InvalidInput,
        };
        // As text: a `main` that returns it has it printed by `Debug`.
        Self::new(kind, error.to_string())
    }
}
