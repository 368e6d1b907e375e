//! Puts messages together from pieces of frames: fragments, limits, UTF-8. Memory follows the bytes that have arrived,
//! never a length that the peer declares. Knows nothing of closing or sending.

use bytes::Bytes;

use super::unfinished::Progress;
use crate::config::{ConnectionConfig, InvalidText};
use crate::deflate::Compression;
use crate::error::ProtocolError;
use crate::frame::{CONTROL_LIMIT, Opcode, Piece};
use crate::mask::Mask;
use crate::message::utf8;
use crate::message::{Fragment, Message, Payload, Utf8Bytes};
use crate::state::Role;
use crate::version::Version;

/// A message, a fragment or a control frame that a piece completes.
#[derive(Debug)]
pub(super) enum Assembled {
    Message(Message),
    Fragment(Fragment),
    Control(Opcode, Payload),
}

/// What holds for the messages of a connection.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    config: &'a ConnectionConfig,
    invalid_text: InvalidText,
}

impl<'a> Rules<'a> {
    pub(super) fn new(version: Version, role: Role, config: &'a ConnectionConfig) -> Self {
        // A client of the drafts has no other choice, because their close cannot say what was wrong.
        let replaces = role == Role::Client || config.replace_invalid_utf8;
        let invalid_text = if version.features().masking {
            config.invalid_text
        } else if replaces {
            InvalidText::Replace
        } else {
            InvalidText::Fail
        };
        Self {
            config,
            invalid_text,
        }
    }
}

/// The message that is being received, and a control frame in between.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The open message, if there is one. Boxed, because an idle connection has none, and most messages come whole.
    message: Option<Box<OpenMessage>>,
    /// The control frame that is split over reads, if there is one. Boxed, because that is rare.
    control: Option<Box<OpenControl>>,
}

#[derive(Debug)]
struct OpenMessage {
    is_text: bool,
    is_compressed: bool,
    /// The bytes that have arrived, inflated if the message is compressed, and were not given out as a fragment.
    payload: Vec<u8>,
    /// The number of bytes that were given out as fragments.
    given_out: usize,
    /// The length of the front of `payload` that is known to be whole characters.
    /// Invariant: `checked <= payload.len()`.
    checked: usize,
    fragments: usize,
    /// The number of bytes that its frames declared, if it is compressed.
    compressed_len: u64,
    progress: Progress,
}

/// A control frame whose payload has arrived in part.
#[derive(Debug, Default)]
struct OpenControl {
    /// At most 125 bytes, because the codec refuses longer ones.
    payload: Vec<u8>,
}

impl Assembler {
    /// Takes a piece; returns what it completes.
    pub(super) fn handle_piece(
        &mut self,
        piece: &Piece<'_>,
        rules: Rules<'_>,
        compression: &mut Compression,
    ) -> Result<Option<Assembled>, ProtocolError> {
        match piece.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => Ok(self.handle_control(piece)),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                self.handle_data(piece, rules, compression)
            }
        }
    }

    /// Drops what has arrived of a message that will not be completed.
    pub(super) fn clear(&mut self) {
        self.message = None;
        self.control = None;
    }

    /// Tells whether no message is open.
    pub(super) fn is_between_messages(&self) -> bool {
        self.message.is_none()
    }

    /// Returns the progress of the open message, if there is one that is held until it is whole.
    pub(super) fn held(&mut self, rules: Rules<'_>) -> Option<&mut Progress> {
        let message = self.message.as_mut();
        // A message that is given out in parts holds next to no memory, so it may take as long as it likes.
        let held = message.filter(|message| !message.is_given_out(rules));
        held.map(|message| &mut message.progress)
    }

    fn handle_control(&mut self, piece: &Piece<'_>) -> Option<Assembled> {
        let mask = piece.mask.unwrap_or(Mask::NONE);
        // The usual case: a frame that is here as a whole needs no buffer.
        if piece.first && piece.last {
            let (payload, _) = Payload::unmasked(piece.payload, mask);
            return Some(Assembled::Control(piece.opcode, payload));
        }
        let open = self.control.get_or_insert_default();
        mask.append(piece.payload, &mut open.payload);
        debug_assert!(
            open.payload.len() <= CONTROL_LIMIT,
            "the codec refuses longer ones"
        );
        if !piece.last {
            return None;
        }
        // Taken and not only emptied, because an idle connection holds no buffer (P5).
        let open = self.control.take()?;
        let payload = Payload::from(&open.payload[..]);
        Some(Assembled::Control(piece.opcode, payload))
    }

    fn handle_data(
        &mut self,
        piece: &Piece<'_>,
        rules: Rules<'_>,
        compression: &mut Compression,
    ) -> Result<Option<Assembled>, ProtocolError> {
        // The usual case: a frame that is a message and is here as a whole needs no buffer.
        let is_whole = piece.first && piece.last && piece.fin && !piece.compressed;
        if is_whole && piece.opcode != Opcode::Continuation && self.message.is_none() {
            return single_frame_message(piece, rules)
                .map(Assembled::Message)
                .map(Some);
        }
        let config = rules.config;
        // A message that one piece completes stays on the stack, so only one that stays open costs an allocation.
        let mut whole = None;
        let message = self.open_message(piece, &mut whole)?;
        if piece.first {
            message.begin_frame(piece, config)?;
        }
        let piece_len = u64::try_from(piece.payload.len()).unwrap_or(u64::MAX);
        message.progress.note_arrived(piece_len);
        let checks = message.is_text && rules.invalid_text == InvalidText::Fail;
        if message.is_compressed {
            message.append_inflated(piece, config, checks, compression)?;
        } else {
            message.append(piece, config, checks)?;
        }
        if !(piece.last && piece.fin) {
            let gives_out = message.is_given_out(rules);
            return Ok(message.give_out(gives_out).map(Assembled::Fragment));
        }
        let message = whole.or_else(|| self.message.take().map(|open| *open));
        let message = message.expect("it was open a moment ago");
        // The last character is cut off. Before the end it could still have been completed (R-U3).
        if checks && message.checked != message.payload.len() {
            return Err(ProtocolError::InvalidUtf8);
        }
        let payload = to_payload(message.payload);
        let rest = finish(message.is_text, payload, rules);
        Ok(Some(match message.given_out {
            0 => Assembled::Message(rest),
            _ => Assembled::Fragment(Fragment {
                content: rest,
                first: false,
                last: true,
            }),
        }))
    }

    /// Returns the message that a piece belongs to: the open one, or a new one if it begins with this piece. A new one
    /// that also ends with it is put into `whole`. Checks the order of frames.
    fn open_message<'a>(
        &'a mut self,
        piece: &Piece<'_>,
        whole: &'a mut Option<OpenMessage>,
    ) -> Result<&'a mut OpenMessage, ProtocolError> {
        let continues = !piece.first || piece.opcode == Opcode::Continuation;
        match (continues, &mut self.message) {
            (true, Some(message)) => Ok(message),
            (true, None) => Err(ProtocolError::StrayContinuation),
            (false, Some(_)) => Err(ProtocolError::Interleaved),
            (false, _) if piece.last && piece.fin => Ok(whole.insert(OpenMessage::new(piece))),
            (false, none) => Ok(none.insert(Box::new(OpenMessage::new(piece)))),
        }
    }
}

impl OpenMessage {
    /// Makes the message that begins with a piece.
    fn new(piece: &Piece<'_>) -> Self {
        Self {
            is_text: piece.opcode == Opcode::Text,
            is_compressed: piece.compressed,
            payload: Vec::new(),
            given_out: 0,
            checked: 0,
            fragments: 0,
            compressed_len: 0,
            progress: Progress::default(),
        }
    }

    /// Checks what else the header of a frame decides: number of fragments, declared lengths.
    fn begin_frame(
        &mut self,
        piece: &Piece<'_>,
        config: &ConnectionConfig,
    ) -> Result<(), ProtocolError> {
        self.fragments += 1;
        check_frame(piece, self.fragments, config)?;
        if self.is_compressed {
            check_compressed(piece, &mut self.compressed_len, config)
        } else {
            check_message(piece, self.received(), config)
        }
    }

    /// Tells whether the parts of the message are given out as they come.
    fn is_given_out(&self, rules: Rules<'_>) -> bool {
        // Text that may be invalid is only given out whole, because all of it decides what becomes of it.
        let is_kept = self.is_text && rules.invalid_text != InvalidText::Fail;
        rules.config.receive_fragments && !is_kept
    }

    /// Returns the number of all bytes that have arrived.
    fn received(&self) -> usize {
        self.given_out + self.payload.len()
    }

    /// Gives out the bytes that can be: of a text, whole characters.
    fn give_out(&mut self, gives_out: bool) -> Option<Fragment> {
        let len = if self.is_text {
            self.checked
        } else {
            self.payload.len()
        };
        if !gives_out || len == 0 {
            return None;
        }
        let rest = self.payload.split_off(len);
        let payload = to_payload(std::mem::replace(&mut self.payload, rest));
        let content = if self.is_text {
            Message::Text(Utf8Bytes::from_checked(payload))
        } else {
            Message::Binary(payload)
        };
        let first = self.given_out == 0;
        self.given_out += len;
        self.checked = 0;
        Some(Fragment {
            content,
            first,
            last: false,
        })
    }

    /// Appends a piece and checks the text as far as it goes (R-U3).
    fn append(
        &mut self,
        piece: &Piece<'_>,
        config: &ConnectionConfig,
        checks: bool,
    ) -> Result<(), ProtocolError> {
        let start = self.payload.len();
        let (bytes, too_big) = within(piece, self.received(), config);
        let limit = config.message_limit.unwrap_or(usize::MAX);
        let end = limit.saturating_sub(self.given_out);
        self.reserve(bytes.len(), piece.remaining.filter(|_| piece.fin), end);
        let mask = piece.mask.unwrap_or(Mask::NONE);
        let is_ascii = mask.append(bytes, &mut self.payload);
        if checks {
            // Unmasking has seen whether the new bytes are ASCII, so the usual text is not read twice.
            self.checked = if is_ascii && self.checked == start {
                self.payload.len()
            } else {
                self.checked + utf8::check(&self.payload[self.checked..])?
            };
        }
        too_big.map_or(Ok(()), Err)
    }

    /// Appends the inflated bytes of a piece of a compressed message, like [`append`](Self::append). The limit counts
    /// inflated bytes.
    fn append_inflated(
        &mut self,
        piece: &Piece<'_>,
        config: &ConnectionConfig,
        checks: bool,
        compression: &mut Compression,
    ) -> Result<(), ProtocolError> {
        let inflated = compression.inflate(piece, &mut self.payload, self.given_out, config);
        // The text is checked up to where it was inflated, before the error that ended it is returned (P-M8).
        if checks {
            self.checked += utf8::check(&self.payload[self.checked..])?;
        }
        inflated
    }

    /// Reserves memory for `additional` bytes; `remaining` is what the last frame still has, and `end` what the
    /// message may have.
    fn reserve(&mut self, additional: usize, remaining: Option<u64>, end: usize) {
        // Doubled, but no more than the last frame fills and the limit allows. So a message ends in memory of its own
        // length, and memory stays within twice the bytes that have arrived. Frames before the last one do not say
        // where the message ends: to go by their lengths would mean a copy for each of many small fragments.
        let needed = self.payload.len() + additional;
        if needed <= self.payload.capacity() {
            return;
        }
        let frame_end = remaining
            .and_then(|remaining| usize::try_from(remaining).ok())
            .map_or(usize::MAX, |remaining| {
                self.payload.len().saturating_add(remaining)
            });
        let most = frame_end.min(end);
        let capacity = needed.saturating_mul(2).min(most).max(needed);
        self.payload.reserve_exact(capacity - self.payload.len());
    }
}

/// Makes the message of a frame that is a whole message, or fails with what is wrong with it.
fn single_frame_message(piece: &Piece<'_>, rules: Rules<'_>) -> Result<Message, ProtocolError> {
    let config = rules.config;
    check_frame(piece, 1, config)?;
    check_message(piece, 0, config)?;
    let (bytes, too_big) = within(piece, 0, config);
    let mask = piece.mask.unwrap_or(Mask::NONE);
    let (payload, is_ascii) = Payload::unmasked(bytes, mask);
    if piece.opcode != Opcode::Text {
        return too_big.map_or(Ok(Message::Binary(payload)), Err);
    }
    if !is_ascii && rules.invalid_text == InvalidText::Fail {
        // Invalid text goes before the limit, so that the error does not depend on how the frame was chopped. Text
        // that was cut at the limit may end in the middle of a character.
        match too_big {
            Some(_) => utf8::check(&payload).map(drop)?,
            None => utf8::check_whole(&payload)?,
        }
    }
    match too_big {
        Some(error) => Err(error),
        None if is_ascii => Ok(Message::Text(Utf8Bytes::from_checked(payload))),
        None => Ok(finish(true, payload, rules)),
    }
}

/// Makes the message of a payload. Text was checked, unless it may be invalid.
fn finish(is_text: bool, payload: Payload, rules: Rules<'_>) -> Message {
    if !is_text {
        return Message::Binary(payload);
    }
    let is_valid = || utf8::check_whole(&payload).is_ok();
    match rules.invalid_text {
        InvalidText::Replace if !is_valid() => {
            Message::from(String::from_utf8_lossy(&payload).into_owned())
        }
        InvalidText::Binary if !is_valid() => Message::Binary(payload),
        InvalidText::Fail | InvalidText::Replace | InvalidText::Binary => {
            Message::Text(Utf8Bytes::from_checked(payload))
        }
    }
}

/// Checks the limits of a frame as far as its header decides; it is number `fragments` of its message.
fn check_frame(
    piece: &Piece<'_>,
    fragments: usize,
    config: &ConnectionConfig,
) -> Result<(), ProtocolError> {
    if let Some(limit) = config.fragment_limit.filter(|limit| fragments > *limit) {
        return Err(ProtocolError::TooManyFragments { limit });
    }
    let Some(len) = piece.remaining else {
        return Ok(());
    };
    match exceeded(config.frame_limit, len) {
        Some(limit) => Err(ProtocolError::FrameTooBig { len, limit }),
        None => Ok(()),
    }
}

/// Checks the limit of a message as far as the header of a frame decides; `received` bytes of the message were there
/// before.
fn check_message(
    piece: &Piece<'_>,
    received: usize,
    config: &ConnectionConfig,
) -> Result<(), ProtocolError> {
    let Some(frame_len) = piece.remaining else {
        return Ok(());
    };
    let received = u64::try_from(received).unwrap_or(u64::MAX);
    let len = received.saturating_add(frame_len);
    match exceeded(config.message_limit, len) {
        Some(limit) => Err(ProtocolError::MessageTooBig { len, limit }),
        None => Ok(()),
    }
}

/// Counts the compressed bytes that the header of a frame declares, and checks them.
// The inflated bytes have a check of their own. This one ends a message of which next to nothing comes out.
fn check_compressed(
    piece: &Piece<'_>,
    compressed_len: &mut u64,
    config: &ConnectionConfig,
) -> Result<(), ProtocolError> {
    let len = compressed_len.saturating_add(piece.remaining.unwrap_or(0));
    *compressed_len = len;
    let limit = config.message_limit.map(|limit| {
        let twice = limit.saturating_mul(2);
        twice.saturating_add(COMPRESSED_OVERHEAD)
    });
    match exceeded(limit, len) {
        Some(limit) => Err(ProtocolError::CompressedTooBig { len, limit }),
        None => Ok(()),
    }
}

/// The bytes that a compressor may add beyond twice the length of a message. A sane compressor stores what it cannot
/// compress, with five bytes for each block, and ends each fragment with five to eleven bytes: 4096 tiny fragments
/// stay within this.
const COMPRESSED_OVERHEAD: usize = 128 << 10;

/// Returns the limit if `len` exceeds it.
fn exceeded(limit: Option<usize>, len: u64) -> Option<usize> {
    limit.filter(|limit| u64::try_from(*limit).is_ok_and(|limit| len > limit))
}

/// Returns the part of a piece that a message of `received` bytes may still take, and the error if that is not all of
/// it.
// Only a frame of the drafts can exceed a limit here: it does not declare its length, which `check_message` sees
// otherwise.
fn within<'a>(
    piece: &Piece<'a>,
    received: usize,
    config: &ConnectionConfig,
) -> (&'a [u8], Option<ProtocolError>) {
    let too_big = |limit| u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let (limit, error) = match (config.frame_limit, config.message_limit) {
        (Some(limit), message_limit) if message_limit.is_none_or(|other| limit < other) => (
            limit,
            ProtocolError::FrameTooBig {
                len: too_big(limit),
                limit,
            },
        ),
        (_, Some(limit)) => (
            limit,
            ProtocolError::MessageTooBig {
                len: too_big(limit),
                limit,
            },
        ),
        (_, None) => return (piece.payload, None),
    };
    let allowed = limit.saturating_sub(received);
    if piece.remaining.is_some() || piece.payload.len() <= allowed {
        (piece.payload, None)
    } else {
        (&piece.payload[..allowed], Some(error))
    }
}

/// Makes a payload of the bytes, without a copy.
fn to_payload(mut bytes: Vec<u8>) -> Payload {
    // The application may keep a message for long, so more than an eighth of unused memory is worth a copy.
    if bytes.capacity() - bytes.len() > bytes.len() / 8 {
        bytes.shrink_to_fit();
    }
    Payload::from(Bytes::from(bytes))
}
