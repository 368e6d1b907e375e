//! Sees what happens to one stream and to its connection, counts it, and tells the observers.

use ws_proto::{Closed, HandshakeError, State, Version};

use crate::clients::Clients;
use crate::driver::Watch;
use crate::observer::{ConnectionInfo, Observer, Observers};
use crate::registry::Registration;
use crate::rejected::Rejected;

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
    pub(crate) fn into_open(self, registration: Registration) -> OpenWitness {
        OpenWitness {
            observers: self.observers,
            state: self.state,
            registration,
        }
    }
}

/// The same of an open connection, which it keeps registered as long as the stream is open. It holds no
/// more than it must, and asks the mailbox for the rest.
pub(crate) struct OpenWitness {
    observers: Observers,
    state: State,
    registration: Registration,
}

impl OpenWitness {
    fn tell(&self, tell: impl Fn(&dyn Observer, &ConnectionInfo)) {
        let facts = &self.registration.mailbox.facts;
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
    fn stirred(&mut self, state: State) {
        if state != self.state {
            let previous = std::mem::replace(&mut self.state, state);
            self.tell(|observer, info| observer.state_change(info, state, previous));
        }
    }

    fn ended(&mut self) {
        self.registration.end();
        self.stirred(State::Closed);
        if let Some(closed) = self.registration.mailbox.closed() {
            self.tell(|observer, info| observer.close(info, &closed));
        }
    }

    fn panicked(&mut self) {
        self.registration.registry.note_panic();
        self.tell(|observer, info| observer.panicked(info));
    }
}
