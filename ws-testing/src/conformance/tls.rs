//! TLS: messages through it, which certificates are trusted, and attacks by peers.

use std::sync::Arc;

use ws_driver::rustls;
use ws_driver::rustls::pki_types::pem::PemObject;
use ws_driver::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ws_driver::rustls::server::WebPkiClientVerifier;
use ws_driver::rustls::{AlertDescription, RootCertStore};
use ws_proto::{ClientConfig, CloseCause, Initiator, Message, Version};

use super::support::{
    ANY, Host, KEY3, Log, Peer, RFC6455, Told, echo, masked, ms, serve, sleep, spawn, text,
};
use crate::certificates::{Authority, Pems, self_signed, self_signed_as};
use ws_driver::internals::{Secured, abort, duplex, open_client};
use ws_driver::{
    CertificateProblem, ClientTls, ConnectConfig, ConnectError, ConnectStage, Connection,
    ProxyProtocol, RequestBody, Runtime, Server, ServerTls, TlsConfigError, TlsError, TlsVersion,
    connect, connect_over, connect_with,
};

fn server_tls(pems: &Pems) -> ServerTls {
    ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes()).unwrap()
}

fn trust(authority: &Authority) -> ClientTls {
    ClientTls::roots_from_pem(authority.root().as_bytes()).unwrap()
}

fn url<R: Runtime>(server: &Server<R>) -> String {
    format!("wss://localhost:{}/demo", server.local_addr().port())
}

/// An echo server with a good certificate for localhost, and what its clients trust.
async fn secure_echo<R: Runtime + Default>(log: Log) -> (Host<R>, ClientTls) {
    let authority = Authority::new("an authority");
    let tls = server_tls(&authority.certify(&["localhost"]));
    let builder = Server::<R>::builder().tls(tls).observer(log);
    (serve(builder, echo).await, trust(&authority))
}

/// A client that speaks bytes inside of TLS.
async fn peer<R: Runtime + Default>(
    server: &Server<R>,
    trust: &ClientTls,
) -> Peer<R, impl Secured<R::Stream> + use<R>> {
    let stream = Peer::<R>::connect(server).await.into_stream();
    Peer::of_stream(open_client(trust, stream, "localhost").await.unwrap())
}

/// Every version opens, sends messages of all sizes both ways and closes inside of TLS; the locations
/// in the drafts' answers begin with `wss`, as their clients demand it. Both ends know of the TLS.
pub async fn every_version_speaks_over_tls<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let tls = server_tls(&authority.certify(&["localhost"]));
    let told = Told::default();
    let teller = told.clone();
    let server = serve(Server::<R>::builder().tls(tls), move |connection| {
        let tls = connection.tls().unwrap();
        teller.tell((tls.version, tls.server_name.clone()));
        echo(connection)
    })
    .await;
    for version in Version::ALL {
        let options = ConnectConfig::from(ClientConfig::new().version(version));
        let options = options.tls(trust(&authority));
        let mut connection = connect_with::<R>(&url(&server), options).await.unwrap();
        assert_eq!(connection.version(), version);
        let tls = connection.tls().unwrap();
        assert_eq!((tls.version, &tls.server_name), (TlsVersion::Tls13, &None));
        let localhost = Some("localhost".into());
        assert_eq!(told.next().await, (TlsVersion::Tls13, localhost));
        for len in [0, 1, 125, 16_383, 16_384, 16_385, 65_536, 1 << 20] {
            let message = Message::from("x".repeat(len));
            connection.send(message.clone()).await.unwrap();
            assert_eq!(connection.recv().await, Some(message), "{len} bytes");
        }
        // Both sides write much before either reads.
        for _ in 0..2 {
            connection.send("y".repeat(1 << 20)).await.unwrap();
        }
        for _ in 0..2 {
            assert_eq!(text(&mut connection).await.len(), 1 << 20);
        }
        let closed = connection.close().await;
        assert_eq!(closed.clean, version != Version::Draft75, "{closed}");
        assert_eq!(closed.by, Initiator::Local);
    }
}

/// Plain HTTP, a draft and RFC 6455 come in on the same port, inside of TLS.
pub async fn one_port_has_it_all_inside_of_tls<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let builder = Server::<R>::builder()
        .tls(server_tls(&authority.certify(&["localhost"])))
        .on_request(|request: http::Request<_>| async move {
            http::Response::new(format!("you asked for {}", request.uri()))
        });
    let server = serve(builder, echo).await;
    let trust = trust(&authority);
    let mut http = peer(&server, &trust).await;
    for _ in 0..2 {
        let (head, body) = http.ask_all("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, "you asked for /a");
    }
    // It goes on from there to a WebSocket.
    assert!(http.ask(RFC6455).await.starts_with("HTTP/1.1 101 "));
    http.write(masked(0x81, b"hi")).await;
    assert_eq!(http.frame().await, (0x81, b"hi".to_vec()));

    let mut draft = peer(&server, &trust).await;
    let answer = draft.ask(super::support::DRAFT76).await;
    let location = "\r\nSec-WebSocket-Location: wss://example.com/demo\r\n";
    assert!(answer.contains(location), "{answer}");
    draft.write(KEY3).await;
    draft.read(16).await;
    draft.write(b"\x00hi\xff").await;
    assert_eq!(draft.read(4).await, b"\x00hi\xff");
}

/// A client goes no further with a server that it cannot trust, and says why; the server hears of it.
pub async fn who_is_not_trusted_is_refused<R: Runtime + Default>() {
    let (authority, other) = (Authority::new("an authority"), Authority::new("another"));
    for (pems, problem, says) in [
        (
            authority.certify(&["example.com"]),
            CertificateProblem::WrongHost,
            "example.com",
        ),
        (
            authority.certify_expired(&["localhost"]),
            CertificateProblem::Expired,
            "expired",
        ),
        (
            self_signed(&["localhost"]),
            CertificateProblem::SelfSigned,
            "self-signed",
        ),
        (
            other.certify(&["localhost"]),
            CertificateProblem::UnknownIssuer,
            "roots_from_file",
        ),
        // A trusted root has the same name and another key, because theirs was made anew.
        (
            self_signed_as("an authority", &["localhost"]),
            CertificateProblem::SelfSigned,
            "self-signed",
        ),
        (
            Authority::new("an authority").certify(&["localhost"]),
            CertificateProblem::UnknownIssuer,
            "roots_from_file",
        ),
    ] {
        let log = Log::default();
        let builder = Server::<R>::builder().tls(server_tls(&pems));
        let server = serve(builder.observer(log.clone()), echo).await;
        let options = ConnectConfig::new().tls(trust(&authority));
        let error = connect_with::<R>(&url(&server), options).await.unwrap_err();
        let text = error.to_string();
        let ConnectError::Tls(TlsError::Certificate { problem: seen, .. }) = error else {
            unreachable!("{error:?}");
        };
        assert_eq!(seen, problem, "{text}");
        assert!(text.contains(says), "{text}");
        log.until("rejected ?: the peer refused TLS with the alert")
            .await;
        log.until("close ?: 1006").await;
        // By default nobody is trusted but those who the world knows.
        let error = connect::<R>(&url(&server)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Tls(TlsError::Certificate { .. })),
            "{error:?}"
        );
    }
}

/// A stranger is not trusted by the roots of this machine and by its verifier either. Whom they trust is for the environment of
/// a process to say, so `ws-driver/tests/it/tls_system.rs` has that.
pub async fn the_machine_trusts_no_stranger<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let builder = Server::<R>::builder().tls(server_tls(&authority.certify(&["localhost"])));
    let server = serve(builder, echo).await;
    for trust in [ClientTls::system_roots(), ClientTls::platform_verifier()] {
        let trust = match trust {
            Ok(trust) => trust,
            // A small container has no roots.
            Err(TlsConfigError::NoSystemRoots { .. }) => continue,
            Err(error) => unreachable!("{error}"),
        };
        let options = ConnectConfig::new().tls(trust);
        let error = connect_with::<R>(&url(&server), options).await.unwrap_err();
        let ConnectError::Tls(TlsError::Certificate { problem, .. }) = error else {
            unreachable!("{error:?}");
        };
        assert_eq!(problem, CertificateProblem::UnknownIssuer);
    }
}

/// A server that wants a certificate of the client looks at it after the client's side of the handshake is
/// done, in TLS 1.3, and refuses by an alert; that is an error of TLS, whichever version.
pub async fn a_missing_client_certificate_is_an_error_of_tls<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tls = demanding_tls(&authority, version);
        let server = serve(Server::<R>::builder().tls(tls), echo).await;
        let options = ConnectConfig::new().tls(trust(&authority));
        let error = connect_with::<R>(&url(&server), options).await.unwrap_err();
        let ConnectError::Tls(TlsError::Refused { alert }) = error else {
            unreachable!("{version:?}: {error:?}");
        };
        assert_eq!(alert, AlertDescription::CertificateRequired);
    }
}

/// A client identifies itself by a certificate and its key, and a server asks for it. Sessions are not resumed with another
/// identity, so a client that takes its identity from one that has none, or another, is that client.
pub async fn a_client_has_an_identity<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let (one, two) = (authority.certify(&["one"]), authority.certify(&["two"]));
    let trust = trust(&authority);
    let identified = |pems: &Pems| {
        let (certificate, key) = (pems.certificate.as_bytes(), pems.key.as_bytes());
        trust.clone().identity_from_pem(certificate, key)
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let builder = Server::<R>::builder().tls(demanding_tls(&authority, version));
        let server = serve(builder, |mut connection: Connection| async move {
            let tls = connection.tls().unwrap();
            let shown = tls.client_certificates.as_ref().unwrap()[0].to_vec();
            let _ = connection.send(shown).await;
            connection.recv().await;
        })
        .await;
        for pems in [&one, &two, &one] {
            let options = ConnectConfig::new().tls(identified(pems).unwrap());
            let opened = connect_with::<R>(&url(&server), options).await;
            let shown = opened.unwrap().recv().await.unwrap();
            let own = CertificateDer::from_pem_slice(pems.certificate.as_bytes()).unwrap();
            assert_eq!(shown.as_bytes(), &*own);
        }
        let options = ConnectConfig::new().tls(trust.clone());
        let error = connect_with::<R>(&url(&server), options).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Tls(TlsError::Refused { .. })),
            "{error:?}"
        );
    }
    let mixed = (one.certificate.as_bytes(), two.key.as_bytes());
    let error = trust.identity_from_pem(mixed.0, mixed.1).unwrap_err();
    assert!(matches!(error, TlsConfigError::KeyMismatch { .. }));
}

/// A server knows who its client is by the certificate that it has verified.
pub async fn a_client_shows_its_certificate<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let pems = authority.certify(&["a client"]);
    let chain = CertificateDer::pem_slice_iter(pems.certificate.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.clone(), key)
        .unwrap();
    let options = ConnectConfig::new().tls(ClientTls::from_config(config));
    let shown: Vec<Vec<u8>> = chain.iter().map(|it| it.to_vec()).collect();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let shown = shown.clone();
        let builder = Server::<R>::builder().tls(demanding_tls(&authority, version));
        let server = serve(builder, move |connection| {
            let tls = connection.tls().unwrap();
            let certificates = tls.client_certificates.as_ref().unwrap();
            assert_eq!(
                certificates
                    .iter()
                    .map(|it| it.to_vec())
                    .collect::<Vec<_>>(),
                shown
            );
            assert_eq!(
                tls.alpn, None,
                "a configuration of the application names none"
            );
            echo(connection)
        })
        .await;
        let opened = connect_with::<R>(&url(&server), &options).await;
        let mut connection = opened.unwrap();
        assert_eq!(connection.tls().unwrap().client_certificates, None);
        connection.send("it is me").await.unwrap();
        assert_eq!(text(&mut connection).await, "it is me");
    }
}

/// Has a certificate for localhost, and wants one of the client.
fn demanding_tls(
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> ServerTls {
    let mut roots = RootCertStore::empty();
    let pems = authority.certify(&["localhost"]);
    let root = CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = CertificateDer::pem_slice_iter(pems.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    ServerTls::from_config(config)
}

/// Another certificate is there for who comes then, and what is open goes on.
pub async fn a_certificate_is_exchanged_while_serving<R: Runtime + Default>() {
    let (old, new) = (Authority::new("the old one"), Authority::new("the new one"));
    let tls = server_tls(&old.certify(&["localhost"]));
    let server = serve(Server::<R>::builder().tls(tls.clone()), echo).await;
    let connect = async |authority: &Authority| {
        let options = ConnectConfig::new().tls(trust(authority));
        connect_with::<R>(&url(&server), options).await
    };
    let mut first = connect(&old).await.unwrap();
    let pems = new.certify(&["localhost"]);
    // Half of a pair is refused, and changes nothing.
    let other = new.certify(&["localhost"]);
    let error = tls.replace(pems.certificate.as_bytes(), other.key.as_bytes());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("the argument key"), "{error}");
    connect(&old).await.unwrap();

    tls.replace(pems.certificate.as_bytes(), pems.key.as_bytes())
        .unwrap();
    let mut second = connect(&new).await.unwrap();
    connect(&old).await.unwrap_err();
    for connection in [&mut first, &mut second] {
        connection.send("hi").await.unwrap();
        assert_eq!(text(connection).await, "hi");
    }
}

/// A peer that says nothing, or a byte now and then, is gone when the handshake timeout is over, which
/// holds for TLS and what follows together; others get in meanwhile.
pub async fn half_a_tls_handshake_is_gone_in_time<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let log = Log::default();
    let builder = Server::<R>::builder()
        .tls(server_tls(&authority.certify(&["localhost"])))
        .handshake_timeout(ms(300))
        .observer(log.clone());
    let server = serve(builder, echo).await;
    let trust = trust(&authority);
    let begin = R::default().now();
    let mut silent = Peer::<R>::connect(&server).await;
    let mut trickle = Peer::<R>::connect(&server).await;
    let mut idle = peer(&server, &trust).await;
    let trickling = spawn::<R, _>(async move {
        // The beginning of a record of 512 bytes.
        for byte in [22, 3, 1, 2, 0].into_iter().chain([1; 512]) {
            if trickle.try_write(&[byte]).await.is_err() {
                break;
            }
            sleep::<R>(ms(20)).await;
        }
        trickle.read_to_end().await
    });
    let options = ConnectConfig::new().tls(trust);
    let mut good = connect_with::<R>(&url(&server), options).await.unwrap();
    assert_eq!(silent.read_to_end().await, b"");
    assert_eq!(trickling.next().await, b"");
    // TLS was done, the opening handshake was not.
    let answer = idle.read_to_end().await;
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        answer.escape_ascii()
    );
    let waited = R::default().now() - begin;
    assert!(waited >= ms(290) && waited < ms(5000), "{waited:?}");
    log.until("rejected ?: the TLS handshake was not done after 300ms")
        .await;
    good.send("hi").await.unwrap();
    assert_eq!(text(&mut good).await, "hi");
}

/// X11: a client that asks for pages over TLS and reads none is cut off once it has taken nothing for the
/// `handshake_timeout`, though close_notify waits to be written, and its place is free again.
pub async fn who_reads_no_answer_over_tls_is_cut_off<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let builder = Server::<R>::builder()
        .tls(server_tls(&authority.certify(&["localhost"])))
        .handshake_timeout(ms(2000))
        .close_timeout(ms(60_000))
        .connection_limit(1)
        .on_request(|_: http::Request<RequestBody>| async {
            http::Response::new("x".repeat(64 << 10))
        });
    let server = serve(builder, echo).await;
    let trust = trust(&authority);
    let mut deaf = peer(&server, &trust).await;
    let plain = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n";
    deaf.write_until_it_breaks(plain.repeat(1000).as_bytes())
        .await;
    let options = ConnectConfig::new().tls(trust);
    let mut good = connect_with::<R>(&url(&server), options).await.unwrap();
    good.send("hi").await.unwrap();
    assert_eq!(text(&mut good).await, "hi");
}

/// Who speaks HTTP without TLS is told so; who speaks anything else, and who says nothing, is not.
pub async fn what_is_not_tls_is_turned_away<R: Runtime + Default>() {
    let log = Log::default();
    let (server, trust) = secure_echo::<R>(log.clone()).await;
    let mut http = Peer::<R>::connect(&server).await;
    let (head, body) = http.ask_all(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert!(body.ends_with("instead of http:// or ws://.\n"), "{body}");
    assert_eq!(http.read_to_end().await, b"");
    drop(http);
    log.until("rejected ?: the peer speaks HTTP without TLS")
        .await;

    let mut garbage = Peer::<R>::connect(&server).await;
    garbage.write(b"\0\x01\xff garbage").await;
    assert_eq!(garbage.read_to_end().await, b"");
    let not_tls = "the first bytes of the peer are not TLS: \"\\x00\\x01\\xff garbage\"";
    log.until(&format!("rejected ?: {not_tls}")).await;

    // A ClientHello of one byte is answered with an alert.
    let mut garbage = Peer::<R>::connect(&server).await;
    garbage.write(b"\x16\x03\x01\x00\x05\x01\0\0\x01x").await;
    assert_eq!(garbage.read_to_end().await[..3], [21, 3, 3]);
    log.until("rejected ?: the TLS handshake failed").await;

    let mut nothing = Peer::<R>::connect(&server).await;
    nothing.end().await;
    assert_eq!(nothing.read_to_end().await, b"");
    while let Some(line) = log.try_next() {
        assert!(!line.starts_with("rejected"), "{line}");
    }
    let options = ConnectConfig::new().tls(trust);
    connect_with::<R>(&url(&server), options).await.unwrap();
}

/// A stream that is cut off without the end that TLS has is not clean; a closing handshake that came
/// before stays what it was.
pub async fn an_end_is_judged_by_the_closing_handshake<R: Runtime + Default>() {
    let log = Log::default();
    let (server, trust) = secure_echo::<R>(log.clone()).await;
    let mut cut = peer(&server, &trust).await;
    cut.ask(RFC6455).await;
    let mut raw = Peer::<R>::of_stream(cut.into_stream().into_transport());
    raw.end().await;
    // The alert close_notify in a record, and then the end.
    assert_eq!(raw.read_to_end().await[..3], [23, 3, 3]);
    let lines = log.until("close").await;
    let line = lines.last().unwrap();
    assert!(line.contains("1006"), "{line}");

    let mut clean = peer(&server, &trust).await;
    clean.ask(RFC6455).await;
    clean.write(masked(0x88, &[3, 232])).await;
    assert_eq!(clean.frame().await, (0x88, vec![3, 232]));
    let mut raw = Peer::<R>::of_stream(clean.into_stream().into_transport());
    raw.end().await;
    raw.read_to_end().await;
    let lines = log.until("close").await;
    let line = lines.last().unwrap();
    assert!(line.starts_with("close rfc6455: 1000"), "{line}");

    // The same at the other end: a server that vanishes.
    let options = ConnectConfig::new().tls(trust.clone());
    let mut connection = connect_with::<R>(&url(&server), options).await.unwrap();
    server.clients().iter().for_each(|sender| abort(&sender));
    assert_eq!(connection.recv().await, None);
    let closed = connection.closed().unwrap();
    assert!(!closed.clean, "{closed}");
    assert_eq!(closed.cause, CloseCause::Disconnected);
}

/// A client gives up when all of it takes too long, and says how far it got: at a port that takes
/// streams and says nothing.
pub async fn connect_timeout_says_how_far_it_got<R: Runtime + Default>() {
    let deaf = std::net::TcpListener::bind(ANY).unwrap();
    let addr = deaf.local_addr().unwrap();
    for (scheme, stage) in [("wss", ConnectStage::Tls), ("ws", ConnectStage::Handshake)] {
        let options = ConnectConfig::new().connect_timeout(ms(100));
        let url = format!("{scheme}://{addr}/");
        let error = connect_with::<R>(&url, options).await.unwrap_err();
        let text = error.to_string();
        let ConnectError::Timeout {
            stage: seen,
            waited,
            ..
        } = error
        else {
            unreachable!("{error:?}");
        };
        assert_eq!((seen, waited), (stage, ms(100)));
        assert!(text.contains("option connect_timeout"), "{text}");
    }
}

/// A client speaks TLS over a stream that the application made if it is told whom to trust and the URL
/// says `wss`, and only then; it gives up there in time, too.
pub async fn tls_over_a_stream_of_the_application<R: Runtime + Default>() {
    let (server, trust) = secure_echo::<R>(Log::default()).await;
    let options = ConnectConfig::new().tls(trust);
    let url = url(&server);
    let stream = Peer::<R>::connect(&server).await.into_stream();
    let opened = connect_over::<R, _>(stream, &url, &options).await;
    let mut connection = opened.unwrap();
    assert_eq!(connection.tls().unwrap().version, TlsVersion::Tls13);
    assert_eq!(connection.tls().unwrap().alpn.as_deref(), Some("http/1.1"));
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");

    // What is handed in to the same server comes as it is.
    for (url, options) in [
        ("ws://localhost/", options.clone()),
        ("wss://localhost/", ConnectConfig::new()),
    ] {
        let (ours, theirs) = duplex();
        let served = |connection: Connection| {
            assert!(connection.tls().is_none());
            echo(connection)
        };
        assert!(server.handle_stream(ours, None, served).await);
        let opened = connect_over::<R, _>(theirs, url, options).await;
        let mut connection = opened.unwrap();
        assert!(connection.tls().is_none(), "{url}");
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
    }

    let options = options.connect_timeout(ms(100));
    for (url, stage) in [
        ("wss://localhost/", ConnectStage::Tls),
        ("ws://localhost/", ConnectStage::Handshake),
    ] {
        let (_deaf, theirs) = duplex();
        let error = connect_over::<R, _>(theirs, url, &options)
            .await
            .unwrap_err();
        let ConnectError::Timeout { stage: seen, .. } = error else {
            unreachable!("{error:?}");
        };
        assert_eq!(seen, stage);
    }
}

/// A header of the PROXY protocol comes before TLS, in one segment with its first record or in another, and names the client.
pub async fn tls_comes_behind_a_proxy_header<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let proxies = ProxyProtocol::required(["127.0.0.1"]).unwrap();
    let builder = Server::<R>::builder()
        .tls(server_tls(&authority.certify(&["localhost"])))
        .proxy_protocol(proxies);
    let client = "192.0.2.7:8080".parse().ok();
    let server = serve(builder, move |connection| {
        assert_eq!(connection.peer_addr(), client);
        assert!(connection.tls().is_some());
        echo(connection)
    })
    .await;
    let options = ConnectConfig::new().tls(trust(&authority));
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n";
    for wait in [ms(0), ms(50)] {
        let mut peer = Peer::<R>::connect(&server).await;
        peer.write(header).await;
        sleep::<R>(wait).await;
        let opened = connect_over::<R, _>(peer.into_stream(), &url(&server), &options).await;
        let mut connection = opened.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
    }
    // HTTP without TLS is told so, behind the header as well.
    let mut peer = Peer::<R>::connect(&server).await;
    let answer = peer.ask([&header[..], RFC6455.as_bytes()].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// Waits for room, over TLS as without: a peer that does not read makes the sender wait, and all of it
/// arrives when it does.
pub async fn a_full_send_queue_waits_over_tls<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let builder = Server::<R>::builder().tls(server_tls(&authority.certify(&["localhost"])));
    let sent = Told::default();
    let teller = sent.clone();
    let server = serve(builder, move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            for number in 0..64_u8 {
                let message = vec![number; 1 << 17];
                connection.send(message).await.unwrap();
                teller.tell(number);
            }
            connection.recv().await;
        }
    })
    .await;
    let mut peer = peer(&server, &trust(&authority)).await;
    peer.ask(RFC6455).await;
    sleep::<R>(ms(200)).await;
    let mut count = 0;
    while sent.try_next().is_some() {
        count += 1;
    }
    assert!(count < 64, "8 MiB went to a peer that does not read");
    for number in 0..64_u8 {
        // The frame's header has the length in eight bytes.
        assert_eq!(peer.read(2).await, [0x82, 127]);
        assert_eq!(peer.read(8).await, (1_u64 << 17).to_be_bytes());
        assert_eq!(peer.read(1 << 17).await, vec![number; 1 << 17]);
    }
}
