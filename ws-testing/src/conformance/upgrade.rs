//! Upgrades are accepted and refused as the options and the application decide, on both sides.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use ws_proto::{ClientConfig, HandshakeError, OriginPolicy, Subprotocol, Version, Versions};

use super::support::{ANY, DRAFT76, Peer, RFC6455, client, echo, ms, serve, sleep, text, url};
use ws_driver::{ConnectError, Runtime, Server, ServerBuilder, Upgrade, connect, connect_with};

/// Asks a server with these options for an upgrade; returns the answer's status line.
async fn status<R: Runtime + Default>(builder: ServerBuilder<R>, request: &str) -> String {
    let server = serve(builder, echo).await;
    let head = Peer::connect(&server).await.ask(request).await;
    let line = head.lines().next().unwrap();
    line.strip_prefix("HTTP/1.1 ").unwrap().to_owned()
}

fn subprotocols(names: &[&str]) -> Vec<Subprotocol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Option `version`: any subset of the versions; all are on by default, and what is off is refused.
pub async fn option_version<R: Runtime + Default>() {
    for enabled in [
        Versions::ALL,
        Versions::RFC6455,
        Version::Draft76.into(),
        [Version::Draft75, Version::Rfc6455].into(),
    ] {
        let server = serve::<R, _, _>(Server::builder().versions(enabled), echo).await;
        for version in Version::ALL {
            let config = ClientConfig::new().version(version);
            let connected = connect_with::<R>(&url(&server), &config).await;
            assert_eq!(
                connected.is_ok(),
                enabled.contains(version),
                "{version} of {enabled}"
            );
        }
    }
    let builder = || Server::<R>::builder().versions(Version::Rfc6455);
    let refused = status(builder(), DRAFT76).await;
    assert_eq!(refused, "426 Upgrade Required");
    let unknown = RFC6455.replace("Version: 13", "Version: 12");
    assert_eq!(status(builder(), &unknown).await, "426 Upgrade Required");
    for number in ["13", "8", "7"] {
        let request = RFC6455.replace("Version: 13", &format!("Version: {number}"));
        assert_eq!(status(builder(), &request).await, "101 Switching Protocols");
    }
}

type Builder<'a, R> = &'a (dyn Fn() -> ServerBuilder<R> + Sync);

/// Option `origin`: any by default; a list, subdomains or the same host, checked strictly, in each version.
pub async fn option_origin<R: Runtime + Default>() {
    let elsewhere = RFC6455.replace("http://example.com", "http://evil.example");
    let same_host = RFC6455.replace("http://example.com", "http://server.example.com");
    let none = RFC6455.replace("Origin: http://example.com\r\n", "");
    let any = Server::<R>::builder;
    let list = || Server::<R>::builder().allow_origins(["http://example.com"]);
    let same = || Server::<R>::builder().origins(OriginPolicy::SameHost);
    let file = RFC6455.replace("http://example.com", "file://");
    let below = RFC6455.replace("http://example.com", "http://www.example.com");
    let wide = || list().allow_subdomains_of(["http://example.com"]);
    let apps = || list().allow_origins(["file://", "null"]);
    // Not the builders themselves: a debug build would have many of them on the stack at a time.
    let cases: [(Builder<'_, R>, &str, &str); 13] = [
        (&list, &*file, "403 Forbidden"),
        (&apps, &*file, "101 Switching Protocols"),
        (&apps, RFC6455, "101 Switching Protocols"),
        (&list, &*below, "403 Forbidden"),
        (&wide, &*below, "101 Switching Protocols"),
        (&wide, RFC6455, "101 Switching Protocols"),
        (&wide, &*elsewhere, "403 Forbidden"),
        (&any, &*elsewhere, "101 Switching Protocols"),
        (&list, RFC6455, "101 Switching Protocols"),
        (&list, &*elsewhere, "403 Forbidden"),
        (&list, &*none, "101 Switching Protocols"),
        (&same, &*same_host, "101 Switching Protocols"),
        (&same, RFC6455, "403 Forbidden"),
    ];
    for (builder, request, expected) in cases {
        assert_eq!(status(builder(), request).await, expected, "{request}");
    }
    let server = serve(list(), echo).await;
    for version in Version::ALL {
        for (origin, is_allowed) in [("http://example.com", true), ("http://evil.example", false)] {
            let origin: ws_proto::Origin = origin.parse().unwrap();
            let config = ClientConfig::new().version(version).origin(origin);
            let connected = connect_with::<R>(&url(&server), &config).await;
            assert_eq!(connected.is_ok(), is_allowed, "{version}");
        }
    }
}

/// Option `subprotocol`: none by default; the server's order decides; a draft's client that offers one
/// that is not spoken is refused, one of RFC 6455 goes on without.
pub async fn option_subprotocol<R: Runtime + Default>() {
    let builder = Server::<R>::builder().subprotocols(["first", "second"]);
    let spoken = serve(builder, echo).await;
    let none = serve::<R, _, _>(Server::builder(), echo).await;
    for (server, version, offered, expected) in [
        (
            &spoken,
            Version::Rfc6455,
            &["second", "first"][..],
            Some("first"),
        ),
        (
            &spoken,
            Version::Rfc6455,
            &["third", "second"],
            Some("second"),
        ),
        (&spoken, Version::Draft76, &["second"], Some("second")),
        (&spoken, Version::Draft75, &["first"], Some("first")),
        (&spoken, Version::Rfc6455, &["third"], None),
        (&spoken, Version::Rfc6455, &[], None),
        (&none, Version::Rfc6455, &["first"], None),
    ] {
        let config = ClientConfig::new().version(version);
        let config = config.subprotocols(subprotocols(offered));
        let connection = connect_with::<R>(&url(server), &config).await.unwrap();
        assert_eq!(connection.subprotocol(), expected, "{version} {offered:?}");
    }
    for (server, version) in [(&spoken, Version::Draft76), (&none, Version::Draft75)] {
        let config = ClientConfig::new().version(version);
        let config = config.subprotocols(subprotocols(&["third"]));
        assert!(
            connect_with::<R>(&url(server), &config).await.is_err(),
            "{version}"
        );
    }
}

/// Option `debug`: only with it is a rejected client told why.
pub async fn option_debug<R: Runtime + Default>() {
    let elsewhere = RFC6455.replace("http://example.com", "http://evil.example");
    for debug in [false, true] {
        let builder = Server::<R>::builder().debug(debug);
        let server = serve(builder.allow_origins(["http://example.com"]), echo).await;
        let (head, body) = Peer::connect(&server).await.ask_all(&elsewhere).await;
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
        assert_eq!(body.contains("evil.example"), debug, "{body}");
        let mut connection = client(&server, Version::Rfc6455).await;
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
    }
}

/// `connection.handshake`: `on_upgrade` may wait, then accepts with a subprotocol, headers, and what it
/// found out for the handler.
pub async fn connection_handshake<R: Runtime + Default>() {
    let builder = Server::<R>::builder().subprotocols(["first", "second"]);
    let builder = builder.on_upgrade(|upgrade: Upgrade| async move {
        sleep::<R>(ms(10)).await;
        assert_eq!(upgrade.path(), "/demo");
        assert_eq!(upgrade.subprotocol(), Some("first"));
        assert_eq!(upgrade.subprotocols().count(), 2);
        assert_eq!(upgrade.version(), Version::Rfc6455);
        let user = upgrade.header("cookie").unwrap().to_owned();
        let answer = upgrade.accept().header("Set-Cookie", "seen=1");
        answer.subprotocol("second").extension(user)
    });
    let server = serve(builder, |mut connection| async move {
        let user: String = connection.extensions_mut().remove().unwrap();
        let greeting = format!("{user} {}", connection.subprotocol().unwrap());
        connection.send(greeting).await.unwrap();
    })
    .await;
    let config = ClientConfig::new().header("Cookie", "ann").unwrap();
    let config = config.subprotocols(subprotocols(&["second", "first"]));
    let mut connection = connect_with::<R>(&url(&server), &config).await.unwrap();
    assert_eq!(connection.subprotocol(), Some("second"));
    assert_eq!(
        connection.response().unwrap().header("set-cookie"),
        Some("seen=1")
    );
    assert_eq!(text(&mut connection).await, "ann second");
}

/// `connection.reject`: `on_upgrade` rejects with any status, headers and body, in each version; no
/// handler is called. An answer that cannot be sent is a 500.
pub async fn connection_reject<R: Runtime + Default>() {
    let builder = Server::<R>::builder().on_upgrade(|upgrade: Upgrade| async move {
        match upgrade.path() {
            "/moved" => upgrade.reject(302).header("Location", "/there"),
            "/odd" => upgrade.accept().header("Connection", "close"),
            _ => upgrade.reject(403).body("no entry\n"),
        }
    });
    let server = serve(builder, |_| async { unreachable!("a handler is called") }).await;
    for (path, starts, header, body) in [
        ("/", "HTTP/1.1 403 Forbidden\r\n", "", "no entry\n"),
        (
            "/moved",
            "HTTP/1.1 302 Found\r\n",
            "\r\nLocation: /there\r\n",
            "",
        ),
        ("/odd", "HTTP/1.1 500 Internal Server Error\r\n", "", ""),
    ] {
        let request = RFC6455.replace("/chat?room=1", path);
        let mut peer = Peer::connect(&server).await;
        let (head, seen) = peer.ask_all(request).await;
        assert!(head.starts_with(starts) && head.contains(header), "{head}");
        assert!(seen.contains(body), "{seen}");
        assert_eq!(peer.read_to_end().await, b"");
    }
    for version in Version::ALL {
        let config = ClientConfig::new().version(version);
        let error = connect_with::<R>(&url(&server), &config).await.unwrap_err();
        let ConnectError::Handshake(HandshakeError::Status { status, response }) = &error else {
            unreachable!("{error:?}");
        };
        assert_eq!(*status, http::StatusCode::FORBIDDEN);
        assert_eq!(
            (response.body(), response.is_whole()),
            (&b"no entry\n"[..], true)
        );
        let moved = url(&server).replace("/demo", "/moved");
        let error = connect_with::<R>(&moved, &config).await.unwrap_err();
        let ConnectError::Handshake(HandshakeError::Redirect { location, .. }) = error else {
            unreachable!("{error:?}");
        };
        assert_eq!(location.reveal(), "/there");
    }
    assert_eq!(server.clients().len(), 0);
}

/// What can go wrong while connecting has an error of its own; a name with several addresses is tried
/// at all of them.
pub async fn connect_errors<R: Runtime + Default>() {
    // It is kept, though it does not listen: nobody else can get its port meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ANY.parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let deaf = socket.local_addr().unwrap().as_socket().unwrap();
    let error = connect::<R>(&format!("ws://{deaf}/")).await.unwrap_err();
    let ConnectError::Unreachable { attempts, .. } = &error else {
        unreachable!("{error:?}");
    };
    let [failed] = attempts.tried() else {
        unreachable!("{error:?}");
    };
    let expected = (deaf, std::io::ErrorKind::ConnectionRefused);
    assert_eq!((failed.addr, failed.error.kind()), expected);
    assert!(error.to_string().starts_with("cannot connect to "));

    for url in ["http://localhost/", "ws://", "nonsense"] {
        let error = connect::<R>(url).await.unwrap_err();
        assert!(matches!(error, ConnectError::Config(_)), "{url}: {error:?}");
    }

    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let url = format!("ws://localhost:{}/", server.local_addr().port());
    let mut connection = connect::<R>(&url).await.unwrap();
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    assert_eq!(connection.peer_addr(), Some(server.local_addr()));
}
