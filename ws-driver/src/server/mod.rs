//! The server: accepts streams, runs a task for each, and finds its connections by id.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `front`, `observe`, `driver`, `registry`, `cluster`, `handle`.

mod accept;
mod accept_errors;
mod accept_queue;
mod arrival;
pub(crate) mod builder;
mod delivery;
pub(crate) mod http;
#[cfg(feature = "http2")]
mod http2;
mod listeners;
#[cfg(feature = "test-kit")]
pub(crate) mod memory_port;
mod proxy_header;
mod reporter;
pub(crate) mod settings;
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

use self::accept_errors::AcceptErrors;
use self::accept_queue::AcceptQueue;
use self::builder::ServerBuilder;
use self::delivery::ToHandler;
use self::listeners::Listeners;
#[cfg(feature = "test-kit")]
use self::memory_port::{ClientAddr, MemoryPort};
use self::settings::{ServerSettings, StartBackplane};
use self::shared::{ClusterPart, SharedServer};
pub use self::shutdown::ShutdownReport;
use self::shutdown_phase::{ShutdownPhase, ShutdownSignal};
use crate::cluster::link::ClusterHealth;
use crate::driver::shared_machine::Clock;
use crate::handle::clients::{Clients, SendToError};
use crate::handle::cluster::Cluster;
use crate::handle::connection::Connection;
use crate::id::ConnectionId;
use crate::id::cluster::NodeId;
use crate::observe::counters::ServerCounters;
use crate::runtime::{ListeningSocket, Runtime, RuntimeRandomness};
#[cfg(feature = "test-kit")]
use crate::util::duplex::Duplex;

/// A WebSocket server. It speaks every version of the protocol, and plain HTTP, on one port.
///
/// It is a handle: cheap to clone, and all clones share one server.
pub struct Server<R: Runtime> {
    shared: Arc<SharedServer<R>>,
}

impl<R: Runtime + Default> Server<R> {
    /// Returns a builder with the default options.
    pub fn builder() -> ServerBuilder<R> {
        ServerBuilder::new()
    }

    /// Makes a server with the default options and listens on an address. Port 0 means any free port. See
    /// [`ServerBuilder::bind`].
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be resolved, or the server cannot listen on it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing listens.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().bind(addr).await
    }
}

impl<R: Runtime> Server<R> {
    /// Listens with a given value of the runtime, such as a simulated one.
    pub(crate) async fn listen(
        runtime: R,
        settings: ServerSettings,
        sockets: Vec<ListeningSocket>,
        addrs: Vec<SocketAddr>,
        backplane: Option<StartBackplane<R>>,
    ) -> io::Result<Self> {
        let started = Listeners::start(&runtime, sockets, addrs, &settings.bind).await;
        let (listeners, local_addrs) = started?;
        for addr in &local_addrs {
            settings
                .observers
                .tell(|observer| observer.listening(*addr));
        }
        Ok(Self::new(
            runtime,
            settings,
            Some(listeners),
            local_addrs,
            backplane,
        ))
    }

    /// Waits for the engine of the cluster.
    pub(crate) async fn require_cluster(&self) -> io::Result<()> {
        let missing = match self.shared.cluster.0.linked().await {
            ClusterHealth::Up => return Ok(()),
            ClusterHealth::Connecting { .. } => "it has not answered".to_owned(),
            ClusterHealth::Down { error, .. } | ClusterHealth::Ended { error, .. } => {
                error.to_string()
            }
        };
        let missing =
            format!("the engine of the cluster is required, and there is no link: {missing}");
        Err(io::Error::new(io::ErrorKind::NotConnected, missing))
    }

    /// Opens a stream in memory to the server, for the test kit. Returns the end of the client.
    #[cfg(feature = "test-kit")]
    pub(crate) fn open_in_memory(&self, addr: ClientAddr) -> io::Result<Duplex> {
        self.shared.memory_port.open(addr)
    }

    /// Makes a server, with listeners or without.
    pub(crate) fn new(
        runtime: R,
        settings: ServerSettings,
        listeners: Option<Listeners<R>>,
        local_addrs: Vec<SocketAddr>,
        backplane: Option<StartBackplane<R>>,
    ) -> Self {
        let clock = runtime.clone();
        // A closure, so that the types of connections and senders do not name the runtime.
        let clock = Clock::new(move || clock.now());
        let node = NodeId::random(&mut RuntimeRandomness(&runtime));
        let clients = Clients::new(settings.registry.clone(), node);
        let cluster = settings.join_cluster(&clients, &clock, backplane.is_some());
        if let Some(start) = backplane {
            start(&runtime, &cluster);
        }
        let shared = SharedServer {
            runtime,
            clock,
            listeners,
            local_addrs,
            clients,
            cluster: ClusterPart(cluster),
            config: Arc::new(settings.config.clone()),
            settings,
            stop: ShutdownSignal::default(),
            accept_queue: AcceptQueue::default(),
            accept_errors: AcceptErrors::default(),
            #[cfg(feature = "test-kit")]
            memory_port: MemoryPort::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Accepts streams until [`close`](Self::close) or [`shutdown`](Self::shutdown), and calls
    /// `handler` with each connection once it is open. The handler runs in the task of the
    /// connection. When it returns and drops the connection, the connection is closed.
    ///
    /// # Errors
    ///
    /// Fails if the listener no longer works: it is closed or invalid, or its runtime has ended. An error
    /// of one stream drops only that stream. After a temporary error, such as a lack of memory or file
    /// descriptors, the server waits and tries again. The wait is 10 ms at first and at most a second. The
    /// log has a line about it, at most one a second.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no more streams are accepted, and open connections go on. `serve` can be
    /// called again.
    pub async fn serve<H, F>(&self, handler: H) -> io::Result<()>
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
    {
        let handler = Arc::new(handler);
        let delivery = ToHandler(move |connection| handler(connection));
        accept::accept_all(&self.shared, delivery).await
    }

    /// Waits for the next open connection. Returns `None` once the server has [closed](Self::close).
    ///
    /// The server accepts streams only while a call of this waits; then many opening handshakes run at the
    /// same time. Connections with a handler, such as those of [`handle_stream`](Self::handle_stream), are
    /// not returned here.
    ///
    /// The connection is driven in a task of its own, so you can keep it anywhere. [`serve`](Self::serve) is
    /// faster, because its handler runs in the task of the connection.
    ///
    /// # Errors
    ///
    /// Fails as [`serve`](Self::serve) does.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no connection is lost.
    pub async fn accept(&self) -> io::Result<Option<Connection>> {
        accept::accept_one(&self.shared).await
    }

    /// Serves a stream that the application made, such as a Unix socket. The stream is treated like an
    /// accepted one: the opening handshake of any version, plain HTTP, the registry, the limits and the
    /// shutdown apply. The handler runs in the task of the stream.
    ///
    /// Waits while the server is at its [`connection_limit`](crate::ServerBuilder::connection_limit). Returns
    /// whether the stream was taken, which it is not once the server has [closed](Self::close).
    ///
    /// The `poll_close` of the stream must end our side of it, because the peer waits for that.
    ///
    /// The options `tls` and `proxy_protocol` apply to the port of the server and not to this stream. If `tls` is set,
    /// answers to the drafts say `wss` here, too.
    ///
    /// Observers and the connection report `peer_addr` as the peer's address. The operating system is not
    /// asked to probe the peer, because this server does not know the kind of stream. The drafts have no
    /// ping, so a connection of a draft notices that its peer has vanished only by an error of the stream.
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
    /// Fails if no open connection has that id, or if the connection is closing, cannot carry the message in
    /// its version, or is too slow; see [`Clients::send`].
    pub fn send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), SendToError> {
        self.shared.clients.send(id, message)
    }

    /// Sends a message to every open connection, without waiting. Returns how many connections took it.
    /// [`SlowPeer`](crate::SlowPeer) decides what happens to a connection that is too slow; by default it is
    /// closed with 1013.
    pub fn broadcast(&self, message: impl Into<PreparedMessage>) -> usize {
        self.shared.clients.broadcast(message)
    }

    /// Returns the registry of open connections.
    pub fn clients(&self) -> Clients {
        self.shared.clients.clone()
    }

    /// Returns the server's part in its cluster. Without a [backplane](crate::ServerBuilder::backplane) it is a
    /// cluster of one.
    pub fn cluster(&self) -> Cluster {
        Cluster::new(Arc::clone(&self.shared.cluster.0))
    }

    /// Returns the counters of the server; see [`Clients::counters`].
    pub fn counters(&self) -> ServerCounters {
        self.shared.clients.counters()
    }

    /// Returns the first address that the server listens on, or `0.0.0.0:0` if it [listens on no
    /// address](crate::ServerBuilder::build).
    pub fn local_addr(&self) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.local_addrs().first().copied().unwrap_or(nowhere)
    }

    /// Returns all addresses that the server listens on. The slice is empty if it [listens on no
    /// address](crate::ServerBuilder::build). A Unix socket has none.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.local_addrs
    }

    /// Stops accepting streams, so that [`serve`](Self::serve) returns. Open connections go on.
    pub fn close(&self) {
        self.shared.stop.advance(ShutdownPhase::Closed);
        // Here and not in the accept loop, because that may not run.
        #[cfg(feature = "test-kit")]
        self.shared.memory_port.close();
    }

    /// Stops accepting streams, closes every connection with 1001, and waits for the connections to end. At
    /// the end of the grace, the connections that are still open are dropped with their handlers.
    ///
    /// When this returns, no stream is left, and observers have been told of each end. It takes at most the
    /// grace, and then the time to drop the remaining connections. If a handler blocks its thread, this waits
    /// at most one more second.
    ///
    /// If a handler calls this, its own connection is one of those: at the end of the grace it is dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the grace is over, the server stays closed, and no connection is dropped.
    /// Connections that were asked to close continue, bounded by the `close_timeout`. If there are very many
    /// connections, some have not been asked yet. `shutdown` can be called again.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        #[cfg(feature = "test-kit")]
        self.shared.memory_port.close();
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
