//! The examples with certificates: echo on each runtime, the chat, the client.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::common::{Program, serve};

/// A certificate for localhost that is its own root, in files that are gone when it is.
pub struct Certificate {
    folder: PathBuf,
    pub cert: String,
    pub key: String,
}

impl Certificate {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("examples-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let this = Self {
            cert: folder.join("cert.pem").display().to_string(),
            key: folder.join("key.pem").display().to_string(),
            folder,
        };
        this.renew();
        this
    }

    /// Writes another one into the same files.
    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&self.cert, made.cert.pem()).unwrap();
        fs::write(&self.key, made.signing_key.serialize_pem()).unwrap();
    }

    /// Makes this an authority, and the other one a certificate for localhost that it has signed.
    pub fn certify(&self, other: &Self) {
        let key = || rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let name = rcgen::DnType::CommonName;
        authority.distinguished_name.push(name, "an authority");
        let authority = rcgen::CertifiedIssuer::self_signed(authority, key()).unwrap();
        fs::write(&self.cert, authority.pem()).unwrap();
        let key = key();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &authority).unwrap();
        fs::write(&other.cert, signed.pem()).unwrap();
        fs::write(&other.key, key.serialize_pem()).unwrap();
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a server; returns it and its port.
fn start(program: &str, scheme: &str, certificate: &Certificate) -> (Program, u16) {
    let options = ["--cert", &certificate.cert, "--key", &certificate.key];
    let (server, addr) = serve(program, scheme, &options);
    (server, addr.port())
}

/// echo --cert on each runtime, and client --ca: what is sent comes back; without --ca it is not trusted.
#[test]
fn echo_and_client_speak_tls() {
    let certificate = Certificate::new("echo");
    for program in [
        env!("CARGO_BIN_EXE_echo"),
        env!("CARGO_BIN_EXE_echo-smol"),
        env!("CARGO_BIN_EXE_echo-async-std"),
    ] {
        let (_server, port) = start(program, "wss", &certificate);
        let url = format!("wss://localhost:{port}/");
        let options = [&*url, "--ca", &certificate.cert];
        let mut client = Program::start(env!("CARGO_BIN_EXE_client"), &options);
        client.write_line("hello");
        assert_eq!(client.line(), "hello");
        client.end_input();
        assert!(client.wait().success());

        let mut client = Program::start(env!("CARGO_BIN_EXE_client"), &[&url]);
        let error = client.error_line();
        assert!(error.contains("it is self-signed"), "{error}");
        assert!(!client.wait().success());
    }
}

/// The chat reads its files again on HUP: who trusts the new certificate gets in, who trusts the old one does
/// not.
#[test]
#[cfg(unix)]
fn the_chat_reads_its_certificate_again() {
    let certificate = Certificate::new("chat");
    let (server, port) = start(env!("CARGO_BIN_EXE_chat"), "https", &certificate);
    let old = format!("{}.old", certificate.cert);
    fs::copy(&certificate.cert, &old).unwrap();
    let url = format!("wss://localhost:{port}/chat");
    let connects = |root: &str| {
        let mut client = Program::start(env!("CARGO_BIN_EXE_client"), &[&url, "--ca", root]);
        client.end_input();
        client.wait().success()
    };
    assert!(connects(&old));
    certificate.renew();
    let hangup = Command::new("kill")
        .args(["-HUP", &server.id().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    assert_eq!(server.line(), "the certificate was read again");
    assert!(connects(&certificate.cert));
    assert!(!connects(&old));
}

/// Files in which there is not what should be end a server before it listens, with their name.
#[test]
fn a_bad_file_is_named() {
    let certificate = Certificate::new("bad");
    let (cert, key) = (&*certificate.key, &*certificate.cert);
    let options = ["--listen", "127.0.0.1:0", "--cert", cert, "--key", key];
    let mut server = Program::start(env!("CARGO_BIN_EXE_echo"), &options);
    let error = server.error_line();
    assert!(
        error.contains("key.pem has no certificate, but PRIVATE KEY"),
        "{error}"
    );
    assert!(!server.wait().success());
}
