//! The kinds of items that can be sent, and how the machine queues each. `send.rs` decides what follows if it cannot.

use ws_proto::{Message, PreparedMessage, SendError, hooks};

use super::{IfFull, Inner, SharedMachine};
use crate::driver::workspace;

/// Something to send: a [`Draft`], a [`Part`] of a message, or a [`PreparedMessage`]. Its content is taken only when
/// it is queued or kept back, so a caller that is refused still has it.
///
/// A trait and not an enum, so that the way in is compiled for each kind: to ask at each step what is sent costs a
/// broadcast 75 instructions for each receiver.
pub(crate) trait Item {
    /// Does in advance what would hold the lock for long.
    fn prepare(&mut self, machine: &SharedMachine, full: IfFull);
    fn is_text(&self) -> bool;
    /// Returns the length of the payload. Not asked after it is queued.
    fn len(&self) -> usize;
    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError>;
    /// Takes the content, to keep it in the backlog.
    fn take_prepared(&mut self) -> PreparedMessage;

    /// Returns whether it ends a message that is sent in fragments.
    #[inline]
    fn ends_message(&self) -> bool {
        false
    }

    /// Returns whether it is a message, or the last part of one.
    #[inline]
    fn completes_message(&self) -> bool {
        true
    }

    /// Queues a message of a few dozen bytes in the usual case, which most messages of most programs are. If it
    /// returns `false` nothing has changed, and [`queue`](Self::queue) decides.
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
    /// `None` once it is queued.
    pub(super) message: Option<Message>,
    /// The compressed message, if it was compressed before the lock was taken. Boxed, because it is rare, and every
    /// future that sends has a place for it.
    pub(super) compressed: Option<Box<PreparedMessage>>,
}

/// A fragment of a message.
pub(crate) struct Part {
    /// `None` once it is queued.
    content: Option<Message>,
    is_last: bool,
}

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
    pub(super) fn take(&mut self) -> Message {
        self.message.take().expect("a message is queued once")
    }
}

impl Item for Draft {
    #[inline]
    fn prepare(&mut self, machine: &SharedMachine, full: IfFull) {
        if machine.facts.compresses() {
            machine.precompress(self, full);
        }
    }

    fn is_text(&self) -> bool {
        self.message.as_ref().is_some_and(Message::is_text)
    }

    fn len(&self) -> usize {
        self.message.as_ref().map_or(0, Message::len)
    }

    /// Copies the message from its place, because to move it costs as much as to send it.
    #[inline(always)]
    fn queue_short(&mut self, inner: &mut Inner) -> bool {
        let Some(message) = &self.message else {
            return false;
        };
        // The machine checks its own capacity. It knows neither the backlog nor the streak.
        if !inner.backlog.is_empty() || inner.streak.is_over_for_senders() {
            return false;
        }
        let Some(len) = hooks::send_short(&mut inner.machine, message) else {
            return false;
        };
        inner.tally.note_sent(len, true);
        self.message = None;
        true
    }

    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        // Checked first, because the machine drops a message that it refuses, and the caller is to keep it.
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
    fn prepare(&mut self, _: &SharedMachine, _: IfFull) {}

    fn is_text(&self) -> bool {
        PreparedMessage::is_text(self)
    }

    fn len(&self) -> usize {
        PreparedMessage::len(self)
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

impl Inner {
    /// Queues a small prepared message in the usual case, which most broadcasts are: then this is most of the work for
    /// each receiver. If it returns `false` nothing has changed, and [`Item::queue`] decides.
    #[inline]
    pub(super) fn queue_small(&mut self, message: &PreparedMessage) -> bool {
        if !hooks::takes_small(&self.machine, message) {
            return false;
        }
        workspace::attach_spare(&mut self.machine);
        hooks::send_small(&mut self.machine, message);
        self.tally.note_sent(message.len(), true);
        true
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
    fn prepare(&mut self, _: &SharedMachine, _: IfFull) {}

    fn is_text(&self) -> bool {
        self.content.as_ref().is_some_and(Message::is_text)
    }

    fn len(&self) -> usize {
        self.content.as_ref().map_or(0, Message::len)
    }

    fn queue(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        let content = self.take();
        let len = content.len();
        let is_last = self.is_last;
        workspace::with_streams(&mut inner.machine, |machine| {
            machine.send_fragment(content, is_last)
        })?;
        inner.tally.note_sent(len, is_last);
        // The end of a message lets the backlog go on.
        inner.refill();
        Ok(())
    }

    fn take_prepared(&mut self) -> PreparedMessage {
        self.take().into()
    }

    fn ends_message(&self) -> bool {
        self.is_last
    }

    fn completes_message(&self) -> bool {
        self.is_last
    }
}
