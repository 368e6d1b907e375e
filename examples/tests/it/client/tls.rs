//! Certificates: whom the client trusts, and how it identifies.

use std::sync::Arc;

use ws_tokio::rustls::pki_types::pem::PemObject;
use ws_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ws_tokio::rustls::server::WebPkiClientVerifier;
use ws_tokio::rustls::{self, RootCertStore};
use ws_tokio::{Server, ServerTls};

use super::{Local, Run, echo, run, start};
use crate::tls::Certificate;

/// An echo server with a certificate.
fn secure(tls: ServerTls) -> Local {
    let mut server = Local::start(Server::builder().tls(tls), echo);
    server.scheme = "wss";
    server
}

fn with(certificate: &Certificate) -> Local {
    secure(ServerTls::from_files(&certificate.cert, &certificate.key).unwrap())
}

/// --ca trusts that root and no other one; without it, Mozilla's. What is not trusted has an exit code of
/// its own.
#[test]
fn a_root_is_trusted() {
    let (ours, other) = (Certificate::new("cli-ours"), Certificate::new("cli-other"));
    let server = with(&ours);
    let url = server.url();
    let trusting = run(&[&url, "--ca", &ours.cert], b"hello\n");
    trusting.says(0, "ended: 1000").printed("hello\n");
    for options in [&[&*url, "--ca", &other.cert][..], &[&url]] {
        let ended = run(options, b"hello\n");
        ended.says(4, "the certificate is not trusted").printed("");
    }
    // The name has to be right, too.
    let by_address = url.replace("localhost", "127.0.0.1");
    run(&[&by_address, "--ca", &ours.cert], b"").says(4, "the certificate is not trusted");
    // Nor is a server without TLS a matter of trust.
    let plain = Local::echo();
    let url = plain.url().replace("ws://", "wss://");
    run(&[&url, "--ca", &ours.cert], b"").says(4, "speaks HTTP without TLS");
}

/// --system-roots trusts whom this machine trusts, which the environment can say: an authority that certifies a server. Without it
/// the environment has no say.
#[test]
fn the_roots_of_the_machine_are_trusted() {
    let (authority, pems) = (
        Certificate::new("cli-authority"),
        Certificate::new("cli-pems"),
    );
    authority.certify(&pems);
    let server = with(&pems);
    let url = server.url();
    let connect = |options: &[&str], file: &str| {
        // Empty, so that the environment of the tests has no say.
        let environment = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "")];
        let mut run = Run::start_in(&environment, options);
        run.feed(b"hello\n".to_vec());
        run.end()
    };
    let trusting = connect(&[&url, "--system-roots"], &authority.cert);
    trusting.says(0, "ended: 1000").printed("hello\n");
    let default = connect(&[&url], &authority.cert);
    default.says(4, "it does not lead to a trusted root");
    let other = connect(&[&url, "--system-roots"], &pems.cert);
    other.says(4, "the certificate is not trusted");
    let missing = connect(&[&url, "--system-roots"], "/no/such/roots.pem");
    missing
        .says(2, "this machine has no root certificates that can be used")
        .says(2, "'/no/such/roots.pem'");
}

/// --insecure trusts any certificate, for any name, and says so.
#[test]
fn nothing_is_checked_if_asked() {
    let server = with(&Certificate::new("cli-insecure"));
    for host in ["localhost", "127.0.0.1"] {
        let url = server.url().replace("localhost", host);
        for option in ["--insecure", "-k"] {
            let ended = run(&[&url, option], b"hello\n");
            ended
                .says(0, "warning: certificates are not checked")
                .printed("hello\n");
        }
    }
}

/// --cert and --key identify the client, to a server that asks for it.
#[test]
fn the_client_has_a_certificate() {
    let (ours, theirs) = (
        Certificate::new("cli-server"),
        Certificate::new("cli-client"),
    );
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&theirs.cert).unwrap())
        .unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&ours.cert).unwrap()],
            PrivateKeyDer::from_pem_file(&ours.key).unwrap(),
        );
    let server = secure(ServerTls::from_config(config.unwrap()));
    let url = server.url();
    let identity = ["--cert", &theirs.cert, "--key", &theirs.key];
    for trust in [&["--ca", &ours.cert][..], &["--insecure"]] {
        let trusted = run(&[&[&*url], trust, &identity[..]].concat(), b"hello\n");
        trusted.says(0, "ended: 1000").printed("hello\n");
        let unknown = run(&[&[&*url], trust].concat(), b"hello\n");
        unknown.says(4, "the peer refused TLS").printed("");
    }
    // Mozilla's roots do not lead to the server.
    let ended = run(&[&[&*url], &identity[..]].concat(), b"hello\n");
    ended.says(4, "the certificate is not trusted");
    // One of another client.
    let wrong = ["--cert", &ours.cert, "--key", &ours.key, "--ca", &ours.cert];
    run(&[&[&*url], &wrong[..]].concat(), b"").says(4, "the peer refused TLS");
}

/// With --listen, the certificate is that of a server.
#[test]
fn a_listener_speaks_tls() {
    let certificate = Certificate::new("cli-listen");
    let (cert, key) = (&*certificate.cert, &*certificate.key);
    let mut listener = start(&["--listen", "0", "--oneshot", "--cert", cert, "--key", key]);
    let line = listener.error_line();
    let port = line.strip_prefix("listening on wss://127.0.0.1:").unwrap();
    let url = format!("wss://localhost:{port}");
    run(&[&url, "--ca", cert], b"hello\n").says(0, "ended: 1000");
    assert_eq!(listener.line(), "hello");
    assert!(listener.wait().success());
}
