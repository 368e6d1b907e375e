//! A message that is encoded once and sent on many connections.

use bytes::Bytes;

use crate::frame::{self, Opcode};
use crate::message::Message;

/// A message that is encoded once for every wire form and shared by every connection it is sent
/// on, whatever their versions: for broadcasts.
///
/// RFC 6455's unmasked frame is stored; a frame of the drafts is built around its payload. Only a
/// client has work left for each connection, as each of its frames needs a mask of its own.
#[derive(Clone, Debug)]
pub struct PreparedMessage {
    frame: Bytes,
    header_len: usize,
    is_text: bool,
}

impl PreparedMessage {
    /// Encodes a message.
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let (frame, header_len) = frame::prepare(&message);
        Self {
            frame,
            header_len,
            is_text: message.is_text(),
        }
    }

    /// Returns the length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.frame.len() - self.header_len
    }

    /// Tells whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether this is text; the drafts can carry nothing else.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    pub(crate) fn opcode(&self) -> Opcode {
        match self.is_text {
            true => Opcode::Text,
            false => Opcode::Binary,
        }
    }

    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }

    pub(crate) fn header_len(&self) -> usize {
        self.header_len
    }
}

impl<M: Into<Message>> From<M> for PreparedMessage {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}
