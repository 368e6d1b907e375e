//! A message that is encoded once and sent on many connections.

use bytes::Bytes;

#[cfg(feature = "deflate")]
use super::workspace::Workspace;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::deflate::PreparedCompression;
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
    /// For secrets that would be compressed next to what an attacker chooses: the length of the result
    /// tells how much of the secret was guessed (CRIME and BREACH; RFC 7692 §8, PROTOCOL.md X22).
    #[cfg(feature = "deflate")]
    pub fn plain(message: impl Into<Message>) -> Self {
        Self {
            compression: PreparedCompression::Never,
            ..Self::new(message)
        }
    }

    /// Encodes a message, and compresses it once for all connections of a server with these options
    /// on which compression was agreed on. The others get it as it is.
    ///
    /// It refers to nothing that was sent before, so anybody can inflate it; and a connection whose
    /// messages refer to those before them begins anew behind it. A connection whose client demands a
    /// smaller window than the options say compresses it for itself.
    ///
    /// A server's broadcast does it by itself.
    #[cfg(feature = "deflate")]
    pub fn compressed(message: impl Into<Message>, options: &Deflate) -> Self {
        Self::new(message).compress_for(options, &mut Workspace::new())
    }

    /// As [`compressed`](Self::compressed), for a message that was prepared without; one that is
    /// [`plain`](Self::plain), or was compressed before, stays as it is. The compressor is that of the workspace, so
    /// that a program that prepares many messages need not make one for each.
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

    pub(crate) fn compression(&self) -> &PreparedCompression {
        &self.compression
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.frame[self.header_len..]
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
