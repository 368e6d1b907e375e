//! A client of HTTP/2, which asks for WebSockets (RFC 8441). It is built on the crate h2 alone, so that what hyper does
//! at the other end is not judged by itself.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use h2::client::{self, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use ws_driver::{Runtime, Timer};

/// A session, driven by a task until all of its streams are gone.
#[derive(Clone)]
pub struct Session {
    requests: SendRequest<Bytes>,
}

/// How long a session has for its SETTINGS.
const SETTINGS_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

impl Session {
    /// Begins a session over a stream.
    pub async fn open<R, S>(stream: S) -> Self
    where
        R: Runtime + Default,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::open_with::<R, S>(stream, &client::Builder::new()).await
    }

    /// Begins a session with options.
    pub async fn open_with<R, S>(stream: S, options: &client::Builder) -> Self
    where
        R: Runtime + Default,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (requests, connection) = options.handshake(TokioIo(stream)).await.unwrap();
        R::default().spawn(async move { drop(connection.await) });
        Self { requests }
    }

    /// Waits until the server has said that it takes an extended CONNECT.
    pub async fn enabled<R: Runtime + Default>(&self) {
        let runtime = R::default();
        let end = runtime.now() + SETTINGS_WAIT;
        while !self.requests.is_extended_connect_protocol_enabled() {
            assert!(runtime.now() < end, "the server allows no extended CONNECT");
            let mut timer = runtime.timer();
            timer.set(runtime.now() + std::time::Duration::from_millis(1));
            poll_fn(|cx| timer.poll(cx)).await;
        }
    }

    /// Sends a request, and returns its answer and the stream to the server.
    pub async fn ask(
        &self,
        request: Request<()>,
    ) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, stream) = requests.send_request(request, false)?;
        Ok((response.await?, stream))
    }

    /// Asks for a page, and returns its head, and the body as it comes.
    pub async fn get(&self, url: &str) -> Result<Response<RecvStream>, h2::Error> {
        self.fetch(Request::get(url).body(()).unwrap()).await
    }

    /// Sends a whole request without a body, and returns its answer as [`get`](Self::get) does.
    pub async fn fetch(&self, request: Request<()>) -> Result<Response<RecvStream>, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, _) = requests.send_request(request, true)?;
        response.await
    }

    /// Asks for a page, and returns its status and its whole body.
    pub async fn page(&self, url: &str) -> Result<(u16, Vec<u8>), h2::Error> {
        let response = self.get(url).await?;
        let (status, mut body) = (response.status().as_u16(), response.into_body());
        let mut all = Vec::new();
        while let Some(bytes) = poll_fn(|cx| body.poll_data(cx)).await {
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
            all.extend_from_slice(&bytes);
        }
        Ok((status, all))
    }

    /// Sends a request, and waits for nothing.
    pub async fn begin(
        &self,
        request: Request<()>,
    ) -> Result<(client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        requests.send_request(request, false)
    }

    /// Asks for a WebSocket. Returns the head of the answer, and the stream if it is a 200.
    pub async fn websocket(
        &self,
        request: Request<()>,
    ) -> Result<(Response<()>, SessionStream), h2::Error> {
        let (response, sending) = self.ask(request).await?;
        let (head, receiving) = response.into_parts();
        let stream = SessionStream {
            sending,
            receiving,
            rest: Bytes::new(),
        };
        Ok((Response::from_parts(head, ()), stream))
    }
}

/// Makes the request for a WebSocket, with more headers.
pub fn connect(authority: &str, path: &str, lines: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::builder().method(Method::CONNECT);
    builder = builder.uri(format!("http://{authority}{path}"));
    builder = builder.extension(Protocol::from_static("websocket"));
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

/// A stream of a session.
pub struct SessionStream {
    pub sending: SendStream<Bytes>,
    pub receiving: RecvStream,
    /// What was received and not read.
    rest: Bytes,
}

impl SessionStream {
    /// Resets it.
    pub fn reset(&mut self, reason: Reason) {
        self.sending.send_reset(reason);
    }

    /// Reads until the end of the stream.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            match poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buffer)).await {
                Ok(0) | Err(_) => return all,
                Ok(len) => all.extend_from_slice(&buffer[..len]),
            }
        }
    }
}

impl AsyncRead for SessionStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.rest.is_empty() {
            match ready!(self.receiving.poll_data(cx)) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(0)),
            }
        }
        let len = buffer.len().min(self.rest.len());
        buffer[..len].copy_from_slice(&self.rest.split_to(len));
        let released = self.receiving.flow_control().release_capacity(len);
        Poll::Ready(released.map(|()| len).map_err(io::Error::other))
    }
}

impl AsyncWrite for SessionStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sending.reserve_capacity(bytes.len());
        while self.sending.capacity() == 0 {
            match ready!(self.sending.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let len = bytes.len().min(self.sending.capacity());
        let sent = self
            .sending
            .send_data(Bytes::copy_from_slice(&bytes[..len]), false);
        Poll::Ready(sent.map(|()| len).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.sending.send_data(Bytes::new(), true);
        Poll::Ready(sent.map_err(io::Error::other))
    }
}

/// A stream with the traits of tokio, which h2 uses on all runtimes.
pub struct TokioIo<S>(pub S);

impl<S: AsyncRead + Unpin> tokio::io::AsyncRead for TokioIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = ready!(Pin::new(&mut self.0).poll_read(cx, buffer.initialize_unfilled()))?;
        buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> tokio::io::AsyncWrite for TokioIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
