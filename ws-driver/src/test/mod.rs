//! A test kit for handlers and servers: connections over streams in memory, without a port, and tests in virtual time.
//!
//! [`Kit::connect`] opens a connection to a [`Server`] with all its options; [`Kit::client`] does it with options, and asks by
//! plain HTTP or in bytes. [`Kit::pair`] makes the two ends of an open connection: a test gives one to the handler and uses the
//! other. [`Kit::scripted`] makes one end and a [`Peer`] that sends and receives bytes, so that a test can send bytes that
//! no client would. An adapter has the kit for its runtime, for instance `ws_tokio::test::Kit`, and a function
//! `in_virtual_time`.
//!
//! A connection of [`Kit::pair`] or [`Kit::scripted`] belongs to no server: [`join`](Connection::join) fails with
//! [`NoServer`](crate::TopicError::NoServer), and no [`Clients`](crate::Clients) know it. Those of [`Kit::connect`] do.
//!
//! Imports: `util`, `runtime`, `id`, `driver`, `handle`, `client`, `server`.

mod client;
mod peer;
mod time;

use std::future::Future;
use std::marker::PhantomData;
use std::time::Instant;

use ws_proto::{Connection as Machine, ConnectionConfig, Version};

use crate::client::error::ConnectError;
use crate::driver::head::Head;
use crate::driver::shared_machine::Facts;
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::id::ConnectionId;
use crate::runtime::Runtime;
use crate::server::Server;
use crate::util::duplex::{Duplex, duplex};
use crate::util::random::SystemRandomness;

pub use self::client::{KitClient, REQUEST_TIMEOUT, RESPONSE_BODY_LIMIT};
pub use self::peer::Peer;
pub use self::time::{TIME_LIMIT, VirtualTime, VirtualTimer, WAKE_LIMIT, in_virtual_time};
pub use crate::util::duplex::PIPE_LEN;

/// Makes connections over streams in memory. Everything must be called inside the runtime `R`.
pub struct Kit<R>(PhantomData<fn() -> R>);

impl<R: Runtime + Default> Kit<R> {
    /// Serves in a task of its own, until the server [closes](Server::close). Call it once for a server that
    /// [`ServerBuilder::build`](crate::ServerBuilder::build) made, unless the test calls [`Server::serve`] or
    /// [`Server::accept`] by itself.
    pub fn serve<H, F>(server: &Server<R>, handler: H)
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
    {
        let server = server.clone();
        R::default().spawn(async move {
            if let Err(error) = server.serve(handler).await {
                tracing::error!(target: "ws", "the server of a test has ended: {error}");
            }
        });
    }

    /// Opens a connection to a path of a server, with the default options. See [`KitClient::connect_with`].
    ///
    /// # Errors
    ///
    /// Fails if the server refuses the request, has closed, or does not answer in time.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the stream is dropped.
    pub async fn connect(server: &Server<R>, path: &str) -> Result<Connection, ConnectError> {
        Self::client(server).connect(path).await
    }

    /// Returns the time by the clock of the runtime, which is virtual in a test in virtual time.
    pub fn now() -> Instant {
        R::default().now()
    }

    /// Makes a client of a server, which chooses options, sends plain HTTP, or sends bytes.
    pub fn client(server: &Server<R>) -> KitClient<R> {
        KitClient::new(server.clone())
    }

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
        (server::<R>(version, config, ours), Peer::new(theirs))
    }

    /// Makes the client's end of an open connection, and a peer that sends and receives bytes.
    pub fn scripted_client(version: Version) -> (Connection, Peer) {
        let (ours, theirs) = duplex();
        (
            client::<R>(version, &ConnectionConfig::default(), ours),
            Peer::new(theirs),
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
    start(&runtime, stream, machine)
}

fn client<R: Runtime + Default>(
    version: Version,
    config: &ConnectionConfig,
    stream: Duplex,
) -> Connection {
    let runtime = R::default();
    let masks = Box::new(SystemRandomness);
    let machine = Machine::client(version, config.clone(), runtime.now(), masks);
    start(&runtime, stream, machine)
}

/// Starts a connection without a handshake.
fn start<R: Runtime>(runtime: &R, stream: Duplex, machine: Machine) -> Connection {
    let facts = Facts {
        id: ConnectionId::of_client(),
        peer_addr: None,
        version: machine.version(),
        http_version: http::Version::HTTP_11,
        agreed: None,
        head: Head::UNKNOWN,
    };
    spawn::start(runtime, stream, bytes::Bytes::new(), machine, facts)
}
