//! Sockets that existed before the server, proxies in front of it, and streams that were upgraded elsewhere.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use http::{Request, Response};
use ws_driver::{
    AddressLimits, Connection, ConnectionConfig, ConnectionInfo, ForwardedFor, ProxyProtocol,
    RequestBody, Runtime, Server, ServerBuilder, Upgraded, from_upgraded,
};

use super::support::{ANY, Host, Log, Peer, RFC6455, client, echo, masked, ms, sleep, text, until};

/// Says who is at the other end.
async fn tell_peer(mut connection: Connection) {
    let peer = connection.peer_addr();
    let peer = peer.map_or_else(|| "nobody".to_owned(), |addr| addr.to_string());
    let _ = connection.send(peer).await;
    while connection.recv().await.is_some() {}
}

async fn listen<R: Runtime + Default>(builder: ServerBuilder<R>) -> Host<R> {
    let server = builder.listen().await.unwrap();
    let serving = server.clone();
    R::default().spawn(async move { serving.serve(echo).await.unwrap() });
    Host(server)
}

/// Sockets that the application has bound, and an address beside them, are one server.
pub async fn sockets_that_exist_are_served<R: Runtime + Default>() {
    let sockets = [(); 2].map(|()| TcpListener::bind(ANY).unwrap());
    let known = sockets.each_ref().map(|it| it.local_addr().unwrap());
    let builder = sockets
        .into_iter()
        .fold(Server::<R>::builder(), ServerBuilder::listener);
    let server = builder.bind(ANY).await.unwrap();
    assert_eq!(server.local_addrs().len(), 3);
    assert_eq!(server.local_addrs()[..2], known);
    let serving = server.clone();
    R::default().spawn(async move { serving.serve(echo).await.unwrap() });
    let server = Host(server);
    let mut connections = Vec::new();
    for addr in server.local_addrs() {
        let url = format!("ws://{addr}/");
        let mut connection = ws_driver::connect::<R>(&url).await.unwrap();
        connection.send("hello").await.unwrap();
        assert_eq!(text(&mut connection).await, "hello");
        connections.push(connection);
    }
    assert_eq!(server.clients().len(), 3);

    let alone = listen(Server::<R>::builder().listener(TcpListener::bind(ANY).unwrap())).await;
    let mut connection = client(&alone, ws_proto::Version::Draft76).await;
    connection.send("hello").await.unwrap();
    assert_eq!(text(&mut connection).await, "hello");
}

/// Nothing to listen on is an error, and so is a socket that nobody would listen on.
pub async fn a_server_without_a_socket_does_not_listen<R: Runtime + Default>() {
    let error = Server::<R>::builder().listen().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let builder = Server::<R>::builder().listener(TcpListener::bind(ANY).unwrap());
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains("listener"), "{error}");
}

/// A Unix socket that exists is served as TCP is: each version, plain HTTP, and an end that the peer sees. It is not TCP, so
/// nothing of that is asked of it.
pub async fn a_unix_socket_is_served<R: Runtime + Default>() {
    // Elsewhere there is nothing to serve.
    #[cfg(unix)]
    serve_unix_socket::<R>().await;
}

#[cfg(unix)]
async fn serve_unix_socket<R: Runtime + Default>() {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    let name = format!("ws-{}-{:p}", std::process::id(), &ANY);
    let path = std::env::temp_dir()
        .join(name)
        .with_extension(std::any::type_name::<R>());
    let _ = std::fs::remove_file(&path);
    let builder = Server::<R>::builder().listener(UnixListener::bind(&path).unwrap());
    let log = Log::default();
    let server = builder.observer(log.clone()).listen().await.unwrap();
    assert_eq!(server.local_addrs(), []);
    let serving = server.clone();
    R::default().spawn(async move { serving.serve(tell_peer).await.unwrap() });
    let server = Host(server);

    let (sender, receiver) = std::sync::mpsc::channel();
    let told = super::support::Told::default();
    let teller = told.clone();
    let client_path = path.clone();
    std::thread::spawn(move || {
        let mut stream = UnixStream::connect(&client_path).unwrap();
        stream.write_all(RFC6455.as_bytes()).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"\x81\x06nobody") {
            let len = stream.read(&mut buffer).unwrap();
            assert_ne!(len, 0, "{}", answer.escape_ascii());
            answer.extend_from_slice(&buffer[..len]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        let mut plain = UnixStream::connect(&client_path).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        plain.write_all(request).unwrap();
        let mut answer = Vec::new();
        plain.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 426 "));
        teller.tell("open");
        receiver.recv().unwrap();
        // The close of the shutdown, and the end of the stream behind our own close.
        let mut close = [0; 4];
        stream.read_exact(&mut close).unwrap();
        assert_eq!(close, [0x88, 2, 0x03, 0xe9]);
        stream
            .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])
            .unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        teller.tell("ended");
    });
    assert_eq!(told.next().await, "open");
    sender.send(()).unwrap();
    server.shutdown(Duration::from_secs(5)).await;
    assert_eq!(told.next().await, "ended");
    std::fs::remove_file(path).unwrap();
}

/// Reads the text that [`tell_peer`] sends behind the answer.
async fn told_peer<R: Runtime + Default>(peer: &mut Peer<R>, expected: &str) {
    let (first_byte, payload) = peer.frame().await;
    assert_eq!(
        (first_byte, &*String::from_utf8_lossy(&payload)),
        (0x81, expected)
    );
}

async fn serve_telling<R: Runtime + Default>(builder: ServerBuilder<R>) -> Host<R> {
    super::support::serve(builder, tell_peer).await
}

/// The address in a header of the PROXY protocol is the peer's, whichever version; the stream behind it may be all that a
/// server speaks.
pub async fn option_proxy_protocol<R: Runtime + Default>() {
    let proxies = ProxyProtocol::required(["127.0.0.0/8"]).unwrap();
    let server = serve_telling(Server::<R>::builder().proxy_protocol(proxies)).await;
    let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n".to_vec();
    let payload = [192, 0, 2, 7, 198, 51, 100, 1, 0x1f, 0x90, 0, 80];
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &payload].concat();
    for header in [v1, v2] {
        let mut peer = Peer::<R>::connect(&server).await;
        // In one write, and in two.
        let (first, second) = header.split_at(header.len() - 3);
        peer.write(first).await;
        let request = [second, RFC6455.as_bytes()].concat();
        let answer = peer.ask(request).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        told_peer(&mut peer, "192.0.2.7:8080").await;
    }
    let mut peer = Peer::<R>::connect(&server).await;
    peer.write(RFC6455).await;
    until::<R>(|| server.counters().rejections.proxy_protocol == 1).await;
}

/// The address in a header of the request is the peer's for the connection, and for plain HTTP.
pub async fn option_forwarded_for<R: Runtime + Default>() {
    let proxies = ForwardedFor::proxies(["127.0.0.0/8"]).unwrap();
    let builder = Server::<R>::builder().forwarded_for(proxies);
    let builder = builder.on_request(|request: Request<RequestBody>| async move {
        let info = request.extensions().get::<ConnectionInfo>().unwrap();
        Response::new(format!("{}", info.peer_addr.unwrap()))
    });
    let server = serve_telling(builder).await;
    let plain = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n";
    let mut peer = Peer::<R>::connect(&server).await;
    let answer = peer.ask(plain).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(peer.read(11).await, b"192.0.2.9:0");
    let forwarded = "X-Forwarded-For: 198.51.100.3, 192.0.2.7:8080\r\nOrigin";
    let answer = peer.ask(RFC6455.replace("Origin", forwarded)).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    told_peer(&mut peer, "192.0.2.7:8080").await;

    // Without the header it is the peer itself.
    let mut connection = client(&server, ws_proto::Version::Rfc6455).await;
    let peer: SocketAddr = text(&mut connection).await.parse().unwrap();
    assert!(peer.ip().is_loopback() && peer.port() != 0);
}

/// An address that has as many connections as it may gets a 429 that it can read, whether it has sent its request or not, and a
/// place when one of them ends.
pub async fn option_address_limits<R: Runtime + Default>() {
    let limits = AddressLimits::new().connections(1);
    let server = super::support::serve(Server::<R>::builder().address_limits(limits), echo).await;
    let first = Peer::<R>::open(&server).await;
    for number in 1..=20 {
        let mut other = Peer::<R>::connect(&server).await;
        if number % 2 == 0 {
            // It fails if the server was faster, and its answer is there all the same.
            let _ = other.try_write(RFC6455.as_bytes()).await;
        }
        let answer = other.head().await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert_eq!(server.counters().rejections.address, number);
    }
    drop(first);
    // The place is free once the observers know of the end.
    let url = format!("ws://{}/", server.local_addr());
    while ws_driver::connect::<R>(&url).await.is_err() {
        sleep::<R>(ms(5)).await;
    }
}

/// A stream is a connection on either side once somebody has done the opening handshake on it. What was read behind the head is
/// the first that it receives, in any parts.
pub async fn a_stream_that_was_upgraded_elsewhere_is_a_connection<R: Runtime + Default>() {
    // The client's side, against a server of ours that speaks first.
    let server = serve_telling(Server::<R>::builder()).await;
    let mut peer = Peer::<R>::connect(&server).await;
    let answer = peer.ask(RFC6455).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let addr = server.local_addr();
    let (stream, early) = peer.into_parts();
    let subprotocol: ws_proto::Subprotocol = "chat".parse().unwrap();
    let upgraded = Upgraded::client(stream)
        .early(early)
        .peer_addr(addr)
        .subprotocol(subprotocol);
    let mut connection = from_upgraded::<R, _>(upgraded).unwrap();
    assert!(text(&mut connection).await.starts_with("127.0.0.1:"));
    assert_eq!(connection.peer_addr(), Some(addr));
    assert_eq!(connection.subprotocol(), Some("chat"));
    assert_eq!(connection.close().await.code, 1000);

    // The server's side, against bytes, with a message and a half that came with the request.
    let listener = TcpListener::bind(ANY).unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = R::default().listen_on(listener.into()).unwrap();
    let mut peer = Peer::<R>::connect_to(addr).await;
    let (stream, _) = R::default().accept(&listener).await.unwrap();
    let bytes = [masked(0x81, b"early"), masked(0x81, b"and late")].concat();
    let (early, late) = bytes.split_at(bytes.len() - 3);
    let config = ConnectionConfig::new().message_limit(8);
    let upgraded = Upgraded::server(stream)
        .early(early.to_vec())
        .config(config);
    let mut connection = from_upgraded::<R, _>(upgraded).unwrap();
    assert_eq!(text(&mut connection).await, "early");
    peer.write(late).await;
    assert_eq!(text(&mut connection).await, "and late");
    connection.send("here").await.unwrap();
    assert_eq!(peer.frame().await, (0x81, b"here".to_vec()));
    assert!(connection.join("room").is_err(), "it is of no server");
    // Its options hold.
    peer.write(masked(0x81, b"too long!")).await;
    assert_eq!(peer.close_frame().await.0, 1009);

    let invalid = ConnectionConfig::new().keepalive_interval(Duration::ZERO);
    let (stream, _) = peer.into_parts();
    let upgraded = Upgraded::client(stream).config(invalid);
    assert!(from_upgraded::<R, _>(upgraded).is_err());
}
