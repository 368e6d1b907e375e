//! The extractor for axum, behind `axum::serve` as users have it.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRef, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::{HeaderValue, Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower_service::Service;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use ws_driver::Runtime;
use ws_testing::http2::{self, Session};
use ws_testing::subscriber::set_subscriber;
use ws_tokio::axum::WebSocketUpgrade;
use ws_tokio::{
    ClientConfig, ConnectError, Connection, HandshakeError, Server, Tokio, Upgraded, Version,
    connect, connect_with, from_upgraded,
};

/// The state of an application that has more than a server.
#[derive(Clone)]
struct App {
    server: Server,
    greeting: &'static str,
}

impl FromRef<App> for Server {
    fn from_ref(app: &App) -> Self {
        app.server.clone()
    }
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}

/// Serves the application; returns where.
async fn start(server: &Server) -> SocketAddr {
    let app = App {
        server: server.clone(),
        greeting: "hello",
    };
    let router = Router::new()
        .route("/", get(page_or_echo))
        .route(
            "/echo",
            any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }),
        )
        .route("/greet/{name}", get(greet))
        .route("/choose", get(choose))
        .route(
            "/closed",
            get(|upgrade: WebSocketUpgrade| async { upgrade.reject(410, "gone") }),
        )
        .route("/clients", get(count))
        .with_state(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    addr
}

async fn page_or_echo(upgrade: Option<WebSocketUpgrade>) -> Response {
    match upgrade {
        Some(upgrade) => upgrade.on_upgrade(echo),
        None => "the page".into_response(),
    }
}

async fn greet(
    upgrade: WebSocketUpgrade,
    Path(name): Path<String>,
    State(app): State<App>,
    ConnectInfo(addr): ConnectInfo<SocketAddr>,
) -> Response {
    let upgrade = upgrade.with_peer_addr(addr).extension(name);
    upgrade.on_upgrade(move |connection| async move {
        assert_eq!(connection.peer_addr(), Some(addr));
        let name = connection.extensions().get::<String>().unwrap();
        let text = format!("{}, {name}", app.greeting);
        connection.send(text).await.unwrap();
    })
}

async fn choose(upgrade: WebSocketUpgrade) -> Response {
    let last = upgrade.subprotocols().last().map(str::to_owned);
    upgrade.subprotocol(last.as_deref()).on_upgrade(echo)
}

#[cfg(feature = "deflate")]
async fn account(upgrade: WebSocketUpgrade) -> Response {
    upgrade.deflate(None).on_upgrade(echo)
}

async fn count(State(server): State<Server>) -> Json<usize> {
    Json(server.clients().len())
}

fn server() -> Server {
    Server::builder().build().unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    let waited = timeout(Duration::from_secs(20), future).await;
    waited.expect("it does not take that long")
}

async fn text(connection: &mut Connection) -> String {
    let message = soon(connection.recv()).await.expect("a message comes");
    message.as_text().unwrap().to_owned()
}

/// Sends a request and reads the answer to its end, or to the end of its head if that is a 101.
async fn ask(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let len = soon(stream.read_buf(&mut answer)).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        if len == 0 || text.starts_with("HTTP/1.1 101") && text.contains("\r\n\r\n") {
            return text.into_owned();
        }
    }
}

fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// Pages, REST and WebSockets of two versions come from one port; the other extractors still work.
#[tokio::test]
async fn pages_rest_and_websockets_are_on_one_port() {
    let server = server();
    let addr = start(&server).await;
    for path in ["echo", ""] {
        for version in [Version::Draft76, Version::Rfc6455] {
            let config = ClientConfig::new().version(version);
            let url = format!("ws://{addr}/{path}");
            let mut connection = soon(connect_with(&url, &config)).await.unwrap();
            connection.send("hi").await.unwrap();
            assert_eq!(text(&mut connection).await, "hi");
            let plain = "GET /clients HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let answer = ask(addr, plain).await;
            assert!(answer.ends_with("\r\n\r\n1"), "{answer}");
            assert!(soon(connection.close()).await.clean);
            while !server.clients().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    let plain = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(addr, plain).await;
    assert!(answer.ends_with("\r\n\r\nthe page"), "{answer}");
    let url = format!("ws://{addr}/greet/Ada");
    let mut connection = soon(connect(&url)).await.unwrap();
    assert_eq!(text(&mut connection).await, "hello, Ada");
    assert_eq!(soon(connection.recv()).await, None);
    assert_eq!(connection.closed().unwrap().code, 1000);
}

/// What is refused is answered as at our own port: with its status, and with its reason only if that is
/// asked for.
#[tokio::test]
async fn refusals_are_proper_responses() {
    let options = Server::builder()
        .allow_origins(["http://good.example"])
        .versions([Version::Draft76, Version::Rfc6455])
        .connection_limit(1)
        .debug(true);
    let server = options.build().unwrap();
    let addr = start(&server).await;
    let close = "Connection: close\r\n";
    let plain = format!("GET /echo HTTP/1.1\r\nHost: a\r\n{close}\r\n");
    let evil = upgrade("/echo", &format!("Origin: http://evil.example\r\n{close}"));
    let post = upgrade("/echo", close).replace("GET", "POST");
    let old = upgrade("/echo", close).replace(": 13", ": 99");
    let keyless = upgrade("/echo", close).replace("Sec-WebSocket-Key", "X");
    let draft76 = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
                   Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\
                   Origin: http://good.example\r\nContent-Length: 8\r\n\r\n^n:ds[4U";
    let cases = [
        (plain, "426 Upgrade Required", "This is a WebSocket server"),
        (
            evil,
            "403 Forbidden",
            "origin \"http://evil.example\" is not allowed",
        ),
        (post, "405 Method Not Allowed", "method POST"),
        (old, "426 Upgrade Required", "Sec-WebSocket-Version 99"),
        (keyless, "400 Bad Request", "Sec-WebSocket-Key"),
        (
            draft76.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
            "400 Bad",
            "key3",
        ),
        (upgrade("/closed", close), "410 Gone", "gone"),
        (upgrade("/none", close), "404 Not Found", ""),
    ];
    for (request, status, body) in cases {
        let answer = ask(addr, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}{answer}"
        );
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        assert!(seen.contains(body), "{answer}");
    }
    // All but the plain one and the one that no route has.
    assert_eq!(server.counters().rejected, 6);
    let mut first = soon(connect(&format!("ws://{addr}/echo"))).await.unwrap();
    first.send("hi").await.unwrap();
    assert_eq!(text(&mut first).await, "hi");
    let refused = soon(connect(&format!("ws://{addr}/echo")))
        .await
        .unwrap_err();
    let ConnectError::Handshake(HandshakeError::Status { status, .. }) = refused else {
        panic!("it is {refused}");
    };
    assert_eq!(status, 503);
}

/// The handler chooses the subprotocol.
#[tokio::test]
async fn the_handler_chooses_the_subprotocol() {
    let addr = start(&server()).await;
    let offer = "Sec-WebSocket-Protocol: first, last\r\n";
    let answer = ask(addr, &upgrade("/choose", offer)).await;
    assert!(
        answer.contains("\r\nsec-websocket-protocol: last\r\n"),
        "{answer}"
    );
    let answer = ask(addr, &upgrade("/choose", "")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(!answer.contains("sec-websocket-protocol"), "{answer}");
}

/// What is agreed on about compression is the option's, unless the handler says otherwise for one upgrade.
#[cfg(feature = "deflate")]
#[tokio::test]
async fn the_handler_chooses_compression() {
    let builder = Server::builder().deflate(ws_tokio::Deflate::new());
    let router = Router::new()
        .route("/", get(page_or_echo))
        .route("/account", get(account))
        .with_state(builder.build().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    for (path, is_compressed) in [("/", true), ("/account", false)] {
        let answer = ask(addr, &upgrade(path, offer)).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let is_agreed = answer.contains("\r\nsec-websocket-extensions: permessage-deflate");
        assert_eq!(is_agreed, is_compressed, "{answer}");
    }
}

/// Writes down what is logged for the target `ws`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "ws"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// H2-R1, H2-C1: behind `axum::serve` sockets of a session are connections, as in HTTP/1.1, and pages come beside them. A route
/// with `get` answers 405, because the method is CONNECT.
#[tokio::test]
async fn a_websocket_in_http_2_is_an_upgrade() {
    let server = server();
    let router = Router::new()
        .route("/get", get(page_or_echo))
        .route("/", any(page_or_echo))
        .with_state(server.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let stream = Runtime::connect(&Tokio, addr).await.unwrap();
    let session = Session::open::<Tokio, _>(stream).await;
    session.enabled::<Tokio>().await;
    let lines = [("sec-websocket-version", "13")];
    let mut connections = Vec::new();
    for _ in 0..2 {
        let asked = session.websocket(http2::connect("a", "/", &lines));
        let (response, stream) = soon(asked).await.unwrap();
        assert_eq!(response.status(), 200);
        connections.push(from_upgraded(Upgraded::client(stream)).unwrap());
    }
    for connection in &mut connections {
        connection.send("hi").await.unwrap();
        assert_eq!(text(connection).await, "hi");
    }
    for (request, status, body) in [
        (Request::get("http://a/").body(()).unwrap(), 200, "the page"),
        (http2::connect("a", "/get", &lines), 405, ""),
    ] {
        let (response, mut stream) = soon(session.websocket(request)).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(soon(stream.read_to_end()).await, body.as_bytes());
    }
    for mut connection in connections {
        assert!(soon(connection.close()).await.clean);
    }
    assert_eq!(server.counters().opened.total(), 2);
}

/// H2-S3: a WebSocket in HTTP/2 whose `:protocol` cannot be seen gets 501, whichever way a function takes the
/// extractor, and the log, the counters and the observers say why. A page would be taken for an open one.
#[tokio::test]
async fn a_websocket_in_http_2_without_its_protocol_is_refused_and_logged() {
    let server = server();
    let echoes = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) };
    let mut router = Router::new()
        .route("/echo", any(echoes))
        .route("/", any(page_or_echo))
        .with_state(server.clone());
    let log = Log::default();
    for (path, is_websocket, status) in [
        ("/echo", true, 501),
        ("/", true, 501),
        ("/echo", false, 400),
        ("/", false, 200),
    ] {
        let mut request = Request::new(Body::empty());
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = format!("http://a{path}").parse().unwrap();
        if is_websocket {
            *request.method_mut() = Method::CONNECT;
            let version = HeaderValue::from_static("13");
            request
                .headers_mut()
                .insert("sec-websocket-version", version);
        }
        let logging = set_subscriber(log.clone());
        let response = Service::call(&mut router, request).await.unwrap();
        drop(logging);
        assert_eq!(response.status(), status, "{path}");
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        assert_eq!(lines.len(), usize::from(is_websocket), "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.contains("docs/integrations.md")),
            "{lines:?}"
        );
    }
    assert_eq!(server.counters().rejections.no_upgrade, 2);
}

/// A server with a port of its own reaches what came through axum as well; its shutdown closes both.
#[tokio::test]
async fn the_registry_and_the_shutdown_are_shared() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(echo).await.unwrap() });
    let addr = start(&server).await;
    let mut near = soon(connect(&format!("ws://{}/", server.local_addr())))
        .await
        .unwrap();
    let mut far = soon(connect(&format!("ws://{addr}/echo"))).await.unwrap();
    while server.clients().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(server.broadcast("all"), 2);
    assert_eq!(text(&mut near).await, "all");
    assert_eq!(text(&mut far).await, "all");
    let waiting = tokio::spawn(async move {
        for mut connection in [near, far] {
            assert_eq!(soon(connection.recv()).await, None);
            assert_eq!(connection.closed().unwrap().code, 1001);
        }
    });
    let report = soon(server.shutdown(Duration::from_secs(10))).await;
    assert_eq!((report.closed, report.lost, report.aborted), (2, 0, 0));
    waiting.await.unwrap();
    let refused = soon(connect(&format!("ws://{addr}/echo")))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
}
