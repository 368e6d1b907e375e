//! A test kit for handlers: connections over streams in memory, without a port.
//!
//! [`Kit::pair`] makes the two ends of an open connection: a test gives one to the handler and uses the other.
//! [`Kit::scripted`] makes one end and a [`Peer`] that sends and receives bytes, so that a test can send bytes that
//! no client would. An adapter has the kit for its runtime, for instance `ws_tokio::test::Kit`.
//!
//! A connection of the kit belongs to no server: [`join`](Connection::join) fails with
//! [`NoServer`](crate::TopicError::NoServer), and no [`Clients`](crate::Clients) know it. For topics and broadcasts make a
//! server with [`ServerBuilder::build`](crate::ServerBuilder::build), give it one end of a pipe in memory by
//! [`Server::handle_stream`](crate::Server::handle_stream), and the other end to `connect_over`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use piper::{Reader, Writer, pipe};
use ws_proto::{Connection as Machine, ConnectionConfig, Version};

use crate::driver::head::Head;
use crate::driver::shared_machine::Facts;
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::id::ConnectionId;
use crate::runtime::Runtime;
use crate::util::random::SystemRandomness;

/// Bytes that a stream in memory holds in each direction. A writer waits at this limit, as over a network.
pub const PIPE_LEN: usize = 64 << 10;

/// Makes connections over streams in memory. Everything must be called inside the runtime `R`.
pub struct Kit<R>(PhantomData<fn() -> R>);

impl<R: Runtime + Default> Kit<R> {
    /// Makes the two ends of an open connection: the server's and the client's.
    pub fn pair(version: Version) -> (Connection, Connection) {
        Self::pair_with(version, &ConnectionConfig::default())
    }

    /// Makes the two ends of an open connection, with options for both.
    pub fn pair_with(version: Version, config: &ConnectionConfig) -> (Connection, Connection) {
        let (ours, theirs) = duplex();
        (
            server::<R>(version, config, ours),
            client::<R>(version, config, theirs),
        )
    }

    /// Makes the server's end of an open connection, and a peer that sends and receives bytes.
    pub fn scripted(version: Version) -> (Connection, Peer) {
        Self::scripted_with(version, &ConnectionConfig::default())
    }

    /// Makes the server's end of an open connection, with options, and a peer that sends and receives bytes.
    pub fn scripted_with(version: Version, config: &ConnectionConfig) -> (Connection, Peer) {
        let (ours, theirs) = duplex();
        (server::<R>(version, config, ours), Peer { stream: theirs })
    }

    /// Makes the client's end of an open connection, and a peer that sends and receives bytes.
    pub fn scripted_client(version: Version) -> (Connection, Peer) {
        let (ours, theirs) = duplex();
        (
            client::<R>(version, &ConnectionConfig::default(), ours),
            Peer { stream: theirs },
        )
    }
}

fn server<R: Runtime + Default>(
    version: Version,
    config: &ConnectionConfig,
    stream: Duplex,
) -> Connection {
    let runtime = R::default();
    let machine = Machine::server(version, config.clone(), runtime.now());
    spawn::start(
        &runtime,
        stream,
        bytes::Bytes::new(),
        machine,
        facts(version),
    )
}

fn client<R: Runtime + Default>(
    version: Version,
    config: &ConnectionConfig,
    stream: Duplex,
) -> Connection {
    let runtime = R::default();
    let masks = Box::new(SystemRandomness);
    let machine = Machine::client(version, config.clone(), runtime.now(), masks);
    spawn::start(
        &runtime,
        stream,
        bytes::Bytes::new(),
        machine,
        facts(version),
    )
}

fn facts(version: Version) -> Facts {
    Facts {
        id: ConnectionId::of_client(),
        peer_addr: None,
        version,
        agreed: None,
        head: Head::UNKNOWN,
    }
}

/// The other end of a connection, which sends and receives plain bytes.
///
/// If it is dropped the stream breaks.
pub struct Peer {
    stream: Duplex,
}

impl Peer {
    pub(crate) fn new(stream: Duplex) -> Self {
        Self { stream }
    }

    /// Sends bytes unchanged.
    ///
    /// # Errors
    ///
    /// Fails if the connection has closed its stream.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, some of the bytes may have been sent.
    pub async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await? {
                0 => return Err(io::ErrorKind::BrokenPipe.into()),
                len => bytes = &bytes[len..],
            }
        }
        Ok(())
    }

    /// Waits for exactly `len` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the connection ends its side of the stream earlier.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, bytes may be lost.
    pub async fn receive(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.read(&mut bytes[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(bytes)
    }

    /// Waits for the end of the connection's side of the stream; returns all bytes before it.
    ///
    /// # Errors
    ///
    /// Fails if the stream breaks.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, bytes may be lost.
    pub async fn receive_to_end(&mut self) -> io::Result<Vec<u8>> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.read(&mut buffer).await? {
                0 => return Ok(bytes),
                len => bytes.extend_from_slice(&buffer[..len]),
            }
        }
    }

    /// Ends this side of the stream. The connection's side stays open.
    pub fn end(&mut self) {
        self.stream.writer = None;
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, buffer)).await
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

/// One end of a stream in memory.
pub(crate) struct Duplex {
    reader: Reader,
    /// `None` once this side has ended.
    writer: Option<Writer>,
}

pub(crate) fn duplex() -> (Duplex, Duplex) {
    let (to_us, from_them) = pipe(PIPE_LEN);
    let (to_them, from_us) = pipe(PIPE_LEN);
    (
        Duplex {
            reader: to_us,
            writer: Some(from_us),
        },
        Duplex {
            reader: to_them,
            writer: Some(from_them),
        },
    )
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.writer {
            Some(writer) => Pin::new(writer).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer = None;
        Poll::Ready(Ok(()))
    }
}
