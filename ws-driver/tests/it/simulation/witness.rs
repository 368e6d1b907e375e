//! The observer of the simulated server: checks at once that what it is told makes sense in the order in
//! which it is told, and keeps what the other checks ask for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ws_driver::ws_proto::{CloseCause, Closed, HandshakeError, State, Version};
use ws_driver::{ConnectionId, ConnectionInfo, Observer, Rejected};

use super::ledger::Ledger;
use ws_testing::sim::lock;

/// What was told of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) version: Option<Version>,
    pub(crate) state: State,
    pub(crate) begun: Instant,
    /// When the last plain request came.
    pub(crate) requested: Option<Instant>,
    pub(crate) is_rejected: bool,
    pub(crate) is_open: bool,
    pub(crate) was_open: bool,
    /// When it opened: the first ping is counted from here.
    pub(crate) opened: Option<Instant>,
    /// Since when it is closing.
    pub(crate) closing: Option<Instant>,
    pub(crate) closes: usize,
}

/// Watches. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub(crate) struct Witness {
    ledger: Ledger,
    close_timeout: Duration,
    lives: Arc<Mutex<BTreeMap<ConnectionId, Life>>>,
}

impl Witness {
    pub(crate) fn new(ledger: &Ledger, close_timeout: Duration) -> Self {
        Self {
            ledger: ledger.clone(),
            close_timeout,
            lives: Arc::default(),
        }
    }

    pub(crate) fn lives(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Life>> {
        lock(&self.lives)
    }

    fn note(
        &self,
        info: &ConnectionInfo,
        what: &str,
        work: impl FnOnce(&mut Life) -> Option<String>,
    ) {
        self.ledger.tell(|| format!("server: {info}: {what}"));
        let hash = what.bytes().fold(info.id.to_string().len(), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        self.ledger.sim().note(u64::try_from(hash).unwrap_or(0));
        let wrong = match self.lives().get_mut(&info.id) {
            Some(life) => {
                life.version = info.version;
                work(life)
            }
            None => Some("never was a stream".to_owned()),
        };
        if let Some(wrong) = wrong {
            self.ledger
                .violation("observer (order)", format!("{info}: {what}: {wrong}"));
        }
    }
}

/// The table of states: what may follow what.
fn may_follow(previous: State, state: State) -> bool {
    use State::{Closed, Closing, Connected, Handshaking, Opening, Unknown, Waiting};
    match previous {
        Unknown => matches!(state, Opening | Closed),
        Opening => matches!(state, Handshaking | Closed),
        Handshaking => matches!(state, Waiting | Connected | Closed),
        Waiting => matches!(state, Connected | Closed),
        Connected => matches!(state, Closing | Closed),
        Closing => state == Closed,
        Closed => false,
    }
}

impl Observer for Witness {
    fn stream(&self, info: &ConnectionInfo) {
        let life = Life {
            addr: info.peer_addr,
            version: None,
            state: State::Unknown,
            begun: self.ledger.sim().now(),
            requested: None,
            is_rejected: false,
            is_open: false,
            was_open: false,
            opened: None,
            closing: None,
            closes: 0,
        };
        if self.lives().insert(info.id, life).is_some() {
            self.ledger
                .violation("registry (ids)", format!("{} is used again", info.id));
        }
        self.note(info, "stream", |_| None);
    }

    fn connection(&self, info: &ConnectionInfo) {
        let now = self.ledger.sim().now();
        self.note(info, "connection", |life| {
            let is_first = !std::mem::replace(&mut life.was_open, true);
            life.opened.get_or_insert(now);
            life.is_open = true;
            (!is_first || life.state != State::Connected).then(|| format!("{life:?}"))
        });
    }

    fn request(&self, info: &ConnectionInfo, head: &http::request::Parts) {
        let now = self.ledger.sim().now();
        self.note(info, &format!("request {}", head.uri), |life| {
            life.requested = Some(now);
            life.was_open.then(|| format!("{life:?}"))
        });
    }

    fn state_change(&self, info: &ConnectionInfo, state: State, previous: State) {
        let now = self.ledger.sim().now();
        self.note(info, &format!("{previous} -> {state}"), |life| {
            let was = std::mem::replace(&mut life.state, state);
            if state == State::Closing {
                life.closing = Some(now);
            }
            let is_good = was == previous && may_follow(previous, state);
            (!is_good).then(|| format!("{life:?}"))
        });
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        if let Rejected::Handshake(HandshakeError::Timeout {
            state: State::Unknown | State::Opening,
            ..
        }) = reason
        {
            let inner = self.ledger.lock();
            let mut records = inner.records.values();
            let is_early = records.any(|record| {
                record.addr == info.peer_addr
                    && record.asks_at_once
                    && !record.is_hurt
                    && !record.was_jammed
            });
            drop(inner);
            if is_early {
                let text = format!("{info}: its request came at once");
                self.ledger.violation("deadline (too early)", text);
            }
        }
        self.note(info, &format!("rejected: {reason}"), |life| {
            let again = std::mem::replace(&mut life.is_rejected, true);
            (again || life.was_open).then(|| format!("{life:?}"))
        });
    }

    fn panicked(&self, info: &ConnectionInfo) {
        let is_planned = {
            let inner = self.ledger.lock();
            let mut records = inner.records.values();
            records.any(|record| record.addr == info.peer_addr && record.panics)
        };
        self.note(info, "panicked", |_| {
            (!is_planned).then(|| "nobody planned that".to_owned())
        });
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        let addr = info.peer_addr;
        let closing = self.lives().get(&info.id).and_then(|life| life.closing);
        let waited = closing.map(|closing| self.ledger.sim().now() - closing);
        let was_waited_for = waited.is_some_and(|waited| waited >= self.close_timeout);
        {
            let mut inner = self.ledger.lock();
            let has_ended = inner.has_ended;
            let records = inner.records.values_mut();
            for record in records.filter(|record| record.addr == addr && addr.is_some()) {
                record.closed = Some(closed.clone());
                record.was_waited_for = was_waited_for;
                record.outlived_runtime = has_ended;
                record.drained_to_the_end = record.drains;
            }
        }
        self.note(info, &format!("close: {closed}"), |life| {
            life.closes += 1;
            let was_open = std::mem::replace(&mut life.is_open, false);
            let fits = match closed.cause {
                CloseCause::Rejected => life.is_rejected && !life.was_open,
                CloseCause::NoUpgrade => !life.is_rejected && !life.was_open,
                CloseCause::Handshake
                | CloseCause::Disconnected
                | CloseCause::CloseTimeout
                | CloseCause::Failed(_)
                | _ => was_open,
            };
            (!fits || life.state != State::Closed || life.closes > 1).then(|| format!("{life:?}"))
        });
    }
}
