//! Where a connection's driver and the handles of its users meet: the protocol machine behind a
//! lock, and the wakers of those who wait for it.
//!
//! The lock is held for protocol work only: never across a poll of the stream or of user code. It comes
//! behind the lock of the registry, which is never taken while this one is held.
//!
//! Imports: `util`, `id`, `tls`, `observe::counters`, `driver::fairness`, `driver::head`, `driver::shared_driver`,
//! `driver::slow_peer`, `driver::try_send`, `driver::workspace`.

mod backlog;
mod flush;
mod hand_over;
mod precompress;
mod send;
mod send_policy;
mod turn;
mod waiter;

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use event_listener::EventListener;
use ws_proto::{
    CloseCause, CloseCode, CloseReason, Closed, Connection as Machine, EventBatch, SendError,
    State, Version,
};

use self::backlog::Backlog;
pub(crate) use self::flush::Flush;
use self::flush::Progress;
use self::hand_over::DriverHandle;
pub(crate) use self::hand_over::Then;
pub(crate) use self::send::{Draft, Open, Part, Room};
use self::send::{Full, Item};
pub(crate) use self::turn::{Awake, Wants};
use self::waiter::Waiter;
use crate::driver::fairness::Streak;
use crate::driver::head::Head;
use crate::id::ConnectionId;
use crate::observe::counters::{ConnectionCounters, SentTally, Tally};
use crate::tls::TlsInfo;
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// The clock of a runtime.
pub(crate) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What is known of a connection and does not change.
pub(crate) struct Facts {
    pub(crate) id: ConnectionId,
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) tls: Option<Box<TlsInfo>>,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) head: Head,
}

pub(crate) struct SharedMachine {
    pub(crate) facts: Facts,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Tells of room in the send queue, of a flush, and of the end.
    changed: Notice,
    /// Whether compression was agreed on.
    pub(crate) compresses: bool,
}

pub(crate) struct Inner {
    machine: Machine,
    /// The driver's task; others who give it work wake it.
    driver: Waiter,
    /// The driver, if it has a task of its own: who sends writes with it, once this is unlocked. Boxed, as
    /// those of handlers have none.
    shared_driver: Option<Arc<DriverHandle>>,
    /// The task that waits in `recv`.
    receiver: Waiter,
    /// Whether somebody can take what is received; otherwise it is discarded.
    has_receiver: bool,
    /// Whether the connection is to be dropped as it is.
    aborted: bool,
    /// Whether the stream is closed.
    has_ended: bool,
    /// Whether it was closed because its peer reads too slowly.
    is_too_slow: bool,
    progress: Progress,
    /// What waits for room in the machine, or for the end of a message that is sent in fragments; empty
    /// while the machine takes messages.
    backlog: Backlog,
    /// What the machine does not count itself.
    tally: SentTally,
    streak: Streak,
}

impl SharedMachine {
    pub(crate) fn new(facts: Facts, machine: Machine, clock: Clock) -> Self {
        #[cfg(feature = "deflate")]
        let compresses = machine.has_deflate();
        #[cfg(not(feature = "deflate"))]
        let compresses = false;
        let inner = Inner {
            machine,
            driver: Waiter::default(),
            shared_driver: None,
            receiver: Waiter::default(),
            has_receiver: true,
            aborted: false,
            has_ended: false,
            is_too_slow: false,
            progress: Progress::default(),
            backlog: Backlog::default(),
            tally: SentTally::default(),
            streak: Streak::default(),
        };
        Self {
            facts,
            clock,
            inner: Mutex::new(inner),
            changed: Notice::new(),
            compresses,
        }
    }

    // For the handles of users.

    /// Takes all that arrived, at least one event, behind what is in `batch`; `false` once the connection
    /// has ended and our answer to the peer's close is written: a program may end when it hears of it. After
    /// many events without a wait it gives way once.
    pub(crate) fn poll_events(&self, cx: &mut Context<'_>, batch: &mut EventBatch) -> Poll<bool> {
        let mut inner = self.lock();
        if inner.streak.ends_for_receiver() {
            self.give_way(inner, cx);
            return Poll::Pending;
        }
        let wanted_read = inner.machine.wants_read();
        let len = batch.len();
        inner.machine.take_events(batch);
        inner.streak.note_received(batch.len() - len);
        if batch.is_empty() && inner.machine.has_events() {
            // Only the end is left. Now that everything was taken, the machine answers the close that came behind it.
            let now = (self.clock)();
            inner.machine.poll_events(now, batch);
            self.wake_driver(inner);
            self.changed.notify(usize::MAX);
            return Poll::Ready(true);
        }
        let polled = match batch.is_empty() {
            false => Poll::Ready(true),
            true if inner.is_over() => {
                drop(inner.receiver.take_last());
                Poll::Ready(false)
            }
            true => {
                inner.receiver.wait(cx);
                inner.streak.note_receiver_waits();
                Poll::Pending
            }
        };
        if !wanted_read && inner.machine.wants_read() {
            self.wake_driver(inner);
        }
        polled
    }

    /// Returns a listener if the send queue is full now; it tells when that may have changed.
    pub(crate) fn listen_if_full(&self) -> Option<EventListener> {
        if !self.lock().is_full() {
            return None;
        }
        let listener = self.changed.listen();
        self.lock().is_full().then_some(listener)
    }

    pub(crate) fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.command(|machine, _| machine.ping(payload))
    }

    /// Begins to close.
    pub(crate) fn close(&self, code: CloseCode, reason: CloseReason<'_>) {
        self.command(|machine, clock| machine.close(clock(), Some(code), reason));
        // A program may end once it has said so. While a thread panics, no code of a stream is called.
        if !std::thread::panicking() {
            self.write_at_once();
        }
    }

    /// Drops the connection as it is, its handler included.
    pub(crate) fn abort(&self) {
        let mut inner = self.lock();
        inner.aborted = true;
        self.wake_driver(inner);
    }

    /// Nobody will receive any more: closes, and discards what arrives.
    pub(crate) fn abandon(&self, code: CloseCode) {
        {
            let mut inner = self.lock();
            inner.has_receiver = false;
            drop(inner.receiver.take_last());
        }
        self.close(code, CloseReason::EMPTY);
    }

    /// Tells whether the connection has ended, and how.
    pub(crate) fn standing(&self) -> Standing {
        let inner = self.lock();
        match inner.machine.closed() {
            Some(closed) if closed.cause != CloseCause::Handshake => Standing::Lost,
            Some(_) if inner.is_over() => Standing::Closed,
            Some(_) | None => Standing::Open,
        }
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().machine.closed().cloned()
    }

    /// Waits until the stream is closed.
    pub(crate) async fn wait_closed(&self) -> Closed {
        loop {
            let listener = {
                let inner = self.lock();
                match inner.machine.closed() {
                    Some(closed) if inner.has_ended => return closed.clone(),
                    Some(_) | None => self.changed.listen(),
                }
            };
            listener.await;
        }
    }

    pub(crate) fn state(&self) -> State {
        self.lock().machine.state()
    }

    pub(crate) fn buffered_amount(&self) -> usize {
        self.lock().buffered_amount()
    }

    pub(crate) fn counters(&self) -> ConnectionCounters {
        let inner = self.lock();
        let tally = inner.tally();
        ConnectionCounters {
            messages_received: tally.messages_received,
            bytes_received: tally.bytes_received,
            messages_sent: tally.messages_sent,
            bytes_sent: tally.bytes_sent,
            messages_dropped: tally.messages_dropped,
            pings_sent: inner.machine.pings_sent(),
            pings_received: inner.machine.pings_received(),
            buffered_amount: inner.buffered_amount(),
        }
    }

    // For the registry.

    pub(crate) fn tally(&self) -> Tally {
        self.lock().tally()
    }

    /// Returns what is to be counted of a connection that has ended.
    pub(crate) fn settle(&self) -> (Tally, Option<Closed>) {
        let inner = self.lock();
        (inner.tally(), inner.machine.closed().cloned())
    }

    fn command<T>(&self, command: impl FnOnce(&mut Machine, &Clock) -> T) -> T {
        let mut inner = self.lock();
        let before = inner.status();
        let result = command(&mut inner.machine, &self.clock);
        inner.refill();
        let has_news = inner.status().is_news(before);
        self.wake_driver(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        result
    }

    #[inline]
    fn wake_driver(&self, inner: MutexGuard<'_, Inner>) {
        if inner.driver.waits() {
            Self::wake_waiting_driver(inner);
        }
    }

    #[cold]
    fn wake_waiting_driver(mut inner: MutexGuard<'_, Inner>) {
        if let Some(driver) = inner.driver.take() {
            drop(inner);
            driver.wake();
        }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The machine has no invariant that a panic in user code could break: none runs in here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether a message has to wait for room. Once the connection is closing none has to.
    fn is_full(&self) -> bool {
        self.machine.is_writable() && !self.has_capacity()
    }

    /// Whether a receiver can be told that the connection has ended: not before the answer to the
    /// peer's close is written.
    fn is_over(&self) -> bool {
        let is_written = self.machine.buffered_amount() == 0;
        self.machine.closed().is_some_and(|closed| {
            self.has_ended || is_written || closed.cause != CloseCause::Handshake
        })
    }

    fn has_capacity(&self) -> bool {
        self.backlog.is_empty() && self.machine.has_capacity()
    }

    fn tally(&self) -> Tally {
        let SentTally {
            messages_sent,
            bytes_sent,
            messages_dropped,
        } = self.tally;
        Tally {
            messages_received: self.machine.messages_received(),
            bytes_received: self.machine.bytes_received(),
            messages_sent,
            bytes_sent,
            messages_dropped,
            slow_closes: u64::from(self.is_too_slow),
        }
    }

    fn status(&self) -> Status {
        Status {
            has_capacity: self.has_capacity(),
            is_message_open: self.machine.is_message_open(),
            is_writable: self.machine.is_writable(),
            is_closed: self.machine.closed().is_some(),
        }
    }

    fn buffered_amount(&self) -> usize {
        self.machine.buffered_amount() + self.backlog.len()
    }
}

/// Whether a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not, or our answer to the close of the peer still waits to be written.
    Open,
    /// With a closing handshake, where its version has one.
    Closed,
    /// Without one.
    Lost,
}

/// What those wait for who listen to `changed`.
#[derive(Clone, Copy)]
struct Status {
    has_capacity: bool,
    is_message_open: bool,
    is_writable: bool,
    is_closed: bool,
}

impl Status {
    fn is_news(self, before: Self) -> bool {
        self.has_capacity && !before.has_capacity
            || !self.is_message_open && before.is_message_open
            || !self.is_writable && before.is_writable
            || self.is_closed && !before.is_closed
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    /// A shared machine of a server without a peer.
    pub(super) fn around(machine: Machine) -> SharedMachine {
        let facts = Facts {
            id: ConnectionId {
                slot: 0,
                generation: 1,
            },
            peer_addr: None,
            tls: None,
            version: machine.version(),
            subprotocol: None,
            head: Head::Unknown,
        };
        SharedMachine::new(facts, machine, Arc::new(Instant::now))
    }

    /// One of a connection that compresses as a server with these options does.
    #[cfg(feature = "deflate")]
    pub(super) fn compressing(options: &ws_proto::Deflate) -> SharedMachine {
        let name = ::http::header::SEC_WEBSOCKET_EXTENSIONS;
        let offer = ::http::HeaderValue::from_static("permessage-deflate");
        let terms = options.accept(&[(name, offer)].into_iter().collect());
        let config = ws_proto::ConnectionConfig::new();
        let machine = Machine::server(Version::Rfc6455, config, Instant::now());
        around(machine.with_deflate(&terms.expect("it is what was offered")))
    }

    /// Takes all that waits to be written.
    pub(super) fn outgoing(machine: &SharedMachine) -> Vec<u8> {
        machine.command(|machine, _| {
            let mut outgoing = machine.outgoing();
            outgoing.copy_to_bytes(outgoing.remaining()).to_vec()
        })
    }
}
