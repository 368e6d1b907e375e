//! What nodes send each other: a header of 28 bytes, little endian, and a payload. A decoder takes any bytes, because who
//! may publish may publish anything.
//!
//! ```text
//! version u8 | kind u8 | flags u8 | 0 u8 | node u64 | sequence u64 | begin u64 | payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use ws_proto::{Message, PreparedMessage, Utf8Bytes};

use super::sequence::Number;
use crate::id::cluster::NodeId;

/// The version of the format. A node drops what has another one.
const VERSION: u8 = 1;
const HEADER_LEN: usize = 28;
const NUMBER_AT: usize = 12;
const NUMBER_LEN: usize = 16;
const FLAG_PLAIN: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) kind: Kind,
    /// Whether no connection may compress it, because it has a secret in it.
    pub(super) is_plain: bool,
    /// The node that published it.
    pub(super) node: NodeId,
    pub(super) number: Number,
    pub(super) payload: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text for the members of the channel.
    Text,
    /// A binary message for the members of the channel.
    Binary,
    /// A node's question whether its subscription lives. Only that node looks at it.
    Probe,
}

/// An envelope that has no number yet, because numbers are given in the order of the queue.
pub(super) struct Draft(BytesMut);

impl Draft {
    pub(super) fn new(kind: Kind, is_plain: bool, node: NodeId, payload: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(Envelope::len(payload.len()));
        bytes.put_u8(VERSION);
        bytes.put_u8(kind.number());
        bytes.put_u8(if is_plain { FLAG_PLAIN } else { 0 });
        bytes.put_u8(0);
        bytes.put_u64_le(node.0);
        bytes.put_bytes(0, NUMBER_LEN);
        bytes.put_slice(payload);
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn finish(mut self, number: Number) -> Bytes {
        let mut place = &mut self.0[NUMBER_AT..NUMBER_AT + NUMBER_LEN];
        place.put_u64_le(number.sequence);
        place.put_u64_le(number.begin);
        self.0.freeze()
    }
}

/// Why bytes are no envelope. Nothing is done about it but to count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Envelope {
    /// Returns how long an envelope with a payload of this length is.
    pub(super) fn len(payload_len: usize) -> usize {
        HEADER_LEN.saturating_add(payload_len)
    }

    /// Decodes any bytes. The payload is not copied.
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, Malformed> {
        let (head, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Malformed)?;
        let [version, kind, flags, reserved, rest @ ..] = *head;
        let number = |at: usize| {
            let bytes = rest[at..].first_chunk().ok_or(Malformed)?;
            Ok(u64::from_le_bytes(*bytes))
        };
        // Flags and a byte that this version does not know can change the meaning of the rest.
        if version != VERSION || flags & !FLAG_PLAIN != 0 || reserved != 0 {
            return Err(Malformed);
        }
        let (node, sequence, begin) = (number(0)?, number(8)?, number(16)?);
        if begin > sequence {
            return Err(Malformed);
        }
        Ok(Self {
            kind: Kind::of(kind).ok_or(Malformed)?,
            is_plain: flags & FLAG_PLAIN != 0,
            node: NodeId(node),
            number: Number { sequence, begin },
            payload: bytes.split_off(HEADER_LEN),
        })
    }

    /// Returns the message that it carries. A text that is not UTF-8 is malformed, as is a probe.
    pub(super) fn into_message(self) -> Result<PreparedMessage, Malformed> {
        let message = match self.kind {
            Kind::Text => Message::Text(Utf8Bytes::try_from(self.payload).map_err(|_| Malformed)?),
            Kind::Binary => Message::Binary(self.payload.into()),
            Kind::Probe => return Err(Malformed),
        };
        #[cfg(feature = "deflate")]
        if self.is_plain {
            return Ok(PreparedMessage::plain(message));
        }
        Ok(PreparedMessage::new(message))
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Probe => 3,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Text, Self::Binary, Self::Probe]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> Bytes {
        let Envelope {
            kind,
            is_plain,
            node,
            number,
            payload,
        } = envelope();
        Draft::new(kind, is_plain, node, &payload).finish(number)
    }

    fn envelope() -> Envelope {
        Envelope {
            kind: Kind::Binary,
            is_plain: true,
            node: NodeId(0x0102_0304_0506_0708),
            number: Number {
                sequence: 9,
                begin: 2,
            },
            payload: Bytes::from_static(b"\x00hello\xff"),
        }
    }

    /// The bytes are a promise to nodes of other versions.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let bytes = encoded();
        let head = [
            1, 2, 1, 0, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes[..HEADER_LEN], head);
        assert_eq!(&bytes[HEADER_LEN..], b"\x00hello\xff");
        assert_eq!(Envelope::decode(bytes), Ok(envelope()));
    }

    /// What this version does not know is no envelope, and no length of input panics.
    #[test]
    fn what_is_not_of_the_format_is_malformed() {
        let bytes = encoded();
        for len in 0..HEADER_LEN {
            assert_eq!(
                Envelope::decode(bytes.slice(..len)),
                Err(Malformed),
                "{len} bytes"
            );
        }
        for (place, value) in [
            (0, 0),
            (0, 2),
            (1, 0),
            (1, 4),
            (2, 2),
            (2, 0x81),
            (3, 1),
            (20, 10),
        ] {
            let mut bytes = bytes.to_vec();
            bytes[place] = value;
            assert_eq!(
                Envelope::decode(bytes.into()),
                Err(Malformed),
                "{value} at {place}"
            );
        }
        let text = Envelope {
            kind: Kind::Text,
            ..envelope()
        };
        assert!(text.into_message().is_err(), "not UTF-8");
    }
}
