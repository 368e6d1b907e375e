//! Clients on the simulated runtime.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use ws_driver::ConnectError;
use ws_driver::ws_proto::{ClientConfig, HandshakeError, Version};

use ws_testing::sim::{ANY, Server, Sim, echo, seconds, serve};

/// A client on the same runtime: it opens a connection in each version, and its driver is one task.
#[test]
fn a_client_speaks_every_version() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        for version in Version::ALL {
            let url = format!("ws://{}/demo", server.local_addr());
            let config = ClientConfig::new().version(version);
            let before = sim.spawned();
            let mut connection = ws_driver::connect_with::<Sim>(&url, &config).await.unwrap();
            connection.send("hi").await.unwrap();
            let message = sim.within(seconds(1), connection.recv()).await.unwrap();
            assert_eq!(message.unwrap().as_text(), Some("hi"));
            assert_eq!(sim.spawned() - before, 2, "one on each side");
            let closed = sim.within(seconds(1), connection.close()).await.unwrap();
            assert_eq!(closed.clean, version != Version::Draft75);
            sim.settle().await;
            assert_eq!(server.clients().len(), 0);
            assert_eq!(sim.live_tasks(), 1);
        }
    });
}

/// Without the feature `rustls` a client does not go to a URL `wss` at all, and says so; a stream that it is
/// given for one is taken for one that is secured already.
#[cfg(not(feature = "rustls"))]
#[test]
fn a_client_without_tls_says_so() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("wss://{}/demo", server.local_addr());
        let error = ws_driver::connect::<Sim>(&url).await.unwrap_err();
        assert!(matches!(error, ConnectError::TlsUnsupported), "{error:?}");
        assert!(error.to_string().contains("TLS, which is not built in"));
        sim.settle().await;
        assert_eq!(server.counters().opening, 0);
        let stream = ws_driver::Runtime::connect(&sim, server.local_addr());
        let stream = stream.await.unwrap();
        let config = ClientConfig::new();
        let opened = ws_driver::connect_over::<Sim, _>(stream, &url, &config).await;
        assert!(opened.unwrap().tls().is_none());
    });
}

/// A stream that takes nothing, with something to read and its end behind it.
struct Broken(&'static [u8]);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let len = self.0.len().min(buffer.len());
        let (read, rest) = self.0.split_at(len);
        buffer[..len].copy_from_slice(read);
        self.0 = rest;
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a server said before it broke the stream is not lost, though our request could not be written.
#[test]
fn a_refusal_is_read_although_writing_fails() {
    Sim::run(async |_| {
        let config = ClientConfig::new();
        let refused = Broken(b"HTTP/1.1 403 Not you\r\nContent-Length: 0\r\n\r\n");
        let error = ws_driver::connect_over::<Sim, _>(refused, "ws://a/", &config).await;
        let Err(ConnectError::Handshake(HandshakeError::Status { status, .. })) = error else {
            panic!("{error:?}");
        };
        assert_eq!(status, 403);
        let error = ws_driver::connect_over::<Sim, _>(Broken(b""), "ws://a/", &config).await;
        let Err(ConnectError::Io(error)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}
