//! Reports to the observers what happens to one stream and its connection, and counts rejections. Observers are told
//! of the end of each stream exactly once. That holds also if the task of the stream is dropped, because both reporters
//! tell it in their `Drop`.

use std::net::SocketAddr;
use std::time::Instant;

use ws_proto::{Closed, HandshakeError, Role, State, Version};

use super::settings::ServerSettings;
#[cfg(feature = "upgrade")]
use super::upgrade::Refused;
use crate::driver::Watch;
use crate::driver::shared_machine::Measured;
use crate::front::forwarded::ForwardedFor;
use crate::handle::clients::Clients;
use crate::observe::rejected::Rejected;
use crate::observe::{ConnectionInfo, Observer, Observers};
use crate::registry::Registration;
#[cfg(feature = "upgrade")]
use crate::tls::TlsInfo;

#[cfg(feature = "upgrade")]
type Refusal = http::Response<http_body_util::Full<bytes::Bytes>>;

/// Reports a stream until its connection is open.
pub(crate) struct StreamReporter {
    observers: Observers,
    /// When the opening handshake began.
    pub(crate) began: Instant,
    pub(crate) info: ConnectionInfo,
    /// Who is at the other end of the stream: the client, or a proxy of HTTP that speaks for clients.
    peer_addr: Option<SocketAddr>,
    /// Whether it came by a Unix socket of the server.
    pub(crate) is_local: bool,
    state: State,
    /// Where rejections are counted.
    clients: Clients,
    /// What a drop of the reporter means.
    ending: Ending,
    /// Whether the end was reported, or is left to the [`ConnectionReporter`].
    has_ended: bool,
}

/// The other end of the stream that a request came on.
#[cfg(feature = "upgrade")]
#[derive(Clone)]
pub(crate) struct Requester {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) tls: Option<TlsInfo>,
    /// Whether it came by a Unix socket of the server.
    pub(crate) is_local: bool,
}

/// The meaning of a stream's end without an explicit reason.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// The stream ended, or its task was dropped, in the opening handshake.
    Disconnected,
    /// The stream carried plain HTTP only.
    NoUpgrade,
    /// The application dropped the request without an answer.
    #[cfg(feature = "upgrade")]
    Dropped,
}

impl StreamReporter {
    pub(crate) fn new(
        observers: Observers,
        info: ConnectionInfo,
        clients: Clients,
        began: Instant,
    ) -> Self {
        observers.tell(|observer| observer.stream(&info));
        Self {
            observers,
            began,
            peer_addr: info.peer_addr,
            is_local: false,
            info,
            state: State::Unknown,
            clients,
            ending: Ending::Disconnected,
            has_ended: false,
        }
    }

    /// Returns who is at the other end, for the requests of a session that come on the stream.
    #[cfg(feature = "http2")]
    pub(crate) fn requester(&self) -> Requester {
        Requester {
            addr: self.peer_addr,
            tls: self.info.tls.clone(),
            is_local: self.is_local,
        }
    }

    /// Sets the meaning of an end from here on.
    pub(crate) fn expect(&mut self, ending: Ending) {
        self.ending = ending;
    }

    pub(crate) fn note_state(&mut self, state: State) {
        if state != self.state {
            let previous = std::mem::replace(&mut self.state, state);
            self.observers
                .tell(|observer| observer.state_change(&self.info, state, previous));
        }
    }

    /// Notes for whom the peer speaks in a request, if the server believes it.
    pub(crate) fn note_forwarded(&mut self, settings: &ServerSettings, headers: &http::HeaderMap) {
        if let Some(forwarded_for) = self.trusted_front(settings) {
            self.info.peer_addr = forwarded_for.client(headers).or(self.peer_addr);
        }
    }

    /// Notes a request that does not say for whom the peer speaks: not for whom it spoke before.
    pub(crate) fn forget_client(&mut self) {
        self.info.peer_addr = self.peer_addr;
    }

    /// Notes the address of the peer, which was not known before.
    #[cfg(feature = "upgrade")]
    pub(crate) fn note_peer(
        &mut self,
        settings: &ServerSettings,
        peer_addr: Option<SocketAddr>,
        headers: &http::HeaderMap,
    ) {
        (self.peer_addr, self.info.peer_addr) = (peer_addr, peer_addr);
        self.note_forwarded(settings, headers);
    }

    /// Returns how the peer names its clients, if it is one that is believed.
    fn trusted_front<'a>(&self, settings: &'a ServerSettings) -> Option<&'a ForwardedFor> {
        let forwarded_for = settings.forwarded_for.as_deref()?;
        forwarded_for
            .trusts(self.peer_addr, self.is_local)
            .then_some(forwarded_for)
    }

    /// Counts the stream for the address of its peer, unless that speaks for others: their requests count.
    pub(crate) fn admit_stream(
        &self,
        settings: &ServerSettings,
        now: Instant,
    ) -> Result<(), Rejected> {
        match self.trusted_front(settings) {
            Some(_) => Ok(()),
            None => self.admit(settings, now),
        }
    }

    /// Counts the stream for the client of its request, if the stream itself was not counted.
    pub(crate) fn admit_request(
        &self,
        settings: &ServerSettings,
        now: Instant,
    ) -> Result<(), Rejected> {
        match self.trusted_front(settings) {
            Some(_) => self.admit(settings, now),
            None => Ok(()),
        }
    }

    /// Returns the address that a request of a session counts for, if the session itself was not counted.
    #[cfg(feature = "http2")]
    pub(crate) fn counted_client(&self, settings: &ServerSettings) -> Option<std::net::IpAddr> {
        self.trusted_front(settings)?;
        let addr = self.info.peer_addr?;
        let limits = &settings.registry.address_limits;
        (!limits.is_unlimited()).then(|| addr.ip())
    }

    /// Counts the stream for the address that is known now.
    pub(crate) fn admit(&self, settings: &ServerSettings, now: Instant) -> Result<(), Rejected> {
        let limits = &settings.registry.address_limits;
        match self.info.peer_addr {
            Some(addr) if !limits.is_unlimited() => {
                self.clients.admit(self.info.id, addr.ip(), now)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn note_request(&self, head: &http::request::Parts) {
        self.observers
            .tell(|observer| observer.request(&self.info, head));
    }

    pub(crate) fn note_rejected(&mut self, reason: &Rejected) {
        if let Rejected::Handshake(HandshakeError::Empty) = reason {
            // A stream without a byte, such as that of a port scan or a health check, asked for nothing. It is no
            // rejection and does not count as one.
            return self.note_end(&Closed::no_upgrade());
        }
        if self.has_ended {
            return;
        }
        self.clients.note_rejected(reason);
        self.observers
            .tell(|observer| observer.rejected(&self.info, reason));
        self.note_end(&Closed::rejected());
    }

    /// Notes that the server shuts down, which ends the opening handshake.
    pub(crate) fn note_stopped(&mut self) {
        match self.state {
            // Without a complete head there is no request that could be rejected.
            State::Unknown | State::Opening => self.note_end(&Closed::no_upgrade()),
            State::Waiting
            | State::Handshaking
            | State::Connected
            | State::Closing
            | State::Closed => self.note_rejected(&Rejected::Closed),
        }
    }

    /// Reports the end, once.
    fn note_end(&mut self, closed: &Closed) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.note_state(State::Closed);
        self.observers
            .tell(|observer| observer.close(&self.info, closed));
    }

    /// Reports a refusal and returns its response.
    #[cfg(feature = "upgrade")]
    pub(crate) fn refused(&mut self, refused: Box<Refused>) -> Refusal {
        self.note_rejected(&refused.reason);
        refused.response
    }

    /// Begins to measure the connection, if the server has histograms.
    pub(crate) fn measured(&self, settings: &ServerSettings, now: Instant) -> Option<Measured> {
        let histograms = settings.histograms.as_ref()?;
        Some(Measured::new(histograms, self.began, now))
    }

    pub(crate) fn note_open(&mut self, version: Version) {
        self.info.version = Some(version);
        self.note_state(State::Connected);
        self.observers
            .tell(|observer| observer.connection(&self.info));
    }

    /// Makes the reporter of the open connection.
    pub(crate) fn into_open(mut self, mut registration: Registration) -> ConnectionReporter {
        // The connection reports its end from here on. The drop of `self` must not do it as well.
        self.has_ended = true;
        registration.told = self.state;
        ConnectionReporter {
            observers: self.observers.clone(),
            registration,
        }
    }
}

impl Drop for StreamReporter {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let state = self.state;
        match self.ending {
            Ending::Disconnected => {
                self.note_rejected(&Rejected::Handshake(HandshakeError::Disconnected { state }));
            }
            Ending::NoUpgrade => self.note_end(&Closed::no_upgrade()),
            #[cfg(feature = "upgrade")]
            Ending::Dropped => self.note_rejected(&Rejected::Dropped),
        }
    }
}

/// Reports an open connection, and keeps it registered as long as its stream is open.
///
/// There is one in the task of each open connection, so it is small: it reads the facts from the shared machine.
pub(crate) struct ConnectionReporter {
    observers: Observers,
    registration: Registration,
}

impl ConnectionReporter {
    /// Reports the end, once, and then gives the place of the connection back.
    fn end(&mut self) {
        if !self.registration.end() {
            return;
        }
        self.note_state(State::Closed);
        let closed = self.registration.machine.closed();
        // No `Closed` means that the task was dropped: its runtime ended, or it panicked.
        let closed = closed.unwrap_or_else(Closed::disconnected);
        self.tell(|observer, info| observer.close(info, &closed));
        // Last: `shutdown` waits for the place, and promises that observers know of every end when it returns.
        self.registration.give_back();
    }

    /// Reports a change of the state, which is rare. The driver notes a state in each turn.
    #[cold]
    fn note_change(&mut self, state: State) {
        let previous = std::mem::replace(&mut self.registration.told, state);
        self.tell(|observer, info| observer.state_change(info, state, previous));
    }

    fn tell(&self, tell: impl Fn(&dyn Observer, &ConnectionInfo)) {
        let info = self.registration.machine.facts.info(Role::Server);
        self.observers.tell(|observer| tell(observer, &info));
    }
}

impl Watch for ConnectionReporter {
    #[inline]
    fn note_state(&mut self, state: State) {
        if state != self.registration.told {
            self.note_change(state);
        }
    }

    fn ended(&mut self) {
        self.end();
    }

    fn panicked(&mut self) {
        self.registration.registry.note_panic();
        self.tell(|observer, info| observer.panicked(info));
    }
}

impl Drop for ConnectionReporter {
    fn drop(&mut self) {
        self.end();
    }
}
