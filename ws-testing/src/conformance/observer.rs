//! A server starts, listens, and reports to its observers everything that the original's events reported.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use ws_proto::{State, Version};

use super::support::{
    ACCEPT_76, ANY, DRAFT76, KEY3, Log, Peer, RFC6455, client, echo, masked, serve, spawn, text,
    url,
};
use ws_driver::{ConnectConfig, Histograms, Runtime, Server, Upgrade, connect, connect_with};

/// `ws.createServer`: with the defaults or with options, and both serve.
pub async fn create_server<R: Runtime + Default>() {
    let with_defaults = Server::<R>::bind(ANY).await.unwrap();
    let builder = Server::<R>::builder()
        .message_limit(Some(100))
        .secure(false);
    let with_options = builder.bind(ANY).await.unwrap();
    for server in [with_defaults, with_options] {
        let serving = server.clone();
        let served = spawn::<R, _>(async move { serving.serve(echo).await.is_ok() });
        let mut connection = client(&server, Version::Rfc6455).await;
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        server.close();
        assert!(served.next().await);
    }
}

/// `server.listen`: `bind` chooses a port or takes the one it is told, and fails if it cannot.
pub async fn server_listen<R: Runtime + Default>() {
    let server = Server::<R>::bind(ANY).await.unwrap();
    let addr = server.local_addr();
    assert!(addr.ip().is_loopback() && addr.port() != 0);
    let error = Server::<R>::bind(addr).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    for never in ["https://*.example.com", "https://example.com/"] {
        let error = Server::<R>::builder()
            .allow_origins([never])
            .bind(ANY)
            .await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    let error = Server::<R>::builder().allow_origins(["nonsense"]);
    let error = error.bind(ANY).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("nonsense"), "{error}");
}

/// A name is listened on at each of its addresses, on the same port, and an address that this machine does
/// not have is left out.
pub async fn server_listen_on_a_name<R: Runtime + Default>() {
    let server = Server::<R>::bind("localhost:0").await.unwrap();
    let serving = server.clone();
    spawn::<R, _>(async move { serving.serve(echo).await.is_ok() });
    let port = server.local_addr().port();
    let here = server.local_addrs();
    let addrs: Vec<_> = ("localhost", port).to_socket_addrs().unwrap().collect();
    assert!(here.iter().all(|addr| addrs.contains(addr)), "{here:?}");
    for addr in here {
        let mut connection = connect::<R>(&format!("ws://{addr}/")).await.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
    }
    // On most systems the first one takes the streams for the second, too, and the second bind fails.
    let addrs: [SocketAddr; 2] = ["[::]:0", "0.0.0.0:0"].map(|addr| addr.parse().unwrap());
    let server = Server::<R>::bind(&addrs[..]).await.unwrap();
    let serving = server.clone();
    spawn::<R, _>(async move { serving.serve(echo).await.is_ok() });
    let url = format!("ws://127.0.0.1:{}/", server.local_addr().port());
    let mut connection = connect::<R>(&url).await.unwrap();
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    // RFC 5737: the first is for documentation, so no machine has it.
    let addrs: [SocketAddr; 2] = ["192.0.2.1:0", ANY].map(|addr| addr.parse().unwrap());
    let server = Server::<R>::bind(&addrs[..]).await.unwrap();
    let [addr] = server.local_addrs() else {
        unreachable!("{server:?}");
    };
    assert_eq!(addr.ip(), addrs[1].ip());
    let error = Server::<R>::bind(addrs[0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

/// `accept` hands out connections that can be kept anywhere, and `None` once the server has closed.
pub async fn accept_hands_out_connections<R: Runtime + Default>() {
    let server = Server::<R>::bind(ANY).await.unwrap();
    let accepting = server.clone();
    let accepted = spawn::<R, _>(async move {
        let mut connections = Vec::new();
        while let Some(connection) = accepting.accept().await.unwrap() {
            connection.send("welcome").await.unwrap();
            connections.push(connection);
        }
        connections
    });
    let mut peers = Vec::new();
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        assert_eq!(text(&mut connection).await, "welcome");
        peers.push(connection);
    }
    server.close();
    let connections = accepted.next().await;
    for (mut connection, peer) in connections.into_iter().zip(&mut peers) {
        peer.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        assert_eq!(connection.version(), peer.version());
    }
}

/// Event `listening`: told with the address, before `bind` returns.
pub async fn event_listening<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let _server = builder.bind(ANY).await.unwrap();
    assert_eq!(log.try_next().unwrap(), "listening 127.0.0.1");
    assert_eq!(log.try_next(), None);
}

/// Event `stream`: told of a TCP stream before it has said a byte.
pub async fn event_stream<R: Runtime + Default>() {
    let log = Log::default();
    let server = serve::<R, _, _>(Server::builder().observer(log.clone()), echo).await;
    let _peer = Peer::connect(&server).await;
    let lines = log.until("stream").await;
    assert_eq!(lines, ["listening 127.0.0.1", "stream ?"]);
}

/// Event `connection`: told once the connection is open, and the handler is called with it.
pub async fn event_connection<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = serve(builder, |connection| async move {
        let state = connection.state();
        let id = connection.id();
        connection.send(format!("{state} {id}")).await.unwrap();
    })
    .await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        let greeting = text(&mut connection).await;
        assert!(greeting.starts_with("connected "), "{greeting}");
        log.until(&format!("connection {version}")).await;
    }
}

/// Event `stateChange`: told with the state and the one before, in each version from the first to the
/// last.
pub async fn event_state_change<R: Runtime + Default>() {
    let log = Log::default();
    let server = serve::<R, _, _>(Server::builder().observer(log.clone()), echo).await;
    let mut peer = Peer::open(&server).await;
    peer.write(masked(0x88, &4000u16.to_be_bytes())).await;
    peer.end().await;
    let mut lines = log.until("close ").await;
    lines.retain(|line| line.starts_with("state "));
    let expected = [
        "state 0 unknown -> 1 opening",
        "state 1 opening -> 3 handshaking",
        "state 3 handshaking -> 4 connected",
        "state 4 connected -> 6 closing",
        "state 6 closing -> 5 closed",
    ];
    assert_eq!(lines, expected);

    let mut peer = Peer::connect(&server).await;
    let head = peer.ask(DRAFT76).await;
    assert!(
        head.starts_with("HTTP/1.1 101 WebSocket Protocol Handshake"),
        "{head}"
    );
    log.until("state 3 handshaking -> 2 waiting").await;
    peer.write(KEY3).await;
    assert_eq!(peer.read(16).await, ACCEPT_76);
    log.until("state 2 waiting -> 4 connected").await;
    drop(peer);
    log.until("state 4 connected -> 5 closed").await;

    let mut connection = client(&server, Version::Draft75).await;
    connection.close().await;
    log.until("state 3 handshaking -> 4 connected").await;
    log.until("close draft75").await;
}

/// The numbers of the states are the original's; `closing` is ours, behind them.
pub async fn state_change_numbers<R: Runtime + Default>() {
    let states = [
        (State::Unknown, 0, "unknown"),
        (State::Opening, 1, "opening"),
        (State::Waiting, 2, "waiting"),
        (State::Handshaking, 3, "handshaking"),
        (State::Connected, 4, "connected"),
        (State::Closed, 5, "closed"),
        (State::Closing, 6, "closing"),
    ];
    for (state, number, name) in states {
        assert_eq!((state.number(), state.as_str()), (number, name));
    }
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    assert_eq!(connection.state().number(), 4);
    connection.close().await;
    assert_eq!(connection.state().number(), 5);
}

/// Event `close` of the server: told of each connection that was open, with the account of its end.
pub async fn event_close<R: Runtime + Default>() {
    let log = Log::default();
    let server = serve::<R, _, _>(Server::builder().observer(log.clone()), echo).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    connection.close().await;
    let line = log.until("close ").await.pop().unwrap();
    assert_eq!(line, "close rfc6455: 1000, closed by the peer");
    let peer = Peer::open(&server).await;
    drop(peer);
    let line = log.until("close ").await.pop().unwrap();
    assert!(line.starts_with("close rfc6455: 1006, "), "{line}");
}

/// Event `rejected`: told of each upgrade that is refused, with the reason, whoever refused it; the
/// state is `closed` then.
pub async fn event_rejected<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder()
        .observer(log.clone())
        .allow_origins(["http://example.com"])
        .on_upgrade(|upgrade: Upgrade| async move { upgrade.reject(401) });
    let server = serve(builder, echo).await;
    let elsewhere = RFC6455.replace("http://example.com", "http://evil.example");
    for (request, reason) in [
        (
            RFC6455,
            "rejected rfc6455: on_upgrade answered 401 Unauthorized",
        ),
        (
            &*elsewhere,
            "rejected ?: origin \"http://evil.example\" is not allowed",
        ),
    ] {
        let mut peer = Peer::connect(&server).await;
        peer.ask(request).await;
        let lines = log.until(reason).await;
        assert!(
            !lines.iter().any(|line| line.starts_with("connection")),
            "{lines:?}"
        );
        let lines = log.until("close ").await;
        let [.., state, close] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert!(state.ends_with(" -> 5 closed"), "{state}");
        assert!(close.ends_with("the upgrade was rejected"), "{close}");
    }
    assert_eq!(server.counters().rejected, 2);
}

/// Event `shutdown`: told when the server stops to accept, without an error if it was told to.
pub async fn event_shutdown<R: Runtime + Default>() {
    let log = Log::default();
    let server = serve::<R, _, _>(Server::builder().observer(log.clone()), echo).await;
    server.close();
    let lines = log.until("shutdown").await;
    assert_eq!(lines, ["listening 127.0.0.1", "shutdown None"]);
}

/// A client tells its observers of its stream, its connection and their end, as a server does.
pub async fn a_client_has_observers<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let log = Log::default();
    for version in Version::ALL {
        let options = ConnectConfig::new().version(version).observer(log.clone());
        let mut connection = connect_with::<R>(&url(&server), options).await.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        connection.close().await;
        let mut lines = log.until("close ").await;
        lines.retain(|line| !line.starts_with("state 4") && !line.starts_with("state 6"));
        let close = lines.pop().unwrap();
        assert!(close.starts_with(&format!("close {version}: 1")), "{close}");
        assert!(close.ends_with("closed by us"), "{close}");
        let expected = [
            "stream ?".to_owned(),
            "state 0 unknown -> 1 opening".to_owned(),
            "state 1 opening -> 4 connected".to_owned(),
            format!("connection {version}"),
        ];
        assert_eq!(lines, expected);
    }
    assert_eq!(log.try_next(), None);
}

/// Histograms of a server and of a client have the sizes of their messages, and each connection once it has ended.
pub async fn histograms_count_on_both_sides<R: Runtime + Default>() {
    let (near, far) = (Histograms::new(), Histograms::new());
    let log = Log::default();
    let builder = Server::<R>::builder()
        .histograms(near.clone())
        .observer(log.clone());
    let server = serve(builder, echo).await;
    let options = ConnectConfig::new().histograms(far.clone());
    let options = options.observer(log.clone());
    let mut connection = connect_with::<R>(&url(&server), options).await.unwrap();
    for len in [4, 5_000] {
        connection.send("x".repeat(len)).await.unwrap();
        assert_eq!(text(&mut connection).await.len(), len);
    }
    connection.close().await;
    log.until("close ").await;
    log.until("close ").await;
    drop(connection);
    for histograms in [near, far] {
        let values = histograms.values();
        for sizes in [values.received_size, values.sent_size] {
            assert_eq!((sizes.count(), sizes.sum()), (2, 5_004.0));
        }
        assert_eq!(values.handshake_duration.count(), 1);
        assert!(values.send_queue_duration.count() > 0);
    }
}
