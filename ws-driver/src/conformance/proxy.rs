//! Proxies: a tunnel to a server by its name, with TLS in it or not, and what a proxy refuses.

use super::certificates::Authority;
use super::support::{ANY, Peer, Told, echo, ms, serve, text};
use super::tunnel::join;
use crate::{
    BindOptions, ClientTls, ConnectError, ConnectOptions, ConnectStage, ProxyError, Runtime,
    Server, ServerTls, connect_with,
};

/// A proxy that plays a few streams to their end, and tells what it was asked for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// HTTP; wants `me:pw` if that is so.
    Http(bool),
    /// SOCKS5, the same.
    Socks5(bool),
    /// Says nothing.
    Deaf,
}

/// Starts a proxy that leads to a port of this host, whatever name it is given.
async fn proxy<R: Runtime + Default>(kind: Kind, port: u16) -> (String, Told<String>) {
    let runtime = R::default();
    let options = BindOptions::default();
    let listener = runtime.bind(ANY.parse().unwrap(), &options).await.unwrap();
    let addr = runtime.local_addr(&listener).unwrap();
    let asked = Told::default();
    let teller = asked.clone();
    runtime.spawn(async move {
        let runtime = R::default();
        // More than any case opens; the task ends with the runtime.
        for _ in 0..8 {
            let (stream, _) = runtime.accept(&listener).await.unwrap();
            let mut peer = Peer::<R>::of_stream(stream);
            let teller = teller.clone();
            R::default().spawn(async move {
                if let Some(target) = negotiate(kind, &mut peer).await {
                    teller.tell(target);
                    let (server, _) = R::default().connect("127.0.0.1", port).await.unwrap();
                    let _ = join(peer.into_stream(), server).await;
                } else {
                    peer.read_to_end().await;
                }
            });
        }
    });
    (addr.to_string(), asked)
}

/// Does the proxy's part; returns what it was asked for, unless it refuses.
async fn negotiate<R: Runtime + Default>(kind: Kind, peer: &mut Peer<R>) -> Option<String> {
    match kind {
        Kind::Deaf => None,
        Kind::Http(wants_login) => {
            let head = peer.head().await;
            let target = head.strip_prefix("CONNECT ").unwrap();
            let (target, rest) = target.split_once(" HTTP/1.1\r\n").unwrap();
            assert!(rest.starts_with(&format!("Host: {target}\r\n")), "{head}");
            // me:pw
            if wants_login != rest.contains("\r\nProxy-Authorization: Basic bWU6cHc=\r\n") {
                let refusal = "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n";
                peer.write(refusal).await;
                return None;
            }
            peer.write("HTTP/1.1 200 Here you are\r\nVia: a test\r\n\r\n")
                .await;
            Some(target.to_owned())
        }
        Kind::Socks5(wants_login) => {
            let greeting = peer.read(2).await;
            let methods = peer.read(greeting[1].into()).await;
            let method = if wants_login { 2 } else { 0 };
            if !methods.contains(&method) {
                peer.write([5, 0xff]).await;
                return None;
            }
            peer.write([5, method]).await;
            if wants_login {
                assert_eq!(peer.read(7).await, b"\x01\x02me\x02pw");
                peer.write([1, 0]).await;
            }
            let request = peer.read(5).await;
            assert_eq!(request[..4], [5, 1, 0, 3]);
            let name = String::from_utf8(peer.read(request[4].into()).await).unwrap();
            let port = peer.read(2).await;
            let port = u16::from_be_bytes([port[0], port[1]]);
            if name == "forbidden.test" {
                peer.write([5, 2, 0, 1]).await;
                return None;
            }
            peer.write([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await;
            Some(format!("{name}:{port}"))
        }
    }
}

/// A connection goes through each kind of proxy, with and without a login, with and without TLS in it, to a
/// server whose name only the proxy can look up.
pub async fn a_proxy_opens_a_tunnel<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let pems = authority.certify(&["server.test"]);
    let tls = ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes()).unwrap();
    let trust = ClientTls::roots_from_pem(authority.root().as_bytes()).unwrap();
    let plain = serve(Server::<R>::builder(), echo).await;
    let secure = serve(Server::<R>::builder().tls(tls), echo).await;
    for (server, scheme) in [(&plain, "ws"), (&secure, "wss")] {
        let port = server.local_addr().port();
        for (kind, proxy_scheme) in [
            (Kind::Http(false), "http://"),
            (Kind::Http(true), "http://me:pw@"),
            (Kind::Socks5(false), "socks5h://"),
            (Kind::Socks5(true), "socks5h://me:pw@"),
        ] {
            let (addr, asked) = proxy::<R>(kind, port).await;
            let options = ConnectOptions::new().tls(trust.clone());
            let options = options.proxy(
                format!("{proxy_scheme}{addr}")
                    .parse::<crate::Proxy>()
                    .unwrap(),
            );
            let url = format!("{scheme}://server.test:{port}/");
            let mut connection = connect_with::<R>(&url, &options).await.unwrap();
            assert_eq!(asked.next().await, format!("server.test:{port}"));
            assert_eq!(connection.peer_addr().unwrap().to_string(), addr);
            assert_eq!(connection.tls().is_some(), scheme == "wss");
            for message in ["hi", &"x".repeat(100_000)] {
                connection.send(message).await.unwrap();
                assert_eq!(text(&mut connection).await, message);
            }
            let closed = connection.close().await;
            assert!(closed.clean, "{closed}");
        }
    }
}

/// What a proxy refuses is said in its words, and how far it got when it says nothing.
pub async fn a_proxy_that_refuses_is_quoted<R: Runtime + Default>() {
    let refused = async |kind, scheme: &str, host: &str| {
        let (addr, _) = proxy::<R>(kind, 1).await;
        let proxy: crate::Proxy = format!("{scheme}{addr}").parse().unwrap();
        let options = ConnectOptions::new().proxy(proxy).connect_timeout(ms(500));
        connect_with::<R>(&format!("ws://{host}/"), options)
            .await
            .unwrap_err()
    };
    for (kind, scheme, host, says) in [
        (Kind::Http(true), "http://", "a.test", "407 Who are you"),
        (
            Kind::Http(true),
            "http://me:no@",
            "a.test",
            "407 Who are you",
        ),
        (Kind::Socks5(true), "socks5h://", "a.test", "gives no user"),
        (
            Kind::Socks5(false),
            "socks5h://",
            "forbidden.test",
            "not allowed by its rules",
        ),
    ] {
        let error = refused(kind, scheme, host).await;
        assert!(matches!(error, ConnectError::Proxy(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = refused(Kind::Deaf, "http://", "a.test").await;
    let ConnectError::Timeout { stage, .. } = error else {
        unreachable!("{error:?}");
    };
    assert_eq!(stage, ConnectStage::Proxy);

    // A WebSocket server is no proxy of either kind.
    let server = serve(Server::<R>::builder(), echo).await;
    for scheme in ["http", "socks5h"] {
        let proxy: crate::Proxy = format!("{scheme}://{}", server.local_addr())
            .parse()
            .unwrap();
        let options = ConnectOptions::new().proxy(proxy);
        let error = connect_with::<R>("ws://a.test/", options)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Proxy(ProxyError::Refused { .. } | ProxyError::Malformed { .. })
            ),
            "{error:?}"
        );
    }
}
