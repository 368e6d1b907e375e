//! Reports to the observers of a client what happens: on the way to a connection, and to the connection. Like a server's, they
//! are told of the end of each stream exactly once, because both reporters tell it in their `Drop`.

use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::{ClientUrl, Closed, Role, State, Version};

use super::config::ConnectConfig;
use super::error::ConnectError;
use crate::driver::Watch;
use crate::driver::shared_machine::SharedMachine;
use crate::id::ConnectionId;
use crate::observe::connecting::ConnectEvent;
use crate::observe::{ConnectionInfo, Observer, Observers};
#[cfg(feature = "rustls")]
use crate::tls::TlsInfo;

/// Reports one attempt to open a connection, until it is open.
pub(super) struct ConnectReporter {
    id: ConnectionId,
    /// `None` without observers. Boxed, because it moves through several futures.
    told: Option<Box<Told>>,
}

struct Told {
    observers: Observers,
    info: ConnectionInfo,
    state: State,
    /// Whether observers know of a stream, and not of its end.
    has_stream: bool,
    /// Whether the attempt has failed, and was not dropped.
    has_failed: bool,
}

impl ConnectReporter {
    /// Reports that a client begins.
    pub(super) fn new(id: ConnectionId, url: &ClientUrl, options: &ConnectConfig) -> Self {
        let told = options.observers.as_ref().map(|observers| {
            Box::new(Told {
                observers: observers.clone(),
                info: ConnectionInfo {
                    id,
                    role: Role::Client,
                    peer_addr: None,
                    tls: None,
                    version: None,
                    http_version: None,
                },
                state: State::Unknown,
                has_stream: false,
                has_failed: false,
            })
        });
        let reporter = Self { id, told };
        reporter.note(|| ConnectEvent::Begun {
            host: url.host(),
            port: url.port(),
            is_secure: url.is_secure(),
        });
        reporter
    }

    /// Makes one that reports nothing.
    pub(super) fn silent() -> Self {
        let id = ConnectionId::of_client();
        Self { id, told: None }
    }

    /// Returns the id that the connection gets.
    pub(super) const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Reports an event, which is made only if somebody is told.
    pub(super) fn note<'a>(&self, event: impl FnOnce() -> ConnectEvent<'a>) {
        if let Some(told) = &self.told {
            let event = event();
            told.tell(|observer| observer.connecting(&told.info, &event));
        }
    }

    /// Reports that there is a stream to the server, or to the proxy.
    pub(super) fn note_stream(&mut self, peer_addr: Option<SocketAddr>) {
        if let Some(told) = &mut self.told {
            told.info.peer_addr = peer_addr;
            told.has_stream = true;
            told.tell(|observer| observer.stream(&told.info));
            told.note_state(State::Opening);
        }
    }

    /// Reports that TLS with the server is established.
    #[cfg(feature = "rustls")]
    pub(super) fn note_tls(&mut self, tls: &TlsInfo) {
        if let Some(told) = &mut self.told {
            told.info.tls = Some(tls.clone());
        }
        self.note(|| ConnectEvent::Secured(tls));
    }

    /// Reports that no connection was opened.
    pub(super) fn note_failed(&mut self, error: &ConnectError) {
        self.note(|| ConnectEvent::Failed(error));
        if let Some(told) = &mut self.told {
            told.has_failed = true;
        }
        self.told = None;
    }

    /// Reports that the connection is open, and makes its reporter.
    pub(super) fn open(&mut self, version: Version, machine: &Arc<SharedMachine>) -> OpenReporter {
        OpenReporter(self.told.take().map(|mut told| {
            told.info.version = Some(version);
            told.info.http_version = Some(http::Version::HTTP_11);
            told.note_state(State::Connected);
            told.tell(|observer| observer.connection(&told.info));
            // The connection reports the end from here on.
            told.has_stream = false;
            Box::new(Open {
                observers: told.observers.clone(),
                machine: Arc::clone(machine),
                told: told.state,
            })
        }))
    }
}

impl Told {
    fn tell(&self, tell: impl Fn(&dyn Observer)) {
        self.observers.tell(tell);
    }

    fn note_state(&mut self, state: State) {
        let previous = std::mem::replace(&mut self.state, state);
        self.tell(|observer| observer.state_change(&self.info, state, previous));
    }
}

impl Drop for Told {
    /// Reports the end of a stream that became no connection.
    fn drop(&mut self) {
        if std::mem::take(&mut self.has_stream) {
            self.note_state(State::Closed);
            let closed = if self.has_failed {
                Closed::rejected()
            } else {
                Closed::disconnected()
            };
            self.tell(|observer| observer.close(&self.info, &closed));
        }
    }
}

/// Reports an open connection. It stands in the task of each connection, so without observers it is a null pointer.
pub(super) struct OpenReporter(Option<Box<Open>>);

struct Open {
    observers: Observers,
    machine: Arc<SharedMachine>,
    /// The state that observers know.
    told: State,
}

impl Open {
    #[cold]
    fn note_change(&mut self, state: State) {
        let previous = std::mem::replace(&mut self.told, state);
        self.tell(|observer, info| observer.state_change(info, state, previous));
    }

    fn tell(&self, tell: impl Fn(&dyn Observer, &ConnectionInfo)) {
        let info = self.machine.facts.info(Role::Client);
        self.observers.tell(|observer| tell(observer, &info));
    }
}

impl Drop for Open {
    /// Reports the end: the stream is closed, or the task was dropped.
    fn drop(&mut self) {
        if self.told != State::Closed {
            self.note_change(State::Closed);
        }
        let closed = self.machine.closed();
        let closed = closed.unwrap_or_else(Closed::disconnected);
        self.tell(|observer, info| observer.close(info, &closed));
    }
}

impl Watch for OpenReporter {
    #[inline]
    fn note_state(&mut self, state: State) {
        if let Some(open) = &mut self.0 {
            if state != open.told {
                open.note_change(state);
            }
        }
    }

    fn ended(&mut self) {
        self.0 = None;
    }

    /// The task of a client has no handler.
    fn panicked(&mut self) {}
}
