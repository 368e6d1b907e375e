//! Reports to an application what happens to its connections: events for observers, counters, debug lines, spans.
//!
//! Imports: `util`, `id`, `tls`, `front`.

pub(crate) mod connecting;
pub(crate) mod counters;
pub(crate) mod debug_lines;
pub(crate) mod histograms;
pub(crate) mod rejected;
pub(crate) mod span;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::{Closed, Role, State, Version};

use crate::id::ConnectionId;
use crate::observe::connecting::ConnectEvent;
use crate::observe::rejected::Rejected;
use crate::tls::TlsInfo;

/// Observes what a server does, or a client. Every method does nothing by default.
///
/// The methods are called from the tasks of the connections, so they should be quick. A client calls [`connecting`](Self::connecting),
/// [`stream`](Self::stream), [`state_change`](Self::state_change), [`connection`](Self::connection) and
/// [`close`](Self::close), and a server all but the first. [`ConnectionInfo::role`] tells them apart.
pub trait Observer: Send + Sync + 'static {
    /// The server listens on an address.
    fn listening(&self, addr: SocketAddr) {
        let _ = addr;
    }

    /// A client takes a step on the way to a connection. A URL or an option that is invalid is no step: it is only the error of
    /// `connect`.
    fn connecting(&self, info: &ConnectionInfo, event: &ConnectEvent<'_>) {
        let _ = (info, event);
    }

    /// A stream arrived, or a client has a stream to its server or its proxy. One call of [`close`](Self::close) follows in
    /// every case.
    fn stream(&self, info: &ConnectionInfo) {
        let _ = info;
    }

    /// A connection is open. On a server its handler is about to be called.
    fn connection(&self, info: &ConnectionInfo) {
        let _ = info;
    }

    /// A plain HTTP request arrived.
    fn request(&self, info: &ConnectionInfo, head: &http::request::Parts) {
        let _ = (info, head);
    }

    /// The state of a connection changed.
    fn state_change(&self, info: &ConnectionInfo, state: State, previous: State) {
        let _ = (info, state, previous);
    }

    /// An upgrade was refused. [`close`](Self::close) follows.
    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        let _ = (info, reason);
    }

    /// A handler panicked, and its connection is being closed with 1011.
    fn panicked(&self, info: &ConnectionInfo) {
        let _ = info;
    }

    /// A [stream](Self::stream) has ended, and with it the connection if there was one. The cause is
    /// [`CloseCause::Rejected`](ws_proto::CloseCause) if an upgrade was [rejected](Self::rejected) on it, or if a client
    /// failed to open its connection. It is
    /// [`CloseCause::NoUpgrade`](ws_proto::CloseCause) if the peer did not ask for an upgrade, as with plain HTTP or
    /// a port scan. This is called once for each stream, also if the runtime ends and drops the stream's task.
    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        let _ = (info, closed);
    }

    /// The server has stopped accepting streams, because it was closed or because its listener failed with `error`.
    fn shutdown(&self, error: Option<&io::Error>) {
        let _ = error;
    }
}

/// The facts about a connection that an [`Observer`] gets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The id of the connection.
    pub id: ConnectionId,
    /// Our role: whether we accepted the connection or opened it.
    pub role: Role,
    /// The address of the peer, if the stream has one.
    pub peer_addr: Option<SocketAddr>,
    /// The parameters of TLS, if there is TLS and once its handshake is done.
    pub tls: Option<TlsInfo>,
    /// The version of the protocol, once it is known.
    pub version: Option<Version>,
    /// The version of HTTP, once a request has been read. In HTTP/2 many connections share a stream of the network
    /// (RFC 8441).
    pub http_version: Option<http::Version>,
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.id)?;
        if let Some(addr) = self.peer_addr {
            let direction = match self.role {
                Role::Server => "from",
                Role::Client => "to",
            };
            write!(f, " {direction} {addr}")?;
        }
        if let Some(version) = self.version {
            write!(f, " in {version}")?;
        }
        // HTTP/1.1 is what everybody expects.
        if let Some(http::Version::HTTP_2) = self.http_version {
            f.write_str(" over HTTP/2")?;
        }
        if let Some(tls) = &self.tls {
            write!(f, " over {}", tls.version)?;
        }
        Ok(())
    }
}

/// All observers of a server, or of a client.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<Vec<Arc<dyn Observer>>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        Arc::make_mut(&mut self.0).push(Arc::new(observer));
    }

    /// Calls each observer, in the order in which they were added.
    pub(crate) fn tell(&self, tell: impl Fn(&dyn Observer)) {
        for observer in &*self.0 {
            tell(&**observer);
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}
