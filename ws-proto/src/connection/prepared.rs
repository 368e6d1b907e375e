//! A message that is encoded once and sent on many connections.

use bytes::Bytes;

#[cfg(feature = "deflate")]
use super::workspace::Workspace;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::deflate::PreparedCompression;
use crate::frame::{self, Opcode};
use crate::message::Message;

/// A message that is encoded once, and shared by every connection that it is sent on, whatever their versions: for
/// broadcasts.
///
/// It holds the unmasked frame of RFC 6455. A frame of the drafts is built around the payload in it. Only a client has
/// work left for each connection, because each of its frames needs a mask of its own.
#[derive(Clone, Debug)]
pub struct PreparedMessage {
    frame: Bytes,
    header_len: usize,
    is_text: bool,
    compression: PreparedCompression,
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
            compression: PreparedCompression::Each,
        }
    }

    /// Encodes a message that no connection compresses, whatever was agreed on.
    ///
    /// It is for secrets that would be compressed together with text that an attacker chooses: the length of the
    /// result shows how much of the secret the attacker guessed (CRIME and BREACH; RFC 7692 §8, PROTOCOL.md X22).
    #[cfg(feature = "deflate")]
    pub fn plain(message: impl Into<Message>) -> Self {
        Self {
            compression: PreparedCompression::Never,
            ..Self::new(message)
        }
    }

    /// Encodes a message, and compresses it once for all connections of a server with these options. A connection on
    /// which no compression was agreed on sends it plain.
    ///
    /// The message refers to nothing that was sent before, so every peer can inflate it. A connection that keeps a
    /// context begins a new one after it. A connection whose client demands a smaller window than that of the options
    /// compresses the message itself.
    ///
    /// A server's broadcast does this by itself.
    #[cfg(feature = "deflate")]
    pub fn compressed(message: impl Into<Message>, options: &Deflate) -> Self {
        Self::new(message).compress_for(options, &mut Workspace::new())
    }

    /// Compresses a message that was prepared already, like [`compressed`](Self::compressed). A message that is
    /// [`plain`](Self::plain), or was compressed before, stays as it is. The compressor of the workspace is used, so a
    /// program that prepares many messages makes only one.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn compress_for(mut self, options: &Deflate, workspace: &mut Workspace) -> Self {
        if let PreparedCompression::Each = self.compression {
            self.compression =
                PreparedCompression::shared(self.payload(), options, workspace.streams());
        }
        self
    }

    /// Returns the length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.frame.len() - self.header_len
    }

    /// Tells whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether the message is text; the drafts can carry nothing else.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// Returns the payload: the text in UTF-8, or the binary content.
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.header_len..]
    }

    /// Tells whether no connection compresses the message: whether it was made by [`plain`](Self::plain).
    #[cfg(feature = "deflate")]
    pub fn is_plain(&self) -> bool {
        matches!(self.compression, PreparedCompression::Never)
    }

    pub(crate) fn opcode(&self) -> Opcode {
        if self.is_text {
            Opcode::Text
        } else {
            Opcode::Binary
        }
    }

    pub(crate) fn compression(&self) -> &PreparedCompression {
        &self.compression
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
