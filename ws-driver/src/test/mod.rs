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
//!
//! Imports: `util`, `runtime`, `id`, `driver`, `handle`.

mod peer;

use std::marker::PhantomData;

use ws_proto::{Connection as Machine, ConnectionConfig, Version};

use crate::driver::head::Head;
use crate::driver::shared_machine::Facts;
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::id::ConnectionId;
use crate::runtime::Runtime;
use crate::util::duplex::{Duplex, duplex};
use crate::util::random::SystemRandomness;

pub use self::peer::Peer;
pub use crate::util::duplex::PIPE_LEN;

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
