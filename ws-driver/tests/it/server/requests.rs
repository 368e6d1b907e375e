//! What a client can be told to connect to, and what reaches the server of it.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use ws_driver::ws_proto::{ClientUrl, ConfigError};
use ws_driver::{
    ClientConfig, ClientRequest, ConnectConfig, ConnectError, Connection, Host, IntoClientRequest,
    Upgrade, Version, connect, connect_over, connect_with,
};

use ws_testing::sim::{ANY, Server, Sim, echo, serve};

/// The heads that a server has seen, in lower case.
type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// Starts a server that notes the requests. It speaks the subprotocol `b`.
async fn noting(sim: &Sim) -> (Server, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let builder = Server::builder()
        .subprotocols(["b"])
        .on_upgrade(move |upgrade: Upgrade| {
            let head = upgrade.head();
            let target = head.target().to_owned();
            noted.lock().unwrap().push((target, head.headers().clone()));
            async move { upgrade.accept() }
        });
    let server = builder.bind(ANY).await.unwrap();
    serve(sim, &server, echo);
    (server, seen)
}

type Opening = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>>>>;

/// A URL and a request in every type that is taken open the same connection.
#[test]
fn a_client_takes_every_form_of_a_url() {
    Sim::run(async |sim| {
        let (server, seen) = noting(&sim).await;
        let text = format!("ws://{}/a?b=c", server.local_addr());
        let url: ClientUrl = text.parse().unwrap();
        let uri: Uri = text.parse().unwrap();
        let request = || Request::builder().uri(&text).body(()).unwrap();
        let open: [Opening; 9] = [
            Box::pin(connect::<Sim>("ws://unknown.test/")),
            Box::pin(connect::<Sim>(text.clone())),
            Box::pin(connect::<Sim>(uri.clone())),
            Box::pin(connect::<Sim>(url.clone())),
            Box::pin(connect::<Sim>(request())),
            Box::pin(connect::<Sim>(ClientRequest::new(url.clone()))),
            Box::pin(connect_with::<Sim>(request(), ClientConfig::new())),
            Box::pin({
                let (uri, url) = (uri.clone(), url.clone());
                async move {
                    connect::<Sim>(&uri).await?;
                    connect::<Sim>(&url).await
                }
            }),
            Box::pin({
                let text = text.clone();
                async move {
                    connect::<Sim>(&text).await?;
                    connect::<Sim>(&*text).await
                }
            }),
        ];
        let mut opened = 0;
        for open in open {
            match open.await {
                Ok(mut connection) => {
                    opened += 1;
                    connection.close().await;
                }
                Err(error) => assert!(matches!(error, ConnectError::Lookup { .. }), "{error:?}"),
            }
        }
        assert_eq!(opened, 8);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 10);
        assert!(
            seen.iter().all(|(target, _)| target == "/a?b=c"),
            "{seen:?}"
        );
    });
}

/// R-C3 to R-C5: a request that was written for another library, with the headers of the handshake in it, is taken.
/// Its own headers arrive, and those of the handshake are ours.
#[test]
fn a_request_for_another_library_is_taken() {
    Sim::run(async |sim| {
        let (server, seen) = noting(&sim).await;
        let request = Request::builder()
            .uri(format!("ws://me:pw@{}/chat", server.local_addr()))
            .header("Host", "example.com")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Protocol", "a, b")
            .header("Origin", "http://example.com")
            .header("Cookie", "c=d")
            .body(())
            .unwrap();
        let config = ClientConfig::new().header("X-A", "e").unwrap();
        let mut connection = connect_with::<Sim>(request, &config).await.unwrap();
        assert_eq!(connection.subprotocol(), Some("b"));
        connection.close().await;
        let (target, headers) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(target, "/chat");
        for (name, value) in [
            ("host", "example.com"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "a, b"),
            ("origin", "http://example.com"),
            ("cookie", "c=d"),
            ("x-a", "e"),
            // me:pw
            ("authorization", "Basic bWU6cHc="),
        ] {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name}");
        }
        assert_ne!(headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    });
}

/// A type of an application.
struct Room(&'static str, SocketAddr);

impl IntoClientRequest for Room {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        let Self(name, addr) = self;
        let url: ClientUrl = format!("ws://{addr}/rooms/{name}").parse()?;
        let mut headers = HeaderMap::new();
        headers.insert("x-room", HeaderValue::from_static(name));
        Ok(ClientRequest::new(url).headers(headers))
    }
}

/// An application can connect to types of its own.
#[test]
fn an_application_can_connect_to_its_own_types() {
    Sim::run(async |sim| {
        let (server, seen) = noting(&sim).await;
        let room = Room("one", server.local_addr());
        connect::<Sim>(room).await.unwrap().close().await;
        let (target, headers) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(
            (&*target, &headers["x-room"]),
            ("/rooms/one", &HeaderValue::from_static("one"))
        );
    });
}

/// What cannot open a WebSocket is refused before anybody is looked up, with an error that says why.
#[test]
fn a_request_that_cannot_open_a_connection_is_refused() {
    Sim::run(async |_| {
        let request = || Request::builder().uri("ws://unknown.test/");
        for (request, says) in [
            (
                request().method(Method::POST),
                "its method is POST; only GET",
            ),
            (
                request().version(http::Version::HTTP_2),
                "its version is HTTP/2.0; only HTTP/1.1",
            ),
            (request().header("Upgrade", "h2c"), "header \"upgrade\""),
            (
                request().header("Sec-WebSocket-Version", "8"),
                "header \"sec-websocket-version\"",
            ),
            (
                request().header("Sec-WebSocket-Extensions", "a"),
                "option deflate",
            ),
            (
                request().header("Transfer-Encoding", "chunked"),
                "header \"transfer-encoding\"",
            ),
            (request().uri("/relative"), "no scheme"),
            (request().uri("http://unknown.test/"), "neither ws nor wss"),
        ] {
            let error = connect::<Sim>(request.body(()).unwrap()).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(says), "{text}");
            let is_it = matches!(
                error,
                ConnectError::InvalidRequest { .. }
                    | ConnectError::Config(
                        ConfigError::InvalidHeader { .. } | ConfigError::InvalidUrl { .. }
                    )
            );
            assert!(is_it, "{error:?}");
        }
    });
}

/// A server that is reached by its address is asked under another name, in every version.
#[test]
fn a_server_is_asked_under_another_name() {
    Sim::run(async |sim| {
        let server = Server::builder().hosts(["example.com"]);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("ws://{}/", server.local_addr());
        for version in Version::ALL {
            let config = ClientConfig::new().version(version);
            let refused = connect_with::<Sim>(&url, &config).await;
            assert!(refused.is_err(), "the name of the URL is not in the list");
            let config = config.host("example.com".parse::<Host>().unwrap());
            let mut connection = connect_with::<Sim>(&url, &config).await.unwrap();
            assert_eq!(connection.peer_addr(), Some(server.local_addr()));
            connection.close().await;
        }
    });
}

/// A connection over a stream of the application has the address that the application gives it, and no other connection.
#[test]
fn the_application_knows_the_peer_of_its_stream() {
    Sim::run(async |sim| {
        let (server, seen) = noting(&sim).await;
        let addr: SocketAddr = "192.0.2.7:99".parse().unwrap();
        let url = format!("ws://{}/", server.local_addr());
        for (options, expected) in [
            (ConnectConfig::new(), None),
            (ConnectConfig::new().peer_addr(addr), Some(addr)),
        ] {
            let stream = ws_driver::Runtime::connect(&sim, server.local_addr())
                .await
                .unwrap();
            let mut over = connect_over::<Sim, _>(stream, &url, &options)
                .await
                .unwrap();
            assert_eq!(over.peer_addr(), expected);
            over.close().await;
            let mut reached = connect_with::<Sim>(&url, &options).await.unwrap();
            assert_eq!(reached.peer_addr(), Some(server.local_addr()));
            reached.close().await;
        }
        assert_eq!(seen.lock().unwrap().len(), 4);
    });
}

/// `Debug` of a request shows its URL and the names of its headers.
#[test]
fn a_request_is_shown_without_its_secrets() {
    let request = Request::builder()
        .uri("ws://me:secret@a/?secret")
        .header("Cookie", "secret")
        .body(())
        .unwrap();
    let shown: &dyn Debug = &request.into_client_request().unwrap();
    let shown = format!("{shown:?}");
    assert_eq!(
        shown,
        "ClientRequest { url: ClientUrl(\"ws://…@a/?…\"), headers: [\"cookie\"] }"
    );
}
