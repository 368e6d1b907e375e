//! Connections over streams whose opening handshake somebody else has done, such as a client or a server of HTTP.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{ConfigError, Connection as Machine, ConnectionConfig, Role, Subprotocol, Version};

use super::connection::Connection;
use super::spawn;
use crate::driver::head::Head;
use crate::driver::shared_machine::{Agreed, Facts};
use crate::id::ConnectionId;
use crate::runtime::{Runtime, RuntimeRandomness};
use crate::util::random::SystemRandomness;

/// A stream after its opening handshake, which another program or library has done: a 101 was sent or received on it (RFC 6455
/// §4). [`from_upgraded`] makes a connection of it.
///
/// What was agreed on has to be said here, because nobody reads the heads again. Compression cannot be: do not agree on an
/// extension.
#[must_use]
pub struct Upgraded<S> {
    stream: S,
    role: Role,
    version: Version,
    early: Bytes,
    config: ConnectionConfig,
    subprotocol: Option<Subprotocol>,
    peer_addr: Option<SocketAddr>,
}

impl<S> Upgraded<S> {
    /// Takes a stream to a server, on which this end has sent the request.
    pub fn client(stream: S) -> Self {
        Self::new(stream, Role::Client)
    }

    /// Takes a stream of a client, on which this end has sent the answer.
    pub fn server(stream: S) -> Self {
        Self::new(stream, Role::Server)
    }

    fn new(stream: S, role: Role) -> Self {
        Self {
            stream,
            role,
            version: Version::Rfc6455,
            early: Bytes::new(),
            config: ConnectionConfig::new(),
            subprotocol: None,
            peer_addr: None,
        }
    }

    /// Sets bytes that were read from the stream behind the head of the request or of the answer: none. They are the first ones of
    /// the connection.
    pub fn early(self, early: impl Into<Bytes>) -> Self {
        let early = early.into();
        Self { early, ..self }
    }

    /// Sets the version: RFC 6455.
    pub fn version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Sets the options of the connection.
    pub fn config(self, config: ConnectionConfig) -> Self {
        Self { config, ..self }
    }

    /// Sets the subprotocol that was agreed on, for [`Connection::subprotocol`]: none.
    pub fn subprotocol(self, subprotocol: impl Into<Option<Subprotocol>>) -> Self {
        let subprotocol = subprotocol.into();
        Self {
            subprotocol,
            ..self
        }
    }

    /// Sets the address of the peer, for [`Connection::peer_addr`]: unknown.
    pub fn peer_addr(self, peer_addr: impl Into<Option<SocketAddr>>) -> Self {
        let peer_addr = peer_addr.into();
        Self { peer_addr, ..self }
    }
}

impl<S> fmt::Debug for Upgraded<S> {
    /// Without what was received, and without the subprotocol, which can be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded")
            .field("role", &self.role)
            .field("version", &self.version)
            .field("early", &self.early.len())
            .field("config", &self.config)
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}

/// Makes a connection of a stream whose opening handshake was done elsewhere. It is driven in a task of its own.
///
/// It belongs to no [`Server`](crate::Server), so it has no topics. A server on hyper hands its requests to
/// [`Server::handle_request`](crate::Server) instead, which does the handshake as well.
///
/// # Errors
///
/// Fails if an option of the connection is invalid.
///
/// # Panics
///
/// On tokio, outside of a runtime, as whatever spawns a task.
pub fn from_upgraded<R, S>(upgraded: Upgraded<S>) -> Result<Connection, ConfigError>
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Upgraded {
        stream,
        role,
        version,
        early,
        config,
        subprotocol,
        peer_addr,
    } = upgraded;
    config.check()?;
    let runtime = R::default();
    let mut machine = match role {
        Role::Server => Machine::server(version, config, runtime.now()),
        // From the system and not from the runtime, because masks must be unpredictable (RFC 6455 §10.3).
        Role::Client => Machine::client(version, config, runtime.now(), Box::new(SystemRandomness)),
    };
    machine.spread_keepalive(&mut RuntimeRandomness(&runtime));
    let agreed = Agreed {
        tls: None,
        subprotocol: subprotocol.map(|name| name.as_str().into()),
        deflate: false,
        measured: None,
    };
    let facts = Facts {
        id: ConnectionId::of_client(),
        peer_addr,
        version,
        http_version: http::Version::HTTP_11,
        agreed: agreed.boxed(),
        head: Head::UNKNOWN,
    };
    Ok(spawn::start(&runtime, stream, early, machine, facts))
}
