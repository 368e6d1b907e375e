//! A client in memory of a server: it opens connections, sends plain HTTP, or leaves the bytes to the test.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;

use super::peer::Peer;
use crate::client::config::ConnectConfig;
use crate::client::connect_over;
use crate::client::error::ConnectError;
use crate::handle::connection::Connection;
use crate::runtime::{Runtime, sleep};
use crate::server::Server;
use crate::server::http::io::HyperIo;
use crate::server::memory_port::ClientAddr;
use crate::util::race::{Winner, race};

/// A client of a [`Server`] that reaches it over streams in memory, one for each call.
///
/// The server treats such a stream like an accepted one: the accept loop, the opening handshake, the registry, the limits,
/// the observers and the shutdown apply. The options `tls` and `proxy_protocol` do not; those are for sockets. If
/// `tls` is set, answers to the drafts say `wss` here, too.
///
/// Something must accept the streams, as [`Kit::serve`](super::Kit::serve), [`Server::serve`] and [`Server::accept`] do.
pub struct KitClient<R: Runtime> {
    server: Server<R>,
    addr: ClientAddr,
}

impl<R: Runtime + Default> KitClient<R> {
    pub(super) fn new(server: Server<R>) -> Self {
        Self {
            server,
            addr: ClientAddr::Any,
        }
    }

    /// Sets the address that the server sees for each stream of this client, or `None` as of a Unix socket. Without it each stream
    /// comes from 127.0.0.1 and a port of its own.
    #[must_use]
    pub fn with_peer_addr(self, peer_addr: impl Into<Option<SocketAddr>>) -> Self {
        Self {
            addr: ClientAddr::Is(peer_addr.into()),
            ..self
        }
    }

    /// Opens a connection to a path, which may have a query, with the default options.
    ///
    /// # Errors
    ///
    /// Fails as [`connect_with`](Self::connect_with) does.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the stream is dropped.
    pub async fn connect(&self, path: &str) -> Result<Connection, ConnectError> {
        self.connect_with(path, ConnectConfig::new()).await
    }

    /// Opens a connection to a path, which may have a query, with options: a [`ClientConfig`](crate::ClientConfig) sets the
    /// version, subprotocols, headers, the origin and limits. The `Host` is `localhost`, unless the options set it.
    ///
    /// # Errors
    ///
    /// Fails if the path or an option is invalid, the server refuses the request, or has closed. A server that does not
    /// accept the stream, for instance because it is at its `connection_limit`, makes it fail after the
    /// `handshake_timeout` of the options. [`ConnectError::response`] has a refusal.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the stream is dropped.
    pub async fn connect_with(
        &self,
        path: &str,
        options: impl Into<ConnectConfig>,
    ) -> Result<Connection, ConnectError> {
        let url = format!(
            "ws://{HOST_NAME}/{}",
            path.strip_prefix('/').unwrap_or(path)
        );
        let stream = self.server.open_in_memory(self.addr)?;
        connect_over::<R, _>(stream, url.as_str(), options).await
    }

    /// Sends a request of plain HTTP and waits for the whole response. The URI is a path. The `Host` is `localhost`, unless
    /// the request has one.
    ///
    /// # Errors
    ///
    /// Fails if the server has closed or breaks off, its response takes longer than [`REQUEST_TIMEOUT`], or the body of the
    /// response is longer than [`RESPONSE_BODY_LIMIT`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the stream is dropped. The server may have got the request.
    pub async fn request<B: Into<Bytes>>(
        &self,
        request: Request<B>,
    ) -> io::Result<Response<Bytes>> {
        let runtime = R::default();
        let mut request = request.map(|body| Full::new(body.into()));
        let host = HeaderValue::from_static(HOST_NAME);
        request.headers_mut().entry(HOST).or_insert(host);
        let stream = self.server.open_in_memory(self.addr)?;
        let asking = pin!(ask(runtime.clone(), stream, request));
        let timeout = pin!(sleep(&runtime, REQUEST_TIMEOUT));
        match race(asking, timeout).await {
            Winner::First(answered) => answered,
            Winner::Second(()) => {
                let late = format!("no whole response after {REQUEST_TIMEOUT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, late))
            }
        }
    }

    /// Opens a stream for a test that sends and receives the bytes itself, the opening handshake included.
    ///
    /// # Errors
    ///
    /// Fails if the server has closed.
    pub fn scripted(&self) -> io::Result<Peer> {
        let stream = self.server.open_in_memory(self.addr)?;
        Ok(Peer::new(stream))
    }
}

async fn ask<R, S>(
    runtime: R,
    stream: S,
    request: Request<Full<Bytes>>,
) -> io::Result<Response<Bytes>>
where
    R: Runtime,
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
{
    // Without timeouts of its own, because the whole request has one.
    let io = HyperIo::new(runtime, stream, None, None, None);
    let (mut sender, driving) = http1::handshake(io).await.map_err(io::Error::other)?;
    let mut answering = pin!(async move {
        let response = sender.send_request(request).await;
        let (head, body) = response.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, RESPONSE_BODY_LIMIT).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, body))
    });
    match race(answering.as_mut(), pin!(driving)).await {
        Winner::First(answered) => answered,
        // The stream has ended, and the rest of the response is in the channel of hyper; or the response never came, which
        // hyper tells by the same channel.
        Winner::Second(_) => answering.await,
    }
}

impl<R: Runtime> Clone for KitClient<R> {
    fn clone(&self) -> Self {
        Self {
            server: self.server.clone(),
            addr: self.addr,
        }
    }
}

impl<R: Runtime> fmt::Debug for KitClient<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KitClient")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The time in which a whole response of plain HTTP must come. It is longer than the default `body_timeout` of a server, so that
/// a test sees that first.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The bytes that the body of a response of plain HTTP may have.
pub const RESPONSE_BODY_LIMIT: usize = 16 << 20;

/// The host of the requests: a name that stands for the machine itself, so that it says nothing of another (RFC 6761 §6.3).
const HOST_NAME: &str = "localhost";
