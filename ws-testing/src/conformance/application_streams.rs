//! Streams that the application made, instead of streams that the port accepted.

use std::net::SocketAddr;

use ws_proto::{ClientConfig, Version};

use super::support::{ANY, Host, Log, Told, client, echo, ms, serve, sleep, spawn, text, until};
use ws_driver::internals::{duplex, stream_and_peer};
use ws_driver::{ConnectConfig, Connection, Message, Runtime, Server, connect_over};

/// Hands one end of a stream in memory to a server and opens a connection over the other.
async fn open_over<R: Runtime + Default>(server: &Server<R>, version: Version) -> Connection {
    let (ours, theirs) = duplex();
    assert!(server.handle_stream(ours, None, echo).await);
    let config = ClientConfig::new().version(version);
    let opened = connect_over::<R, _>(theirs, "ws://example.com/demo", &config).await;
    opened.unwrap()
}

/// A stream that the application made is served in every version, by a server that listens on nothing,
/// and its connection is known as others are; it closes as others do.
pub async fn a_stream_of_the_application_is_served<R: Runtime + Default>() {
    let log = Log::default();
    let server = Host(
        Server::<R>::builder()
            .observer(log.clone())
            .build()
            .unwrap(),
    );
    assert_eq!(server.local_addr().port(), 0);
    for version in Version::ALL {
        let mut connection = open_over(&server, version).await;
        assert_eq!(connection.peer_addr(), None);
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        until::<R>(|| server.clients().len() == 1).await;
        let served = server.clients().iter().next().unwrap();
        assert_eq!(served.version(), version);
        assert_eq!(served.peer_addr(), None);
        server.send(served.id(), "by id").unwrap();
        assert_eq!(text(&mut connection).await, "by id");
        assert!(connection.close().await.clean || version == Version::Draft75);
        until::<R>(|| server.clients().is_empty()).await;
    }
    // An address of IPv4 that came by a socket of IPv6 is one of IPv4.
    let (ours, theirs) = duplex();
    let addr: SocketAddr = "[::ffff:127.0.0.1]:80".parse().unwrap();
    assert!(server.handle_stream(ours, addr, echo).await);
    let url = "ws://example.com/";
    let opened = connect_over::<R, _>(theirs, url, &ClientConfig::new()).await;
    until::<R>(|| server.clients().len() == 1).await;
    let served = server.clients().iter().next().unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], 80));
    assert_eq!(served.peer_addr(), Some(addr));
    opened.unwrap().close().await;
    let lines = log.until("close rfc6455").await;
    assert_eq!(lines[0], "stream ?");
    assert!(!lines.iter().any(|line| line.starts_with("listening")));
}

/// Plain HTTP on such a stream is answered as on the port.
pub async fn plain_http_on_a_stream_of_the_application<R: Runtime + Default>() {
    let builder =
        Server::<R>::builder().on_request(|_: ::http::Request<ws_driver::RequestBody>| async {
            ::http::Response::new(String::from("the page"))
        });
    let server = Host(builder.build().unwrap());
    let (ours, mut peer) = stream_and_peer();
    assert!(server.handle_stream(ours, None, echo).await);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    peer.send(request).await.unwrap();
    let answer = String::from_utf8(peer.receive_to_end().await.unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthe page"), "{answer}");
}

/// A broadcast reaches connections that were accepted and those of streams that were handed in.
pub async fn a_broadcast_reaches_streams_of_the_application<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut connections = Vec::new();
    for version in Version::ALL {
        connections.push(client(&server, version).await);
        connections.push(open_over(&server, version).await);
    }
    until::<R>(|| server.clients().len() == 6).await;
    assert_eq!(server.broadcast("all"), 6);
    for connection in &mut connections {
        assert_eq!(text(connection).await, "all");
    }
}

/// The connection limit makes whoever hands a stream in wait, and a server that has closed takes none.
pub async fn the_limits_of_a_server_hold_for_streams_of_the_application<R: Runtime + Default>() {
    let builder = Server::<R>::builder().connection_limit(1);
    let server = Host(builder.build().unwrap());
    let mut first = open_over(&server, Version::Rfc6455).await;
    let (ours, theirs) = duplex();
    let handing = {
        let server = server.clone();
        spawn::<R, _>(async move { server.handle_stream(ours, None, echo).await })
    };
    sleep::<R>(ms(50)).await;
    assert!(handing.try_next().is_none(), "it waits for a place");
    first.close().await;
    assert!(handing.next().await);
    let url = "ws://example.com/";
    let opened = connect_over::<R, _>(theirs, url, &ClientConfig::new()).await;
    let mut second = opened.unwrap();
    second.send("hi").await.unwrap();
    assert_eq!(text(&mut second).await, "hi");
    let (ours, _theirs) = duplex();
    let handing = {
        let server = server.clone();
        spawn::<R, _>(async move { server.handle_stream(ours, None, echo).await })
    };
    sleep::<R>(ms(50)).await;
    assert!(handing.try_next().is_none(), "it waits for a place");
    server.close();
    assert!(!handing.next().await, "it has closed");
    let (ours, _theirs) = duplex();
    assert!(!server.handle_stream(ours, None, echo).await);
}

/// A shutdown closes connections of such streams with 1001; `serve` of a server that listens on nothing
/// returns then.
pub async fn a_shutdown_closes_streams_of_the_application<R: Runtime + Default>() {
    let server = Host(Server::<R>::builder().build().unwrap());
    let serving = {
        let server = server.clone();
        spawn::<R, _>(async move { server.serve(echo).await.is_ok() })
    };
    let mut connection = open_over(&server, Version::Rfc6455).await;
    let ended: Told<_> = spawn::<R, Option<Message>>(async move {
        let last = connection.recv().await;
        assert_eq!(connection.closed().unwrap().code, 1001);
        last
    });
    until::<R>(|| server.clients().len() == 1).await;
    let report = server.shutdown(ms(10_000)).await;
    assert_eq!((report.closed, report.aborted), (1, 0));
    assert_eq!(ended.next().await, None);
    assert!(serving.next().await);
}

/// A client on a stream that does not speak WebSocket says so, as one that connected by itself.
pub async fn connect_over_tells_what_went_wrong<R: Runtime + Default>() {
    let (theirs, mut peer) = stream_and_peer();
    peer.send(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
    let url = "wss://example.com/";
    let refused = connect_over::<R, _>(theirs, url, &ClientConfig::new()).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("404"), "{error}");
    let (_ours, theirs) = duplex();
    let refused = connect_over::<R, _>(theirs, ANY, &ClientConfig::new()).await;
    assert!(refused.is_err());
}

/// The application knows who is at the other end of its stream, and tells the connection.
pub async fn connect_over_is_told_its_peer<R: Runtime + Default>() {
    let server = Host(Server::<R>::builder().build().unwrap());
    let (ours, theirs) = duplex();
    assert!(server.handle_stream(ours, None, echo).await);
    let addr: SocketAddr = "192.0.2.7:99".parse().unwrap();
    let options = ConnectConfig::new().peer_addr(addr);
    let opened = connect_over::<R, _>(theirs, "ws://example.com/", options).await;
    let mut connection = opened.unwrap();
    assert_eq!(connection.peer_addr(), Some(addr));
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    connection.close().await;
}
