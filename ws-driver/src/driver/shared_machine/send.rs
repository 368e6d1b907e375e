//! The one way in for everything that is sent: what it is, what a full queue means for it, and what an open
//! message means for it. All else about it is decided under one lock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use ws_proto::{Message, PreparedMessage, SendError, hooks};

use super::hand_over::Then;
use super::{Inner, SharedMachine};
use crate::driver::slow_peer::SlowPeer;
use crate::driver::try_send::TrySendError;
use crate::driver::workspace;
use crate::util::sync::MutexGuard;

/// What happens if the send queue is at its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Refuse,
    /// The caller waits; see [`SharedMachine::poll_send`].
    Wait,
    Policy(SlowPeer),
}

/// What happens if a message is being sent in fragments, which nothing can go between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    Refuse,
    Wait,
    /// It is kept back until the message ends.
    KeepBack,
}

/// What is sent: a [`Draft`], a [`Part`] of a message, or a [`PreparedMessage`]. It is taken only if it is queued or
/// kept back; whoever is refused still has it.
///
/// A trait and not an enum, so that the way in is compiled for each: to ask at each step what is sent costs a broadcast
/// 75 instructions for each receiver.
pub(crate) trait Item {
    /// Does before the lock is taken what would take long under it.
    fn prepare(&mut self, machine: &SharedMachine, full: Full);
    fn is_text(&self) -> bool;
    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError>;
    /// Takes what is to be kept back.
    fn take_prepared(&mut self) -> PreparedMessage;

    /// Whether it ends a message that is sent in fragments.
    #[inline]
    fn ends_message(&self) -> bool {
        false
    }

    /// Queues a message of a few dozen bytes if nothing is against it: most messages of most programs.
    #[inline(always)]
    fn queue_short(&mut self, _: &mut Inner) -> bool
    where
        Self: Sized,
    {
        false
    }
}

/// A message that is not queued yet.
pub(crate) struct Draft {
    pub(super) message: Option<Message>,
    /// What it is on a connection that compresses, if that was found out before the lock is taken. Boxed, because
    /// it is rare, and every future that sends has room for it.
    pub(super) compressed: Option<Box<PreparedMessage>>,
}

/// A part of a message.
pub(crate) struct Part {
    content: Option<Message>,
    is_last: bool,
}

/// A wait for the send queue.
#[derive(Default)]
pub(crate) struct Room(Option<EventListener>);

impl Draft {
    #[inline]
    pub(crate) fn new(message: Message) -> Self {
        Self {
            message: Some(message),
            compressed: None,
        }
    }

    pub(crate) fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }

    #[inline]
    fn take(&mut self) -> Message {
        self.message.take().expect("a message is queued once")
    }
}

impl Item for Draft {
    #[inline]
    fn prepare(&mut self, machine: &SharedMachine, full: Full) {
        if machine.compresses {
            machine.precompress(self, full);
        }
    }

    fn is_text(&self) -> bool {
        self.message.as_ref().is_some_and(Message::is_text)
    }

    /// Copies the message from where it is, because one that moves costs as much as one that is sent.
    #[inline(always)]
    fn queue_short(&mut self, inner: &mut Inner) -> bool {
        let Some(message) = &self.message else {
            return false;
        };
        let is_queued = inner.backlog.is_empty()
            && !inner.streak.is_over_for_senders()
            && hooks::send_short(&mut inner.machine, message);
        if is_queued {
            inner.tally.note_sent(message.len(), true);
            self.message = None;
        }
        is_queued
    }

    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        // The machine takes a message even if it refuses it.
        inner.machine.check_send(self.is_text())?;
        if let Some(mut compressed) = self.compressed.as_deref() {
            return compressed.queue(inner);
        }
        let message = self.take();
        let len = message.len();
        workspace::with_streams(&mut inner.machine, |machine| machine.send(message))?;
        inner.tally.note_sent(len, true);
        Ok(())
    }

    fn take_prepared(&mut self) -> PreparedMessage {
        match self.compressed.take() {
            Some(compressed) => *compressed,
            None => self.take().into(),
        }
    }
}

impl Item for &PreparedMessage {
    #[inline]
    fn prepare(&mut self, _: &SharedMachine, _: Full) {}

    fn is_text(&self) -> bool {
        PreparedMessage::is_text(self)
    }

    #[inline]
    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        workspace::with_streams(&mut inner.machine, |machine| machine.send_prepared(self))?;
        inner.tally.note_sent(self.len(), true);
        Ok(())
    }

    fn take_prepared(&mut self) -> PreparedMessage {
        PreparedMessage::clone(self)
    }
}

impl Part {
    pub(crate) fn new(content: Message, is_last: bool) -> Self {
        Self {
            content: Some(content),
            is_last,
        }
    }

    fn take(&mut self) -> Message {
        self.content.take().expect("a fragment is queued once")
    }
}

impl Item for Part {
    fn prepare(&mut self, _: &SharedMachine, _: Full) {}

    fn is_text(&self) -> bool {
        self.content.as_ref().is_some_and(Message::is_text)
    }

    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        let content = self.take();
        let len = content.len();
        let is_last = self.is_last;
        workspace::with_streams(&mut inner.machine, |machine| {
            machine.send_fragment(content, is_last)
        })?;
        inner.tally.note_sent(len, is_last);
        inner.refill();
        Ok(())
    }

    fn take_prepared(&mut self) -> PreparedMessage {
        self.take().into()
    }

    fn ends_message(&self) -> bool {
        self.is_last
    }
}

impl SharedMachine {
    /// Queues what is sent, or does what is to be done if it cannot be queued; `None` if the caller has to wait.
    #[inline]
    fn send<I: Item>(
        &self,
        item: &mut I,
        full: Full,
        open: Open,
        then: Then,
    ) -> Option<Result<(), SendError>> {
        item.prepare(self, full);
        self.send_locked(self.lock(), item, full, open, then)
    }

    /// As [`send`](Self::send), with what was [prepared](Item::prepare).
    #[inline(never)]
    fn send_locked<I: Item>(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        item: &mut I,
        full: Full,
        open: Open,
        then: Then,
    ) -> Option<Result<(), SendError>> {
        if full == Full::Wait && inner.must_wait(open) {
            return None;
        }
        Some(match item.queue(&mut inner) {
            Ok(()) => {
                self.hand_over(inner, then);
                if item.ends_message() {
                    // Others wait for that.
                    self.changed.notify(usize::MAX);
                }
                Ok(())
            }
            Err(error) => self.refuse(inner, item, error, full, open),
        })
    }

    /// As [`send`](Self::send), of a message that is given back if it is not queued.
    pub(crate) fn try_send(&self, message: Message) -> Result<(), TrySendError> {
        let mut draft = Draft::new(message);
        let sent = self.send(&mut draft, Full::Refuse, Open::Refuse, Then::Wake);
        let sent = sent.expect("whoever is refused does not wait");
        sent.map_err(|reason| TrySendError::new(draft.take(), reason))
    }

    /// As [`try_send`](Self::try_send), of a message that the caller keeps.
    pub(crate) fn try_send_prepared(&self, mut message: &PreparedMessage) -> Result<(), SendError> {
        let sent = self.send(&mut message, Full::Refuse, Open::Refuse, Then::Wake);
        sent.expect("whoever is refused does not wait")
    }

    /// As [`send`](Self::send), for a peer that may read too slowly.
    #[inline]
    pub(crate) fn offer(&self, mut item: impl Item, policy: SlowPeer) -> Result<(), SendError> {
        let sent = self.send(&mut item, Full::Policy(policy), Open::KeepBack, Then::Wake);
        sent.expect("whoever has a policy does not wait")
    }

    /// As [`send`](Self::send), and waits as long as it has to: `room` is the wait. What is queued is queued under
    /// the lock that saw that it can be, because others send meanwhile.
    #[inline(always)]
    pub(crate) fn poll_send<I: Item>(
        &self,
        cx: &mut Context<'_>,
        item: &mut I,
        open: Open,
        then: Then,
        room: &mut Room,
    ) -> Poll<Result<(), SendError>> {
        if room.0.is_none() {
            item.prepare(self, Full::Wait);
            let mut inner = self.lock();
            if item.queue_short(&mut inner) {
                self.hand_over(inner, then);
                return Poll::Ready(Ok(()));
            }
            if let Some(sent) = self.send_locked(inner, item, Full::Wait, open, then) {
                return Poll::Ready(sent);
            }
        }
        self.poll_send_later(cx, item, open, then, room)
    }

    /// What [`poll_send`](Self::poll_send) does with what has to wait.
    #[inline(never)]
    fn poll_send_later<I: Item>(
        &self,
        cx: &mut Context<'_>,
        item: &mut I,
        open: Open,
        then: Then,
        room: &mut Room,
    ) -> Poll<Result<(), SendError>> {
        loop {
            if let Some(listener) = &mut room.0 {
                ready!(Pin::new(listener).poll(cx));
                room.0 = None;
                item.prepare(self, Full::Wait);
            }
            let mut inner = self.lock();
            if inner.streak.ends_for_sender() {
                self.give_way(inner, cx);
                return Poll::Pending;
            }
            if inner.must_wait(open) {
                room.0 = Some(self.changed.listen());
                continue;
            }
            if let Some(sent) = self.send_locked(inner, item, Full::Wait, open, then) {
                return Poll::Ready(sent);
            }
        }
    }

    /// As [`poll_send`](Self::poll_send).
    pub(crate) async fn send_wait(
        &self,
        mut item: impl Item,
        open: Open,
        then: Then,
    ) -> Result<(), SendError> {
        let mut room = Room::default();
        poll_fn(|cx| self.poll_send(cx, &mut item, open, then, &mut room)).await
    }

    /// Does what is to be done with what was not queued.
    #[cold]
    fn refuse(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        item: &mut dyn Item,
        error: SendError,
        full: Full,
        open: Open,
    ) -> Result<(), SendError> {
        let Full::Policy(policy) = full else {
            return Err(error);
        };
        // A message that is open is no fault of the peer.
        let waits_for_message = error == SendError::MessageOpen && open == Open::KeepBack;
        let is_full = |error: &SendError| matches!(error, SendError::QueueFull { .. });
        let keeps = waits_for_message || is_full(&error) && policy == SlowPeer::DropOldest;
        // The driver has nothing to do with what is kept: it finds this when the machine takes messages again.
        let refused = if keeps {
            inner.keep(item, policy)
        } else {
            Err(error)
        };
        if refused.as_ref().is_err_and(is_full) {
            self.apply(inner, policy);
        }
        refused
    }
}

impl Inner {
    /// Whether whoever waits for room has to.
    #[inline]
    fn must_wait(&self, open: Open) -> bool {
        self.streak.is_over_for_senders()
            || self.is_full()
            || open == Open::Wait && self.machine.is_message_open()
    }
}
