//! The frames of draft-75 §4.2 and draft-76 §4.2. They share one format, and so one codec, and differ in one
//! flag: draft-76 has a closing frame, 0xFF 0x00.

use memchr::memchr;

use super::{Opcode, Piece, Whole};
use crate::config::ConnectionConfig;
use crate::error::ProtocolError;
use crate::mask::Mask;
use crate::message::inline::{BLOCK_LEN, Inline};
use crate::outgoing::{FramePayload, Outgoing};
use crate::state::Role;
use crate::version::Version;

const TEXT: u8 = 0x00;
const END: u8 = 0xff;
const CLOSE: u8 = 0xff;

/// The most bytes that a length may take (X16). 9 bytes of 7 bits are 63 bits, so a length in them
/// cannot overflow. A longer length is absurd, or is padded to cost us time (CVE-2026-54466).
const LENGTH_BYTES_LIMIT: u8 = 9;

/// How many bytes [`Codec::peek_message`] searches for the end of a text. Without a limit, a text that is longer than a
/// read would be searched twice.
const QUICK_LIMIT: usize = 4096;

/// Reads and writes frames; one for each connection.
#[derive(Debug)]
pub(crate) struct Codec {
    /// Whether the version has a closing frame.
    closes: bool,
    /// Whether frames that no peer may send are skipped; otherwise they are an error (Q20, Q21).
    skips_unknown: bool,
    state: DecodeState,
    /// Whether a text frame was begun and not finished by this endpoint.
    text_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecodeState {
    /// Before a type byte.
    Type,
    /// Inside text.
    Text { first: bool },
    /// Inside a frame of type 0x01 to 0x7F, which ends with 0xFF.
    Terminated { skipped: usize },
    /// Inside the length of a frame of type 0x80 to 0xFF.
    Length { frame_type: u8, len: u64, bytes: u8 },
    /// Inside the payload of such a frame. Invariant: `remaining > 0`.
    Skip { remaining: u64 },
}

impl Codec {
    pub(super) fn new(version: Version, role: Role, config: &ConnectionConfig) -> Self {
        Self {
            closes: version.features().close_frame,
            skips_unknown: role == Role::Client || config.skip_unknown_frames,
            state: DecodeState::Type,
            text_open: false,
        }
    }

    /// Takes a piece; skips at most `skip_limit` bytes for one frame.
    pub(super) fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
        skip_limit: Option<usize>,
    ) -> Result<Option<Piece<'a>>, ProtocolError> {
        // A loop, because skipped frames and lengths give no piece. Each round takes a byte at least.
        while !input.is_empty() {
            let piece = match self.state {
                DecodeState::Type => self.read_type(input)?,
                DecodeState::Text { first } => Some(self.read_text(input, first)),
                DecodeState::Terminated { skipped } => {
                    self.skip_terminated(input, skipped, skip_limit)?
                }
                DecodeState::Length {
                    frame_type,
                    len,
                    bytes,
                } => self.read_length(input, frame_type, len, bytes, skip_limit)?,
                DecodeState::Skip { remaining } => self.skip_payload(input, remaining),
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// See [`super::Codec::peek_message`].
    #[inline]
    pub(super) fn peek_message<'a>(
        &self,
        input: &'a [u8],
        limit: usize,
    ) -> Option<(Whole<'a>, &'a [u8])> {
        let (&TEXT, bytes) = input.split_first().filter(|_| self.is_between_frames())? else {
            return None;
        };
        let len = memchr(END, &bytes[..bytes.len().min(QUICK_LIMIT)])?;
        let whole = Whole {
            is_text: true,
            bytes,
            len,
            mask: Mask::NONE,
        };
        (len <= limit).then(|| (whole, &bytes[len + 1..]))
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.state == DecodeState::Type
    }

    /// Writes a fragment of a text. The drafts have no fragments on the wire, so all of them go into one long frame.
    pub(super) fn encode_part(
        &mut self,
        payload: FramePayload<'_>,
        first: bool,
        last: bool,
        outgoing: &mut Outgoing,
    ) {
        let header: &[u8] = if first { &[TEXT] } else { &[] };
        let trailer: &[u8] = if last { &[END] } else { &[] };
        outgoing.push_frame(header, payload, trailer);
        self.text_open = !last;
    }

    /// Writes a close, unless a text frame is unfinished (D76-X7).
    pub(super) fn encode_close(&self, outgoing: &mut Outgoing) {
        // The 0xFF of a close inside a text frame would end the frame, and the peer would take half of the text for all
        // of it. So no close is written, and the end of this connection is not clean.
        if self.closes && !self.text_open {
            outgoing.push(&[CLOSE, 0x00]);
        }
    }

    fn read_type<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, ProtocolError> {
        let frame_type = take_byte(input);
        self.state = match frame_type {
            TEXT => DecodeState::Text { first: true },
            // An empty frame of this type is legal in both drafts: close or nothing (Q22).
            CLOSE => DecodeState::Length {
                frame_type,
                len: 0,
                bytes: 0,
            },
            _ if !self.skips_unknown => {
                return Err(ProtocolError::UnknownFrameType { frame_type });
            }
            0x01..=0x7f => DecodeState::Terminated { skipped: 0 },
            0x80..=0xfe => DecodeState::Length {
                frame_type,
                len: 0,
                bytes: 0,
            },
        };
        Ok(None)
    }

    fn read_text<'a>(&mut self, input: &mut &'a [u8], first: bool) -> Piece<'a> {
        let end = memchr(END, input);
        let payload = &input[..end.unwrap_or(input.len())];
        *input = end.map_or(&[], |end| &input[end + 1..]);
        let last = end.is_some();
        self.state = if last {
            DecodeState::Type
        } else {
            DecodeState::Text { first: false }
        };
        Piece {
            opcode: Opcode::Text,
            fin: true,
            compressed: false,
            remaining: None,
            first,
            last,
            payload,
            mask: None,
        }
    }

    fn skip_terminated<'a>(
        &mut self,
        input: &mut &'a [u8],
        skipped: usize,
        skip_limit: Option<usize>,
    ) -> Result<Option<Piece<'a>>, ProtocolError> {
        let end = memchr(END, input);
        let skipped = skipped.saturating_add(end.unwrap_or(input.len()));
        check_skip(u64::try_from(skipped).unwrap_or(u64::MAX), skip_limit)?;
        *input = end.map_or(&[], |end| &input[end + 1..]);
        self.state = if end.is_some() {
            DecodeState::Type
        } else {
            DecodeState::Terminated { skipped }
        };
        Ok(None)
    }

    fn read_length<'a>(
        &mut self,
        input: &mut &'a [u8],
        frame_type: u8,
        len: u64,
        bytes: u8,
        skip_limit: Option<usize>,
    ) -> Result<Option<Piece<'a>>, ProtocolError> {
        let byte = take_byte(input);
        // A length with leading zeros is legal (0x80 0x80 … 0x01), so only the number of bytes bounds it.
        if bytes == LENGTH_BYTES_LIMIT {
            return Err(ProtocolError::LengthOverflow);
        }
        let len = len
            .checked_mul(128)
            .and_then(|len| len.checked_add(u64::from(byte & 0x7f)))
            .ok_or(ProtocolError::LengthOverflow)?;
        if byte & 0x80 != 0 {
            self.state = DecodeState::Length {
                frame_type,
                len,
                bytes: bytes + 1,
            };
            return Ok(None);
        }
        self.state = DecodeState::Type;
        if len == 0 {
            // An empty frame of another type is skipped, and so is draft-76's close in draft-75 (Q22).
            let is_close = frame_type == CLOSE && self.closes;
            return Ok(is_close.then_some(Piece {
                opcode: Opcode::Close,
                fin: true,
                compressed: false,
                remaining: Some(0),
                first: true,
                last: true,
                payload: &[],
                mask: None,
            }));
        }
        if !self.skips_unknown {
            return Err(ProtocolError::UnknownFrameType { frame_type });
        }
        // Checked before the payload arrives, because the length announces all of it.
        check_skip(len, skip_limit)?;
        self.state = DecodeState::Skip { remaining: len };
        Ok(None)
    }

    fn skip_payload<'a>(&mut self, input: &mut &'a [u8], remaining: u64) -> Option<Piece<'a>> {
        let available = u64::try_from(input.len()).unwrap_or(u64::MAX);
        if let Some(remaining) = remaining.checked_sub(available).filter(|left| *left > 0) {
            *input = &[];
            self.state = DecodeState::Skip { remaining };
        } else {
            let len = usize::try_from(remaining).unwrap_or(input.len());
            *input = &input[len..];
            self.state = DecodeState::Type;
        }
        None
    }
}

/// Checks the skipped bytes of a frame against the limit.
fn check_skip(len: u64, limit: Option<usize>) -> Result<(), ProtocolError> {
    match limit {
        Some(limit) if u64::try_from(limit).is_ok_and(|limit| len > limit) => {
            // Not the given `len`, which depends on how the input is split: the error must not.
            let len = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            Err(ProtocolError::MessageTooBig { len, limit })
        }
        Some(_) | None => Ok(()),
    }
}

/// Writes a frame of a text that is stored inline.
#[inline]
pub(super) fn encode_inline(text: &Inline, outgoing: &mut Outgoing) {
    let len = text.len();
    let mut block: [u8; BLOCK_LEN] = *text.as_block();
    // The text is shorter than the block (`INLINE_LIMIT`), so its end fits behind it.
    block[len] = END;
    outgoing.push_block([TEXT], &block, len + 1);
}

/// Writes a text frame. UTF-8 never contains 0xFF, so the payload cannot end it (D75-F1).
pub(super) fn encode_text(payload: FramePayload<'_>, outgoing: &mut Outgoing) {
    outgoing.push_frame(&[TEXT], payload, &[END]);
}

fn take_byte(input: &mut &[u8]) -> u8 {
    let (byte, rest) = input.split_first().expect("decode calls with input only");
    *input = rest;
    *byte
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL.md §2.10, lengths: values, non-minimal forms, and lengths that are too long.
    #[test]
    fn lengths_are_read_as_the_drafts_write_them() {
        let config = ConnectionConfig::new();
        let lengths: [(&[u8], Result<u64, ProtocolError>); 8] = [
            (b"\x7f", Ok(127)),
            (b"\x81\x00", Ok(128)),
            (b"\x80\xa4\x34", Ok(0x1234)),
            (b"\x8f\xff\xff\xff\x7f", Ok(4_294_967_295)),
            (b"\xff\xff\xff\xff\x7f", Ok(34_359_738_367)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", Ok((1 << 63) - 1)),
            (
                b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
                Err(ProtocolError::LengthOverflow),
            ),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                Err(ProtocolError::LengthOverflow),
            ),
        ];
        for (bytes, expected) in lengths {
            let mut codec = Codec::new(Version::Draft76, Role::Client, &config);
            let input = [b"\x80", bytes].concat();
            let decoded = codec.decode(&mut &input[..], None).map(|_| {
                let DecodeState::Skip { remaining } = codec.state else {
                    panic!("{bytes:x?} leads to {:?}", codec.state)
                };
                remaining
            });
            assert_eq!(decoded, expected, "{bytes:x?}");
        }
    }
}
