//! WebSockets in HTTP/2 (RFC 8441) that another HTTP server has read, one that is built on hyper.

use std::sync::{Arc, Mutex};

use ::http::{Request, Response, StatusCode, Version as HttpVersion};
use h2::Reason;
use h2::client::Builder;
use ws_proto::{CloseCause, Deflate, ProtocolError, Version};

use super::foreign_server::{Foreign, Style, hand_over};
use super::support::{Host, Log, Told, client, echo, ms, serve, sleep, spawn, text, until};
use crate::http2::{Session, SessionStream, connect};
use ws_driver::{
    Connection, ConnectionInfo, Observer, Runtime, Server, Upgraded, from_upgraded, is_websocket,
};

/// The header that every request has.
const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// Opens a session to another server.
async fn session<R: Runtime + Default>(foreign: &Foreign<R>) -> Session {
    session_with(foreign, &Builder::new()).await
}

async fn session_with<R: Runtime + Default>(foreign: &Foreign<R>, options: &Builder) -> Session {
    let stream = R::default().connect(foreign.addr).await.unwrap();
    let session = Session::open_with::<R, _>(stream, options).await;
    session.enabled::<R>().await;
    session
}

/// Opens a socket of a session, whose stream is one of a client.
async fn socket<R: Runtime + Default>(session: &Session, path: &str) -> Connection {
    let (response, stream) = open(session, path, &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    from_upgraded::<R, _>(Upgraded::client(stream)).unwrap()
}

async fn open(
    session: &Session,
    path: &str,
    lines: &[(&str, &str)],
) -> (Response<()>, SessionStream) {
    let lines = [&[VERSION], lines].concat();
    let request = connect("example.com", path, &lines);
    session.websocket(request).await.unwrap()
}

/// Notes the versions of HTTP that connections came in.
#[derive(Clone, Default)]
struct HttpVersions(Arc<Mutex<Vec<Option<HttpVersion>>>>);

impl Observer for HttpVersions {
    fn connection(&self, info: &ConnectionInfo) {
        self.0.lock().unwrap().push(info.http_version);
    }

    fn close(&self, info: &ConnectionInfo, _: &ws_proto::Closed) {
        self.0.lock().unwrap().push(info.http_version);
    }
}

/// H2-R1, H2-S4: sockets of one session are connections, with their requests, beside each other and beside HTTP/1.1; they
/// close from either side, and observers know how they came.
pub async fn sockets_of_a_session_become_connections<R: Runtime + Default>() {
    let versions = HttpVersions::default();
    let builder = Server::<R>::builder()
        .observer(versions.clone())
        .on_upgrade(|upgrade| async move {
            assert_eq!(upgrade.http_version(), HttpVersion::HTTP_2);
            assert_eq!(upgrade.header("Host"), Some("example.com"));
            upgrade.accept().extension(upgrade.path().to_owned())
        });
    let handler = |mut connection: Connection| async move {
        assert_eq!(connection.version(), Version::Rfc6455);
        let path: String = connection.extensions().get().cloned().unwrap();
        connection.send(path).await.unwrap();
        while let Some(message) = connection.recv().await {
            if message.as_text() == Some("close") {
                connection.close().await;
                return;
            }
            let _ = connection.send(message).await;
        }
    };
    let server = Host(builder.build().unwrap());
    let foreign = Foreign::start(server, Style::Http2, hand_over(handler)).await;
    let session = session(&foreign).await;
    let mut first = socket::<R>(&session, "/first?a=b").await;
    let mut second = socket::<R>(&session, "/second").await;
    assert_eq!(text(&mut first).await, "/first");
    assert_eq!(text(&mut second).await, "/second");
    // Longer than the window of a stream, and than the longest write.
    for content in ["hi", &"x".repeat(300_000), ""] {
        for connection in [&mut first, &mut second] {
            connection.send(content).await.unwrap();
            assert_eq!(text(connection).await, content);
        }
    }
    assert!(first.close().await.clean);
    second.send("close").await.unwrap();
    assert_eq!(second.recv().await, None);
    assert!(second.closed().unwrap().clean);
    until::<R>(|| foreign.server.clients().is_empty()).await;
    let counters = foreign.server.counters();
    assert_eq!((counters.opened.total(), counters.rejected), (2, 0));
    let seen = versions.0.lock().unwrap().clone();
    assert_eq!(seen, [Some(HttpVersion::HTTP_2); 4]);
}

/// H2-S4 to H2-S8, H2-R2: what breaks a rule, and what an option or the application refuses, has its status, and the session
/// goes on. A 2xx of the application would accept, so it is a 500.
pub async fn requests_in_http_2_are_checked<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .debug(true)
        .allow_origins(["http://example.com"])
        .on_upgrade(|upgrade| async move {
            match upgrade.path() {
                "/fine" => upgrade.reject(200),
                "/vip" => upgrade.reject(402).header("X-Price", "1").body("pay\n"),
                _ => upgrade.accept(),
            }
        });
    let foreign = Foreign::echo(builder, Style::Http2).await;
    let session = session(&foreign).await;
    let evil = ("origin", "http://evil.example");
    for (path, lines, status, body) in [
        ("/", &[VERSION, evil][..], 403, "evil.example"),
        ("/", &[][..], 400, "Sec-WebSocket-Version"),
        ("/", &[(VERSION.0, "8")][..], 400, "it must be 13"),
        (
            "/",
            &[VERSION, ("host", "b.example")][..],
            400,
            ":authority",
        ),
        ("/vip", &[VERSION][..], 402, "pay"),
        ("/fine", &[VERSION][..], 500, "Internal Server Error"),
    ] {
        let request = connect("example.com", path, lines);
        let (response, mut stream) = session.websocket(request).await.unwrap();
        assert_eq!(response.status(), status, "{path} {lines:?}");
        for name in ["connection", "upgrade"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        let seen = String::from_utf8(stream.read_to_end().await).unwrap();
        assert!(seen.contains(body), "{seen}");
    }
    let rejections = foreign.server.counters().rejections;
    let seen: Vec<_> = rejections.iter().filter(|(_, count)| *count > 0).collect();
    let expected = [
        ("malformed", 1),
        ("version", 2),
        ("origin", 1),
        ("application", 2),
    ];
    assert_eq!(seen, expected);
    let mut connection = socket::<R>(&session, "/").await;
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
}

/// H2-S9, H2-R1: the answer chooses a subprotocol and terms of compression as in HTTP/1.1.
pub async fn a_socket_of_a_session_is_negotiated<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .subprotocols(["b"])
        .deflate(Deflate::new());
    let foreign = Foreign::echo(builder, Style::Http2).await;
    let session = session(&foreign).await;
    let lines = [
        ("sec-websocket-protocol", "a, b"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ];
    let (response, _stream) = open(&session, "/", &lines).await;
    let value = |name| response.headers().get(name).unwrap().to_str().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(value("sec-websocket-protocol"), "b");
    assert!(value("sec-websocket-extensions").starts_with("permessage-deflate"));
    for name in ["sec-websocket-accept", "content-length", "upgrade"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
}

/// Broadcasts, sends by id and a shutdown reach sockets of sessions and connections of our port alike.
pub async fn sockets_of_sessions_are_in_the_registry<R: Runtime + Default>() {
    let handler = |connection: Connection| async move {
        connection.join("all").unwrap();
        echo(connection).await;
    };
    let ours = serve::<R, _, _>(Server::builder(), handler).await;
    let foreign = Foreign::start(ours, Style::Http2, hand_over(handler)).await;
    let session = session(&foreign).await;
    let mut near = client(&foreign.server, Version::Rfc6455).await;
    let mut far = socket::<R>(&session, "/").await;
    let clients = foreign.server.clients();
    until::<R>(|| clients.topic("all").len() == 2).await;
    assert_eq!(foreign.server.broadcast("broadcast"), 2);
    for sender in clients.iter() {
        foreign.server.send(sender.id(), "by id").unwrap();
    }
    for connection in [&mut near, &mut far] {
        for expected in ["broadcast", "by id"] {
            assert_eq!(text(connection).await, expected);
        }
    }
    let codes = Told::default();
    for mut connection in [near, far] {
        let codes = codes.clone();
        spawn::<R, _>(async move {
            assert_eq!(connection.recv().await, None);
            codes.tell(connection.closed().unwrap().code);
        });
    }
    let report = foreign.server.shutdown(ms(10_000)).await;
    assert_eq!((report.closed, report.lost, report.aborted), (2, 0, 0));
    assert_eq!((codes.next().await, codes.next().await), (1001, 1001));
    let (response, _stream) = open(&session, "/", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// At the connection limit the answer is 503, for a socket of the same session as well.
pub async fn the_connection_limit_holds_for_sockets_of_a_session<R: Runtime + Default>() {
    let builder = Server::<R>::builder().connection_limit(1);
    let foreign = Foreign::echo(builder, Style::Http2).await;
    let session = session(&foreign).await;
    let mut first = socket::<R>(&session, "/").await;
    let (response, _stream) = open(&session, "/", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(first.close().await.clean);
    until::<R>(|| foreign.server.clients().is_empty()).await;
    let mut second = socket::<R>(&session, "/").await;
    second.send("hi").await.unwrap();
    assert_eq!(text(&mut second).await, "hi");
}

/// H2-C1: a socket whose stream is reset, at any stage, ends with 1006 and leaves nothing; others of its session go on.
pub async fn a_reset_stream_ends_one_socket<R: Runtime + Default>() {
    let (log, gate) = (Log::default(), Told::<()>::default());
    let decided = gate.clone();
    let builder = Server::<R>::builder()
        .observer(log.clone())
        .on_upgrade(move |upgrade| {
            let decided = decided.clone();
            async move {
                if upgrade.path() == "/wait" {
                    decided.next().await;
                }
                upgrade.accept()
            }
        });
    let foreign = Foreign::echo(builder, Style::Http2).await;
    let session = session(&foreign).await;
    let mut other = socket::<R>(&session, "/").await;
    // While the application decides.
    let request = connect("example.com", "/wait", &[VERSION]);
    let (response, mut sending) = session.begin(request).await.unwrap();
    until::<R>(|| foreign.server.clients().len() == 1).await;
    sleep::<R>(ms(10)).await;
    sending.send_reset(Reason::CANCEL);
    drop(response);
    log.until("close rfc6455").await;
    // Open, and in the middle of a frame.
    for part in [&b""[..], &[0x81], &[0x81, 0x82, 1, 2, 3, 4, 5]] {
        let (response, mut stream) = open(&session, "/", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        until::<R>(|| foreign.server.clients().len() == 2).await;
        stream
            .sending
            .send_data(part.to_vec().into(), false)
            .unwrap();
        sleep::<R>(ms(5)).await;
        stream.reset(Reason::CANCEL);
        let lines = log.until("close rfc6455").await;
        assert!(lines.last().unwrap().contains("1006"), "{lines:?}");
    }
    // The end of the stream without a close is no clean end either.
    let (_, mut stream) = open(&session, "/", &[]).await;
    until::<R>(|| foreign.server.clients().len() == 2).await;
    stream.sending.send_data(bytes::Bytes::new(), true).unwrap();
    let lines = log.until("close rfc6455").await;
    assert!(lines.last().unwrap().contains("1006"), "{lines:?}");
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
}

/// A peer that gives no window costs no more than the send queue, and is given up in time; the other sockets of its session
/// are not delayed.
pub async fn a_peer_without_a_window_is_given_up<R: Runtime + Default>() {
    const LEN: usize = 1 << 20;
    let sent = Told::<usize>::default();
    let teller = sent.clone();
    let builder = Server::<R>::builder()
        .send_queue_limit(LEN)
        .stall_timeout(ms(300))
        .on_upgrade(|upgrade| async move { upgrade.accept().extension(upgrade.path().to_owned()) });
    let handler = move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            if connection.extensions().get::<String>().unwrap() == "/flood" {
                while connection.send(vec![b'x'; LEN]).await.is_ok() {
                    teller.tell(LEN);
                }
                let closed = connection.closed().unwrap();
                assert!(
                    matches!(
                        closed.cause,
                        CloseCause::Failed(ProtocolError::WriteStalled { .. })
                    ),
                    "{closed}"
                );
                teller.tell(0);
                return;
            }
            while let Some(message) = connection.recv().await {
                let _ = connection.send(message).await;
            }
        }
    };
    let server = Host(builder.build().unwrap());
    let foreign = Foreign::start(server, Style::Http2, hand_over(handler)).await;
    // More than a stream can take, or the flood would stop the other socket as well: a window of the session.
    let mut options = Builder::new();
    options.initial_connection_window_size(1 << 20);
    let session = session_with(&foreign, &options).await;
    // Its window is never renewed, because nothing reads it.
    let (response, _stream) = open(&session, "/flood", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut other = socket::<R>(&session, "/").await;
    let mut taken = 0;
    loop {
        other.send("hi").await.unwrap();
        assert_eq!(text(&mut other).await, "hi");
        match sent.next().await {
            0 => break,
            len => taken += len,
        }
    }
    // One message in the queue and one that begins beyond it.
    assert!(taken <= 2 * LEN, "{taken} bytes were taken");
}

/// H2-R2, R-H5: what asks for no WebSocket is told so, with nothing of HTTP/1.1 in the answer.
pub async fn a_request_in_http_2_that_is_no_websocket<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let answer = |server: Server<R>, mut request: Request<hyper::body::Incoming>| async move {
        assert!(!is_websocket(&request));
        server.handle_request(&mut request, None, echo).await
    };
    let server = Host(builder.build().unwrap());
    let foreign = Foreign::start(server, Style::Http2, answer).await;
    let session = session(&foreign).await;
    let request = Request::get("http://example.com/").body(()).unwrap();
    let mut udp = connect("example.com", "/", &[VERSION]);
    let protocol = h2::ext::Protocol::from_static("connect-udp");
    udp.extensions_mut().insert(protocol);
    udp.headers_mut().clear();
    for request in [request, udp] {
        let (response, mut stream) = session.websocket(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(!response.headers().contains_key("upgrade"));
        let body = String::from_utf8(stream.read_to_end().await).unwrap();
        assert!(body.contains("WebSocket"), "{body}");
    }
    assert_eq!(log.try_next(), None, "it is no business of ours");
}
