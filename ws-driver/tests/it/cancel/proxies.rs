//! Connections of a client through proxies, which these cases play.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};
use ws_driver::internals::open_server;
use ws_driver::{BindConfig, ConnectConfig, Proxy, Runtime, ServerTls, connect_with};
use ws_testing::tunnel::join;

use super::connecting::connect_or_give_up;
use super::polling::{assert_nothing_left_but, at_every_poll};
use super::tls::{NARROW, Trust};
use ws_testing::sim::{ANY, Server, Sim, echo, serve};

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Https,
    Socks5,
}

/// Starts a proxy that leads to a server, whatever name it is given. It has no patience to lose: it
/// lets go of a stream when that ends, and never before.
async fn proxy(sim: &Sim, kind: Kind, tls: &ServerTls, server: SocketAddr) -> SocketAddr {
    let options = BindConfig::default();
    let listener = sim.bind(ANY.parse().unwrap(), &options).await.unwrap();
    let addr = listener.addr;
    let (runtime, tls) = (sim.clone(), tls.clone());
    sim.spawn_task(async move {
        loop {
            let (stream, _) = runtime.accept(&listener).await.unwrap();
            let tls = tls.clone();
            runtime.spawn_task(async move {
                // How it ends, is for the case to see.
                if let Kind::Https = kind {
                    if let Some(stream) = open_server(&tls, stream).await {
                        let _ = lead(kind, stream, server).await;
                    }
                } else {
                    let _ = lead(kind, stream, server).await;
                }
            });
        }
    });
    addr
}

/// Does the proxy's part of one stream.
async fn lead<S>(kind: Kind, mut stream: S, server: SocketAddr) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match kind {
        Kind::Http | Kind::Https => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(read::<1>(&mut stream).await?);
            }
            assert!(head.starts_with(b"CONNECT server.test:"));
            write(&mut stream, b"HTTP/1.1 200 Here you are\r\n\r\n").await?;
        }
        Kind::Socks5 => {
            assert_eq!(read(&mut stream).await?, [5, 1, 0]);
            write(&mut stream, &[5, 0]).await?;
            assert_eq!(
                read(&mut stream).await?,
                *b"\x05\x01\x00\x03\x0bserver.test"
            );
            let _port: [u8; 2] = read(&mut stream).await?;
            write(&mut stream, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        }
    }
    let server = Sim::default().connect(server).await?;
    join(stream, server).await
}

/// Reads so many bytes.
async fn read<const LEN: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; LEN]> {
    let (mut bytes, mut filled) = ([0; LEN], 0);
    while filled < LEN {
        let buffer = &mut bytes[filled..];
        match poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer)).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => filled += len,
        }
    }
    Ok(bytes)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
        bytes = &bytes[len..];
    }
    Ok(())
}

/// A client that gives up while it talks with a proxy, or through it, leaves nothing behind: not with
/// the proxy, and not with the server.
fn assert_a_dropped_connect_leaves_nothing(kind: Kind, scheme: &str) {
    let trust = &Trust::new(&["server.test", "127.0.0.1"]);
    for url_scheme in ["ws", "wss"] {
        at_every_poll(4, |sim, polls| async move {
            let builder = match url_scheme {
                "wss" => Server::builder().tls(trust.tls.clone()),
                _ => Server::builder(),
            };
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let addr = proxy(&sim, kind, &trust.tls, server.local_addr()).await;
            sim.narrow(NARROW);
            let proxy: Proxy = format!("{scheme}://{addr}").parse().unwrap();
            let options: ConnectConfig = trust.options().proxy(proxy);
            let url = format!("{url_scheme}://server.test/");
            let connect = async || connect_with::<Sim>(&url, &options).await;
            let is_open = connect_or_give_up(&sim, polls, &server, connect).await;
            server.close();
            // The proxy still listens.
            assert_nothing_left_but(1, &sim, &server).await;
            is_open
        });
    }
}

#[test]
fn connect_through_an_http_proxy() {
    assert_a_dropped_connect_leaves_nothing(Kind::Http, "http");
}

#[test]
fn connect_through_an_https_proxy() {
    assert_a_dropped_connect_leaves_nothing(Kind::Https, "https");
}

#[test]
fn connect_through_a_socks5_proxy() {
    assert_a_dropped_connect_leaves_nothing(Kind::Socks5, "socks5h");
}
