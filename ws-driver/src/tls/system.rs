//! Trust in what the system of this machine trusts: its root certificates, or its own check of certificates. Both are features,
//! and neither changes what a client trusts that did not ask for it.

use std::env;
use std::path::PathBuf;

#[cfg(feature = "rustls-native-certs")]
use rustls::RootCertStore;

use super::client::ClientTls;
use super::pem::TlsConfigError;

impl ClientTls {
    /// Trusts the root certificates of this machine, as they are now. Blocks while it reads them, so make it once and clone it;
    /// the clones share the sessions that are resumed, too.
    ///
    /// They are those of the operating system, or those in the file of the environment variable `SSL_CERT_FILE` and in the
    /// directories of `SSL_CERT_DIR`, if one of them is set. A certificate that cannot be read or used is left out, with a
    /// line in the log (level `WARN`). rustls checks the certificates of servers, as it does with Mozilla's roots.
    ///
    /// # Errors
    ///
    /// Fails with [`TlsConfigError::NoSystemRoots`] if there is no root that can be used.
    #[cfg(feature = "rustls-native-certs")]
    pub fn system_roots() -> Result<Self, TlsConfigError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (_, unusable) = roots.add_parsable_certificates(found.certs);
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        if roots.is_empty() {
            return Err(no_roots(&errors, unusable));
        }
        for error in errors.iter().take(TOLD_LIMIT) {
            tracing::warn!(target: "ws", "root certificates of this machine are left out: {error}");
        }
        if unusable > 0 {
            tracing::warn!(target: "ws", "{unusable} root certificates of this machine cannot be used");
        }
        Ok(Self::of_root_store(roots))
    }

    /// Lets the operating system decide which certificates are trusted, with all that an administrator has set there. On
    /// Windows, macOS, iOS and Android that is the verifier of the system, which may check revocation and may use the network
    /// for it, in the task that connects. On Linux and the BSDs, which have none, it is rustls with the roots of this machine;
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` count there. Blocks while it reads them, so make it once and clone it.
    ///
    /// On Android the application has to initialise the crate `rustls-platform-verifier` first.
    ///
    /// # Errors
    ///
    /// Fails with [`TlsConfigError::NoSystemRoots`] if the system has no verifier and no root that can be used.
    #[cfg(feature = "rustls-platform-verifier")]
    pub fn platform_verifier() -> Result<Self, TlsConfigError> {
        let verifier = rustls_platform_verifier::Verifier::new(super::provider());
        let verifier = verifier.map_err(|error| no_roots(&[error.to_string()], 0))?;
        Ok(Self::of_verifier(std::sync::Arc::new(verifier)))
    }
}

/// Makes the error of a system without roots.
fn no_roots(errors: &[String], unusable: usize) -> TlsConfigError {
    let mut problem = match errors {
        [] => none_found(),
        errors => errors[..errors.len().min(TOLD_LIMIT)].join(", "),
    };
    if let more @ 1.. = errors.len().saturating_sub(TOLD_LIMIT) {
        problem += &format!(", and {more} more errors");
    }
    if unusable > 0 {
        problem += &format!(", and {unusable} certificates cannot be used");
    }
    TlsConfigError::NoSystemRoots { problem }
}

/// Says that nothing was found, and where the environment told to look: a file without a certificate in it is no error there.
fn none_found() -> String {
    let named = |name| {
        Some(format!(
            "{name}={}",
            PathBuf::from(env::var_os(name)?).display()
        ))
    };
    let named: Vec<_> = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .filter_map(named)
        .collect();
    match &*named {
        [] => "none was found".to_owned(),
        named => format!("none was found in {}", named.join(" and ")),
    }
}

/// The most errors that are told. A directory can have hundreds of files.
const TOLD_LIMIT: usize = 3;
