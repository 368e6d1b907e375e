//! The one way in for everything that is sent: what it is, what a full queue means for it, and what an open
//! message means for it. All else about it is decided under one lock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use ws_proto::{Message, PreparedMessage, SendError};

use super::hand_over::Then;
use super::{Inner, Mailbox};
use crate::scratch;
use crate::slow_peer::SlowPeer;
use crate::sync::MutexGuard;
use crate::try_send::TrySendError;

/// What is sent. It is taken only if it is queued or kept back; who is refused still has it.
pub(crate) enum Item<'a> {
    Message(&'a mut Draft),
    Prepared(&'a PreparedMessage),
    /// A part of a message, and whether it is the last one.
    Fragment(&'a mut Draft, bool),
}

/// A message that is not queued yet.
pub(crate) struct Draft {
    pub(super) message: Option<Message>,
    /// What it is on a connection that compresses, if that was found out before the lock is taken. Boxed, because
    /// it is rare, and every future that sends has room for it.
    pub(super) compressed: Option<Box<PreparedMessage>>,
}

/// What happens if the send queue is at its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Refuse,
    /// The caller waits; see [`Mailbox::poll_send`].
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

impl Item<'_> {
    fn reborrow(&mut self) -> Item<'_> {
        match self {
            Self::Message(draft) => Item::Message(draft),
            Self::Prepared(message) => Item::Prepared(message),
            Self::Fragment(draft, is_last) => Item::Fragment(draft, *is_last),
        }
    }

    /// Takes what is to be kept back.
    pub(super) fn into_prepared(self) -> PreparedMessage {
        match self {
            Item::Prepared(message) => message.clone(),
            Item::Message(draft) | Item::Fragment(draft, _) => match draft.compressed.take() {
                Some(compressed) => *compressed,
                None => draft.take().into(),
            },
        }
    }

    pub(super) fn is_text(&self) -> bool {
        match self {
            Self::Prepared(message) => message.is_text(),
            Self::Message(draft) | Self::Fragment(draft, _) => {
                draft.message.as_ref().is_some_and(Message::is_text)
            }
        }
    }
}

impl Mailbox {
    /// Queues what is sent, or does what is to be done if it cannot be queued; `None` if the caller has to wait.
    #[inline]
    pub(crate) fn send(
        &self,
        mut item: Item<'_>,
        full: Full,
        open: Open,
        then: Then,
    ) -> Option<Result<(), SendError>> {
        self.precompress(&mut item, full);
        let mut inner = self.lock();
        if full == Full::Wait && inner.must_wait(open) {
            return None;
        }
        let ends_message = matches!(item, Item::Fragment(_, true));
        // The machine takes a message even if it refuses it.
        let checked = match item {
            Item::Message(_) if full != Full::Wait => inner.machine.check_send(item.is_text()),
            Item::Message(_) | Item::Prepared(_) | Item::Fragment(..) => Ok(()),
        };
        let sent = match checked.and_then(|()| inner.queue(&mut item)) {
            Ok(()) => {
                self.hand_over(inner, then);
                Ok(())
            }
            Err(error) => self.refuse(inner, item, error, full, open),
        };
        if ends_message && sent.is_ok() {
            self.changed.notify(usize::MAX);
        }
        Some(sent)
    }

    /// As [`send`](Self::send), of a message that is given back if it is not queued.
    pub(crate) fn try_send(&self, message: Message) -> Result<(), TrySendError> {
        let mut draft = Draft::new(message);
        let item = Item::Message(&mut draft);
        match self.send(item, Full::Refuse, Open::Refuse, Then::Wake) {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(TrySendError::new(draft.take(), reason)),
            None => unreachable!("whoever is refused does not wait"),
        }
    }

    /// As [`try_send`](Self::try_send), of a message that the caller keeps.
    pub(crate) fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let item = Item::Prepared(message);
        let sent = self.send(item, Full::Refuse, Open::Refuse, Then::Wake);
        sent.expect("whoever is refused does not wait")
    }

    /// As [`send`](Self::send), for a peer that may read too slowly.
    pub(crate) fn offer(&self, item: Item<'_>, policy: SlowPeer) -> Result<(), SendError> {
        let sent = self.send(item, Full::Policy(policy), Open::KeepBack, Then::Wake);
        sent.expect("whoever has a policy does not wait")
    }

    /// As [`send`](Self::send), and waits as long as it has to: `room` is the wait. What is queued is queued under
    /// the lock that saw that it can be, because others send meanwhile.
    #[inline]
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut item: Item<'_>,
        open: Open,
        then: Then,
        room: &mut Room,
    ) -> Poll<Result<(), SendError>> {
        loop {
            if let Some(listener) = &mut room.0 {
                ready!(Pin::new(listener).poll(cx));
                room.0 = None;
            }
            if let Some(sent) = self.send(item.reborrow(), Full::Wait, open, then) {
                return Poll::Ready(sent);
            }
            let mut inner = self.lock();
            if inner.streak.ends_for_sender() {
                self.give_way(inner, cx);
                return Poll::Pending;
            }
            // Otherwise there is room by now.
            if inner.must_wait(open) {
                room.0 = Some(self.changed.listen());
            }
        }
    }

    /// As [`poll_send`](Self::poll_send).
    pub(crate) async fn send_wait(
        &self,
        mut item: Item<'_>,
        open: Open,
        then: Then,
    ) -> Result<(), SendError> {
        let mut room = Room::default();
        poll_fn(|cx| self.poll_send(cx, item.reborrow(), open, then, &mut room)).await
    }

    /// Does what is to be done with what was not queued.
    #[cold]
    fn refuse(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        item: Item<'_>,
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

    #[inline]
    fn queue(&mut self, item: &mut Item<'_>) -> Result<(), SendError> {
        let (len, is_whole) = match item {
            Item::Message(draft) => match draft.compressed.take() {
                None => {
                    let message = draft.take();
                    let len = message.len();
                    scratch::with_streams(&mut self.machine, |machine| machine.send(message))?;
                    (len, true)
                }
                Some(compressed) => return self.queue(&mut Item::Prepared(&compressed)),
            },
            Item::Prepared(message) => {
                scratch::with_streams(&mut self.machine, |machine| machine.send_prepared(message))?;
                (message.len(), true)
            }
            Item::Fragment(draft, is_last) => {
                let (content, is_last) = (draft.take(), *is_last);
                let len = content.len();
                scratch::with_streams(&mut self.machine, |machine| {
                    machine.send_fragment(content, is_last)
                })?;
                self.refill();
                (len, is_last)
            }
        };
        self.tally.note_sent(len, is_whole);
        Ok(())
    }
}
