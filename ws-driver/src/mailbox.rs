//! Where a connection's driver and the handles of its users meet: the protocol machine behind a
//! lock, and the wakers of those who wait for it.
//!
//! The lock is held for protocol work only: never across a poll of the stream or of user code.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use event_listener::{Event as Notice, EventListener};
use ws_proto::{
    CloseCode, Closed, Connection as Machine, Event, Message, PreparedMessage, RequestHead,
    ResponseHead, SendError, State, Version,
};

use crate::id::ConnectionId;

/// The clock of a runtime.
pub(crate) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What is known of a connection and does not change.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: ConnectionId,
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<String>,
    pub(crate) head: Head,
}

/// The head that the peer sent in the opening handshake.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    Request(RequestHead),
    Response(ResponseHead),
    /// The handshake was done elsewhere.
    Unknown,
}

pub(crate) struct Mailbox {
    pub(crate) facts: Facts,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Tells of room in the send queue and of the end.
    changed: Notice,
}

struct Inner {
    machine: Machine,
    /// The driver's, while it waits; others who give it work take it.
    driver: Option<Waker>,
    /// Of the task that waits in `recv`.
    receiver: Option<Waker>,
    /// Whether somebody can take what is received; otherwise it is discarded.
    has_receiver: bool,
    /// Whether the connection is to be dropped as it is.
    aborted: bool,
}

impl Mailbox {
    pub(crate) fn new(facts: Facts, machine: Machine, clock: Clock) -> Self {
        let inner = Inner {
            machine,
            driver: None,
            receiver: None,
            has_receiver: true,
            aborted: false,
        };
        Self {
            facts,
            clock,
            inner: Mutex::new(inner),
            changed: Notice::new(),
        }
    }

    // For the handles of users.

    /// Takes the next message, or `None` once the connection has ended.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut inner = self.lock();
        loop {
            let wanted_read = inner.machine.wants_read();
            // A clock costs more than an event, so it is asked when there is none.
            let event = inner.machine.take_event();
            match event.or_else(|| inner.machine.poll_event((self.clock)())) {
                Some(Event::Message(message)) => {
                    if !wanted_read && inner.machine.wants_read() {
                        self.wake_driver(inner);
                    }
                    return Poll::Ready(Some(message));
                }
                Some(Event::Closed(_)) => {
                    self.wake_driver(inner);
                    self.changed.notify(usize::MAX);
                    return Poll::Ready(None);
                }
                Some(_) => {}
                None if inner.machine.closed().is_some() => return Poll::Ready(None),
                None => {
                    set_waker(&mut inner.receiver, cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Queues a message if there is room.
    pub(crate) fn try_send(&self, message: Message) -> Result<(), SendError> {
        self.command(|machine, _| machine.send(message))
    }

    pub(crate) fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.command(|machine, _| machine.send_prepared(message))
    }

    /// Waits for room, then queues a message.
    pub(crate) async fn send(&self, message: Message) -> Result<(), SendError> {
        while let Some(room) = self.listen_if_full() {
            room.await;
        }
        self.try_send(message)
    }

    /// Returns a listener if the send queue is full now; it tells when that may have changed.
    pub(crate) fn listen_if_full(&self) -> Option<EventListener> {
        let is_full = |inner: &Inner| {
            inner.machine.state() == State::Connected && !inner.machine.has_capacity()
        };
        if !is_full(&self.lock()) {
            return None;
        }
        let listener = self.changed.listen();
        is_full(&self.lock()).then_some(listener)
    }

    pub(crate) fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.command(|machine, _| machine.ping(payload))
    }

    /// Begins to close.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.command(|machine, clock| machine.close(clock(), Some(code), reason))
    }

    /// Drops the connection as it is, its handler included.
    pub(crate) fn abort(&self) {
        let mut inner = self.lock();
        inner.aborted = true;
        self.wake_driver(inner);
    }

    /// Nobody will receive any more: closes, and discards what arrives.
    pub(crate) fn abandon(&self, code: CloseCode) {
        self.lock().has_receiver = false;
        let closing = self.close(code, "");
        debug_assert!(
            closing.is_ok(),
            "a close without a reason cannot be refused"
        );
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().machine.closed().cloned()
    }

    /// Waits for the end.
    pub(crate) async fn wait_closed(&self) -> Closed {
        loop {
            let listener = self.changed.listen();
            if let Some(closed) = self.closed() {
                return closed;
            }
            listener.await;
        }
    }

    pub(crate) fn state(&self) -> State {
        self.lock().machine.state()
    }

    pub(crate) fn buffered_amount(&self) -> usize {
        self.lock().machine.buffered_amount()
    }

    // For the driver.

    /// Notes that the driver is at work and needs no waking.
    pub(crate) fn note_awake(&self) {
        self.lock().driver = None;
    }

    /// Lets the driver work on the machine; tells those who wait what came of it.
    pub(crate) fn drive<T>(&self, cx: &Context<'_>, work: impl FnOnce(&mut Machine) -> T) -> T {
        let mut inner = self.lock();
        let (had_capacity, had_closed) = inner.status();
        let result = work(&mut inner.machine);
        let (has_capacity, has_closed) = inner.status();
        let has_news = has_capacity && !had_capacity || has_closed && !had_closed;
        let receiver = match inner.machine.has_events() || has_closed {
            // The handler in the driver's own task is polled by the driver.
            true => inner
                .receiver
                .take()
                .filter(|waker| !waker.will_wake(cx.waker())),
            false => None,
        };
        drop(inner);
        if has_news {
            self.changed.notify(usize::MAX);
        }
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        result
    }

    /// Discards what was received if nobody can take it.
    pub(crate) fn discard_if_abandoned(&self, now: Instant) {
        let mut inner = self.lock();
        if !inner.has_receiver {
            while inner.machine.poll_event(now).is_some() {}
        }
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    /// Notes that the driver waits, unless it has work; tells whether it may.
    pub(crate) fn park(
        &self,
        cx: &Context<'_>,
        has_work: impl FnOnce(&mut Machine) -> bool,
    ) -> bool {
        let mut inner = self.lock();
        if has_work(&mut inner.machine) {
            return false;
        }
        set_waker(&mut inner.driver, cx);
        true
    }

    fn command<T>(&self, command: impl FnOnce(&mut Machine, &Clock) -> T) -> T {
        let mut inner = self.lock();
        let result = command(&mut inner.machine, &self.clock);
        self.wake_driver(inner);
        result
    }

    fn wake_driver(&self, mut inner: MutexGuard<'_, Inner>) {
        let driver = inner.driver.take();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The machine has no invariant that a panic in user code could break: none runs in here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn status(&self) -> (bool, bool) {
        (self.machine.has_capacity(), self.machine.closed().is_some())
    }
}

fn set_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}
