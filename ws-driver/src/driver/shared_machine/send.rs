//! The one way in for everything that is sent. A caller says what is sent ([`Item`]), what happens if the send queue is
//! full ([`IfFull`]) and what happens if a message is open ([`IfOpen`]). The rest is decided under one lock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use ws_proto::{Message, PreparedMessage, SendError};

use super::hand_over::Then;
use super::item::{Draft, Item};
use super::{Inner, SharedMachine};
use crate::driver::slow_peer::SlowPeer;
use crate::driver::try_send::TrySendError;
use crate::util::sync::MutexGuard;

/// What happens if the send queue is at its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfFull {
    /// The caller gets an error.
    Refuse,
    /// The caller waits; see [`SharedMachine::poll_send`].
    Wait,
    /// The policy decides, and the caller does not wait.
    Policy(SlowPeer),
    /// The message is queued all the same, because the caller was promised a place in the queue.
    Exceed,
}

/// What happens if a message is being sent in fragments. No other message can go between those.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfOpen {
    /// The caller gets an error.
    Refuse,
    /// The caller waits for the end of the message.
    Wait,
    /// The new message is kept back until the open one ends.
    KeepBack,
}

/// A sender's wait for capacity in the send queue.
#[derive(Default)]
pub(crate) struct CapacityWait(Option<EventListener>);

impl SharedMachine {
    /// Queues an item, or does what `full` and `open` say if it cannot be queued. Returns `None` if the caller has to
    /// wait.
    #[inline]
    fn send<I: Item>(
        &self,
        item: &mut I,
        full: IfFull,
        open: IfOpen,
        then: Then,
    ) -> Option<Result<(), SendError>> {
        item.prepare(self, full);
        self.send_locked(self.lock(), item, full, open, then)
    }

    /// Does what [`send`](Self::send) does with an item that is [prepared](Item::prepare).
    #[inline(never)]
    fn send_locked<I: Item>(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        item: &mut I,
        full: IfFull,
        open: IfOpen,
        then: Then,
    ) -> Option<Result<(), SendError>> {
        // Asked under the lock that queues the item, because other senders could take the capacity in between.
        if full == IfFull::Wait && inner.must_wait(open) {
            return None;
        }
        let len = self.facts.measured().map(|_| item.len());
        Some(match item.queue(&mut inner) {
            Ok(()) => {
                self.note_queued(&inner, len, item.completes_message());
                self.hand_over(inner, then);
                if item.ends_message() {
                    // Senders with `IfOpen::Wait` wait for that.
                    self.changed.notify(usize::MAX);
                }
                Ok(())
            }
            Err(error) => {
                let refused = self.refuse(inner, item, error, full, open);
                if let (Ok(()), Some(measured), Some(len)) = (&refused, self.facts.measured(), len)
                {
                    measured.note_sent(len, true);
                }
                refused
            }
        })
    }

    /// Notes what was queued in the histograms, if there are any.
    #[inline]
    fn note_queued(&self, inner: &Inner, len: Option<usize>, is_last: bool) {
        if let (Some(measured), Some(len)) = (self.facts.measured(), len) {
            measured.note_sent(len, is_last);
            measured.note_queued(inner.mark(), || self.clock.now());
        }
    }

    /// Queues a message without a wait, or gives it back.
    pub(crate) fn try_send(&self, message: Message) -> Result<(), TrySendError> {
        let mut draft = Draft::new(message);
        let sent = self.send(&mut draft, IfFull::Refuse, IfOpen::Refuse, Then::Wake);
        let sent = sent.expect("a sender that is refused does not wait");
        sent.map_err(|reason| TrySendError::new(draft.take(), reason))
    }

    /// Queues a message for a sender that has seen capacity, although others may have used it since. Leaves it to the
    /// caller if another message is being sent in fragments.
    pub(crate) fn send_reserved(&self, draft: &mut Draft) -> Result<(), SendError> {
        let sent = self.send(draft, IfFull::Exceed, IfOpen::Refuse, Then::Wake);
        sent.expect("a sender with a place in the queue does not wait")
    }

    /// Queues a prepared message without a wait. The caller keeps the message.
    pub(crate) fn try_send_prepared(&self, mut message: &PreparedMessage) -> Result<(), SendError> {
        let sent = self.send(&mut message, IfFull::Refuse, IfOpen::Refuse, Then::Wake);
        sent.expect("a sender that is refused does not wait")
    }

    /// Queues a message without a wait, or does what the policy says. Sends by id use it, because a sender to many peers
    /// must not wait for the slowest one.
    pub(crate) fn send_by_policy(
        &self,
        message: Message,
        policy: SlowPeer,
    ) -> Result<(), SendError> {
        let full = IfFull::Policy(policy);
        let mut draft = Draft::new(message);
        let sent = self.send(&mut draft, full, IfOpen::KeepBack, Then::Wake);
        sent.expect("a sender with a policy does not wait")
    }

    /// Does the same as [`send_by_policy`](Self::send_by_policy) for one receiver of a broadcast.
    #[inline]
    pub(crate) fn send_prepared_by_policy(
        &self,
        mut message: &PreparedMessage,
        policy: SlowPeer,
    ) -> Result<(), SendError> {
        let mut inner = self.lock();
        if self.facts.measured().is_none() && inner.queue_small(message) {
            self.hand_over(inner, Then::Wake);
            return Ok(());
        }
        let full = IfFull::Policy(policy);
        let sent = self.send_locked(inner, &mut message, full, IfOpen::KeepBack, Then::Wake);
        sent.expect("a sender with a policy does not wait")
    }

    /// Queues an item, and waits for capacity if it has to.
    pub(crate) async fn send_wait(
        &self,
        mut item: impl Item,
        open: IfOpen,
        then: Then,
    ) -> Result<(), SendError> {
        let mut wait = CapacityWait::default();
        poll_fn(|cx| self.poll_send(cx, &mut item, open, then, &mut wait)).await
    }

    /// Queues an item once the send queue has capacity. `wait` is kept between the polls.
    #[inline(always)]
    pub(crate) fn poll_send<I: Item>(
        &self,
        cx: &mut Context<'_>,
        item: &mut I,
        open: IfOpen,
        then: Then,
        wait: &mut CapacityWait,
    ) -> Poll<Result<(), SendError>> {
        if wait.0.is_none() {
            item.prepare(self, IfFull::Wait);
            // Each send takes the lock, also between two sends of one turn. Messages that a handle collects would save
            // two atomic operations each, but a sender in another thread could then overtake them.
            let mut inner = self.lock();
            if self.facts.measured().is_none() && item.queue_short(&mut inner) {
                self.hand_over(inner, then);
                return Poll::Ready(Ok(()));
            }
            if let Some(sent) = self.send_locked(inner, item, IfFull::Wait, open, then) {
                return Poll::Ready(sent);
            }
        }
        self.poll_send_later(cx, item, open, then, wait)
    }

    /// Does the rest of [`poll_send`](Self::poll_send) for an item that has to wait. Not inlined, because `poll_send`
    /// is, into each future that sends, and few sends wait.
    #[inline(never)]
    fn poll_send_later<I: Item>(
        &self,
        cx: &mut Context<'_>,
        item: &mut I,
        open: IfOpen,
        then: Then,
        wait: &mut CapacityWait,
    ) -> Poll<Result<(), SendError>> {
        loop {
            if let Some(listener) = &mut wait.0 {
                ready!(Pin::new(listener).poll(cx));
                wait.0 = None;
                if self.give_way_after_wait(cx) {
                    return Poll::Pending;
                }
                // Again, because an item that had to wait is not compressed in advance.
                item.prepare(self, IfFull::Wait);
            }
            let mut inner = self.lock();
            if inner.streak.ends_for_sender() {
                self.give_way(inner, cx);
                return Poll::Pending;
            }
            if inner.must_wait(open) {
                // Made under the lock, so that no change is missed between the look at the queue and the wait.
                wait.0 = Some(self.listen(&mut inner));
                continue;
            }
            // Nothing changed under this lock, so the item is queued or refused now.
            if let Some(sent) = self.send_locked(inner, item, IfFull::Wait, open, then) {
                return Poll::Ready(sent);
            }
        }
    }

    /// Keeps back what was not queued, or applies the policy, if the sender has one. Other senders get the error.
    #[cold]
    fn refuse(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        item: &mut dyn Item,
        error: SendError,
        full: IfFull,
        open: IfOpen,
    ) -> Result<(), SendError> {
        let is_full = |error: &SendError| matches!(error, SendError::QueueFull { .. });
        let policy = match full {
            IfFull::Policy(policy) => policy,
            IfFull::Exceed if is_full(&error) => {
                inner.queue_over_limit(item)?;
                self.wake_driver(inner);
                return Ok(());
            }
            IfFull::Exceed | IfFull::Refuse | IfFull::Wait => return Err(error),
        };
        // An open message is not the peer's fault, so under every policy the new one is kept back, within the limit.
        let waits_for_message = error == SendError::MessageOpen && open == IfOpen::KeepBack;
        let keeps = waits_for_message || is_full(&error) && policy == SlowPeer::DropOldest;
        // The driver is not woken: it has nothing to do with the backlog before the machine takes messages again.
        let refused = if keeps {
            inner.keep(item, policy)
        } else {
            Err(error)
        };
        // Under the lock that saw the full queue, so that no message is taken in between.
        if refused.as_ref().is_err_and(is_full) {
            self.apply(inner, policy);
        }
        refused
    }
}

impl Inner {
    /// Returns whether a sender that can wait has to.
    #[inline]
    fn must_wait(&self, open: IfOpen) -> bool {
        // A sender that wrote much in a row gives way first, although the queue has capacity.
        self.streak.is_over_for_senders()
            || self.is_full()
            || open == IfOpen::Wait && self.machine.is_message_open()
    }
}
