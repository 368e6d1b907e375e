//! Requests that another HTTP server read, one that is built on hyper.

use std::future::pending;
use std::net::SocketAddr;
use std::panic::resume_unwind;

use ::http::{Request, StatusCode};
use hyper::body::Incoming;
use ws_proto::Version;

use super::foreign_server::{Foreign, Style, hand_over};
use super::support::{
    ACCEPT_76, DRAFT76, Host, KEY3, Log, RFC6455, Told, client, echo, masked, ms, serve, sleep,
    spawn, text, until,
};
use ws_driver::{ConnectError, Connection, HandshakeError, Runtime, Server};

/// An upgrade of each version becomes a connection, with its request, and closes as others do. draft-75
/// needs the header names as its clients know them.
pub async fn requests_of_another_server_become_connections<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let foreign = Foreign::echo(builder, Style::TitleCase).await;
    for version in Version::ALL {
        let mut connection = foreign.open(version).await.unwrap();
        assert_eq!(connection.version(), version);
        for content in ["hi", &"x".repeat(100_000), ""] {
            connection.send(content).await.unwrap();
            assert_eq!(text(&mut connection).await, content);
        }
        assert!(connection.close().await.clean || version == Version::Draft75);
    }
    until::<R>(|| foreign.server.clients().is_empty()).await;
    let counters = foreign.server.counters();
    assert_eq!((counters.opened.total(), counters.rejected), (3, 0));
    let lines = log.until("close rfc6455").await;
    let states: Vec<_> = lines.iter().map(String::as_str).collect();
    let opened = [
        "stream ?",
        "state 0 unknown -> 1 opening",
        "state 1 opening -> 3 handshaking",
        "state 3 handshaking -> 4 connected",
        "connection draft75",
    ];
    assert_eq!(states[..5], opened);
    let foreign = Foreign::echo(Server::<R>::builder(), Style::Usual).await;
    for version in [Version::Draft76, Version::Rfc6455] {
        let mut connection = foreign.open(version).await.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
    }
}

/// Frames, and the key3 of draft-76, that come in one segment with the request, or as its body, reach the
/// connection.
pub async fn what_comes_behind_a_request_of_another_server_is_not_lost<R: Runtime + Default>() {
    let foreign = Foreign::echo(Server::<R>::builder(), Style::Usual).await;
    let mut peer = foreign.peer().await;
    let early = [RFC6455.as_bytes(), &masked(0x81, b"early")].concat();
    let head = peer.ask(early).await;
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    assert_eq!(peer.frame().await, (0x81, b"early".to_vec()));

    let declared = DRAFT76.replacen("\r\n\r\n", "\r\nContent-Length: 8\r\n\r\n", 1);
    for request in [DRAFT76, &declared] {
        for together in [true, false] {
            let mut peer = foreign.peer().await;
            let early = [KEY3.as_slice(), b"\0early\xff"].concat();
            if together {
                peer.write([request.as_bytes(), &early].concat()).await;
            } else {
                peer.write(request).await;
                sleep::<R>(ms(5)).await;
                peer.write(early).await;
            }
            let head = peer.head().await;
            assert!(
                head.starts_with("HTTP/1.1 101 WebSocket Protocol Handshake\r\n"),
                "{head}"
            );
            assert_eq!(peer.read(16).await, ACCEPT_76);
            assert_eq!(peer.read(7).await, b"\0early\xff");
        }
    }
}

/// Broadcasts, sends by id and topics reach connections of our port and of another server alike.
pub async fn both_kinds_of_connections_are_in_one_registry<R: Runtime + Default>() {
    let handler = |connection: Connection| async move {
        connection.join("all").unwrap();
        echo(connection).await;
    };
    let ours = serve::<R, _, _>(Server::builder(), handler).await;
    let foreign = Foreign::start(ours, Style::Usual, hand_over(handler)).await;
    let mut near = client(&foreign.server, Version::Rfc6455).await;
    let mut far = foreign.open(Version::Rfc6455).await.unwrap();
    let clients = foreign.server.clients();
    until::<R>(|| clients.topic("all").len() == 2).await;
    assert_eq!(foreign.server.broadcast("broadcast"), 2);
    assert_eq!(clients.topic("all").broadcast("topic"), 2);
    for sender in clients.iter() {
        foreign.server.send(sender.id(), "by id").unwrap();
    }
    for connection in [&mut near, &mut far] {
        for expected in ["broadcast", "topic", "by id"] {
            assert_eq!(text(connection).await, expected);
        }
    }
}

/// The options decide on such requests as on our own: origins, versions, `on_upgrade`.
pub async fn requests_of_another_server_are_checked<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder()
        .observer(log.clone())
        .debug(true)
        .versions(Version::Rfc6455)
        .allow_origins(["http://example.com"])
        .on_upgrade(|upgrade| async move {
            match upgrade.path() {
                "/chat" => upgrade.accept().header("X-Seen", "yes").extension(7u8),
                _ => upgrade.reject(402).header("X-Price", "1").body("pay\n"),
            }
        });
    let handler = |connection: Connection| async move {
        assert_eq!(connection.extensions().get(), Some(&7u8));
        echo(connection).await;
    };
    let server = Host(builder.build().unwrap());
    let foreign = Foreign::start(server, Style::Usual, hand_over(handler)).await;
    let evil = RFC6455.replace("http://example.com", "http://evil.example");
    let cases = [
        (
            evil,
            "403 Forbidden",
            "origin \"http://evil.example\" is not allowed",
        ),
        (
            RFC6455.replace("/chat", "/vip"),
            "402 Payment Required",
            "pay",
        ),
        (
            RFC6455.replace(": 13", ": 14"),
            "426 Upgrade Required",
            "Sec-WebSocket-Version 14",
        ),
        (
            RFC6455.replace("dGhl", "d"),
            "400 Bad Request",
            "Sec-WebSocket-Key",
        ),
    ];
    for (request, status, body) in cases {
        let (head, seen) = foreign.peer().await.ask_all(request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        assert!(seen.contains(body), "{seen}");
        let lines = log.until("close").await;
        assert!(
            lines.iter().any(|line| line.starts_with("rejected ")),
            "{lines:?}"
        );
    }
    let rejections = foreign.server.counters().rejections;
    let seen: Vec<_> = rejections.iter().filter(|(_, count)| *count > 0).collect();
    let expected = [
        ("malformed", 1),
        ("version", 1),
        ("origin", 1),
        ("application", 1),
    ];
    assert_eq!(seen, expected);
    let mut peer = foreign.peer().await;
    let head = peer.ask(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nx-seen: yes\r\n"), "{head}");
    peer.write(masked(0x81, b"hi")).await;
    assert_eq!(peer.frame().await, (0x81, b"hi".to_vec()));
}

/// A request for anything else is told what this is, and the stream stays good.
pub async fn a_request_of_another_server_that_is_no_upgrade<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let foreign = Foreign::echo(builder, Style::Usual).await;
    let mut peer = foreign.peer().await;
    let (head, body) = peer.ask_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
        "{head}"
    );
    assert!(body.contains("WebSocket"), "{body}");
    assert_eq!(log.try_next(), None, "it is no business of ours");
    let head = peer.ask(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

/// At the connection limit, and once our server has closed, the answer is 503.
pub async fn the_limits_of_a_server_hold_for_requests_of_another<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().connection_limit(1).message_limit(10);
    let foreign = Foreign::echo(builder.observer(log.clone()), Style::Usual).await;
    let mut first = foreign.open(Version::Rfc6455).await.unwrap();
    let (head, _) = foreign.peer().await.ask_all(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let lines = log.until("rejected").await;
    let reason = "rejected rfc6455: there are 1 connections already, and no more are allowed \
                  (option connection_limit)";
    assert_eq!(lines.last().unwrap(), reason);
    first.send("more than ten bytes").await.unwrap();
    assert!(first.recv().await.is_none());
    assert_eq!(first.closed().unwrap().code, 1009);
    until::<R>(|| foreign.server.clients().is_empty()).await;
    let mut second = foreign.open(Version::Rfc6455).await.unwrap();
    second.send("ten bytes").await.unwrap();
    assert_eq!(text(&mut second).await, "ten bytes");
    second.close().await;
    foreign.server.close();
    let refused = foreign.open(Version::Rfc6455).await.unwrap_err();
    let ConnectError::Handshake(HandshakeError::Status { status, .. }) = refused else {
        panic!("it is {refused}");
    };
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(foreign.server.counters().rejections.unavailable, 2);
}

/// A shutdown closes connections that came through another server with 1001.
pub async fn a_shutdown_closes_connections_of_another_server<R: Runtime + Default>() {
    let foreign = Foreign::echo(Server::<R>::builder(), Style::Usual).await;
    let mut connection = foreign.open(Version::Rfc6455).await.unwrap();
    until::<R>(|| foreign.server.clients().len() == 1).await;
    let code = spawn::<R, _>(async move {
        assert_eq!(connection.recv().await, None);
        connection.closed().unwrap().code
    });
    let report = foreign.server.shutdown(ms(10_000)).await;
    assert_eq!((report.closed, report.lost, report.aborted), (1, 0, 0));
    assert_eq!(code.next().await, 1001);
}

/// A handler that panics ends its own connection only, with 1011.
pub async fn a_panic_behind_another_server_closes_with_1011<R: Runtime + Default>() {
    let handler = |mut connection: Connection| async move {
        while let Some(message) = connection.recv().await {
            if message.as_text() == Some("panic") {
                // As a panic, but without the noise of one.
                resume_unwind(Box::new("a case wants it"));
            }
            let _ = connection.send(message).await;
        }
    };
    let server = Host(Server::<R>::builder().build().unwrap());
    let foreign = Foreign::start(server, Style::Usual, hand_over(handler)).await;
    let mut other = foreign.open(Version::Rfc6455).await.unwrap();
    let mut connection = foreign.open(Version::Rfc6455).await.unwrap();
    connection.send("panic").await.unwrap();
    assert_eq!(connection.recv().await, None);
    assert_eq!(connection.closed().unwrap().code, 1011);
    assert_eq!(foreign.server.counters().panics, 1);
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
}

/// In two steps: who looks at the request first chooses the subprotocol, adds headers and leaves values
/// for the handler; what cannot be used makes it a 500.
pub async fn a_handler_chooses_the_subprotocol<R: Runtime + Default>() {
    let server = Host(Server::<R>::builder().subprotocols(["a"]).build().unwrap());
    let answer = |server: Server<R>, mut request: Request<Incoming>| async move {
        let upgrade = match server.examine_request(&mut request, None).await {
            Ok(upgrade) => upgrade,
            Err(response) => return response,
        };
        assert_eq!(upgrade.version(), Version::Rfc6455);
        assert_eq!(upgrade.subprotocols().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(upgrade.origin(), Some("http://example.com"));
        let chosen = upgrade.head().path().trim_start_matches('/').to_owned();
        let addr = SocketAddr::from(([192, 0, 2, 1], 80));
        let upgrade = upgrade
            .subprotocol(Some(chosen.as_str()))
            .header("X-Chosen", &chosen)
            .extension(chosen)
            // As a socket of IPv6 tells of a client of IPv4.
            .with_peer_addr("[::ffff:192.0.2.1]:80".parse::<SocketAddr>().unwrap());
        upgrade.accept(move |connection| async move {
            let left = connection.extensions().get::<String>().cloned();
            assert_eq!(left.as_deref(), connection.subprotocol());
            assert_eq!(connection.peer_addr(), Some(addr));
            echo(connection).await;
        })
    };
    let foreign = Foreign::start(server, Style::Usual, answer).await;
    let offer = "Sec-WebSocket-Protocol: a, b\r\nOrigin";
    for (path, status) in [("/b", 101), ("/a", 101), ("/c", 500)] {
        let request = RFC6455.replace("Origin", offer).replace("/chat", path);
        let mut peer = foreign.peer().await;
        let head = peer.ask(request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        if status == 101 {
            let name = path.trim_start_matches('/');
            let expected = format!("\r\nsec-websocket-protocol: {name}\r\n");
            assert!(head.contains(&expected), "{head}");
            assert!(
                head.contains(&format!("\r\nx-chosen: {name}\r\n")),
                "{head}"
            );
            peer.write(masked(0x81, b"hi")).await;
            assert_eq!(peer.frame().await, (0x81, b"hi".to_vec()));
        }
    }
}

/// A server of ours that closes between the check and the answer refuses; what is rejected by hand has the
/// status and the body that were asked for. Either way the place is free again.
pub async fn who_waits_can_be_refused_after_all<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = Host(builder.connection_limit(1).build().unwrap());
    let answer = |server: Server<R>, mut request: Request<Incoming>| async move {
        let by_hand = request.uri().path() == "/by-hand";
        let upgrade = server.examine_request(&mut request, None).await.unwrap();
        if by_hand {
            return upgrade.reject(410, "gone\n");
        }
        server.close();
        upgrade.accept(|_| async { panic!("it never opens") })
    };
    let foreign = Foreign::start(server, Style::Usual, answer).await;
    for _ in 0..2 {
        let request = RFC6455.replace("/chat", "/by-hand");
        let (head, body) = foreign.peer().await.ask_all(request).await;
        assert!(head.starts_with("HTTP/1.1 410 Gone\r\n"), "{head}");
        assert_eq!(body, "gone\n");
        let lines = log.until("rejected").await;
        let reason = "rejected rfc6455: on_upgrade answered 410 Gone";
        assert_eq!(lines.last().unwrap(), reason);
    }
    let (head, _) = foreign.peer().await.ask_all(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let lines = log.until("rejected").await;
    assert_eq!(
        lines.last().unwrap(),
        "rejected rfc6455: the server has closed"
    );
}

/// A client that goes away before its upgrade leaves nothing behind at once, and one whose 101 the
/// application does not send, at the end of the handshake timeout; the observer is told.
pub async fn who_goes_away_before_the_upgrade_leaves_nothing<R: Runtime + Default>() {
    let log = Log::default();
    let server = |timeout| {
        let builder = Server::<R>::builder().observer(log.clone());
        Host(builder.handshake_timeout(ms(timeout)).build().unwrap())
    };
    let accepted = Told::default();
    let teller = accepted.clone();
    let answer = move |server: Server<R>, mut request: Request<Incoming>| {
        let teller = teller.clone();
        async move {
            let path = request.uri().path().to_owned();
            let handler = |_| async { panic!("it never opens") };
            let mut response = server.handle_request(&mut request, None, handler).await;
            teller.tell(response.status());
            if path == "/gone" {
                pending().await
            }
            *response.status_mut() = StatusCode::OK;
            response
        }
    };
    // Longer than the case may take.
    let foreign = Foreign::start(server(60_000), Style::Usual, answer.clone()).await;
    let mut peer = foreign.peer().await;
    peer.write(RFC6455.replace("/chat", "/gone")).await;
    assert_eq!(accepted.next().await, StatusCode::SWITCHING_PROTOCOLS);
    drop(peer);
    let lines = log.until("close").await;
    let is_told = |line: &String| line.starts_with("rejected rfc6455: ");
    assert!(lines.iter().any(is_told), "{lines:?}");
    let report = foreign.server.shutdown(ms(5000)).await;
    assert_eq!(report.aborted, 0, "nothing is left");
    let foreign = Foreign::start(server(200), Style::Usual, answer).await;
    let mut peer = foreign.peer().await;
    let head = peer.ask(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    log.until("close").await;
    assert_eq!(foreign.server.counters().rejected, 1);
    let report = foreign.server.shutdown(ms(5000)).await;
    assert_eq!(report.aborted, 0, "nothing is left");
}

/// A server that is built without upgrades, or keeps the extensions of its requests, gets an error that
/// says so, and nothing is left behind.
pub async fn another_server_that_gives_no_stream_up<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let foreign = Foreign::echo(builder, Style::NoUpgrades).await;
    let mut peer = foreign.peer().await;
    let head = peer.ask(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(peer.read_to_end().await, b"");
    log.until("close").await;
    assert_eq!(foreign.server.counters().rejected, 1);

    let server = Host(
        Server::<R>::builder()
            .observer(log.clone())
            .build()
            .unwrap(),
    );
    let answer = |server: Server<R>, mut request: Request<Incoming>| async move {
        request.extensions_mut().clear();
        server.handle_request(&mut request, None, echo).await
    };
    let foreign = Foreign::start(server, Style::Usual, answer).await;
    let (head, _) = foreign.peer().await.ask_all(RFC6455).await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    let lines = log.until("rejected").await;
    let reason = "rejected rfc6455: the HTTP server cannot give the stream up";
    assert_eq!(lines.last().unwrap(), reason);
    assert_eq!(foreign.server.counters().rejections.no_upgrade, 1);
}

/// A server that sends our 101 too late finds that it is given up: the handshake timeout holds.
pub async fn another_server_that_takes_too_long<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = Host(builder.handshake_timeout(ms(100)).build().unwrap());
    let answer = |server: Server<R>, mut request: Request<Incoming>| async move {
        let response = server.handle_request(&mut request, None, echo).await;
        sleep::<R>(ms(1000)).await;
        response
    };
    let foreign = Foreign::start(server, Style::Usual, answer).await;
    let mut peer = foreign.peer().await;
    peer.write(RFC6455).await;
    let lines = log.until("rejected").await;
    assert!(
        lines.last().unwrap().contains("handshake_timeout"),
        "{lines:?}"
    );
    assert_eq!(foreign.server.clients().len(), 0);
    assert_eq!(foreign.server.counters().rejections.timeout, 1);
    let head = peer.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(peer.read_to_end().await, b"", "it is closed at once");
}
