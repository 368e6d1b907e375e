//! Frames. [`Codec`] is the only place where the wire formats of the versions meet. The code above it sees
//! logical frames only. A codec knows nothing of messages, limits of messages, or closing.
//!
//! Imports: `close_code`, `config`, `error`, `mask`, `message`, `outgoing`, `randomness`, `state`, `version`.

mod hixie;
mod rfc6455;

use bytes::Bytes;

use crate::close_code::{CloseCode, CloseReason};
use crate::config::ConnectionConfig;
use crate::error::ProtocolError;
use crate::mask::Mask;
use crate::message::inline::Inline;
use crate::message::{Fragment, Message, Payload};
use crate::outgoing::{FramePayload, Outgoing, SHARED_COPY_LIMIT};
use crate::randomness::Randomness;
use crate::state::Role;
use crate::version::Version;

/// The longest payload of a control frame (RFC 6455 §5.5).
pub(crate) const CONTROL_LIMIT: usize = 125;

/// The purpose of a frame (RFC 6455 §5.2). The drafts have text and close only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    // A table in each direction, because `as` conversions are forbidden and a number from a peer can be undefined.
    const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A part of a received frame: as much of its payload as the input contains.
///
/// The first piece of a frame can be empty. A codec returns it as soon as the header is complete, so that an error
/// in the header is found before the payload arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) opcode: Opcode,
    /// Whether the frame ends its message.
    pub(crate) fin: bool,
    /// Whether the message that begins with the frame is compressed (RFC 7692 §6).
    pub(crate) compressed: bool,
    /// The bytes of the frame's payload that are left, this piece included. A text of the drafts has no length.
    pub(crate) remaining: Option<u64>,
    /// Whether the frame begins with this piece.
    pub(crate) first: bool,
    /// Whether the frame ends with this piece.
    pub(crate) last: bool,
    /// The payload as received: masked if `mask` is there. It is unmasked when it is copied, in the same pass.
    pub(crate) payload: &'a [u8],
    pub(crate) mask: Option<Mask>,
}

/// A received frame that is a whole message.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    pub(crate) is_text: bool,
    /// The payload as received, and all input behind it: a block of fixed length can then be copied (see `Inline`).
    pub(crate) bytes: &'a [u8],
    /// The length of the payload.
    pub(crate) len: usize,
    pub(crate) mask: Mask,
}

/// Reads and writes frames in the format of one version.
#[derive(Debug)]
pub(crate) enum Codec {
    Hixie(hixie::Codec),
    Rfc6455(rfc6455::Codec),
}

impl Codec {
    pub(crate) fn new(
        version: Version,
        role: Role,
        config: &ConnectionConfig,
        masks: Option<Box<dyn Randomness>>,
    ) -> Self {
        match version {
            Version::Draft75 | Version::Draft76 => {
                Self::Hixie(hixie::Codec::new(version, role, config))
            }
            Version::Rfc6455 => Self::Rfc6455(rfc6455::Codec::new(role, masks)),
        }
    }

    /// Takes the next piece of a frame from the front of `input`. Returns `None` if it needs more input. Compressed
    /// messages are an error unless they are allowed.
    pub(crate) fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
        config: &ConnectionConfig,
        allows_compressed: bool,
    ) -> Result<Option<Piece<'a>>, ProtocolError> {
        match self {
            // The most bytes that are skipped for one frame (Q27).
            Self::Hixie(codec) => codec.decode(input, config.message_limit),
            Self::Rfc6455(codec) => codec.decode(input, config, allows_compressed),
        }
    }

    /// Returns the frame at the front of `input` and the bytes behind it, if the frame is a whole message of at most
    /// `limit` bytes, is complete, and this is quickly seen. Takes nothing. `None` means only that
    /// [`decode`](Self::decode) has to look at the input.
    // The usual case gets a path of its own, and reports no errors: each check and each error is in `decode` only.
    #[inline(always)]
    pub(crate) fn peek_message<'a>(
        &self,
        input: &'a [u8],
        limit: usize,
    ) -> Option<(Whole<'a>, &'a [u8])> {
        match self {
            Self::Hixie(codec) => codec.peek_message(input, limit),
            Self::Rfc6455(codec) => codec.peek_message(input, limit),
        }
    }

    /// Tells whether the input so far ended between two frames.
    pub(crate) fn is_between_frames(&self) -> bool {
        match self {
            Self::Hixie(codec) => codec.is_between_frames(),
            Self::Rfc6455(codec) => codec.is_between_frames(),
        }
    }

    /// Writes a whole message in one frame.
    pub(crate) fn encode_message(&mut self, message: Message, outgoing: &mut Outgoing) {
        let opcode = opcode_of(message.is_text());
        with_payload(message.into_payload(), |payload| match self {
            Self::Hixie(_) => hixie::encode_text(payload, outgoing),
            Self::Rfc6455(codec) => codec.encode(opcode, true, payload, outgoing),
        });
    }

    /// Does the same as [`encode_message`](Self::encode_message) for a message that is stored inline.
    #[inline(always)]
    pub(crate) fn encode_inline(
        &mut self,
        is_text: bool,
        payload: &Inline,
        outgoing: &mut Outgoing,
    ) {
        match self {
            Self::Hixie(_) => hixie::encode_inline(payload, outgoing),
            Self::Rfc6455(codec) => codec.encode_inline(opcode_of(is_text), payload, outgoing),
        }
    }

    /// Writes a fragment of a message.
    pub(crate) fn encode_fragment(&mut self, fragment: Fragment, outgoing: &mut Outgoing) {
        let Fragment {
            content,
            first,
            last,
        } = fragment;
        let opcode = match content {
            _ if !first => Opcode::Continuation,
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        with_payload(content.into_payload(), |payload| match self {
            Self::Hixie(codec) => codec.encode_part(payload, first, last, outgoing),
            Self::Rfc6455(codec) => codec.encode(opcode, last, payload, outgoing),
        });
    }

    /// Writes a message that was encoded before. `frame` is the unmasked frame of RFC 6455, and its payload begins at
    /// `header_len`.
    pub(crate) fn encode_prepared(
        &mut self,
        opcode: Opcode,
        frame: &Bytes,
        header_len: usize,
        outgoing: &mut Outgoing,
    ) {
        if self.copies(frame) {
            return self.encode_copied(frame, header_len, outgoing);
        }
        match self {
            Self::Hixie(_) => {
                let payload = FramePayload::SharedByMany(frame.slice(header_len..));
                hixie::encode_text(payload, outgoing);
            }
            // A client needs a fresh masking key for each frame (R-F7), so it can share neither header nor payload.
            Self::Rfc6455(codec) if codec.masks() => {
                let payload = FramePayload::Copied(&frame[header_len..]);
                codec.encode(opcode, true, payload, outgoing);
            }
            Self::Rfc6455(_) => {
                outgoing.push_frame(b"", FramePayload::SharedByMany(frame.clone()), b"");
            }
        }
    }

    /// Tells whether a frame that was encoded before is copied: if it is small, because a reference to it would cost as
    /// much, and if its payload need not be masked.
    #[inline]
    pub(crate) fn copies(&self, frame: &[u8]) -> bool {
        let masks = match self {
            Self::Hixie(_) => false,
            Self::Rfc6455(codec) => codec.masks(),
        };
        frame.len() < SHARED_COPY_LIMIT && !masks
    }

    /// Does the same as [`encode_prepared`](Self::encode_prepared) for a frame that [is copied](Self::copies).
    #[inline]
    pub(crate) fn encode_copied(&self, frame: &[u8], header_len: usize, outgoing: &mut Outgoing) {
        match self {
            Self::Hixie(_) => {
                let payload = FramePayload::Copied(&frame[header_len..]);
                hixie::encode_text(payload, outgoing);
            }
            Self::Rfc6455(_) => outgoing.push(frame),
        }
    }

    /// Writes a compressed message or a fragment of it.
    pub(crate) fn encode_compressed(
        &mut self,
        opcode: Opcode,
        fin: bool,
        payload: FramePayload<'_>,
        outgoing: &mut Outgoing,
    ) {
        match self {
            Self::Hixie(_) => debug_assert!(false, "the drafts have no extensions"),
            Self::Rfc6455(codec) => codec.encode_compressed(opcode, fin, payload, outgoing),
        }
    }

    /// Writes a ping or a pong, which the drafts do not have. Returns how many bytes wait up to the end of the frame.
    pub(crate) fn encode_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        outgoing: &mut Outgoing,
    ) -> usize {
        debug_assert!(
            payload.len() <= CONTROL_LIMIT,
            "a control frame is at most 125 bytes"
        );
        match self {
            Self::Hixie(_) => {
                debug_assert!(false, "the drafts have no {opcode:?}");
                outgoing.len()
            }
            Self::Rfc6455(codec) => codec.encode_control(opcode, payload, outgoing),
        }
    }

    /// Writes a close frame, if the version has one.
    pub(crate) fn encode_close(
        &mut self,
        code: Option<CloseCode>,
        reason: CloseReason<'_>,
        outgoing: &mut Outgoing,
    ) {
        match self {
            Self::Hixie(codec) => codec.encode_close(outgoing),
            Self::Rfc6455(codec) => codec.encode_close(code, reason, outgoing),
        }
    }
}

#[inline]
const fn opcode_of(is_text: bool) -> Opcode {
    if is_text {
        Opcode::Text
    } else {
        Opcode::Binary
    }
}

/// Passes a payload to `encode` in the form that costs least.
fn with_payload(payload: Payload, encode: impl FnOnce(FramePayload<'_>)) {
    match payload.try_into_shared() {
        Ok(bytes) => encode(FramePayload::Shared(bytes)),
        Err(inline) => encode(FramePayload::Copied(&inline)),
    }
}

/// Encodes a message as an unmasked frame of RFC 6455. Returns the frame and the length of its header.
pub(crate) fn prepare(message: &Message) -> (Bytes, usize) {
    rfc6455::prepare(message)
}
