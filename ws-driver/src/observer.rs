//! Tells an application what happens to its connections, and what `debug` prints.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::{Closed, HandshakeError, State, Version};

use crate::clients::Clients;
use crate::id::ConnectionId;
use crate::mailbox::Mailbox;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;
use crate::tls::TlsInfo;

/// Looks on at what a server does. Every method does nothing unless it is written.
///
/// The methods are called from the tasks of the connections; they should be quick.
pub trait Observer: Send + Sync + 'static {
    /// The server listens.
    fn listening(&self, addr: SocketAddr) {
        let _ = addr;
    }

    /// A stream arrived.
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

    /// A connection has ended: one that was open, or one whose upgrade was
    /// [rejected](Self::rejected), with the cause [`CloseCause::Rejected`](ws_proto::CloseCause).
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

/// Why an upgrade was refused, or a stream before it came to that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rejected {
    /// It broke a rule or an option of the server.
    Handshake(HandshakeError),
    /// `on_upgrade` said so.
    Application {
        /// The status of the answer.
        status: http::StatusCode,
    },
    /// There is no TLS with the peer.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// There were as many streams as the option `connection_limit` allows. Only on requests that another
    /// HTTP server read; streams wait.
    ConnectionLimit {
        /// The limit.
        limit: usize,
    },
    /// The server had closed. Only on requests that another HTTP server read.
    Closed,
    /// The other HTTP server that read the request cannot give its stream up.
    NoUpgrade,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Application { status } => write!(f, "on_upgrade answered {status}"),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.fmt(f),
            Self::ConnectionLimit { limit } => write!(
                f,
                "there are {limit} connections already, and no more are allowed (option \
                 connection_limit)"
            ),
            Self::Closed => f.write_str("the server has closed"),
            Self::NoUpgrade => f.write_str("the HTTP server cannot give the stream up"),
        }
    }
}

/// What `debug(true)` adds: a readable line for everything that happens, through `tracing` at level
/// `DEBUG` with the target `ws`. Payloads are never shown.
#[derive(Debug)]
pub(crate) struct DebugLines;

macro_rules! line {
    // Outside of the connection's span, as each says by itself what it is about.
    ($($arg:tt)+) => { tracing::debug!(target: "ws", parent: None, $($arg)+) };
}

impl Observer for DebugLines {
    fn listening(&self, addr: SocketAddr) {
        line!("listening on {addr}");
    }

    fn stream(&self, info: &ConnectionInfo) {
        line!("{info}: a stream arrived");
    }

    fn connection(&self, info: &ConnectionInfo) {
        line!("{info}: open");
    }

    fn request(&self, info: &ConnectionInfo, head: &http::request::Parts) {
        line!("{info}: request {} {}", head.method, head.uri);
    }

    fn state_change(&self, info: &ConnectionInfo, state: State, previous: State) {
        line!("{info}: {previous} -> {state}");
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        line!("{info}: rejected: {reason}");
    }

    fn panicked(&self, info: &ConnectionInfo) {
        line!("{info}: the handler panicked");
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        line!("{info}: closed: {closed}");
    }

    fn shutdown(&self, error: Option<&io::Error>) {
        match error {
            Some(error) => line!("stopped to accept: {error}"),
            None => line!("stopped to accept"),
        }
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

#[cfg(feature = "hyper")]
type Refusal = http::Response<http_body_util::Full<bytes::Bytes>>;

/// Tells the observers of a server about a stream until its connection is open.
pub(crate) struct Witness {
    observers: Observers,
    pub(crate) info: ConnectionInfo,
    state: State,
    /// Where rejections are counted.
    clients: Clients,
}

impl Witness {
    pub(crate) fn new(observers: Observers, info: ConnectionInfo, clients: Clients) -> Self {
        observers.tell(|observer| observer.stream(&info));
        Self {
            observers,
            info,
            state: State::Unknown,
            clients,
        }
    }

    pub(crate) fn note_state(&mut self, state: State) {
        if state != self.state {
            let previous = std::mem::replace(&mut self.state, state);
            self.observers
                .tell(|observer| observer.state_change(&self.info, state, previous));
        }
    }

    pub(crate) fn note_request(&self, head: &http::request::Parts) {
        self.observers
            .tell(|observer| observer.request(&self.info, head));
    }

    pub(crate) fn note_rejected(&mut self, reason: &Rejected) {
        if let Rejected::Handshake(HandshakeError::Empty) = reason {
            // A stream that brought nothing asked for nothing: a port scan, a health check.
            return self.note_state(State::Closed);
        }
        self.clients.note_rejected(reason);
        self.observers
            .tell(|observer| observer.rejected(&self.info, reason));
        self.note_state(State::Closed);
        self.observers
            .tell(|observer| observer.close(&self.info, &Closed::rejected()));
    }

    /// Notes a refusal, and returns the answer to it.
    #[cfg(feature = "hyper")]
    pub(crate) fn refused(&mut self, refused: Box<crate::http::upgrade::Refused>) -> Refusal {
        self.note_rejected(&refused.reason);
        refused.response
    }

    pub(crate) fn note_open(&mut self, version: Version) {
        self.info.version = Some(version);
        self.note_state(State::Connected);
        self.observers
            .tell(|observer| observer.connection(&self.info));
    }

    /// Goes on with the open connection.
    pub(crate) fn into_open(self, mailbox: Arc<Mailbox>) -> OpenWitness {
        OpenWitness {
            observers: self.observers,
            state: self.state,
            mailbox,
        }
    }
}

/// The same of an open connection: holds no more than it must, and asks the mailbox for the rest.
pub(crate) struct OpenWitness {
    observers: Observers,
    state: State,
    mailbox: Arc<Mailbox>,
}

impl OpenWitness {
    pub(crate) fn note_state(&mut self, state: State) {
        if state != self.state {
            let previous = std::mem::replace(&mut self.state, state);
            self.tell(|observer, info| observer.state_change(info, state, previous));
        }
    }

    pub(crate) fn note_end(&mut self) {
        self.note_state(State::Closed);
        if let Some(closed) = self.mailbox.closed() {
            self.tell(|observer, info| observer.close(info, &closed));
        }
    }

    pub(crate) fn note_panic(&self) {
        self.tell(|observer, info| observer.panicked(info));
    }

    fn tell(&self, tell: impl Fn(&dyn Observer, &ConnectionInfo)) {
        let facts = &self.mailbox.facts;
        let info = ConnectionInfo {
            id: facts.id,
            peer_addr: facts.peer_addr,
            tls: facts.tls.as_deref().cloned(),
            version: Some(facts.version),
        };
        self.observers.tell(|observer| tell(observer, &info));
    }
}
