//! Certificates and keys in files: what is good, what each mistake is called, and loading them again.

use std::fs;
use std::path::PathBuf;

use ws_driver::{ClientTls, ServerTls, TlsConfigError};
use ws_testing::certificates::{Authority, Pems};

/// Files that are gone when it is.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ws-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn certified() -> Pems {
    Authority::new("an authority").certify(&["localhost"])
}

/// A certificate and its key can be in two files, or in one.
#[test]
fn two_files_or_one() {
    let folder = Folder::new("two-files-or-one");
    let Pems { certificate, key } = certified();
    let (cert_file, key_file) = (
        folder.write("cert", &certificate),
        folder.write("key", &key),
    );
    ServerTls::from_files(&cert_file, &key_file).unwrap();
    let both = folder.write("both", &format!("a comment\n{key}{certificate}"));
    ServerTls::from_files(&both, &both).unwrap();
    ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let trust = ClientTls::roots_from_file(&cert_file).unwrap();
    let trust = trust.identity_from_files(&cert_file, &key_file).unwrap();
    trust.identity_from_files(&both, &both).unwrap();
}

/// Each mistake has an error that names the file and what was found in it.
#[test]
fn mistakes_are_named() {
    let folder = Folder::new("mistakes");
    let Pems { certificate, key } = certified();
    let (cert, key_file) = (
        folder.write("cert.pem", &certificate),
        folder.write("key.pem", &key),
    );
    let other_key = folder.write("other-key.pem", &certified().key);
    let empty = folder.write("empty.pem", "");
    let locked = folder.write(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let (cut, _) = certificate.split_at(certificate.len() / 2);
    let cut = folder.write("cut.pem", cut);
    let nonsense = folder.write(
        "nonsense.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let bad_key = folder.write(
        "bad-key.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let missing = folder.0.join("missing.pem");
    for (certificates, key, says) in [
        (&missing, &key_file, ["missing.pem", "cannot be read"]),
        (&cert, &missing, ["missing.pem", "cannot be read"]),
        (
            &empty,
            &key_file,
            ["empty.pem has no certificate", "nothing in PEM"],
        ),
        (
            &key_file,
            &key_file,
            ["key.pem has no certificate", "but PRIVATE KEY"],
        ),
        (
            &cert,
            &cert,
            ["cert.pem has no private key", "but CERTIFICATE"],
        ),
        (
            &cert,
            &locked,
            ["locked.pem has no private key", "but ENCRYPTED PRIVATE KEY"],
        ),
        (
            &cert,
            &other_key,
            ["other-key.pem does not belong to", "cert.pem"],
        ),
        (
            &cut,
            &key_file,
            ["cut.pem is not PEM", "CERTIFICATE has no end"],
        ),
        (&nonsense, &key_file, ["nonsense.pem cannot be used", ""]),
        (&cert, &bad_key, ["bad-key.pem cannot be used", ""]),
    ] {
        let error = ServerTls::from_files(certificates, key).unwrap_err();
        let text = error.to_string();
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
        // As the start of a server reports it.
        let io = std::io::Error::from(error);
        assert_eq!(io.to_string(), text);
    }
    let error = ClientTls::roots_from_file(&key_file).unwrap_err();
    assert!(
        matches!(error, TlsConfigError::NoCertificate { .. }),
        "{error}"
    );
    let error = ClientTls::roots_from_pem(b"").unwrap_err().to_string();
    assert!(
        error.starts_with("the argument roots has no certificate"),
        "{error}"
    );
}

/// Files are read again by `reload`, if there are any; a mistake in them changes nothing. That
/// connections get what was read is proved over sockets.
#[test]
fn files_are_read_again() {
    let folder = Folder::new("reload");
    let Pems { certificate, key } = certified();
    let (cert_file, key_file) = (
        folder.write("cert", &certificate),
        folder.write("key", &key),
    );
    let tls = ServerTls::from_files(&cert_file, &key_file).unwrap();
    tls.reload().unwrap();
    let next = certified();
    folder.write("cert", &next.certificate);
    let error = tls.reload().unwrap_err();
    assert!(
        matches!(error, TlsConfigError::KeyMismatch { .. }),
        "{error}"
    );
    folder.write("key", &next.key);
    tls.reload().unwrap();

    let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let error = tls.reload().unwrap_err();
    assert!(error.to_string().contains("not from a file"), "{error}");
}
