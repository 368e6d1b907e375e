//! SECURITY.md: no text of the driver tells a secret. Not `Debug`, not an error, not a line of the log or a field
//! of a span, whatever is on.

use std::fmt::{Debug, Write};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use ws_driver::ws_proto::{Closed, State};
use ws_driver::{
    ClientConfig, ConnectConfig, ConnectError, ConnectEvent, Connection, ConnectionInfo,
    IntoClientRequest, Observer, Rejected, Subprotocol, Upgrade, Version, connect, connect_with,
};
use ws_testing::sim::{ANY, Peer, Server, Sim, seconds, serve};
use ws_testing::subscriber::with_subscriber;

/// What must not be told.
const SECRET: &str = "s3cr3t";

/// What `user:` and the secret become in an `Authorization` header, which must not be told either.
const BASIC: &str = "dXNlcjpzM2NyM3Q=";

/// All texts that came up: log lines, spans, and what observers and handlers print.
#[derive(Clone, Default)]
struct Texts(Arc<Mutex<String>>);

impl Texts {
    fn note(&self, shown: impl Debug) {
        writeln!(self.0.lock().unwrap(), "{shown:?}").unwrap();
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Fields<'a>(&'a Texts);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.note(format_args!("{}={value:?}", field.name()));
    }
}

impl Subscriber for Texts {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut Fields(self));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(self));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(self));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Observer for Texts {
    fn listening(&self, addr: SocketAddr) {
        self.note(addr);
    }

    fn connecting(&self, info: &ConnectionInfo, event: &ConnectEvent<'_>) {
        self.note((info, event));
        self.note(event.to_string());
    }

    fn stream(&self, info: &ConnectionInfo) {
        self.note(info);
    }

    fn connection(&self, info: &ConnectionInfo) {
        self.note(info);
    }

    fn state_change(&self, info: &ConnectionInfo, state: State, previous: State) {
        self.note((info, state, previous));
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        self.note((info, reason));
        self.note(reason.to_string());
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        self.note((info, closed));
    }

    fn shutdown(&self, error: Option<&io::Error>) {
        self.note(error);
    }
}

fn assert_hidden(what: &str, text: &str) {
    let tells = |line: &&str| line.contains(SECRET) || line.contains(BASIC);
    let lines = text.lines().filter(tells);
    assert_eq!(lines.collect::<Vec<_>>(), [""; 0], "{what}");
    assert!(!text.is_empty(), "{what} says nothing");
}

/// A server with all that can print: debug lines, spans, an observer, `on_upgrade` and a handler. Tells what
/// they printed for some requests, each on a stream of its own.
fn printed_for(requests: &[String]) -> String {
    let texts = Texts::default();
    with_subscriber(texts.clone(), || {
        Sim::run(async |sim| {
            let (upgrades, handled) = (texts.clone(), texts.clone());
            let builder = Server::builder()
                .debug(true)
                .observer(texts.clone())
                .allow_origins(["http://a"])
                .on_upgrade(move |upgrade: Upgrade| {
                    upgrades.note(&upgrade);
                    let answer = upgrade.accept().header("Set-Cookie", SECRET);
                    upgrades.note(&answer);
                    async { answer }
                });
            texts.note(&builder);
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, move |mut connection: Connection| {
                let texts = handled.clone();
                async move {
                    texts.note((&connection, connection.request(), connection.sender()));
                    connection.recv().await;
                    texts.note(connection.closed());
                }
            });
            for request in requests {
                let mut peer = Peer::connect(&sim, server.local_addr());
                let answer = peer.ask(request.as_bytes()).await;
                assert!(answer.starts_with(b"HTTP/1.1 "), "{request}");
                texts.note((&server, server.clients()));
                peer.end().await;
            }
            sim.sleep(seconds(30)).await;
        });
    });
    texts.take()
}

/// Requests that are accepted, refused in many ways, or plain, with a secret in each place that can have one.
#[test]
fn a_server_tells_no_secret_of_a_request() {
    let upgrade = |target: &str, more: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        )
    };
    let target = format!("/chat?token={SECRET}");
    let secrets = format!(
        "Authorization: Bearer {SECRET}\r\nCookie: sid={SECRET}\r\nX-Api-Key: {SECRET}\r\n\
         Proxy-Authorization: Basic {SECRET}\r\nSec-WebSocket-Protocol: chat, {SECRET}\r\n"
    );
    let accepted = upgrade(&target, &secrets);
    let draft75 = format!(
        "GET {target} HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n\
         Origin: http://a\r\nWebSocket-Protocol: {SECRET}\r\nCookie: {SECRET}\r\n\r\n"
    );
    let requests = [
        accepted.clone(),
        draft75,
        upgrade(
            &target,
            &format!("Origin: http://u:{SECRET}@b/?{SECRET}\r\n{secrets}"),
        ),
        upgrade(&format!("{target}#x"), &secrets),
        upgrade(&format!("http://u:{SECRET}@a{target}"), &secrets),
        upgrade(
            "/",
            &format!("Sec-WebSocket-Protocol: {SECRET} {SECRET}\r\n"),
        ),
        accepted.replace("Version: 13", "Version: 99"),
        accepted.replace("Key: dGhl", &format!("Key: {SECRET}")),
        accepted.replace("GET", "POST"),
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n{secrets}\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: u:{SECRET}@a\r\n{secrets}\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n{secrets}bad header\r\n\r\n"),
    ];
    let texts = printed_for(&requests);
    assert_hidden("a server", &texts);
    // It can fail: the texts are there.
    for part in [
        "/chat",
        "request GET",
        "rejected: ",
        "Upgrade {",
        "path=",
        "RequestHead",
    ] {
        assert!(texts.contains(part), "{part}: {texts}");
    }
}

/// The options of a client, its errors and its connection, for all that a caller can put into them.
#[test]
fn a_client_tells_no_secret_of_its_caller() {
    let config = ClientConfig::new()
        .subprotocols(vec![SECRET.parse::<Subprotocol>().unwrap()])
        .header("Authorization", &format!("Bearer {SECRET}"))
        .unwrap()
        .header("X-Api-Key", SECRET)
        .unwrap();
    let texts = Texts::default();
    let options = ConnectConfig::from(&config)
        .debug(true)
        .observer(texts.clone());
    assert_hidden("ConnectConfig", &format!("{options:?}"));
    for (name, value) in [
        ("Host", format!("user:{SECRET}@a")),
        ("Origin", format!("http://user:{SECRET}@a")),
        ("Sec-WebSocket-Protocol", format!("Bearer {SECRET}")),
        ("Sec-WebSocket-Key", SECRET.to_owned()),
        ("Cookie", format!("{SECRET}é")),
        ("Upgrade", SECRET.to_owned()),
    ] {
        let request = http::Request::builder().uri(format!("ws://user:{SECRET}@a/"));
        let request = request.header(name, value).body(()).unwrap();
        let request = request.into_client_request().unwrap();
        texts.note(&request);
        let refused = Sim::run(async move |_| connect::<Sim>(request).await);
        note_error(&texts, &refused.unwrap_err());
    }
    with_subscriber(texts.clone(), || {
        Sim::run(async |sim| {
            for url in [
                format!("ws://user:{SECRET}@a/"),
                format!("ws://user:{SECRET}@10.0.0.1/"),
                format!("ws://user:{SECRET}%@a/"),
                format!("ws://user:{SECRET}@é/"),
                format!("ws://{SECRET}@a/"),
                format!("ws://a/?token={SECRET} x"),
                format!("ws://a/#{SECRET}"),
                format!("http://user:{SECRET}@a/"),
                format!("user:{SECRET}@a"),
                format!("user:{SECRET}@a://b"),
                format!("ws://unknown.test/?token={SECRET}"),
                format!("ws://10.0.0.1/?token={SECRET}"),
            ] {
                note_error(
                    &texts,
                    &connect_with::<Sim>(&url, &options).await.unwrap_err(),
                );
            }
            let builder = Server::builder().on_upgrade(|upgrade: Upgrade| async move {
                match upgrade.head().path() {
                    "/moved" => upgrade
                        .reject(302)
                        .header("Location", &format!("/there?token={SECRET}")),
                    "/no" => upgrade.reject(401).header("Set-Cookie", SECRET),
                    _ => upgrade.accept().header("Set-Cookie", SECRET),
                }
            });
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, ws_testing::sim::echo);
            for path in ["moved", "no"] {
                let url = format!("ws://{}/{path}?token={SECRET}", server.local_addr());
                let error = connect_with::<Sim>(&url, &options).await.unwrap_err();
                note_error(&texts, &error);
            }
            for version in Version::ALL {
                let addr = server.local_addr();
                let url = format!("ws://user:{SECRET}@{addr}/?token={SECRET}");
                let config = ConnectConfig::new()
                    .version(version)
                    .debug(true)
                    .observer(texts.clone());
                let opened = connect_with::<Sim>(&url, &config).await;
                let mut connection = opened.unwrap();
                texts.note((&connection, connection.response()));
                texts.note(connection.close().await);
            }
        });
    });
    assert_hidden("a client", &texts.take());
}

fn note_error(texts: &Texts, error: &ConnectError) {
    texts.note(error.to_string());
    texts.note(error);
}

/// A proxy's user and password, where its URL is right, and where it is not.
#[cfg(feature = "proxy")]
#[test]
fn a_proxy_tells_no_secret() {
    use ws_driver::Proxy;

    let texts = Texts::default();
    for url in [
        format!("http://user:{SECRET}@proxy"),
        format!("ftp://user:{SECRET}@proxy:1"),
        format!("user:{SECRET}@proxy:1"),
        format!("user:{SECRET}@proxy://x"),
        format!("http://user:{SECRET}@proxy:1/?a={SECRET}"),
        format!("http://proxy:1/?token={SECRET}"),
        format!("http://user:a/{SECRET}@proxy"),
    ] {
        let error = url.parse::<Proxy>().unwrap_err();
        texts.note(error.to_string());
        texts.note(error);
    }
    with_subscriber(texts.clone(), || {
        Sim::run(async |sim| {
            // It answers 405 to a CONNECT, and is no proxy.
            let server = Server::bind(ANY).await.unwrap();
            serve(&sim, &server, ws_testing::sim::echo);
            for scheme in ["http", "socks5h"] {
                let url = format!("{scheme}://user:{SECRET}@{}", server.local_addr());
                let proxy: Proxy = url.parse().unwrap();
                texts.note(&proxy);
                let options = ConnectConfig::new()
                    .proxy(proxy)
                    .debug(true)
                    .observer(texts.clone());
                texts.note(&options);
                let url = format!("ws://a/?token={SECRET}");
                let error = connect_with::<Sim>(&url, &options).await.unwrap_err();
                note_error(&texts, &error);
            }
        });
    });
    assert_hidden("a proxy", &texts.take());
}
