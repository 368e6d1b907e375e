//! The test kit: clients in memory of a server with all its options, and virtual time. These cases run in virtual time.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ws_driver::test::{Kit, KitClient};
use ws_driver::{
    AddressLimits, ConnectError, Connection, ForwardedFor, RequestBody, Runtime, Server,
    ServerBuilder, Upgrade,
};
use ws_proto::{
    ClientConfig, CloseCause, CloseCode, HandshakeError, ProtocolError, Subprotocol, Version,
};

use super::support::{DRAFT76, KEY3, Log, RFC6455, Told, echo, ms, sleep, spawn, text};

/// The server of a case: it serves a handler to the streams of the kit.
fn server<R, H, F>(builder: ServerBuilder<R>, handler: H) -> Server<R>
where
    R: Runtime + Default,
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let server = builder.build().unwrap();
    Kit::serve(&server, handler);
    server
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A client of the kit speaks every version, over as many streams as it likes, and each has an address of its own.
pub async fn a_server_is_tested_without_a_port<R: Runtime + Default>() {
    let server = server(Server::<R>::builder(), echo);
    assert!(server.local_addrs().is_empty());
    let client = Kit::client(&server);
    let mut connections = Vec::new();
    for version in [Version::Draft75, Version::Draft76, Version::Rfc6455] {
        let options = ClientConfig::new().version(version);
        let mut connection = client.connect_with("/chat?room=1", options).await.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        assert_eq!(connection.version(), version);
        connections.push(connection);
    }
    assert_eq!(server.clients().len(), 3);
    let addrs: Vec<_> = server
        .clients()
        .iter()
        .map(|sender| sender.peer_addr().unwrap())
        .collect();
    assert!(addrs[0] != addrs[1] && addrs[1] != addrs[2] && addrs[0] != addrs[2]);
    let report = {
        let server = server.clone();
        let shut_down = spawn::<R, _>(async move { server.shutdown(seconds(5)).await });
        for mut connection in connections {
            assert!(connection.recv().await.is_none());
        }
        shut_down.next().await
    };
    assert_eq!((report.closed, report.aborted), (3, 0));
}

/// What a handler does on a server it does in the kit: it has the request and the address that the test chose, joins topics,
/// and reaches others by a broadcast, by their topic and by their id.
pub async fn a_handler_reaches_other_clients<R: Runtime + Default>() {
    let clients = Told::default();
    let told = clients.clone();
    let server = server(Server::<R>::builder(), move |mut connection| {
        let clients = told.clone();
        async move {
            let request = connection.request().unwrap();
            let name = request.header("x-name").unwrap().to_owned();
            assert_eq!(request.target(), "/room?of=kit");
            assert_eq!(request.header("host"), Some("localhost"));
            connection.join("room").unwrap();
            clients.tell((name, connection.id(), connection.peer_addr()));
            while let Some(message) = connection.recv().await {
                connection
                    .clients()
                    .unwrap()
                    .topic("room")
                    .broadcast(message);
            }
        }
    });
    let addr: SocketAddr = "192.0.2.1:1234".parse().unwrap();
    let client: KitClient<R> = Kit::client(&server).with_peer_addr(addr);
    let named = |name| ClientConfig::new().header("x-name", name).unwrap();
    let mut ann = client
        .connect_with("/room?of=kit", named("ann"))
        .await
        .unwrap();
    let mut bob = client
        .connect_with("room?of=kit", named("bob"))
        .await
        .unwrap();
    let (name, id, ann_addr) = clients.next().await;
    assert_eq!((&*name, ann_addr), ("ann", Some(addr)));
    assert_eq!(clients.next().await.0, "bob");
    ann.send("hello").await.unwrap();
    assert_eq!(text(&mut ann).await, "hello");
    assert_eq!(text(&mut bob).await, "hello");
    assert_eq!(server.broadcast("all"), 2);
    server.send(id, "ann alone").unwrap();
    assert_eq!(text(&mut ann).await, "all");
    assert_eq!(text(&mut ann).await, "ann alone");
    assert_eq!(text(&mut bob).await, "all");
    let local = Kit::client(&server).with_peer_addr(None);
    let _cid = local
        .connect_with("/room?of=kit", named("cid"))
        .await
        .unwrap();
    assert_eq!(clients.next().await.2, None);
}

/// The options of the server decide, and its `on_upgrade`, with a value for the handler; a refusal has its status, headers and body.
pub async fn an_upgrade_is_decided_by_the_server<R: Runtime + Default>() {
    let log = Log::default();
    let chat: Subprotocol = "chat".parse().unwrap();
    let builder = Server::<R>::builder()
        .observer(log.clone())
        .subprotocols([chat.clone()])
        .on_upgrade(|upgrade: Upgrade| async move {
            match upgrade.head().header("cookie") {
                Some(user) => {
                    let user = user.to_owned();
                    upgrade.accept().extension(user).header("x-seen", "yes")
                }
                None => upgrade
                    .reject(401)
                    .header("www-authenticate", "Basic")
                    .body("log in first\n"),
            }
        });
    let server = server(builder, |connection| async move {
        let user = connection.extensions().get::<String>().unwrap().clone();
        let _ = connection.send(user).await;
    });
    let client = Kit::client(&server);
    let options = ClientConfig::new().subprotocols([chat.clone()]);
    let known = options.clone().header("cookie", "ann").unwrap();
    let mut connection = client.connect_with("/", known).await.unwrap();
    assert_eq!(connection.subprotocol(), Some("chat"));
    assert_eq!(connection.response().unwrap().header("x-seen"), Some("yes"));
    assert_eq!(text(&mut connection).await, "ann");
    let error = client.connect_with("/", options).await.unwrap_err();
    let response = error.response().unwrap();
    assert_eq!(response.head().status().as_u16(), 401);
    assert_eq!(response.header("www-authenticate"), Some("Basic"));
    assert_eq!(response.body(), b"log in first\n");
    log.until("rejected").await;
}

/// Plain HTTP is answered by the service of the server, and by a 426 without one.
pub async fn a_plain_request_is_answered<R: Runtime + Default>() {
    let request = |target: &str| http::Request::post(target).body("hi").unwrap();
    let server = server(Server::<R>::builder(), echo);
    let response = Kit::client(&server)
        .request(request("/page"))
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 426);
    let builder =
        Server::<R>::builder().on_request(|request: http::Request<RequestBody>| async move {
            let host = request.headers().get("host").unwrap().to_str().unwrap();
            let answer = format!("{} {} at {host}", request.method(), request.uri());
            let mut response = http::Response::new(answer);
            *response.status_mut() = http::StatusCode::CREATED;
            response
        });
    let with_service = self::server(builder, echo);
    let client = Kit::client(&with_service);
    let response = client.request(request("/page?a=b")).await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
    assert_eq!(response.body(), "POST /page?a=b at localhost");
    // Each request has a stream of its own, and none is left.
    sleep::<R>(seconds(60)).await;
    assert_eq!(with_service.counters().opening, 0);
}

/// A test can send the bytes of an opening handshake itself.
pub async fn a_client_can_be_bytes<R: Runtime + Default>() {
    let server = server(Server::<R>::builder(), echo);
    let mut peer = Kit::client(&server).scripted().unwrap();
    peer.send(DRAFT76.as_bytes()).await.unwrap();
    peer.send(KEY3).await.unwrap();
    peer.send(b"\x00hi\xff\xff\x00").await.unwrap();
    let answer = peer.receive_to_end().await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    assert!(answer.ends_with(b"8jKS'y:G*Co,Wxa-\x00hi\xff\xff\x00"));
}

/// Limits apply to clients of the kit: those of an address, and that of all connections, which makes a stream wait.
pub async fn limits_apply_to_clients_of_the_kit<R: Runtime + Default>() {
    let limits = AddressLimits::new().connections(1);
    let server = server(
        Server::<R>::builder()
            .address_limits(limits)
            .connection_limit(2),
        echo,
    );
    let client =
        |addr: &str| Kit::client(&server).with_peer_addr(addr.parse::<SocketAddr>().unwrap());
    let first = client("192.0.2.1:1").connect("/").await.unwrap();
    let error = client("192.0.2.1:2").connect("/").await.unwrap_err();
    assert_eq!(error.response().unwrap().head().status().as_u16(), 429);
    let _second = client("192.0.2.2:1").connect("/").await.unwrap();
    let start = Kit::<R>::now();
    let options = ClientConfig::new().handshake_timeout(seconds(3));
    let error = client("192.0.2.3:1")
        .connect_with("/", options)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ConnectError::Handshake(HandshakeError::Timeout { .. })
    ));
    assert_eq!(Kit::<R>::now() - start, seconds(3));
    drop(first);
    client("192.0.2.3:1").connect("/").await.unwrap();
}

/// What the server makes of an address it makes of that of the kit: an address of IPv4 that came by a socket of IPv6 is one of
/// IPv4, and a stream without an address is that of a proxy on this machine.
pub async fn an_address_is_what_it_is_on_a_port<R: Runtime + Default>() {
    let addrs = Told::default();
    let told = addrs.clone();
    let proxies = ForwardedFor::proxies(["10.0.0.0/8"]).unwrap();
    let builder = Server::<R>::builder().forwarded_for(proxies);
    let server = server(builder, move |connection: Connection| {
        told.tell(connection.peer_addr());
        async {}
    });
    let client = Kit::client(&server);
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:80".parse().unwrap();
    let opened = client.clone().with_peer_addr(mapped).connect("/").await;
    opened.unwrap().close().await;
    let expected: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert_eq!(addrs.next().await, Some(expected));
    let options = ClientConfig::new();
    let options = options.header("x-forwarded-for", "192.0.2.2").unwrap();
    let opened = client.with_peer_addr(None).connect_with("/", options).await;
    opened.unwrap().close().await;
    let addr: Option<SocketAddr> = addrs.next().await;
    assert_eq!(
        addr.map(|addr| addr.ip().to_string()),
        Some("192.0.2.2".into())
    );
}

/// A server that has closed takes no stream, not even one that waits already; `accept` hands out the others.
pub async fn accept_takes_clients_of_the_kit<R: Runtime + Default>() {
    let server = Server::<R>::builder().build().unwrap();
    let client = Kit::client(&server);
    let connecting = {
        let client = client.clone();
        spawn::<R, _>(async move { client.connect("/").await })
    };
    let mut accepted = server.accept().await.unwrap().unwrap();
    let connection = connecting.next().await.unwrap();
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut accepted).await, "hi");
    let start = Kit::<R>::now();
    let waiting = {
        let client = client.clone();
        spawn::<R, _>(async move { client.connect("/").await.map(drop) })
    };
    sleep::<R>(ms(1)).await;
    server.close();
    assert!(server.accept().await.unwrap().is_none());
    assert!(waiting.next().await.is_err());
    assert_eq!(Kit::<R>::now() - start, ms(1));
    for error in [
        client.connect("/").await.map(drop).unwrap_err().to_string(),
        client.scripted().unwrap_err().to_string(),
        client
            .request(http::Request::new(""))
            .await
            .unwrap_err()
            .to_string(),
    ] {
        assert!(error.contains("the server has closed"), "{error}");
    }
}

/// Waits for a message, but not for longer than a time. A race by hand, because the crates for it belong to runtimes.
async fn heard<R: Runtime + Default>(connection: &mut Connection, limit: Duration) -> bool {
    let mut receiving = pin!(connection.recv());
    let mut timer = pin!(sleep::<R>(limit));
    poll_fn(|cx| match receiving.as_mut().poll(cx) {
        Poll::Ready(message) => Poll::Ready(message.is_some()),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| false),
    })
    .await
}

/// A handler that closes after a time of silence is tested in no time, and to the second.
pub async fn a_handler_waits_in_virtual_time<R: Runtime + Default>() {
    let server = server(Server::<R>::builder(), |mut connection| async move {
        while heard::<R>(&mut connection, seconds(30)).await {}
        if connection.closed().is_none() {
            let _ = connection.close_with(CloseCode::POLICY, "silence").await;
        }
    });
    let start = Kit::<R>::now();
    let mut client = Kit::connect(&server, "/").await.unwrap();
    sleep::<R>(seconds(29)).await;
    client.send("still here").await.unwrap();
    assert!(client.recv().await.is_none());
    assert_eq!(Kit::<R>::now() - start, seconds(59));
    let closed = client.closed().unwrap();
    assert_eq!((closed.code, &*closed.reason), (1008, "silence"));
}

/// The keepalive of the server finds a peer that is silent, and the `close_timeout` ends one that does not answer a close.
pub async fn timeouts_pass_in_virtual_time<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .keepalive_interval(seconds(60))
        .pong_timeout(seconds(20))
        .close_timeout(seconds(7));
    let ends = Told::default();
    let told = ends.clone();
    let server = server(builder, move |mut connection| {
        let ends = told.clone();
        async move {
            if connection.request().unwrap().target() == "/close" {
                connection.close().await;
            }
            while connection.recv().await.is_some() {}
            ends.tell(connection.closed().unwrap());
        }
    });
    let client = Kit::client(&server);
    let start = Kit::<R>::now();
    let mut silent = client.scripted().unwrap();
    silent.send(RFC6455.as_bytes()).await.unwrap();
    let closed = ends.next().await;
    assert!(
        matches!(
            closed.cause,
            CloseCause::Failed(ProtocolError::PongTimeout { .. })
        ),
        "{closed:?}"
    );
    // A ping comes up to a quarter of the interval earlier, by chance, so that those of many connections are spread.
    let waited = Kit::<R>::now() - start;
    assert!((seconds(65)..=seconds(80)).contains(&waited), "{waited:?}");
    let start = Kit::<R>::now();
    let mut rude = client.scripted().unwrap();
    let request = RFC6455.replace("/chat?room=1", "/close");
    rude.send(request.as_bytes()).await.unwrap();
    ends.next().await;
    assert_eq!(Kit::<R>::now() - start, seconds(7));
    drop((silent, rude));
}
