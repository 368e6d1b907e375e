//! Sending on a connection: what the application sends is checked, and queued as frames. Nothing of it is queued if it
//! is refused.

use super::Connection;
use super::prepared::PreparedMessage;
use crate::deflate::PreparedPayload;
use crate::error::SendError;
use crate::frame::{CONTROL_LIMIT, Opcode};
use crate::message::{Fragment, Message};
use crate::outgoing::{FramePayload, Outgoing};

impl Connection {
    /// Queues a message.
    ///
    /// # Errors
    ///
    /// Fails if [`check_send`](Self::check_send) fails, with the same error; then nothing was queued.
    #[inline]
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send_message(message.into())
    }

    fn send_message(&mut self, message: Message) -> Result<(), SendError> {
        self.check_send(message.is_text())?;
        match self.compression.compress(&message) {
            None => self.codec.encode_message(message, &mut self.outgoing),
            Some(payload) => {
                self.encode_compressed(message.is_text(), FramePayload::Shared(payload.into()));
            }
        }
        Ok(())
    }

    /// Queues a copy of a short message, whose bytes lie in the value itself, unless something prevents it;
    /// returns its length if it did.
    // The bytes are copied in a few instructions. Everything else, all errors included, goes by `send_message`.
    #[inline]
    pub(crate) fn send_short(&mut self, message: &Message) -> Option<usize> {
        let is_text = message.is_text();
        let may_send = self.sends_plain(is_text);
        let inline = message.payload().as_inline().filter(|_| may_send)?;
        self.codec
            .encode_inline(is_text, inline, &mut self.outgoing);
        Some(inline.len())
    }

    /// Tells whether a message would be queued now, and not be compressed.
    #[inline]
    fn sends_plain(&self, is_text: bool) -> bool {
        self.open_message.is_none()
            && self.phase.sends()
            && (is_text || self.version.features().binary)
            && !self.compression.is_on()
            && self.has_capacity()
    }

    /// Tells whether [`send_small`](Self::send_small) would queue a message.
    #[inline]
    pub(crate) fn takes_small(&self, message: &PreparedMessage) -> bool {
        self.sends_plain(message.is_text()) && self.codec.copies(message.frame())
    }

    /// Queues a copy of a small message that was encoded before, for which [`takes_small`](Self::takes_small) was asked.
    #[inline]
    pub(crate) fn send_small(&mut self, message: &PreparedMessage) {
        debug_assert!(self.takes_small(message), "nobody asked");
        let (frame, header_len) = (message.frame(), message.header_len());
        self.codec
            .encode_copied(frame, header_len, &mut self.outgoing);
    }

    /// Queues a part of a message, so that a message of any length can be sent in bounded memory.
    ///
    /// The first call opens the message, and a call with `last` ends it. All its parts must be of one type. Only
    /// control frames can be sent in between. The drafts have no fragments; there the parts become one long frame.
    ///
    /// # Errors
    ///
    /// Fails like [`send`](Self::send), and if the part is not of the type of the open message.
    pub fn send_fragment(
        &mut self,
        content: impl Into<Message>,
        last: bool,
    ) -> Result<(), SendError> {
        let content = content.into();
        let first = self.open_message.is_none();
        match self.open_message {
            // Once nothing can be sent the error is `Closed`, which the other arm returns: that cannot be mended.
            Some(is_text) if is_text != content.is_text() && self.phase.sends() => {
                return Err(SendError::MessageOpen);
            }
            Some(_) | None => self.check_capacity(content.is_text())?,
        }
        self.open_message = (!last).then_some(content.is_text());
        match self.compression.compress_fragment(&content, first, last) {
            None => {
                let fragment = Fragment {
                    content,
                    first,
                    last,
                };
                self.codec.encode_fragment(fragment, &mut self.outgoing);
            }
            Some(payload) => {
                let payload = FramePayload::Shared(payload.into());
                self.encode_compressed_fragment(content.is_text(), first, last, payload);
            }
        }
        Ok(())
    }

    /// Queues a message that was encoded before.
    ///
    /// # Errors
    ///
    /// Fails like [`send`](Self::send).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.check_send(message.is_text())?;
        self.encode_prepared(message);
        Ok(())
    }

    /// Queues a message that was encoded before, even if the send queue is at its limit. Everything else that
    /// [`send_prepared`](Self::send_prepared) checks is checked.
    pub(crate) fn send_over_limit(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        match self.check_send(message.is_text()) {
            Ok(()) | Err(SendError::QueueFull { .. }) => {
                self.encode_prepared(message);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn encode_prepared(&mut self, message: &PreparedMessage) {
        match self
            .compression
            .choose(message.compression(), message.payload())
        {
            PreparedPayload::Plain => {
                let (frame, header_len) = (message.frame(), message.header_len());
                let outgoing = &mut self.outgoing;
                self.codec
                    .encode_prepared(message.opcode(), frame, header_len, outgoing);
            }
            PreparedPayload::Own(payload) => {
                self.encode_compressed(message.is_text(), FramePayload::Shared(payload.into()));
            }
            PreparedPayload::Shared(payload) => {
                let payload = FramePayload::Shared(payload.clone());
                self.encode_compressed(message.is_text(), payload);
            }
        }
    }

    /// Queues a ping with a payload of at most 125 bytes (RFC 6455 §5.5.2). [`ping_at`](Self::ping_at) measures the
    /// time until its pong, too.
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, the version has no ping, the payload is too long, or 16 KiB of
    /// pings and pongs wait to be written; then nothing was queued.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Ping, payload).map(drop)
    }

    /// Queues an unsolicited pong (RFC 6455 §5.5.3). The answers to pings are queued without a call.
    ///
    /// # Errors
    ///
    /// Fails like [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Pong, payload).map(drop)
    }

    /// Checks whether a text or a binary message would be queued now.
    ///
    /// # Errors
    ///
    /// Fails if the connection is closing, the version cannot carry the message, a message is being sent in
    /// [fragments](Self::send_fragment), or the send queue is at its limit.
    #[inline]
    pub fn check_send(&self, is_text: bool) -> Result<(), SendError> {
        if self.open_message.is_some() && self.phase.sends() {
            return Err(SendError::MessageOpen);
        }
        self.check_capacity(is_text)
    }

    #[inline]
    fn check_capacity(&self, is_text: bool) -> Result<(), SendError> {
        if !self.phase.sends() {
            return Err(SendError::Closed);
        }
        if !is_text && !self.version.features().binary {
            let what = "binary messages";
            return Err(SendError::Unsupported {
                version: self.version,
                what,
            });
        }
        match self.config.send_queue_limit {
            Some(limit) if self.buffered_amount() >= limit => Err(SendError::QueueFull {
                buffered: self.buffered_amount(),
                limit,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Queues a ping or a pong if that is allowed; returns the position behind it.
    pub(super) fn send_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<u64, SendError> {
        if !self.phase.sends() {
            return Err(SendError::Closed);
        }
        if !self.version.features().ping {
            return Err(SendError::Unsupported {
                version: self.version,
                what: "ping or pong",
            });
        }
        if payload.len() > CONTROL_LIMIT {
            return Err(SendError::ControlTooLong {
                len: payload.len(),
                limit: CONTROL_LIMIT,
            });
        }
        if !self.has_control_capacity() {
            return Err(SendError::ControlQueueFull {
                buffered: self.outgoing.control_len(&self.in_flight),
                limit: Outgoing::CONTROL_LIMIT,
            });
        }
        Ok(self.push_control(opcode, payload))
    }

    /// Tells whether a ping or a pong may still be queued: not while their limit waits to be written.
    pub(super) fn has_control_capacity(&self) -> bool {
        self.outgoing.control_len(&self.in_flight) < Outgoing::CONTROL_LIMIT
    }

    pub(crate) fn control_queued(&self) -> u64 {
        self.control_queued
    }

    /// Queues a ping or a pong, and notes where the last ping ends. Returns the position behind it.
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: &[u8]) -> u64 {
        let before = self.outgoing.len();
        let end = self
            .codec
            .encode_control(opcode, payload, &mut self.outgoing);
        let len = self.outgoing.len() - before;
        self.control_queued += count(len);
        let front = self.outgoing.left() + count(self.in_flight.len());
        let (begin, end) = (front + count(end - len), front + count(end));
        let marks = [Some(&mut self.ping_end), self.phase.close_end()];
        for mark in marks.into_iter().flatten() {
            if *mark > begin {
                // The new frame went ahead of this one.
                *mark += count(len);
            }
        }
        self.move_pings(begin, count(len));
        if opcode == Opcode::Ping {
            self.pings_sent += 1;
            self.ping_end = self.ping_end.max(end);
        }
        end
    }
}

/// Converts a length in memory to a length on the wire.
pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
