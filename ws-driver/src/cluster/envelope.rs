//! What nodes send each other: a header of 28 bytes, little endian, and a payload. A decoder takes any bytes, because who
//! may publish may publish anything.
//!
//! ```text
//! version u8 | kind u8 | flags u8 | 0 u8 | node u64 | sequence u64 | begin u64 | payload
//! ```
//!
//! The payload of a message for one connection begins with its address, as flags say:
//!
//! ```text
//! slot u64 | generation u64 | question u64 | message
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ws_proto::{Message, PreparedMessage, Utf8Bytes};

use super::log::position::LOG_KEY_LEN;
use super::sequence::Number;
use crate::id::ConnectionId;
use crate::id::cluster::NodeId;

/// The version of the format. A node drops what has another one.
const VERSION: u8 = 1;
const HEADER_LEN: usize = 28;
const NUMBER_AT: usize = 12;
const NUMBER_LEN: usize = 16;
/// What stands before the payload of an entry of a log.
const ENTRY_HEADER_LEN: usize = LOG_KEY_LEN + 1;
const FLAG_PLAIN: u8 = 1;
/// The message is for one connection.
const FLAG_ADDRESSED: u8 = 2;
/// The node that has the connection answers what became of the message.
const FLAG_ASKS: u8 = 4;
const FLAGS: u8 = FLAG_PLAIN | FLAG_ADDRESSED | FLAG_ASKS;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) kind: Kind,
    /// Whether no connection may compress it, because it has a secret in it.
    pub(super) is_plain: bool,
    /// The node that published it.
    pub(super) node: NodeId,
    pub(super) number: Number,
    /// The one connection that it is for. `None` if it is for all members of the channel.
    pub(super) to: Option<Address>,
    pub(super) payload: Bytes,
}

/// A connection of the node that receives the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) connection: ConnectionId,
    /// The number of the question what became of the message, if the publisher asks that.
    pub(super) question: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text for the members of the channel.
    Text,
    /// A binary message for the members of the channel.
    Binary,
    /// A node's question whether its subscription lives. To the other nodes it says that the node is there.
    Probe,
    /// What became of a message for one connection.
    Outcome,
    /// An entry of the log of the channel's topic. Its place stands where other messages have their number: the offset, then
    /// the epoch.
    Log,
}

/// An envelope that has no number yet, because numbers are given in the order of the queue.
pub(crate) struct Draft(BytesMut);

impl Draft {
    pub(super) fn new(kind: Kind, is_plain: bool, node: NodeId, payload: &[u8]) -> Self {
        Self::with_address(kind, is_plain, node, None, payload)
    }

    /// Begins a message for one connection of the node that it is sent to.
    pub(super) fn addressed(kind: Kind, node: NodeId, to: Address, payload: &[u8]) -> Self {
        Self::with_address(kind, false, node, Some(to), payload)
    }

    fn with_address(
        kind: Kind,
        is_plain: bool,
        node: NodeId,
        to: Option<Address>,
        payload: &[u8],
    ) -> Self {
        let address_len = to.map_or(0, |_| Address::MAX_LEN);
        let len = Envelope::len(payload.len()).saturating_add(address_len);
        let mut bytes = BytesMut::with_capacity(len);
        bytes.put_u8(VERSION);
        bytes.put_u8(kind.number());
        bytes.put_u8(if is_plain { FLAG_PLAIN } else { 0 } | to.map_or(0, Address::flags));
        bytes.put_u8(0);
        bytes.put_u64_le(node.0);
        bytes.put_bytes(0, NUMBER_LEN);
        if let Some(to) = to {
            to.put(&mut bytes);
        }
        bytes.put_slice(payload);
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns what stands before the number.
    pub(super) fn head(mut self) -> Bytes {
        self.0.truncate(NUMBER_AT);
        self.0.freeze()
    }

    pub(super) fn finish(mut self, number: Number) -> Bytes {
        let mut place = &mut self.0[NUMBER_AT..NUMBER_AT + NUMBER_LEN];
        place.put_u64_le(number.sequence);
        place.put_u64_le(number.begin);
        self.0.freeze()
    }
}

/// Encodes a message as an entry of a log: what identifies it, the kind, the payload.
pub(super) fn encode_entry(node: NodeId, number: u64, message: &Message) -> Bytes {
    let (kind, payload) = match message {
        Message::Text(text) => (Kind::Text, text.as_bytes()),
        Message::Binary(bytes) => (Kind::Binary, &bytes[..]),
    };
    let mut bytes = BytesMut::with_capacity(ENTRY_HEADER_LEN.saturating_add(payload.len()));
    bytes.put_u64_le(node.0);
    bytes.put_u64_le(number);
    bytes.put_u8(kind.number());
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Decodes an entry of a log: any bytes. The payload is not copied.
pub(super) fn decode_entry(mut bytes: Bytes) -> Result<Message, Malformed> {
    let (head, _) = bytes
        .split_first_chunk::<ENTRY_HEADER_LEN>()
        .ok_or(Malformed)?;
    let kind = Kind::of(head[LOG_KEY_LEN]).ok_or(Malformed)?;
    message(kind, bytes.split_off(ENTRY_HEADER_LEN))
}

/// Returns a message of the application. A text that is not UTF-8 is malformed, as is another kind.
fn message(kind: Kind, payload: Bytes) -> Result<Message, Malformed> {
    match kind {
        Kind::Text => {
            let text = Utf8Bytes::try_from(payload).map_err(|_| Malformed)?;
            Ok(Message::Text(text))
        }
        Kind::Binary => Ok(Message::Binary(payload.into())),
        Kind::Probe | Kind::Outcome | Kind::Log => Err(Malformed),
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
        if version != VERSION || flags & !FLAGS != 0 || reserved != 0 {
            return Err(Malformed);
        }
        let (node, sequence, begin) = (number(0)?, number(8)?, number(16)?);
        let kind = Kind::of(kind).ok_or(Malformed)?;
        if begin > sequence && kind != Kind::Log {
            return Err(Malformed);
        }
        let mut payload = bytes.split_off(HEADER_LEN);
        Ok(Self {
            kind,
            is_plain: flags & FLAG_PLAIN != 0,
            node: NodeId(node),
            number: Number { sequence, begin },
            to: Address::take(flags, &mut payload)?,
            payload,
        })
    }

    /// Returns the message that it carries. A text that is not UTF-8 is malformed, as is what carries none.
    pub(super) fn into_message(self) -> Result<Message, Malformed> {
        message(self.kind, self.payload)
    }

    /// Returns the message that it carries, for many connections.
    pub(super) fn into_prepared(self) -> Result<PreparedMessage, Malformed> {
        #[cfg(feature = "deflate")]
        if self.is_plain {
            return self.into_message().map(PreparedMessage::plain);
        }
        self.into_message().map(PreparedMessage::new)
    }
}

impl Address {
    /// The length of one with a question.
    const MAX_LEN: usize = 24;

    fn flags(self) -> u8 {
        FLAG_ADDRESSED | self.question.map_or(0, |_| FLAG_ASKS)
    }

    fn put(self, bytes: &mut BytesMut) {
        self.connection.put(bytes);
        if let Some(question) = self.question {
            bytes.put_u64_le(question);
        }
    }

    /// Takes the address that the flags promise from the front of a payload.
    fn take(flags: u8, payload: &mut Bytes) -> Result<Option<Self>, Malformed> {
        let (is_addressed, asks) = (flags & FLAG_ADDRESSED != 0, flags & FLAG_ASKS != 0);
        if !is_addressed {
            return if asks { Err(Malformed) } else { Ok(None) };
        }
        let connection = ConnectionId::take(payload).ok_or(Malformed)?;
        let question = asks.then(|| payload.try_get_u64_le());
        Ok(Some(Self {
            connection,
            question: question.transpose().map_err(|_| Malformed)?,
        }))
    }
}

impl Kind {
    /// The kind of a message of the application.
    pub(super) fn of_message(is_text: bool) -> Self {
        if is_text { Self::Text } else { Self::Binary }
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Probe => 3,
            Self::Outcome => 4,
            Self::Log => 5,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [
            Self::Text,
            Self::Binary,
            Self::Probe,
            Self::Outcome,
            Self::Log,
        ]
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
            to: _,
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
            to: None,
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
            (1, 6),
            (2, 4),
            (2, 8),
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

    /// An address that the flags promise is read, and one that is cut is malformed.
    #[test]
    fn an_address_reads_back() {
        let connection: ConnectionId = "7.9".parse().unwrap();
        for question in [None, Some(u64::MAX)] {
            let to = Address {
                connection,
                question,
            };
            let draft = Draft::addressed(Kind::Text, NodeId(3), to, b"hello");
            let bytes = draft.finish(envelope().number);
            let decoded = Envelope::decode(bytes.clone()).unwrap();
            assert_eq!((decoded.to, &*decoded.payload), (Some(to), &b"hello"[..]));
            let address_len = bytes.len() - HEADER_LEN - 5;
            for len in 0..address_len {
                let cut = Envelope::decode(bytes.slice(..HEADER_LEN + len));
                assert_eq!(cut, Err(Malformed), "{len} bytes of the address");
            }
        }
    }
}
