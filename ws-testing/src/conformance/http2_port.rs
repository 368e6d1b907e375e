//! HTTP/2 on the port of a server, by the option `http2`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::{Request, Response, StatusCode, Version as HttpVersion};
use h2::Reason;
use h2::client::Builder;
use http_body_util::{BodyExt, Full};
use ws_driver::rustls;
use ws_proto::{ABNORMAL, Version};

use super::support::{Log, Peer, client, echo, ms, serve, sleep, spawn, text, until};
use crate::certificates::Authority;
use crate::http2::{Session, SessionStream, connect};
use ws_driver::internals::open_client;
use ws_driver::{
    AddressLimits, ClientTls, Connection, ConnectionInfo, ForwardedFor, RequestBody, Runtime,
    Server, ServerBuilder, ServerTls, Upgraded, from_upgraded,
};

/// The header that every request for a WebSocket has.
const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// The first bytes of a session (RFC 9113 §3.4), and SETTINGS without a change.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn session<R: Runtime + Default>(server: &Server<R>, options: &Builder) -> Session {
    let stream = R::default().connect(server.local_addr()).await.unwrap();
    let session = Session::open_with::<R, _>(stream, options).await;
    session.enabled::<R>().await;
    session
}

async fn open(session: &Session, path: &str) -> (Response<()>, SessionStream) {
    let request = connect("example.com", path, &[VERSION]);
    session.websocket(request).await.unwrap()
}

async fn socket<R: Runtime + Default>(session: &Session, path: &str) -> Connection {
    let (response, stream) = open(session, path).await;
    assert_eq!(response.status(), StatusCode::OK);
    from_upgraded::<R, _>(Upgraded::client(stream)).unwrap()
}

async fn page(session: &Session, path: &str) -> (u16, Vec<u8>) {
    let url = format!("http://example.com{path}");
    session.page(&url).await.unwrap()
}

/// A builder whose pages say how they were asked for.
fn pages<R: Runtime + Default>(builder: ServerBuilder<R>) -> ServerBuilder<R> {
    builder.on_request(|request: Request<RequestBody>| async move {
        let info = request
            .extensions()
            .get::<ConnectionInfo>()
            .unwrap()
            .clone();
        assert_eq!(info.http_version, Some(request.version()));
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(format!("{:?} {path} {body:?}", info.http_version.unwrap()))
    })
}

/// H2-S0, H2-S1, H2-R1: one port has pages and sockets in HTTP/2, and all that there is in HTTP/1.1.
pub async fn one_port_speaks_http_2_and_the_rest<R: Runtime + Default>() {
    let log = Log::default();
    let builder = pages(Server::<R>::builder().http2(true).observer(log.clone()));
    let server = serve(builder, echo).await;
    let session = session(&server, &Builder::new()).await;
    let mut first = socket::<R>(&session, "/first").await;
    let mut second = socket::<R>(&session, "/second").await;
    assert_eq!(
        page(&session, "/page").await,
        (200, b"HTTP/2.0 /page b\"\"".to_vec())
    );
    for content in ["hi", &"x".repeat(300_000), ""] {
        for connection in [&mut first, &mut second] {
            connection.send(content).await.unwrap();
            assert_eq!(text(connection).await, content);
        }
    }
    for version in Version::ALL {
        let mut other = client(&server, version).await;
        other.send("hi").await.unwrap();
        assert_eq!(text(&mut other).await, "hi");
    }
    let get = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    let (_, body) = Peer::connect(&server).await.ask_all(get).await;
    assert_eq!(body, "HTTP/1.1 /page b\"\"");
    assert_eq!(server.broadcast("all"), 2);
    assert_eq!(text(&mut first).await, "all");
    assert!(first.close().await.clean);
    drop(second);
    drop(session);
    until::<R>(|| server.clients().is_empty()).await;
    let lines = log.until("close ?").await;
    assert!(
        lines.contains(&"request GET http://example.com/page".to_owned()),
        "{lines:?}"
    );
}

/// H2-S11, H2-S12: the application sees one line of cookies, in a request for a WebSocket and in a plain one. More header lines than
/// the option allows are refused with 431, and the session goes on.
pub async fn header_lines_of_http_2_are_those_of_http_1<R: Runtime + Default>() {
    const COOKIES: &str = "theme=dark; session=4f2a";
    let builder = Server::<R>::builder()
        .http2(true)
        .on_upgrade(|upgrade| async move {
            match upgrade.header("cookie") {
                Some(COOKIES) => upgrade.accept(),
                _ => upgrade.reject(401),
            }
        })
        .on_request(|request: Request<RequestBody>| async move {
            let lines = request.headers().get_all("cookie").iter();
            let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
            Response::new(lines.join(" | "))
        });
    let server = serve(builder, echo).await;
    let session = session(&server, &Builder::new()).await;
    let crumbs = [("cookie", "theme=dark"), ("cookie", "session=4f2a")];
    for (more, websocket, plain) in [(0, 200, 200), (200, 431, 431)] {
        let lines = [&[VERSION][..], &crumbs, &vec![("x-a", "1"); more]].concat();
        let request = connect("example.com", "/", &lines);
        let (response, _stream) = session.websocket(request).await.unwrap();
        assert_eq!(response.status(), websocket, "{more} more lines");
        let mut request = Request::get("http://example.com/");
        for (name, value) in &lines {
            request = request.header(*name, *value);
        }
        let response = session.fetch(request.body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), plain, "{more} more lines");
        if plain == 200 {
            let mut body = response.into_body();
            let mut seen = Vec::new();
            while let Some(piece) = std::future::poll_fn(|cx| body.poll_data(cx)).await {
                seen.extend_from_slice(&piece.unwrap());
            }
            assert_eq!(String::from_utf8_lossy(&seen), COOKIES);
        }
    }
    assert_eq!(server.counters().rejections.too_large, 2);
}

/// Off, which is the default, and on a stream of the application, a session is refused as the malformed head that it is.
pub async fn without_the_option_there_is_no_http_2<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut peer = Peer::connect(&server).await;
    let head = peer.ask(PREFACE).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

/// RFC 9113 §3.2: over TLS the client chooses by ALPN, and both ways work on one port.
pub async fn http_2_is_chosen_by_alpn<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let pems = authority.certify(&["localhost"]);
    let tls = ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes()).unwrap();
    let builder = Server::<R>::builder().tls(tls).http2(true);
    let server = serve(pages(builder), |connection: Connection| async move {
        let tls = connection.tls().unwrap().clone();
        connection.send(tls.alpn.as_deref().unwrap()).await.unwrap();
        echo(connection).await;
    })
    .await;
    for (offered, chosen) in [
        (&["http/1.1"][..], "http/1.1"),
        (&["http/1.1", "h2"][..], "h2"),
    ] {
        let tls = client_tls(&authority, offered);
        let stream = R::default().connect(server.local_addr()).await.unwrap();
        let stream = open_client(&tls, stream, "localhost").await.unwrap();
        if chosen == "http/1.1" {
            let mut peer = Peer::<R, _>::of_stream(stream);
            let head = peer.ask(super::support::RFC6455).await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert_eq!(peer.frame().await, (0x81, chosen.into()));
            continue;
        }
        let session = Session::open::<R, _>(stream).await;
        session.enabled::<R>().await;
        let mut connection = socket::<R>(&session, "/").await;
        assert_eq!(text(&mut connection).await, chosen);
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        assert_eq!(page(&session, "/page").await.0, 200);
    }
}

fn client_tls(authority: &Authority, offered: &[&str]) -> ClientTls {
    use ws_driver::rustls::pki_types::CertificateDer;
    use ws_driver::rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let offered = offered.iter().map(|name| name.as_bytes().to_vec());
    config.alpn_protocols = offered.collect();
    ClientTls::from_config(config)
}

/// A session counts as one stream, and each of its sockets as one more; beyond the limit a socket is refused, and the session
/// goes on.
pub async fn the_connection_limit_counts_a_session<R: Runtime + Default>() {
    let builder = Server::<R>::builder().http2(true).connection_limit(2);
    let server = serve(pages(builder), echo).await;
    let session = session(&server, &Builder::new()).await;
    let mut first = socket::<R>(&session, "/").await;
    let (response, _stream) = open(&session, "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page(&session, "/page").await.0, 200);
    assert!(first.close().await.clean);
    let clients = server.clients();
    until::<R>(|| clients.is_empty()).await;
    let mut second = socket::<R>(&session, "/").await;
    second.send("hi").await.unwrap();
    assert_eq!(text(&mut second).await, "hi");
    assert_eq!(server.counters().rejections.unavailable, 1);
}

/// A shutdown closes the sockets of sessions with 1001, and waits for no peer of a session that has none, nor for its grace.
pub async fn a_shutdown_ends_sessions<R: Runtime + Default>() {
    let builder = Server::<R>::builder().http2(true);
    let server = serve(builder, echo).await;
    let busy = session(&server, &Builder::new()).await;
    let mut mute = Peer::connect(&server).await;
    mute.write(PREFACE).await;
    mute.read(9).await;
    let mut connection = socket::<R>(&busy, "/").await;
    let code = spawn::<R, _>(async move {
        assert_eq!(connection.recv().await, None);
        connection.closed().unwrap().code
    });
    until::<R>(|| server.clients().len() == 1).await;
    let report = server.shutdown(ms(20_000)).await;
    assert_eq!((report.closed, report.lost, report.aborted), (1, 0, 0));
    assert_eq!(code.next().await, 1001);
    mute.read_to_end().await;
}

/// At the end of the grace sockets and sessions are dropped together.
pub async fn a_shutdown_aborts_sessions<R: Runtime + Default>() {
    let builder = Server::<R>::builder().http2(true);
    let server = serve(builder, |connection: Connection| async move {
        std::future::pending::<()>().await;
        drop(connection);
    })
    .await;
    let session = session(&server, &Builder::new()).await;
    let (_, mut stream) = open(&session, "/").await;
    until::<R>(|| server.clients().len() == 1).await;
    let report = server.shutdown(ms(50)).await;
    assert_eq!((report.closed, report.lost, report.aborted), (0, 0, 1));
    stream.read_to_end().await;
}

/// A session without a stream gives its place back after the wait for a request, whether its peer answers or not.
pub async fn an_idle_session_gives_its_place_back<R: Runtime + Default>() {
    let builder = Server::<R>::builder().http2(true);
    let builder = builder.handshake_timeout(ms(1000)).connection_limit(1);
    let server = serve(pages(builder), echo).await;
    let mut mute = Peer::connect(&server).await;
    mute.write(PREFACE).await;
    mute.read_to_end().await;
    let idle = session(&server, &Builder::new()).await;
    assert_eq!(page(&idle, "/page").await.0, 200);
    let mut peer = Peer::connect(&server).await;
    let get = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    let (head, _) = peer.ask_all(get).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

/// CVE-2023-44487: a client that resets its requests as fast as it makes them loses its session, and no place stays taken.
pub async fn rapid_resets_end_a_session<R: Runtime + Default>() {
    const ATTEMPTS: usize = 20_000;
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    let builder = Server::<R>::builder().http2(true);
    let server = serve(builder, move |connection: Connection| {
        called.fetch_add(1, Ordering::Relaxed);
        echo(connection)
    })
    .await;
    let session = session(&server, &Builder::new()).await;
    let mut attempts = 0;
    while attempts < ATTEMPTS {
        let request = connect("example.com", "/", &[VERSION]);
        let Ok((_, mut sending)) = session.begin(request).await else {
            break;
        };
        sending.send_reset(Reason::CANCEL);
        attempts += 1;
        // The session is driven by another task of what may be the same thread.
        if attempts % 100 == 0 {
            sleep::<R>(ms(1)).await;
        }
    }
    assert!(attempts < ATTEMPTS, "the session never ends");
    let clients = server.clients();
    until::<R>(|| clients.is_empty()).await;
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls < attempts, "{calls} handlers for {attempts} requests");
    let mut other = client(&server, Version::Rfc6455).await;
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
}

/// CVE-2024-27316: a head that never ends is cut off (VU#421644).
pub async fn a_flood_of_continuations_ends_a_session<R: Runtime + Default>() {
    let server = serve(Server::<R>::builder().http2(true), echo).await;
    let mut peer = Peer::connect(&server).await;
    peer.write(PREFACE).await;
    // HEADERS of stream 1 without END_HEADERS, whose block is a literal header: a name of one byte and a value of 100.
    let mut block = vec![0x00, 0x01, b'a', 100];
    block.extend([b'x'; 100]);
    let frame = |kind: u8| {
        let len = u8::try_from(block.len()).unwrap();
        [&[0, 0, len, kind, 0, 0, 0, 0, 1], &block[..]].concat()
    };
    peer.write(frame(0x01)).await;
    peer.write_until_it_breaks(&frame(0x09)).await;
    let clients = server.clients();
    until::<R>(|| clients.is_empty()).await;
}

/// A client that gives no window for a page costs its request and not its session, and no longer than the `body_timeout`.
pub async fn who_takes_no_page_in_http_2_is_cut_off<R: Runtime + Default>() {
    let builder = Server::<R>::builder().http2(true).body_timeout(ms(300));
    let builder = builder.on_request(|request: Request<RequestBody>| async move {
        let len = if request.uri().path() == "/long" {
            1 << 20
        } else {
            0
        };
        Response::new(Full::new(bytes::Bytes::from(vec![b'x'; len])))
    });
    let server = serve(builder, echo).await;
    let mut options = Builder::new();
    options.initial_connection_window_size(1 << 22);
    let session = session(&server, &options).await;
    let response = session.get("http://example.com/long").await.unwrap();
    // Not read, so the window of the stream stays used up.
    let mut body = response.into_body();
    let mut seen = 0;
    let error = loop {
        match std::future::poll_fn(|cx| body.poll_data(cx)).await {
            Some(Ok(bytes)) => seen += bytes.len(),
            Some(Err(error)) => break error,
            None => panic!("all {seen} bytes came"),
        }
    };
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error:?}");
    assert_eq!(page(&session, "/").await, (200, Vec::new()));
}

/// A client that a proxy names counts for the `address_limits` while it has a request in the session, whoever else has one there, and
/// no longer.
pub async fn clients_of_a_session_count_while_they_ask<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .http2(true)
        .forwarded_for(ForwardedFor::hops(1))
        .address_limits(AddressLimits::new().connections(1))
        .on_request(|request: Request<RequestBody>| async move {
            if request.uri().path() == "/hang" {
                std::future::pending::<()>().await;
            }
            Response::new("page".to_owned())
        });
    let server = serve(builder, echo).await;
    let session = session(&server, &Builder::new()).await;
    let get = |path: &str, client: &str| {
        let request = Request::get(format!("http://example.com{path}"));
        request.header("x-forwarded-for", client).body(()).unwrap()
    };
    let opens = async |client: &str| {
        let lines = [VERSION, ("x-forwarded-for", client)];
        let request = connect("example.com", "/", &lines);
        session.websocket(request).await.unwrap()
    };
    let (one, two) = ("192.0.2.1", "192.0.2.2");
    let (_open, mut hanging) = session.begin(get("/hang", one)).await.unwrap();
    let answer = session.fetch(get("/", two)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(opens(one).await.0.status(), StatusCode::TOO_MANY_REQUESTS);
    hanging.send_reset(Reason::CANCEL);
    for client in [one, two] {
        // The end of a request is seen by another task.
        let end = R::default().now() + ms(5000);
        let (mut response, mut stream) = opens(client).await;
        while response.status() != StatusCode::OK {
            assert!(
                R::default().now() < end,
                "the place of {client} is not free"
            );
            sleep::<R>(ms(5)).await;
            (response, stream) = opens(client).await;
        }
        let answer = session.fetch(get("/", client)).await.unwrap();
        let status = answer.status();
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "its socket counts");
        stream.reset(Reason::CANCEL);
    }
}

/// DATA frames that carry nothing and end nothing cost a session, once there are more of them than the crate h2 allows.
pub async fn empty_frames_end_a_session<R: Runtime + Default>() {
    const LIMIT: usize = 100;
    let server = serve(Server::<R>::builder().http2(true), echo).await;
    for (count, ends) in [(LIMIT, false), (LIMIT + 1, true)] {
        let session = session(&server, &Builder::new()).await;
        let mut socket = socket::<R>(&session, "/").await;
        let (_, mut stream) = open(&session, "/").await;
        for _ in 0..count {
            stream
                .sending
                .send_data(bytes::Bytes::new(), false)
                .unwrap();
        }
        if ends {
            assert_eq!(socket.recv().await, None);
            assert_eq!(socket.closed().unwrap().code, ABNORMAL);
        } else {
            socket.send("hi").await.unwrap();
            assert_eq!(text(&mut socket).await, "hi");
        }
    }
}

/// A CONNECT that announces a body ends its session, because hyper does not go on behind it. A length of zero is refused like
/// any other malformed request (H2-S8).
pub async fn a_connect_with_a_body_ends_its_session<R: Runtime + Default>() {
    let server = serve(Server::<R>::builder().http2(true), echo).await;
    let session = session(&server, &Builder::new()).await;
    let mut socket = socket::<R>(&session, "/").await;
    let with_length = |len| connect("example.com", "/", &[VERSION, ("content-length", len)]);
    let (response, _stream) = session.websocket(with_length("0")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    socket.send("hi").await.unwrap();
    assert_eq!(text(&mut socket).await, "hi");
    assert!(session.websocket(with_length("5")).await.is_err());
    assert_eq!(socket.recv().await, None);
    assert_eq!(socket.closed().unwrap().code, ABNORMAL);
    let mut other = client(&server, Version::Rfc6455).await;
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
}

/// A handler that does not read stops its own peer, and not the other sockets of the session.
pub async fn a_socket_that_is_not_read_stops_no_other<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .http2(true)
        .receive_queue_limit(10_000)
        .on_upgrade(|upgrade| async move {
            assert_eq!(upgrade.http_version(), HttpVersion::HTTP_2);
            upgrade.accept().extension(upgrade.path() == "/deaf")
        });
    let server = serve(builder, |connection: Connection| async move {
        if connection.extensions().get() == Some(&true) {
            std::future::pending::<()>().await;
        }
        echo(connection).await;
    })
    .await;
    let session = session(&server, &Builder::new()).await;
    // Messages of a kilobyte with a mask of zeros: more than the queue and the window of a stream take. The rest stays here.
    let message = [&[0x82, 0xfe, 0x03, 0xe8, 0, 0, 0, 0][..], &[0; 1000]].concat();
    let flood = bytes::Bytes::from(message.repeat(200));
    let small = bytes::Bytes::from([&[0x82, 0x8a, 0, 0, 0, 0][..], &[0; 10]].concat());
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let (_, mut stream) = open(&session, "/deaf").await;
        stream.sending.send_data(flood.clone(), false).unwrap();
        deaf.push(stream);
        // A frame for each message, of which the crate h2 takes fewer than the window has room for.
        let (_, mut stream) = open(&session, "/deaf").await;
        for _ in 0..5000 {
            stream.sending.send_data(small.clone(), false).unwrap();
        }
        deaf.push(stream);
    }
    until::<R>(|| server.clients().len() == 20).await;
    // Until as much has arrived as there is room for.
    sleep::<R>(ms(200)).await;
    let mut other = socket::<R>(&session, "/").await;
    for content in ["hi", &"x".repeat(200_000)] {
        other.send(content).await.unwrap();
        assert_eq!(text(&mut other).await, content);
    }
}
