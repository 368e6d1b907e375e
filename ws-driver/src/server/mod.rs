//! The server: accepts streams, runs a task for each, and reaches its connections by id.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `observe`, `driver`, `registry`, `handle`.

mod accept;
mod accept_errors;
mod accept_queue;
pub(crate) mod builder;
mod host;
pub(crate) mod http;
mod listeners;
pub(crate) mod options;
mod reporter;
pub(crate) mod shared;
mod shutdown;
pub(crate) mod shutdown_phase;
mod task;
mod transport;
pub(crate) mod upgrade;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{Message, PreparedMessage};

use self::accept_errors::Trouble;
use self::accept_queue::OpenedConnections;
use self::builder::ServerBuilder;
use self::host::Handle;
use self::listeners::Listeners;
use self::options::Options;
use self::shared::Shared;
pub use self::shutdown::ShutdownReport;
use self::shutdown_phase::{Phase, Stop};
use crate::handle::clients::{Clients, SendToError};
use crate::handle::connection::Connection;
use crate::id::ConnectionId;
use crate::observe::counters::ServerCounters;
use crate::runtime::Runtime;

/// A WebSocket server: every version of the protocol, and plain HTTP, on one port.
///
/// It is a handle: cheap to clone, and all clones are the same server.
pub struct Server<R: Runtime> {
    shared: Arc<Shared<R>>,
}

impl<R: Runtime + Default> Server<R> {
    /// Sets options before the server listens.
    pub fn builder() -> ServerBuilder<R> {
        ServerBuilder::new()
    }

    /// Listens on an address, with the default options; port 0 means any free port. See
    /// [`ServerBuilder::bind`].
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be resolved or listened on.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing listens.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().bind(addr).await
    }
}

impl<R: Runtime> Server<R> {
    /// Listens with a runtime that has a value of its own, such as a simulated one.
    pub(crate) async fn listen(
        runtime: R,
        options: Options,
        addrs: Vec<SocketAddr>,
    ) -> io::Result<Self> {
        let bound = Listeners::bind(&runtime, addrs, &options.bind).await;
        let (listeners, local_addrs) = bound?;
        for addr in &local_addrs {
            options.observers.tell(|observer| observer.listening(*addr));
        }
        Ok(Self::new(runtime, options, Some(listeners), local_addrs))
    }

    /// Makes a server, which may listen.
    pub(crate) fn new(
        runtime: R,
        options: Options,
        listeners: Option<Listeners<R>>,
        local_addrs: Vec<SocketAddr>,
    ) -> Self {
        let clock = runtime.clone();
        let shared = Shared {
            runtime,
            clock: Arc::new(move || clock.now()),
            listeners,
            local_addrs,
            clients: Clients::new(options.registry.clone()),
            config: Arc::new(options.config.clone()),
            options,
            stop: Stop::default(),
            opened: OpenedConnections::default(),
            trouble: Trouble::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Accepts streams until [`close`](Self::close) or [`shutdown`](Self::shutdown), and calls
    /// `handler` with each connection once it is open. The handler runs in the task of the
    /// connection; when it returns and drops the connection, that is closed.
    ///
    /// # Errors
    ///
    /// Fails if the listener cannot work any more: it is closed or no listener, or its runtime has ended.
    /// An error of one stream drops that stream. What may pass, such as lack of memory or of file
    /// descriptors, is waited out: 10 ms at first, a second at last; a line in the log says so, at most once
    /// a second.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no more streams are accepted; what is open goes on. It can be
    /// called again.
    pub async fn serve<H, F>(&self, handler: H) -> io::Result<()>
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
    {
        let handler = Arc::new(handler);
        let host = Handle(move |connection| handler(connection));
        accept::accept_all(&self.shared, host).await
    }

    /// Waits for the next connection that is open; `None` once the server has
    /// [closed](Self::close). Streams are accepted and opening handshakes begun while somebody waits
    /// here, many at a time. What has a handler, as the streams of [`handle_stream`](Self::handle_stream),
    /// does not come here.
    ///
    /// The connection is driven in a task of its own, so its holder can keep it anywhere.
    /// [`serve`](Self::serve) is faster, as its handler runs in the task of the connection.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no connection is lost.
    pub async fn accept(&self) -> io::Result<Option<Connection>> {
        accept::accept_one(&self.shared).await
    }

    /// Serves a stream that the application made, such as a Unix socket, as if it had been accepted
    /// here: the opening handshake of any version, plain HTTP, the registry, the limits, the shutdown.
    /// Waits while there are as many streams as the
    /// [`connection_limit`](crate::ServerBuilder::connection_limit) allows; the stream then has a task of its
    /// own, in which the handler runs. Tells whether it was taken: not once the server has
    /// [closed](Self::close).
    ///
    /// To close the stream (`poll_close`) must end our side of it, as the peer waits for that.
    ///
    /// Nothing is added to the stream: the option `tls` is for the port of the server. With it, answers to
    /// drafts say `wss` here, too.
    ///
    /// The peer's address is what observers and the connection say; `None` if there is none. The operating
    /// system is not asked to probe the peer, as only the application knows what the stream is: a
    /// connection of a draft, which has no ping, notices a peer that vanished only by what the stream says.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the stream is dropped.
    pub async fn handle_stream<S, H, F>(
        &self,
        stream: S,
        peer_addr: impl Into<Option<SocketAddr>> + Send,
        handler: H,
    ) -> bool
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        H: FnOnce(Connection) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        accept::take(&self.shared, stream, peer_addr.into(), handler).await
    }

    /// Sends a message to one connection, without waiting.
    ///
    /// # Errors
    ///
    /// Fails if there is no open connection with that id, it is closing, its version cannot carry
    /// the message, or it is too slow; see [`Clients::send`].
    pub fn send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), SendToError> {
        self.shared.clients.send(id, message)
    }

    /// Sends a message to every open connection, without waiting, and returns how many took it. What
    /// happens to those that are too slow for it is up to [`SlowPeer`](crate::SlowPeer): by default they
    /// are closed with 1013.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        self.shared.clients.broadcast(message)
    }

    /// Returns the registry of open connections.
    pub fn clients(&self) -> Clients {
        self.shared.clients.clone()
    }

    /// Returns what was counted on all connections so far; see [`Clients::counters`].
    pub fn counters(&self) -> ServerCounters {
        self.shared.clients.counters()
    }

    /// Returns the address that the server listens on, the first one if there are several; `0.0.0.0:0` if it
    /// [listens on nothing](crate::ServerBuilder::build).
    pub fn local_addr(&self) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.local_addrs().first().copied().unwrap_or(nowhere)
    }

    /// Returns all addresses that the server listens on, such as those of a name; none if it [listens on
    /// nothing](crate::ServerBuilder::build).
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.local_addrs
    }

    /// Stops accepting streams, so that [`serve`](Self::serve) returns. What is open goes on.
    pub fn close(&self) {
        self.shared.stop.advance(Phase::Closed);
    }

    /// Stops accepting streams, closes every connection with 1001, waits for them to end, and drops
    /// those that have not when the grace is over, with their handlers. When this returns no stream is
    /// left, and observers have been told of each end: it takes the grace at most, and then as long as
    /// dropping what is left takes. Only for a handler that blocks its thread it waits no longer than a
    /// second more.
    ///
    /// A handler that calls this is one of those: at the end of the grace it is dropped with its
    /// connection.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the grace is over, the server stays closed, and nothing is dropped.
    /// Connections that were asked to close go on with that, which the `close_timeout` bounds; with very many, some
    /// were not asked yet. It can be called again.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        shutdown::run(&self.shared, grace).await
    }
}

impl<R: Runtime> Clone for Server<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<R: Runtime> fmt::Debug for Server<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr())
            .field("clients", &self.shared.clients.len())
            .finish_non_exhaustive()
    }
}
