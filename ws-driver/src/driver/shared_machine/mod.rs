//! The protocol machine of a connection behind a lock. The driver and the handles of users work on it, and the wakers
//! of the tasks that wait for it stand beside it.
//!
//! A lock, and not a channel of commands: a channel would need a task switch for each message, a second queue with a
//! second limit, and a way back for answers such as "full" and "closed".
//!
//! The lock is held for protocol work only, which is bounded, and never across a poll of the stream or of user code.
//! Wakers are woken and dropped once it is released, because the waker of an executor can own a future, and with it
//! handles of this connection. Some small code of others does run under the lock, and must not use the connection: the
//! runtime's clock and its answer whether a task runs, the clone of a waker, and the destructor of the owner of a payload
//! (`Bytes::from_owner`), because a message is dropped where it is encoded.
//!
//! That is true of the wakers kept here, and not of those of tasks that listen to a notice: event-listener drops the one
//! that such a task leaves under a lock of its own. Its destructor must not make a change that is notified there.
//!
//! Lock order: the registry's lock comes first and is never taken while this one is held.
//!
//! Imports: `util`, `id`, `tls`, `observe`, `driver::fairness`, `driver::head`, `driver::shared_driver`,
//! `driver::round_trip`, `driver::slow_peer`, `driver::try_send`, `driver::workspace`.

mod backlog;
mod flush;
mod hand_over;
mod item;
mod measured;
mod precompress;
mod round_trip;
mod send;
mod send_policy;
mod turn;
mod waiter;

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use event_listener::EventListener;
use ws_proto::{
    CloseCause, CloseCode, CloseReason, Closed, Connection as Machine, EventBatch, Role, State,
    Version,
};

use self::backlog::Backlog;
pub(crate) use self::flush::Flush;
use self::flush::Progress;
use self::hand_over::DriverHandle;
pub(crate) use self::hand_over::Then;
use self::item::Item;
pub(crate) use self::item::{Draft, Part};
pub(crate) use self::measured::Measured;
use self::send::IfFull;
pub(crate) use self::send::{CapacityWait, IfOpen};
pub(crate) use self::turn::{Able, Awake, Found, Next, Report};
use self::waiter::Waiter;
use crate::driver::fairness::Streak;
use crate::driver::head::Head;
use crate::id::ConnectionId;
use crate::observe::ConnectionInfo;
use crate::observe::counters::{ConnectionCounters, SentTally, Tally};
use crate::tls::TlsInfo;
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// The clock of a runtime.
#[derive(Clone)]
pub(crate) struct Clock(
    // A pointer to a pointer: each connection has a clock, and a pointer to a function's value is twice as large.
    Arc<BoxedClock>,
);

struct BoxedClock(Box<dyn Fn() -> Instant + Send + Sync>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(BoxedClock(Box::new(now))))
    }

    pub(crate) fn now(&self) -> Instant {
        (self.0.0)()
    }
}

/// The facts about a connection that do not change.
pub(crate) struct Facts {
    pub(crate) id: ConnectionId,
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) version: Version,
    /// The version of HTTP that the opening handshake was done in.
    pub(crate) http_version: http::Version,
    /// Boxed, because each connection keeps its facts, and few have any of these.
    pub(crate) agreed: Option<Box<Agreed>>,
    pub(crate) head: Head,
}

/// What both sides of a connection agreed on besides the version.
pub(crate) struct Agreed {
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) subprotocol: Option<Box<str>>,
    /// Whether messages can be compressed. Never without the feature `deflate`.
    pub(crate) deflate: bool,
    /// What goes into histograms. Here, because few connections have it.
    pub(crate) measured: Option<Measured>,
}

impl Agreed {
    /// Boxes it, unless nothing was agreed on.
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        let is_empty = self.tls.is_none()
            && self.subprotocol.is_none()
            && !self.deflate
            && self.measured.is_none();
        (!is_empty).then(|| Box::new(self))
    }
}

impl Facts {
    /// Returns what observers are told.
    pub(crate) fn info(&self, role: Role) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            role,
            peer_addr: self.peer_addr,
            tls: self.tls().cloned(),
            version: Some(self.version),
            http_version: Some(self.http_version),
        }
    }

    pub(crate) fn tls(&self) -> Option<&TlsInfo> {
        self.agreed.as_ref()?.tls.as_ref()
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.agreed.as_ref()?.subprotocol.as_deref()
    }

    /// Returns what goes into histograms. Each send and each read asks.
    #[inline]
    pub(crate) fn measured(&self) -> Option<&Measured> {
        self.agreed.as_ref()?.measured.as_ref()
    }

    /// Returns whether compression was agreed on. Each send asks before it locks the machine.
    #[inline]
    pub(crate) fn compresses(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.deflate)
    }
}

/// A protocol machine that the driver and the handles of users share.
pub(crate) struct SharedMachine {
    pub(crate) facts: Facts,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Notified of capacity in the send queue, of the end of a message in fragments, of a flush, of a pong that is waited
    /// for, and of the end of the connection. Always after the lock is released, because a task that wakes takes it.
    changed: Notice,
}

/// The part of a [`SharedMachine`] that the lock protects.
pub(crate) struct Inner {
    machine: Machine,
    /// The driver's task. A handle that makes work for the driver wakes it.
    driver: Waiter,
    /// The driver, if it has a task of its own. A sender writes with it, once this is unlocked. Behind a pointer,
    /// because a driver that also polls a handler is not shared.
    shared_driver: Option<Arc<DriverHandle>>,
    /// The task that waits in `recv`.
    receiver: Waiter,
    /// Whether a task may listen to `changed`. Without one, no step looks for what would be news to it.
    has_listener: bool,
    /// Whether a handle can still receive. If not, messages that arrive are discarded.
    has_receiver: bool,
    /// Whether the connection is to be dropped without a closing handshake.
    aborted: bool,
    /// Whether the handler, which the driver polls, waits only to let others run.
    gives_way: bool,
    /// Whether the stream is closed.
    has_ended: bool,
    /// Whether the policy [`Close`](crate::SlowPeer::Close) closed it.
    is_too_slow: bool,
    progress: Progress,
    /// Messages that wait for capacity in the machine, or for the end of a message that is sent in fragments.
    ///
    /// Invariant: empty while the machine takes messages. So messages leave in the order in which they were sent.
    backlog: Backlog,
    /// Counts that the machine does not keep itself.
    tally: SentTally,
    streak: Streak,
}

impl SharedMachine {
    pub(crate) fn new(facts: Facts, machine: Machine, clock: Clock) -> Self {
        debug_assert_eq!(machine.has_deflate(), facts.compresses());
        let inner = Inner {
            machine,
            driver: Waiter::default(),
            shared_driver: None,
            receiver: Waiter::default(),
            has_listener: false,
            has_receiver: true,
            aborted: false,
            gives_way: false,
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
        }
    }

    // For the handles of users.

    /// Appends all events that have arrived to `batch`, and waits for at least one. Is ready with `false` once the
    /// connection has ended and our answer to the peer's close is written, because a program may end as soon as it
    /// learns of the end. After many events without a wait it gives way once.
    pub(crate) fn poll_events(&self, cx: &mut Context<'_>, batch: &mut EventBatch) -> Poll<bool> {
        let mut inner = self.lock();
        if inner.streak.ends_for_receiver() {
            self.give_way(inner, cx);
            return Poll::Pending;
        }
        // All at once: one lock for everything that a read brought, and not one for each message.
        let wanted_read = inner.machine.wants_read();
        let len = batch.len();
        inner.machine.take_events(batch);
        inner.streak.note_received(batch.len() - len);
        if let Some(measured) = self.facts.measured() {
            debug_assert_eq!(len, 0, "a receiver asks once its batch is empty");
            measured.note_received(batch);
        }
        if batch.is_empty() && inner.machine.has_events() {
            // Only the end is left: everything in front of the peer's close was taken, so the machine answers the close
            // now. Earlier, the application could not have answered a message that came in the same segment.
            let now = self.clock.now();
            inner.machine.poll_events(now, batch);
            self.wake_driver(inner);
            self.changed.notify(usize::MAX);
            return Poll::Ready(true);
        }
        let (polled, unused) = if !batch.is_empty() {
            (Poll::Ready(true), None)
        } else if inner.is_over() {
            (Poll::Ready(false), inner.receiver.take_last())
        } else {
            let replaced = inner.receiver.wait(cx);
            inner.streak.note_receiver_waits();
            (Poll::Pending, replaced)
        };
        // A full receive queue stopped the reading, and it is not full any more.
        if !wanted_read && inner.machine.wants_read() {
            self.wake_driver(inner);
        } else {
            drop(inner);
        }
        // Only here, where nothing is locked.
        drop(unused);
        polled
    }

    /// Returns a listener if the send queue is full, or if a message is being sent in fragments and the caller waits for
    /// that. It is notified when that may have changed.
    pub(crate) fn listen_if_full(&self, open: IfOpen) -> Option<EventListener> {
        // Made under the lock that sees the full queue, because a change in between would be missed.
        let mut inner = self.lock();
        let waits = inner.is_full() || open == IfOpen::Wait && inner.machine.is_message_open();
        waits.then(|| self.listen(&mut inner))
    }

    /// Returns whether messages can be sent at all.
    pub(crate) fn is_writable(&self) -> bool {
        self.lock().machine.is_writable()
    }

    /// Begins the closing handshake.
    pub(crate) fn close(&self, code: CloseCode, reason: CloseReason<'_>) {
        self.command(|machine, clock| machine.close(clock.now(), Some(code), reason));
        // Written at once, because a program may end after its last close. Not while the thread panics, because a
        // stream may be what panicked.
        if !std::thread::panicking() {
            self.write_at_once();
        }
    }

    /// Has the driver drop the connection without a closing handshake, and its handler too.
    pub(crate) fn abort(&self) {
        let mut inner = self.lock();
        inner.aborted = true;
        self.wake_driver(inner);
    }

    /// Closes the connection because its last receiver is gone. What still arrives is discarded.
    pub(crate) fn abandon(&self, code: CloseCode) {
        let waker = {
            let mut inner = self.lock();
            inner.has_receiver = false;
            inner.receiver.take_last()
        };
        // Only here, where nothing is locked.
        drop(waker);
        self.close(code, CloseReason::EMPTY);
    }

    /// Returns whether the connection has ended, and how.
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
                let mut inner = self.lock();
                match inner.machine.closed() {
                    Some(closed) if inner.has_ended => return closed.clone(),
                    Some(_) | None => self.listen(&mut inner),
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

    /// Returns how many bytes wait if the connection is open and those are more than one `share`th of its
    /// `send_queue_limit`.
    pub(crate) fn filled_beyond(&self, share: usize) -> Option<usize> {
        let inner = self.lock();
        let limit = inner.machine.send_queue_limit()?;
        let waiting = inner.buffered_amount();
        (inner.machine.is_writable() && waiting > limit / share).then_some(waiting)
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
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

    /// Returns the counts and the end of a connection that has ended.
    pub(crate) fn settle(&self) -> (Tally, Option<Closed>) {
        let inner = self.lock();
        (inner.tally(), inner.machine.closed().cloned())
    }

    /// Has a handle change the machine, and wakes every task that this concerns.
    fn command<T>(&self, command: impl FnOnce(&mut Machine, &Clock) -> T) -> T {
        let mut inner = self.lock();
        let before = inner.status_for_listeners();
        let result = command(&mut inner.machine, &self.clock);
        inner.refill();
        let has_news = inner.has_news_since(before);
        self.wake_driver(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        result
    }

    /// Makes a listener for the next news: the only way to make one.
    fn listen(&self, inner: &mut Inner) -> EventListener {
        inner.has_listener = true;
        self.changed.listen()
    }

    #[inline]
    fn wake_driver(&self, inner: MutexGuard<'_, Inner>) {
        if inner.driver.waits() {
            Self::wake_waiting_driver(inner);
        }
    }

    /// Wakes the driver, out of line: in a handler's task the driver is awake when its handler sends.
    #[cold]
    fn wake_waiting_driver(mut inner: MutexGuard<'_, Inner>) {
        if let Some(driver) = inner.driver.take() {
            // Unlocked first: a waker is code of the runtime.
            drop(inner);
            driver.wake();
        }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A poisoned lock is used on: little code of others runs under it, as the head of this file says, and a panic there
        // can harm this connection only.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns whether a message has to wait for capacity. On a connection that is closing it is refused instead.
    fn is_full(&self) -> bool {
        self.machine.is_writable() && !self.has_capacity()
    }

    /// Returns whether a receiver can be told that the connection has ended.
    fn is_over(&self) -> bool {
        self.machine.closed().is_some_and(|closed| {
            // Not before our answer to the peer's close is written: a program may end as soon as it is told.
            let is_written = self.machine.buffered_amount() == 0;
            self.has_ended || is_written || closed.cause != CloseCause::Handshake
        })
    }

    fn has_capacity(&self) -> bool {
        // What is kept back for the end of an open message goes behind that message. If it counted here, the end of the
        // message would wait for it, and it for the end.
        let is_free = self.backlog.is_empty() || self.machine.is_message_open();
        is_free && self.machine.has_capacity()
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

    /// Returns the status, if a task may listen for changes of it.
    #[inline]
    fn status_for_listeners(&self) -> Option<Status> {
        self.has_listener.then(|| self.status())
    }

    /// Returns whether listeners are to be notified of what has changed since the status `before`. If so, the caller
    /// notifies all of them, and who goes on to wait makes another listener.
    #[inline]
    fn has_news_since(&mut self, before: Option<Status>) -> bool {
        let has_news = before.is_some_and(|before| self.status().is_news(before));
        self.has_listener &= !has_news;
        has_news
    }

    fn status(&self) -> Status {
        Status {
            has_capacity: self.has_capacity(),
            is_message_open: self.machine.is_message_open(),
            is_writable: self.machine.is_writable(),
            is_closed: self.machine.closed().is_some(),
            round_trips: self.round_trips(),
        }
    }

    fn buffered_amount(&self) -> usize {
        self.machine.buffered_amount() + self.backlog.len()
    }
}

/// How a connection stands: whether it has ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not ended, or our answer to the peer's close is not written yet.
    Open,
    /// It ended with a closing handshake, if its version has one.
    Closed,
    /// It ended without a closing handshake.
    Lost,
}

/// The conditions that tasks wait for when they listen to `changed`.
#[derive(Clone, Copy)]
struct Status {
    has_capacity: bool,
    is_message_open: bool,
    is_writable: bool,
    is_closed: bool,
    round_trips: (u64, bool),
}

impl Status {
    /// Returns whether a task that waited under the status `before` may go on.
    fn is_news(self, before: Self) -> bool {
        self.has_capacity && !before.has_capacity
            || !self.is_message_open && before.is_message_open
            || !self.is_writable && before.is_writable
            || self.is_closed && !before.is_closed
            || self.round_trips != before.round_trips
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
            version: machine.version(),
            http_version: http::Version::HTTP_11,
            agreed: Agreed {
                tls: None,
                subprotocol: None,
                deflate: machine.has_deflate(),
                measured: None,
            }
            .boxed(),
            head: Head::UNKNOWN,
        };
        SharedMachine::new(facts, machine, Clock::new(Instant::now))
    }

    /// The shared machine of a server that compresses with these options.
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
