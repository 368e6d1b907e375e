//! Tools of the cases: a server that stops with its case, a peer that speaks bytes, and
//! ways to wait that need nothing but the runtime under test.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::Event;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{ClientConfig, Closed, State, Version};

use ws_driver::{
    Connection, ConnectionInfo, Observer, Rejected, Runtime, Server, ServerBuilder, connect_with,
};

pub(super) const ANY: &str = "127.0.0.1:0";

/// RFC 6455 §1.3, without a subprotocol.
pub(super) const RFC6455: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Draft-76 §1.2, without a subprotocol and without key3.
pub(super) const DRAFT76: &str = "GET /demo HTTP/1.1\r\nHost: example.com\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n";

/// What comes behind [`DRAFT76`].
pub(super) const KEY3: &[u8; 8] = b"^n:ds[4U";

/// What a server answers to [`KEY3`].
pub(super) const ACCEPT_76: &[u8; 16] = b"8jKS'y:G*Co,Wxa-";

/// A server that accepts until its case is over.
pub(super) struct Host<R: Runtime>(pub(super) Server<R>);

impl<R: Runtime> Deref for Host<R> {
    type Target = Server<R>;

    fn deref(&self) -> &Server<R> {
        &self.0
    }
}

impl<R: Runtime> Drop for Host<R> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs a server as a task of its own, on any free port.
pub(super) async fn serve<R, H, F>(builder: ServerBuilder<R>, handler: H) -> Host<R>
where
    R: Runtime + Default,
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    serve_at(builder, ANY.parse().unwrap(), handler).await
}

/// Runs a server as a task of its own.
pub(super) async fn serve_at<R, H, F>(
    builder: ServerBuilder<R>,
    addr: SocketAddr,
    handler: H,
) -> Host<R>
where
    R: Runtime + Default,
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let server = builder.bind(addr).await.unwrap();
    let serving = server.clone();
    R::default().spawn(async move { serving.serve(handler).await.unwrap() });
    Host(server)
}

/// The handler of the echo server.
pub(super) async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}

pub(super) fn url<R: Runtime>(server: &Server<R>) -> String {
    format!("ws://{}/demo", server.local_addr())
}

/// Opens a connection to a server in a version.
pub(super) async fn client<R: Runtime + Default>(
    server: &Server<R>,
    version: Version,
) -> Connection {
    let config = ClientConfig::new().version(version);
    let connection = connect_with::<R>(&url(server), &config).await;
    connection.unwrap()
}

/// Waits for the next message, which must be text.
pub(super) async fn text(connection: &mut Connection) -> String {
    let message = connection.recv().await.expect("a message comes");
    message.as_text().expect("it is text").to_owned()
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) async fn sleep<R: Runtime + Default>(time: Duration) {
    ws_driver::sleep(&R::default(), time).await;
}

/// Waits until something is so; a case is bounded, and so is this.
pub(super) async fn until<R: Runtime + Default>(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        sleep::<R>(ms(2)).await;
    }
}

/// Runs a future as a task; its result is told.
pub(super) fn spawn<R, T>(task: impl Future<Output = T> + Send + 'static) -> Told<T>
where
    R: Runtime + Default,
    T: Send + 'static,
{
    let told = Told::default();
    let teller = told.clone();
    R::default().spawn(async move { teller.tell(task.await) });
    told
}

/// What tasks tell a case, in order.
pub(super) struct Told<T>(Arc<(Mutex<VecDeque<T>>, Event)>);

impl<T> Told<T> {
    pub(super) fn tell(&self, value: T) {
        self.0.0.lock().unwrap().push_back(value);
        self.0.1.notify(usize::MAX);
    }

    pub(super) async fn next(&self) -> T {
        loop {
            let more = self.0.1.listen();
            if let Some(value) = self.try_next() {
                return value;
            }
            more.await;
        }
    }

    pub(super) fn try_next(&self) -> Option<T> {
        self.0.0.lock().unwrap().pop_front()
    }
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Told<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// An observer that writes down what it is told.
#[derive(Clone, Default)]
pub(super) struct Log(Told<String>);

impl Log {
    /// Waits for a line that starts so; returns all lines up to it.
    pub(super) async fn until(&self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.0.next().await;
            let is_last = line.starts_with(start);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// Returns the next line if there is one already.
    pub(super) fn try_next(&self) -> Option<String> {
        self.0.try_next()
    }
}

fn version(info: &ConnectionInfo) -> &'static str {
    info.version.map_or("?", Version::as_str)
}

impl Observer for Log {
    fn listening(&self, addr: SocketAddr) {
        assert_ne!(addr.port(), 0);
        self.0.tell(format!("listening {}", addr.ip()));
    }

    fn stream(&self, info: &ConnectionInfo) {
        assert!(info.peer_addr.is_none_or(|addr| addr.ip().is_loopback()));
        self.0.tell(format!("stream {}", version(info)));
    }

    fn connection(&self, info: &ConnectionInfo) {
        self.0.tell(format!("connection {}", version(info)));
    }

    fn request(&self, _: &ConnectionInfo, head: &http::request::Parts) {
        self.0.tell(format!("request {} {}", head.method, head.uri));
    }

    fn state_change(&self, _: &ConnectionInfo, state: State, previous: State) {
        let (from, to) = (previous.number(), state.number());
        self.0
            .tell(format!("state {from} {previous} -> {to} {state}"));
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        self.0.tell(format!("rejected {}: {reason}", version(info)));
    }

    fn panicked(&self, info: &ConnectionInfo) {
        self.0.tell(format!("panicked {}", version(info)));
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        self.0.tell(format!("close {}: {closed}", version(info)));
    }

    fn shutdown(&self, error: Option<&io::Error>) {
        self.0.tell(format!("shutdown {error:?}"));
    }
}

/// A client that a case plays byte by byte.
pub(super) struct Peer<R: Runtime, S = <R as Runtime>::Stream> {
    stream: S,
    /// What was read and not asked for yet.
    received: Vec<u8>,
    runtime: PhantomData<R>,
}

impl<R: Runtime + Default> Peer<R> {
    /// Opens a stream.
    pub(super) async fn connect(server: &Server<R>) -> Self {
        Self::connect_to(server.local_addr()).await
    }

    /// Opens a stream to an address of this host.
    pub(super) async fn connect_to(addr: SocketAddr) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], addr.port()));
        Self::of_stream(R::default().connect(addr).await.unwrap())
    }

    /// Opens a stream and a connection in RFC 6455.
    pub(super) async fn open(server: &Server<R>) -> Self {
        let mut peer = Self::connect(server).await;
        let answer = peer.ask(RFC6455).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        peer
    }
}

impl<R: Runtime, S: AsyncRead + AsyncWrite + Unpin> Peer<R, S> {
    /// Speaks on a stream that is open.
    pub(super) fn of_stream(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
            runtime: PhantomData,
        }
    }

    /// Returns the stream, and what was read of it and not asked for.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.received)
    }

    #[cfg(feature = "conformance-all")]
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes.as_ref()).await.unwrap();
    }

    pub(super) async fn try_write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Writes the same bytes again and again, and reads nothing, until the stream breaks.
    pub(super) async fn write_until_it_breaks(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let stream = &mut self.stream;
            match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, rest)).await {
                Ok(written) => rest = &rest[written..],
                Err(_) => return,
            }
            if rest.is_empty() {
                rest = bytes;
            }
        }
    }

    /// Reads so many bytes.
    pub(super) async fn read(&mut self, len: usize) -> Vec<u8> {
        while self.received.len() < len {
            let seen = self.received.escape_ascii().to_string();
            assert!(self.read_more().await.unwrap(), "the stream ends: {seen}");
        }
        self.received.drain(..len).collect()
    }

    /// Reads a head of HTTP, the empty line included.
    pub(super) async fn head(&mut self) -> String {
        loop {
            let mut windows = self.received.windows(4);
            if let Some(place) = windows.position(|window| window == b"\r\n\r\n") {
                let head = self.received.drain(..place + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let seen = self.received.escape_ascii().to_string();
            assert!(self.read_more().await.unwrap(), "the stream ends: {seen}");
        }
    }

    /// Sends a request and reads the head of the answer.
    pub(super) async fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.write(request).await;
        self.head().await
    }

    /// Sends a request and reads the answer: head and body.
    pub(super) async fn ask_all(&mut self, request: impl AsRef<[u8]>) -> (String, String) {
        let head = self.ask(request).await;
        let lower = head.to_ascii_lowercase();
        let (_, rest) = lower.split_once("content-length: ").expect("has a length");
        let len = rest.split("\r\n").next().unwrap().parse().unwrap();
        let body = String::from_utf8(self.read(len).await).unwrap();
        (head, body)
    }

    /// Reads to the end of the stream, which may be a reset.
    pub(super) async fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more().await.unwrap_or(false) {}
        std::mem::take(&mut self.received)
    }

    /// Reads a frame of a server: its first byte and its payload.
    pub(super) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let header = self.read(2).await;
        let len = match header[1] {
            126 => {
                let len = self.read(2).await;
                usize::from(u16::from_be_bytes([len[0], len[1]]))
            }
            len => usize::from(len),
        };
        (header[0], self.read(len).await)
    }

    /// Reads frames up to a close; returns its code and reason.
    pub(super) async fn close_frame(&mut self) -> (u16, String) {
        loop {
            let (first_byte, payload) = self.frame().await;
            if first_byte == 0x88 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }

    /// Ends our side of the stream; the other stays open.
    pub(super) async fn end(&mut self) {
        let stream = &mut self.stream;
        let ended = poll_fn(|cx| Pin::new(&mut *stream).poll_close(cx)).await;
        ended.unwrap();
    }

    async fn read_more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let stream = &mut self.stream;
        let len = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await?;
        self.received.extend_from_slice(&buffer[..len]);
        Ok(len > 0)
    }
}

/// A client's frame with a payload of up to 65535 bytes.
pub(super) fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let len = u16::try_from(payload.len()).unwrap();
    let mut bytes = vec![first_byte];
    match u8::try_from(len) {
        Ok(len @ 0..=125) => bytes.push(0x80 | len),
        Ok(_) | Err(_) => {
            bytes.push(0x80 | 126);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}
