//! Proxies: a tunnel to a server by its name, with and without TLS in it, and a proxy's refusals.

use std::net::SocketAddr;

use futures_io::{AsyncRead, AsyncWrite};

use super::support::{ANY, Peer, Told, echo, ms, serve, text};
use crate::certificates::Authority;
use crate::tunnel::join;
use ws_driver::internals::open_server;
use ws_driver::{
    BindConfig, CertificateProblem, ClientTls, ConnectConfig, ConnectError, ConnectStage,
    ProxyError, Runtime, Server, ServerTls, TlsError, connect_with,
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

/// Starts a proxy that leads to a port of this host, whatever name it is given; with `tls`, to who speaks
/// that.
async fn proxy<R: Runtime + Default>(
    kind: Kind,
    tls: Option<&ServerTls>,
    port: u16,
) -> (String, Told<String>) {
    let runtime = R::default();
    let options = BindConfig::default();
    let listener = runtime.bind(ANY.parse().unwrap(), &options).await.unwrap();
    let addr = runtime.local_addr(&listener).unwrap();
    let asked = Told::default();
    let (teller, tls) = (asked.clone(), tls.cloned());
    runtime.spawn(async move {
        let runtime = R::default();
        // More than any case opens; the task ends with the runtime.
        for _ in 0..8 {
            let (stream, _) = runtime.accept(&listener).await.unwrap();
            let (teller, tls) = (teller.clone(), tls.clone());
            R::default().spawn(async move {
                let Some(tls) = tls else {
                    return lead::<R, _>(kind, stream, port, &teller).await;
                };
                if let Some(stream) = open_server(&tls, stream).await {
                    lead::<R, _>(kind, stream, port, &teller).await;
                }
            });
        }
    });
    (addr.to_string(), asked)
}

/// Plays one stream to its end.
async fn lead<R, S>(kind: Kind, stream: S, port: u16, teller: &Told<String>)
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut peer = Peer::<R, S>::of_stream(stream);
    if let Some(target) = negotiate(kind, &mut peer).await {
        teller.tell(target);
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let server = R::default().connect(addr).await.unwrap();
        let _ = join(peer.into_stream(), server).await;
    } else {
        peer.read_to_end().await;
    }
}

/// Does the proxy's part; returns what it was asked for, unless it refuses.
async fn negotiate<R, S>(kind: Kind, peer: &mut Peer<R, S>) -> Option<String>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
{
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

fn server_tls(authority: &Authority, host: &str) -> ServerTls {
    let pems = authority.certify(&[host]);
    ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes()).unwrap()
}

/// Trusts an authority, and goes through a proxy.
fn through(proxy: &str, authority: &Authority) -> ConnectConfig {
    let trust = ClientTls::roots_from_pem(authority.root().as_bytes()).unwrap();
    let options = ConnectConfig::new().tls(trust);
    options.proxy(proxy.parse::<ws_driver::Proxy>().unwrap())
}

/// A connection goes through each kind of proxy, with and without a login, with and without TLS in it, to a
/// server whose name only the proxy can look up.
pub async fn a_proxy_opens_a_tunnel<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let tls = server_tls(&authority, "server.test");
    let own = &server_tls(&authority, "127.0.0.1");
    let plain = serve(Server::<R>::builder(), echo).await;
    let secure = serve(Server::<R>::builder().tls(tls), echo).await;
    for (server, scheme) in [(&plain, "ws"), (&secure, "wss")] {
        let port = server.local_addr().port();
        for (kind, tls, proxy_scheme) in [
            (Kind::Http(false), None, "http://"),
            (Kind::Http(true), None, "http://me:pw@"),
            (Kind::Http(false), Some(own), "https://"),
            (Kind::Http(true), Some(own), "https://me:pw@"),
            (Kind::Socks5(false), None, "socks5h://"),
            (Kind::Socks5(true), None, "socks5h://me:pw@"),
        ] {
            let (addr, asked) = proxy::<R>(kind, tls, port).await;
            let options = through(&format!("{proxy_scheme}{addr}"), &authority);
            let url = format!("{scheme}://server.test:{port}/");
            let mut connection = connect_with::<R>(&url, &options).await.unwrap();
            assert_eq!(asked.next().await, format!("server.test:{port}"));
            assert_eq!(connection.peer_addr().unwrap().to_string(), addr);
            assert_eq!(connection.tls().is_some(), scheme == "wss");
            for message in ["hi", &"x".repeat(100_000)] {
                connection.send(message).await.unwrap();
                assert_eq!(text(&mut connection).await, message);
            }
            // Both sides write much before either reads.
            for _ in 0..2 {
                connection.send("y".repeat(1 << 20)).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(text(&mut connection).await.len(), 1 << 20);
            }
            let closed = connection.close().await;
            assert!(closed.clean, "{closed}");
        }
    }
}

/// A proxy of `https` must be who its URL says, before it hears of the server or of a login; and the server
/// who the other URL says, whoever the proxy is.
pub async fn a_proxy_that_is_not_trusted_is_asked_nothing<R: Runtime + Default>() {
    let (authority, stranger) = (Authority::new("an authority"), Authority::new("another"));
    let server = server_tls(&authority, "127.0.0.1");
    let server = serve(Server::<R>::builder().tls(server), echo).await;
    let port = server.local_addr().port();
    for (own, problem) in [
        (
            server_tls(&stranger, "127.0.0.1"),
            CertificateProblem::UnknownIssuer,
        ),
        (
            server_tls(&authority, "server.test"),
            CertificateProblem::WrongHost,
        ),
    ] {
        let (addr, asked) = proxy::<R>(Kind::Http(true), Some(&own), port).await;
        for scheme in ["ws", "wss"] {
            let options = through(&format!("https://me:pw@{addr}"), &authority);
            let url = format!("{scheme}://127.0.0.1:{port}/");
            let error = connect_with::<R>(&url, options).await.unwrap_err();
            let ConnectError::Proxy(ProxyError::Tls(TlsError::Certificate {
                problem: seen, ..
            })) = error
            else {
                unreachable!("{error:?}");
            };
            assert_eq!(seen, problem);
        }
        assert_eq!(asked.try_next(), None);
    }
    // A proxy that is trusted vouches for nobody.
    let own = server_tls(&authority, "127.0.0.1");
    let (addr, asked) = proxy::<R>(Kind::Http(false), Some(&own), port).await;
    let options = through(&format!("https://{addr}"), &authority);
    let url = format!("wss://server.test:{port}/");
    let error = connect_with::<R>(&url, options).await.unwrap_err();
    assert_eq!(asked.next().await, format!("server.test:{port}"));
    let ConnectError::Tls(TlsError::Certificate { problem, .. }) = error else {
        unreachable!("{error:?}");
    };
    assert_eq!(problem, CertificateProblem::WrongHost);
}

/// What a proxy refuses is said in its words, and how far it got when it says nothing.
pub async fn a_proxy_that_refuses_is_quoted<R: Runtime + Default>() {
    let authority = Authority::new("an authority");
    let own = &server_tls(&authority, "127.0.0.1");
    let refused = async |kind, tls, scheme: &str, host: &str, wait| {
        let (addr, _) = proxy::<R>(kind, tls, 1).await;
        let options = through(&format!("{scheme}{addr}"), &authority);
        connect_with::<R>(&format!("ws://{host}/"), options.connect_timeout(wait))
            .await
            .unwrap_err()
    };
    let no = "https://me:no@";
    for (kind, tls, scheme, host, says) in [
        (
            Kind::Http(true),
            None,
            "http://",
            "a.test",
            "407 Who are you",
        ),
        (
            Kind::Http(true),
            None,
            "http://me:no@",
            "a.test",
            "407 Who are you",
        ),
        (Kind::Http(true), Some(own), no, "a.test", "407 Who are you"),
        (
            Kind::Socks5(true),
            None,
            "socks5h://",
            "a.test",
            "requires a user and password",
        ),
        (
            Kind::Socks5(false),
            None,
            "socks5h://",
            "forbidden.test",
            "not allowed by its rules",
        ),
    ] {
        let error = refused(kind, tls, scheme, host, ms(20_000)).await;
        assert!(matches!(error, ConnectError::Proxy(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    for (tls, scheme) in [
        (None, "http://"),
        (None, "https://"),
        (Some(own), "https://"),
    ] {
        let error = refused(Kind::Deaf, tls, scheme, "a.test", ms(500)).await;
        let ConnectError::Timeout { stage, .. } = error else {
            unreachable!("{error:?}");
        };
        assert_eq!(stage, ConnectStage::Proxy);
    }

    // A WebSocket server is no proxy of any kind.
    let server = serve(Server::<R>::builder(), echo).await;
    for scheme in ["http", "https", "socks5h"] {
        let proxy: ws_driver::Proxy = format!("{scheme}://{}", server.local_addr())
            .parse()
            .unwrap();
        let options = ConnectConfig::new().proxy(proxy);
        let error = connect_with::<R>("ws://a.test/", options)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Proxy(
                    ProxyError::Refused { .. }
                        | ProxyError::Malformed { .. }
                        | ProxyError::Tls(TlsError::PlainHttp)
                )
            ),
            "{error:?}"
        );
    }
}
