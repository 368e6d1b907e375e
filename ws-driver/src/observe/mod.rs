//! Tells an application what happens to its connections: events for observers, counters, debug lines, spans.
//!
//! Imports: `id`, `tls`.

pub(crate) mod counters;
pub(crate) mod debug_lines;
pub(crate) mod rejected;
pub(crate) mod span;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::{Closed, State, Version};

use crate::id::ConnectionId;
use crate::observe::rejected::Rejected;
use crate::tls::TlsInfo;

/// Looks on at what a server does. Every method does nothing unless it is written.
///
/// The methods are called from the tasks of the connections; they should be quick.
pub trait Observer: Send + Sync + 'static {
    /// The server listens.
    fn listening(&self, addr: SocketAddr) {
        let _ = addr;
    }

    /// A stream arrived. Whatever becomes of it, [`close`](Self::close) follows, once.
    fn stream(&self, info: &ConnectionInfo) {
        let _ = info;
    }

    /// A connection is open; its handler is about to be called.
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

    /// A handler panicked; its connection is being closed with 1011.
    fn panicked(&self, info: &ConnectionInfo) {
        let _ = info;
    }

    /// A [stream](Self::stream) has ended, and with it the connection if there was one. The cause is
    /// [`CloseCause::Rejected`](ws_proto::CloseCause) if an upgrade was [rejected](Self::rejected) on it,
    /// and [`CloseCause::NoUpgrade`](ws_proto::CloseCause) if none was asked for: plain HTTP, a port scan.
    /// This is told once for each stream, also if its runtime ends and drops its task.
    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        let _ = (info, closed);
    }

    /// The server has stopped to accept: it was told to, or its listener failed.
    fn shutdown(&self, error: Option<&io::Error>) {
        let _ = error;
    }
}

/// What an [`Observer`] is told of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// The address of the peer, if the stream has one.
    pub peer_addr: Option<SocketAddr>,
    /// What TLS was agreed on, once that is known and if there is any.
    pub tls: Option<TlsInfo>,
    /// The version, once it is known.
    pub version: Option<Version>,
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.id)?;
        if let Some(addr) = self.peer_addr {
            write!(f, " from {addr}")?;
        }
        if let Some(version) = self.version {
            write!(f, " in {version}")?;
        }
        if let Some(tls) = &self.tls {
            write!(f, " over {}", tls.version)?;
        }
        Ok(())
    }
}

/// All observers of a server.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<Vec<Arc<dyn Observer>>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        Arc::make_mut(&mut self.0).push(Arc::new(observer));
    }

    pub(crate) fn tell(&self, tell: impl Fn(&dyn Observer)) {
        for observer in &*self.0 {
            tell(&**observer);
        }
    }
}
