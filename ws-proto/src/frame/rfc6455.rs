//! The frames of RFC 6455 §5. Knows nothing of messages.

use bytes::{BufMut, Bytes};

use super::{CONTROL_LIMIT, Opcode, Piece, Whole};
use crate::close_code::{CloseCode, CloseReason};
use crate::config::ConnectionConfig;
use crate::error::ProtocolError;
use crate::mask::Mask;
use crate::message::Message;
use crate::message::inline::{INLINE_LIMIT, Inline};
use crate::outgoing::{FramePayload, Outgoing};
use crate::randomness::Randomness;
use crate::state::Role;

/// The longest header: 2 bytes, 8 bytes of length, 4 bytes of masking key.
const HEADER_LIMIT: usize = 14;

const FIN: u8 = 0x80;

/// The first bytes of frames that are whole messages.
const WHOLE_TEXT: u8 = FIN | Opcode::Text.number();
const WHOLE_BINARY: u8 = FIN | Opcode::Binary.number();
const RESERVED: u8 = 0x70;

/// Set on the first frame of a compressed message (RFC 7692 §6).
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// Reads and writes frames; one for each connection.
pub(crate) struct Codec {
    open: OpenFrame,
    /// The source of masking keys; `None` on a server. Boxed twice, because a pointer to a trait object takes two words.
    masks: Option<Box<Box<dyn Randomness>>>,
}

/// The frame that is split over several reads, if there is one.
// Two words, because every idle connection has a place for it. So the fields of a header are spelled out.
#[derive(Clone, Copy, Debug)]
enum OpenFrame {
    /// The input so far ended between two frames.
    Absent,
    /// Its header has arrived in part: the first `len` bytes.
    Header { bytes: [u8; HEADER_LIMIT], len: u8 },
    /// Its payload is being read. Invariant: `remaining > 0`.
    Payload {
        opcode: Opcode,
        fin: bool,
        compressed: bool,
        remaining: u64,
        mask: Mask,
    },
}

#[derive(Clone, Copy, Debug)]
struct Header {
    opcode: Opcode,
    fin: bool,
    compressed: bool,
    /// The bytes of the payload that are left.
    remaining: u64,
    /// Rotated so that it begins at the next byte of the payload; [`Mask::NONE`] for an unmasked frame.
    mask: Mask,
}

/// What the header of a received frame may have.
#[derive(Clone, Copy)]
struct Allowed {
    /// The role of this endpoint.
    role: Role,
    /// Whether messages may be compressed.
    compressed: bool,
    /// Whether the frame may be masked or not whatever the role.
    wrong_masking: bool,
    /// Whether a length may be longer than its shortest form.
    padded_lengths: bool,
}

impl Codec {
    /// Makes a codec; a client needs `masks`.
    pub(super) fn new(role: Role, masks: Option<Box<dyn Randomness>>) -> Self {
        debug_assert_eq!(
            role == Role::Client,
            masks.is_some(),
            "clients mask, servers do not"
        );
        Self {
            open: OpenFrame::Absent,
            masks: masks.map(Box::new),
        }
    }

    pub(super) fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
        config: &ConnectionConfig,
        allows_compressed: bool,
    ) -> Result<Option<Piece<'a>>, ProtocolError> {
        let (header, first) = match self.open {
            // No input is no piece: an empty piece would say that the frame ends or begins here.
            OpenFrame::Payload { .. } if input.is_empty() => return Ok(None),
            OpenFrame::Payload {
                opcode,
                fin,
                compressed,
                remaining,
                mask,
            } => {
                let header = Header {
                    opcode,
                    fin,
                    compressed,
                    remaining,
                    mask,
                };
                (header, false)
            }
            OpenFrame::Header { .. } | OpenFrame::Absent => {
                let allowed = Allowed {
                    role: self.role(),
                    compressed: allows_compressed,
                    wrong_masking: config.accept_wrong_masking,
                    padded_lengths: config.accept_padded_lengths,
                };
                match self.read_header(input, allowed)? {
                    Some(header) => (header, true),
                    None => return Ok(None),
                }
            }
        };
        let available = u64::try_from(input.len()).unwrap_or(u64::MAX);
        let last = header.remaining <= available;
        let len = if last {
            usize::try_from(header.remaining).unwrap_or(input.len())
        } else {
            input.len()
        };
        let payload;
        (payload, *input) = input.split_at(len);
        self.open = if last {
            OpenFrame::Absent
        } else {
            OpenFrame::Payload {
                opcode: header.opcode,
                fin: header.fin,
                compressed: header.compressed,
                remaining: header.remaining - available,
                mask: header.mask.skip(len),
            }
        };
        Ok(Some(Piece {
            opcode: header.opcode,
            fin: header.fin,
            compressed: header.compressed,
            remaining: Some(header.remaining),
            first,
            last,
            payload,
            mask: Some(header.mask).filter(|mask| *mask != Mask::NONE),
        }))
    }

    /// See [`super::Codec::peek_message`]. A length of 64 bits is left to [`decode`](Self::decode), because such a
    /// message rarely arrives whole in one read.
    #[inline(always)]
    pub(super) fn peek_message<'a>(
        &self,
        input: &'a [u8],
        limit: usize,
    ) -> Option<(Whole<'a>, &'a [u8])> {
        if !self.is_between_frames() {
            return None;
        }
        let &[first_byte, second_byte, ref rest @ ..] = input else {
            return None;
        };
        // One comparison checks the FIN bit, the reserved bits and the opcode.
        let is_text = match first_byte {
            WHOLE_TEXT => true,
            WHOLE_BINARY => false,
            _ => return None,
        };
        let is_masked = second_byte & MASKED != 0;
        // A server masks nothing, and all that it receives is masked.
        if is_masked == self.masks() {
            return None;
        }
        let (len, rest) = match second_byte & !MASKED {
            126 => {
                let (bytes, rest) = rest.split_first_chunk()?;
                let len = u16::from_be_bytes(*bytes);
                // A length that fits the second byte is an error (R-F6), and `decode` reports it.
                (usize::from(Some(len).filter(|len| *len > 125)?), rest)
            }
            127 => return None,
            len => (usize::from(len), rest),
        };
        let (mask, bytes) = if is_masked {
            let (key, rest) = rest.split_first_chunk()?;
            (Mask::new(*key), rest)
        } else {
            (Mask::NONE, rest)
        };
        let (_, behind) = bytes.split_at_checked(len).filter(|_| len <= limit)?;
        let whole = Whole {
            is_text,
            bytes,
            len,
            mask,
        };
        Some((whole, behind))
    }

    pub(super) fn is_between_frames(&self) -> bool {
        matches!(self.open, OpenFrame::Absent)
    }

    /// Tells whether this endpoint masks its frames.
    pub(super) fn masks(&self) -> bool {
        self.masks.is_some()
    }

    fn role(&self) -> Role {
        match &self.masks {
            Some(_) => Role::Client,
            None => Role::Server,
        }
    }

    #[inline]
    pub(super) fn encode(
        &mut self,
        opcode: Opcode,
        fin: bool,
        payload: FramePayload<'_>,
        outgoing: &mut Outgoing,
    ) {
        let fin = if fin { FIN } else { 0 };
        self.encode_frame(fin | opcode.number(), payload, outgoing);
    }

    /// Writes a frame of a compressed message. Only the first frame has the bit that says so (P-M1).
    pub(super) fn encode_compressed(
        &mut self,
        opcode: Opcode,
        fin: bool,
        payload: FramePayload<'_>,
        outgoing: &mut Outgoing,
    ) {
        let fin = if fin { FIN } else { 0 };
        let rsv1 = if opcode == Opcode::Continuation {
            0
        } else {
            RSV1
        };
        self.encode_frame(fin | rsv1 | opcode.number(), payload, outgoing);
    }

    #[inline]
    fn encode_frame(&mut self, first_byte: u8, payload: FramePayload<'_>, outgoing: &mut Outgoing) {
        let mut header = HeaderBuf::new(first_byte, payload.len());
        match self.next_mask() {
            None => outgoing.push_frame(header.as_slice(), payload, b""),
            Some(key) => {
                header.push_mask(key);
                outgoing.push_masked_frame(header.as_slice(), payload, Mask::new(key));
            }
        }
    }

    /// Writes a whole message that is stored inline.
    #[inline(always)]
    pub(super) fn encode_inline(
        &mut self,
        opcode: Opcode,
        payload: &Inline,
        outgoing: &mut Outgoing,
    ) {
        const { assert!(INLINE_LIMIT <= 125, "its length fits into the second byte") }
        match (u8::try_from(payload.len()), &self.masks) {
            (Ok(len), None) => {
                let header = [FIN | opcode.number(), len];
                outgoing.push_block(header, payload.as_block(), payload.len());
            }
            // A client masks its copy, so the block cannot be appended as it is.
            (_, _) => self.encode(
                opcode,
                true,
                FramePayload::Copied(payload.as_slice()),
                outgoing,
            ),
        }
    }

    pub(super) fn encode_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        outgoing: &mut Outgoing,
    ) -> usize {
        // On the stack, because the queue copies it: a header of 2 bytes, a masking key, the longest payload.
        let mut frame = [0; 2 + 4 + CONTROL_LIMIT];
        let len = self.control_frame(opcode, payload, &mut frame);
        outgoing.push_control(&frame[..len])
    }

    /// Writes a close frame.
    pub(super) fn encode_close(
        &mut self,
        code: Option<CloseCode>,
        reason: CloseReason<'_>,
        outgoing: &mut Outgoing,
    ) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.put_u16(code.get());
            payload.put_slice(reason.as_str().as_bytes());
        }
        let mut frame = [0; 2 + 4 + CONTROL_LIMIT];
        let len = self.control_frame(Opcode::Close, &payload, &mut frame);
        // `push` and not `push_control`: a close never overtakes, because a peer discards data behind it
        // (RFC 6455 §1.4), and the connection has accepted the data already.
        outgoing.push(&frame[..len]);
    }

    fn control_frame(&mut self, opcode: Opcode, payload: &[u8], frame: &mut [u8]) -> usize {
        let mut header = HeaderBuf::new(FIN | opcode.number(), payload.len());
        let mask = self.next_mask();
        if let Some(key) = mask {
            header.push_mask(key);
        }
        let (head, rest) = frame.split_at_mut(header.len);
        head.copy_from_slice(header.as_slice());
        let body = &mut rest[..payload.len()];
        body.copy_from_slice(payload);
        if let Some(key) = mask {
            Mask::new(key).apply(body);
        }
        header.len + payload.len()
    }

    /// Draws a fresh masking key (R-F7); `None` for a server, which does not mask.
    #[inline]
    fn next_mask(&mut self) -> Option<[u8; 4]> {
        let mut key = [0; 4];
        self.masks.as_mut()?.fill(&mut key);
        Some(key)
    }

    /// Reads a header from the front of `input`; `None` if it needs more input.
    fn read_header(
        &mut self,
        input: &mut &[u8],
        allowed: Allowed,
    ) -> Result<Option<Header>, ProtocolError> {
        let (mut bytes, mut len) = match self.open {
            OpenFrame::Header { bytes, len } => (bytes, len),
            // A header that is not split is parsed in place.
            OpenFrame::Payload { .. } | OpenFrame::Absent => {
                if let Some((header, used)) = parse(input, allowed)? {
                    *input = &input[used..];
                    return Ok(Some(header));
                }
                ([0; HEADER_LIMIT], 0)
            }
        };
        // A header that is split is collected byte by byte and parsed after each of them, at most 14 times. So an error
        // is found at the same byte however the input is split.
        while let Some((byte, rest)) = input.split_first() {
            bytes[usize::from(len)] = *byte;
            len += 1;
            *input = rest;
            let read = &bytes[..usize::from(len)];
            if let Some((header, _)) = parse(read, allowed)? {
                return Ok(Some(header));
            }
            self.open = OpenFrame::Header { bytes, len };
        }
        Ok(None)
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec")
            .field("role", &self.role())
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Parses a header, and returns it and its length; `None` if it is not complete. Each check is made as soon as
/// its byte is there (R-F1 to R-F8, P-M1).
fn parse(input: &[u8], allowed: Allowed) -> Result<Option<(Header, usize)>, ProtocolError> {
    let Some(&first_byte) = input.first() else {
        return Ok(None);
    };
    let number = first_byte & 0x0f;
    let begins_message = number == Opcode::Text.number() || number == Opcode::Binary.number();
    // RSV1 stands on the first frame of a message only: not on a continuation or a control frame (RFC 7692 §6).
    let compressed = first_byte & RESERVED == RSV1 && allowed.compressed && begins_message;
    if first_byte & RESERVED != 0 && !compressed {
        return Err(ProtocolError::ReservedBits { first_byte });
    }
    let opcode =
        Opcode::from_number(number).ok_or(ProtocolError::UnknownOpcode { opcode: number })?;
    let fin = first_byte & FIN != 0;
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl { opcode: number });
    }
    let Some(&second_byte) = input.get(1) else {
        return Ok(None);
    };
    let masked = second_byte & MASKED != 0;
    let role = allowed.role;
    if masked != (role == Role::Server) && !allowed.wrong_masking {
        return Err(ProtocolError::Masking { role });
    }
    let short_len = second_byte & !MASKED;
    if opcode.is_control() && short_len > 125 {
        return Err(ProtocolError::ControlTooLong { len: short_len });
    }
    // Before the key, so that a bad length is an error as soon as it is there.
    let Some((len, used)) = parse_len(short_len, &input[2..], allowed.padded_lengths)? else {
        return Ok(None);
    };
    let mut used = 2 + used;
    let mut mask = Mask::NONE;
    if masked {
        let Some(key) = input[used..].first_chunk() else {
            return Ok(None);
        };
        mask = Mask::new(*key);
        used += key.len();
    }
    Ok(Some((
        Header {
            opcode,
            fin,
            compressed,
            remaining: len,
            mask,
        },
        used,
    )))
}

/// Parses the length, and returns it and the number of bytes that it takes behind the first two (R-F5, R-F6).
fn parse_len(
    short_len: u8,
    rest: &[u8],
    may_be_padded: bool,
) -> Result<Option<(u64, usize)>, ProtocolError> {
    let (len, used, least) = match short_len {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8, 0x1_0000),
            None => return Ok(None),
        },
        len => (u64::from(len), 0, 0),
    };
    // The most significant bit must be 0 (RFC 6455 §5.2).
    if len >> 63 != 0 {
        return Err(ProtocolError::LengthOverflow);
    }
    if len < least && !may_be_padded {
        return Err(ProtocolError::NonMinimalLength { len });
    }
    Ok(Some((len, used)))
}

/// Encodes a whole message in an unmasked frame. Returns the frame and the length of its header.
pub(super) fn prepare(message: &Message) -> (Bytes, usize) {
    let opcode = match message {
        Message::Text(_) => Opcode::Text,
        Message::Binary(_) => Opcode::Binary,
    };
    let payload = message.as_bytes();
    let header = HeaderBuf::new(FIN | opcode.number(), payload.len());
    // Header and payload in one buffer, so that each connection queues a single slice.
    let frame = [header.as_slice(), payload].concat();
    (frame.into(), header.len)
}

/// A header that is being written.
struct HeaderBuf {
    bytes: [u8; HEADER_LIMIT],
    len: usize,
}

impl HeaderBuf {
    /// Writes the first byte and the length, in its shortest form (R-F6).
    #[inline]
    fn new(first_byte: u8, payload_len: usize) -> Self {
        let mut bytes = [0; HEADER_LIMIT];
        bytes[0] = first_byte;
        let len = match (u8::try_from(payload_len), u16::try_from(payload_len)) {
            (Ok(len @ 0..=125), _) => {
                bytes[1] = len;
                2
            }
            (_, Ok(len)) => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                4
            }
            (_, Err(_)) => {
                bytes[1] = 127;
                let len = u64::try_from(payload_len).expect("a slice is shorter than 2^63");
                bytes[2..10].copy_from_slice(&len.to_be_bytes());
                10
            }
        };
        Self { bytes, len }
    }

    fn push_mask(&mut self, key: [u8; 4]) {
        self.bytes[1] |= MASKED;
        self.bytes[self.len..self.len + 4].copy_from_slice(&key);
        self.len += 4;
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
