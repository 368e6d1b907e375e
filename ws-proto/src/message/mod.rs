//! Messages and their content: [`Payload`] (bytes) and [`Utf8Bytes`] (bytes that are valid UTF-8). Both
//! are cheap to clone. A small payload is stored inside the value itself.
//!
//! Imports: `error`, `mask`.

pub(crate) mod inline;
mod payload;
pub(crate) mod utf8;

use bytes::Bytes;

pub use self::payload::{Payload, Utf8Bytes};

/// An application message: text or binary (RFC 6455 §5.6). The drafts have text only.
///
/// A message made of [`Bytes`] that have an owner can drop that owner inside of a call of the connection: see
/// [`Payload`](Payload#the-owner-of-bytes).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Text, always valid UTF-8.
    Text(Utf8Bytes),
    /// Any bytes. Draft-75 and draft-76 cannot carry it.
    Binary(Payload),
}

impl Message {
    /// Returns the length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Tells whether the payload is empty; an empty message is a legal message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether this is a text message.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Tells whether this is a binary message.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// Returns the text, if this is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the payload of a text or a binary message.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(payload) => payload,
        }
    }

    /// Makes a text of bytes that are known to be valid UTF-8.
    #[inline]
    pub(crate) fn text_of(payload: Payload) -> Self {
        Self::Text(Utf8Bytes::from_checked(payload))
    }

    /// Returns the payload of a text or a binary message.
    pub(crate) fn payload(&self) -> &Payload {
        match self {
            Self::Text(text) => &text.0,
            Self::Binary(payload) => payload,
        }
    }

    /// Converts the message into its payload, text or binary.
    pub fn into_payload(self) -> Payload {
        match self {
            Self::Text(text) => text.into_payload(),
            Self::Binary(payload) => payload,
        }
    }
}

macro_rules! message_from {
    ($variant:ident: $($from:ty),+) => {
        $(impl From<$from> for Message {
            fn from(content: $from) -> Self {
                Self::$variant(content.into())
            }
        })+
    };
}

message_from!(Text: Utf8Bytes, String, &str, &String);
message_from!(Binary: Payload, Bytes, Vec<u8>, &[u8]);

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(content: &[u8; N]) -> Self {
        Self::Binary(content.into())
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(content: [u8; N]) -> Self {
        Self::Binary(content.into())
    }
}

/// A part of a message. The places where a message is split carry no meaning (RFC 6455 §5.4). A text is
/// split between characters only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The content of this part, of the message's type. It can be empty.
    pub content: Message,
    /// Whether this is the first fragment of the message.
    pub first: bool,
    /// Whether this is the last fragment of the message.
    pub last: bool,
}

impl From<Message> for Fragment {
    /// Makes a single fragment that is the whole message.
    fn from(content: Message) -> Self {
        Self {
            content,
            first: true,
            last: true,
        }
    }
}
