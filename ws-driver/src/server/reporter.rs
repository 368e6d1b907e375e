//! Sees what happens to one stream and to its connection, counts it, and tells the observers. Whatever
//! becomes of a stream, also if its task is dropped, they are told of its end once: both halves see to
//! that when they are dropped.

use ws_proto::{Closed, HandshakeError, State, Version};

#[cfg(feature = "upgrade")]
use super::upgrade::Refused;
use crate::driver::Watch;
use crate::handle::clients::Clients;
use crate::observe::rejected::Rejected;
use crate::observe::{ConnectionInfo, Observer, Observers};
use crate::registry::Registration;

#[cfg(feature = "upgrade")]
type Refusal = http::Response<http_body_util::Full<bytes::Bytes>>;

/// Tells the observers of a server about a stream until its connection is open.
pub(crate) struct Witness {
    observers: Observers,
    pub(crate) info: ConnectionInfo,
    state: State,
    /// Where rejections are counted.
    clients: Clients,
    /// What it is told as if it is dropped.
    ending: Ending,
    /// Whether the end was told, or is for the open connection to tell.
    has_ended: bool,
}

/// What the end of a stream means if nobody says more.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// The peer went away, or the task of the stream did, in the opening handshake.
    Disconnected,
    /// It had plain HTTP on it.
    NoUpgrade,
    /// The application did not want it.
    #[cfg(feature = "upgrade")]
    Dropped,
}

impl Witness {
    pub(crate) fn new(observers: Observers, info: ConnectionInfo, clients: Clients) -> Self {
        observers.tell(|observer| observer.stream(&info));
        Self {
            observers,
            info,
            state: State::Unknown,
            clients,
            ending: Ending::Disconnected,
            has_ended: false,
        }
    }

    /// Says what it is if the stream ends here.
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

    pub(crate) fn note_request(&self, head: &http::request::Parts) {
        self.observers
            .tell(|observer| observer.request(&self.info, head));
    }

    pub(crate) fn note_rejected(&mut self, reason: &Rejected) {
        if let Rejected::Handshake(HandshakeError::Empty) = reason {
            // A stream that brought nothing asked for nothing: a port scan, a health check.
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
            // Until there is a head nobody has asked for anything.
            State::Unknown | State::Opening => self.note_end(&Closed::no_upgrade()),
            State::Waiting
            | State::Handshaking
            | State::Connected
            | State::Closing
            | State::Closed => self.note_rejected(&Rejected::Closed),
        }
    }

    /// Tells of the end, once.
    fn note_end(&mut self, closed: &Closed) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.note_state(State::Closed);
        self.observers
            .tell(|observer| observer.close(&self.info, closed));
    }

    /// Notes a refusal, and returns the answer to it.
    #[cfg(feature = "upgrade")]
    pub(crate) fn refused(&mut self, refused: Box<Refused>) -> Refusal {
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
    pub(crate) fn into_open(mut self, registration: Registration) -> OpenWitness {
        self.has_ended = true;
        OpenWitness {
            observers: self.observers.clone(),
            state: self.state,
            registration,
        }
    }
}

impl Drop for Witness {
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

/// The same of an open connection, which it keeps registered as long as the stream is open. It holds no
/// more than it must, and asks the shared machine for the rest.
pub(crate) struct OpenWitness {
    observers: Observers,
    state: State,
    registration: Registration,
}

impl OpenWitness {
    /// Tells of the end, once; then the place is given back, so that whoever waits for that finds all
    /// told.
    fn end(&mut self) {
        if !self.registration.end() {
            return;
        }
        self.note_state(State::Closed);
        let closed = self.registration.machine.closed();
        // Without an account it was dropped, as its runtime ended or its task panicked.
        let closed = closed.unwrap_or_else(Closed::disconnected);
        self.tell(|observer, info| observer.close(info, &closed));
        self.registration.give_back();
    }

    fn tell(&self, tell: impl Fn(&dyn Observer, &ConnectionInfo)) {
        let facts = &self.registration.machine.facts;
        let info = ConnectionInfo {
            id: facts.id,
            peer_addr: facts.peer_addr,
            tls: facts.tls.as_deref().cloned(),
            version: Some(facts.version),
        };
        self.observers.tell(|observer| tell(observer, &info));
    }
}

impl Watch for OpenWitness {
    fn note_state(&mut self, state: State) {
        if state != self.state {
            let previous = std::mem::replace(&mut self.state, state);
            self.tell(|observer, info| observer.state_change(info, state, previous));
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

impl Drop for OpenWitness {
    fn drop(&mut self) {
        self.end();
    }
}
