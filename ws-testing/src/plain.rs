//! A second implementation of the wire formats, slow and plain, from PROTOCOL.md alone: a decoder that sees the
//! whole stream at once and keeps no state between bytes, and an encoder that concatenates. Knows
//! nothing of time, queues or answers, or of the code under test.

mod hixie;
mod inflated;
mod rfc6455;

use std::ops::Range;

use ws_proto::{InvalidText, Role, Version};

use crate::connections::Frame;

/// What a decoder has to know of an endpoint.
#[derive(Clone, Debug)]
pub struct Rules {
    pub version: Version,
    pub role: Role,
    pub message_limit: Option<usize>,
    pub frame_limit: Option<usize>,
    pub fragment_limit: Option<usize>,
    /// A server of a draft is as lenient as a client: with UTF-8 (Q26), with frames (Q20, Q21).
    pub replaces: bool,
    pub skips: bool,
    /// A peer of RFC 6455 may mask wrongly (R-F1, R-F2), and write long lengths (R-F6) and text that is none (R-U1).
    pub wrong_masking: bool,
    pub padded_lengths: bool,
    pub invalid_text: InvalidText,
    /// The peer speaks version 7 or 8, in which 1004 is a close code (PROTOCOL.md §4).
    pub has_code_1004: bool,
    /// Messages are told in parts.
    pub fragments: bool,
    /// What was agreed on for messages that are compressed.
    pub inflates: Option<Way>,
    /// The beginning of each message is an item, and how much of a compressed one arrived.
    pub tells_beginnings: bool,
}

/// What was agreed on for the compressed messages of one side (PROTOCOL.md §6.1).
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub window_bits: u8,
    pub takeover: bool,
}

impl Way {
    fn window(self) -> usize {
        1 << self.window_bits
    }
}

/// With compression, parts of messages are told for so many bytes of input.
const STEP_LEN: usize = 512;

impl Rules {
    pub fn new(version: Version, role: Role) -> Self {
        Self {
            version,
            role,
            message_limit: None,
            frame_limit: None,
            fragment_limit: None,
            replaces: false,
            skips: false,
            wrong_masking: false,
            padded_lengths: false,
            invalid_text: InvalidText::Fail,
            has_code_1004: false,
            fragments: false,
            inflates: None,
            tells_beginnings: false,
        }
    }

    /// How many bytes came of a message, if it is told as a whole.
    fn held(&self, open: &Open) -> Option<usize> {
        let is_told_in_parts = self.fragments && (!open.is_text || !self.mends());
        // A message of a draft begins with its first byte.
        let has_begun = self.version == Version::Rfc6455 || !open.payload.is_empty();
        let len = open.compressed.as_ref().unwrap_or(&open.payload).len();
        (has_begun && !is_told_in_parts).then_some(len)
    }

    fn mends(&self) -> bool {
        match self.version {
            Version::Rfc6455 => self.invalid_text != InvalidText::Fail,
            Version::Draft75 | Version::Draft76 => self.replaces || self.role == Role::Client,
        }
    }
}

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message begins, if that is to be told.
    Begin,
    /// So many bytes arrived of the compressed message whose end comes next, if that is to be told.
    Arrived(usize),
    /// A message; `is_text`, and its bytes.
    Message(bool, Vec<u8>),
    /// A part of a message: `is_text`, its bytes, and whether it is the first or the last one.
    Part(bool, Vec<u8>, bool, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The peer's close. Nothing follows.
    Close(Option<u16>, String),
    /// The connection is to be failed with this code. Nothing follows.
    Fail(u16),
}

impl Item {
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Close(..) | Self::Fail(_))
    }
}

/// What a stream says so far.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    pub items: Vec<Item>,
    /// Whether it stops between two messages.
    pub at_boundary: bool,
    /// What the next compressed message may refer to (P-M6, P-M7).
    pub history: Vec<u8>,
    /// How many bytes came of the message that is open, compressed if it is, if there is one that is told as a
    /// whole.
    pub held: Option<usize>,
}

/// Decodes all that arrived, in the reads in which it arrived. These matter for parts of messages
/// only.
pub fn decode(rules: &Rules, reads: &[Vec<u8>]) -> Decoded {
    decode_after(rules, &[], reads)
}

/// The same for what follows a boundary between messages, where this could be referred to.
pub fn decode_after(rules: &Rules, history: &[u8], reads: &[Vec<u8>]) -> Decoded {
    let bytes = reads.concat();
    let mut ends = vec![0];
    for read in reads {
        ends.push(ends[ends.len() - 1] + read.len());
    }
    let mut stream = Stream {
        rules,
        bytes: &bytes,
        ends: &ends,
        at: 0,
        frame_start: 0,
        items: Vec::new(),
        open: None,
        history: history.to_vec(),
    };
    // A stream that needs more stops with `None`, within a frame or between two of them.
    let stopped_at = match rules.version {
        Version::Rfc6455 => loop {
            let start = stream.at;
            if stream.rfc6455_frame().is_none() {
                break start;
            }
        },
        Version::Draft75 | Version::Draft76 => loop {
            let start = stream.at;
            if stream.draft_frame().is_none() {
                break start;
            }
        },
    };
    let at_boundary = stopped_at == bytes.len() && stream.open.is_none();
    let held = stream.open.as_ref().and_then(|open| rules.held(open));
    Decoded {
        held,
        items: stream.items,
        at_boundary,
        history: stream.history,
    }
}

/// Whether no continuation can make a text of `bytes`, or, at its end, whether it is none (R-U1,
/// R-U3).
pub fn is_not_text(bytes: &[u8], ended: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => ended || error.error_len().is_some(),
    }
}

/// Encodes a whole message as an endpoint does that splits nothing.
pub fn encode(version: Version, key: Option<[u8; 4]>, is_text: bool, payload: &[u8]) -> Vec<u8> {
    match version {
        Version::Draft75 | Version::Draft76 => [b"\0", payload, b"\xff"].concat(),
        Version::Rfc6455 => frame(if is_text { 0x81 } else { 0x82 }, key, payload),
    }
}

/// Encodes a frame of RFC 6455.
pub fn frame(first_byte: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let payload = payload.to_vec();
    Frame {
        first_byte,
        mask,
        payload,
    }
    .bytes()
}

/// A message that is not complete.
#[derive(Debug)]
struct Open {
    is_text: bool,
    frames: usize,
    /// All that arrived of it, and how much of that was told.
    payload: Vec<u8>,
    told: usize,
    /// If it is compressed, all that arrived of that; `payload` is what comes out of it.
    compressed: Option<Vec<u8>>,
}

struct Stream<'a> {
    rules: &'a Rules,
    bytes: &'a [u8],
    /// Where the reads end.
    ends: &'a [usize],
    at: usize,
    /// Where the frame begins.
    frame_start: usize,
    items: Vec<Item>,
    open: Option<Open>,
    history: Vec<u8>,
}

impl Stream<'_> {
    /// Takes the next bytes, if they are there.
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let taken = self.bytes[self.at..].get(..count)?.to_vec();
        self.at += count;
        Some(taken)
    }

    /// Tells that a message begins, if that is to be told.
    fn begin(&mut self) {
        if self.rules.tells_beginnings {
            self.items.push(Item::Begin);
        }
    }

    /// Ends the stream.
    fn fail(&mut self, code: u16) -> Option<()> {
        self.items.push(Item::Fail(code));
        None
    }

    /// Where reads end in a range, counted from its start, and the steps in which they are looked at.
    fn cuts(&self, range: Range<usize>) -> Vec<usize> {
        let steps_len = if self.rules.inflates.is_some() && self.rules.fragments {
            STEP_LEN
        } else {
            usize::MAX
        };
        let reads = self.ends.windows(2).flat_map(|read| {
            let start = read[0].max(self.frame_start);
            let steps = (start..read[1]).step_by(steps_len).skip(1);
            steps.chain([read[1]])
        });
        let ends = reads.filter(|end| range.contains(end));
        ends.map(|end| end - range.start).collect()
    }

    /// Appends what arrived of a frame to its message, read by read, and tells what is to be told.
    fn append(
        &mut self,
        open: &mut Open,
        payload: &[u8],
        cuts: &[usize],
        is_complete: bool,
        limit: Option<usize>,
    ) -> Option<()> {
        let checks = open.is_text && !self.rules.mends();
        let mut from = 0;
        for (index, to) in cuts.iter().copied().chain([payload.len()]).enumerate() {
            open.payload.extend(&payload[from..to]);
            from = to;
            // Q27: what is within the limit is looked at before it is exceeded.
            let is_over = limit.is_some_and(|limit| open.payload.len() > limit);
            open.payload.truncate(limit.unwrap_or(usize::MAX));
            if checks && is_not_text(&open.payload, false) {
                return self.fail(1007);
            }
            if is_over {
                return self.fail(1009);
            }
            if index < cuts.len() || !is_complete {
                self.tell(open, checks);
            }
        }
        if is_complete && checks && is_not_text(&open.payload, true) {
            return self.fail(1007);
        }
        if is_complete {
            self.finish(open);
        }
        Some(())
    }

    /// Tells what can be told of a message that is not complete: whole characters of a text.
    /// One that may have to be mended is not told in parts.
    fn tell(&mut self, open: &mut Open, checks: bool) {
        if !self.rules.fragments || (open.is_text && !checks) {
            return;
        }
        let end = match (open.is_text, std::str::from_utf8(&open.payload)) {
            (true, Err(error)) => error.valid_up_to(),
            (true, Ok(_)) | (false, _) => open.payload.len(),
        };
        if end > open.told {
            let part = open.payload[open.told..end].to_vec();
            self.items
                .push(Item::Part(open.is_text, part, open.told == 0, false));
            open.told = end;
        }
    }

    fn finish(&mut self, open: &Open) {
        if let Some(wire) = open
            .compressed
            .as_ref()
            .filter(|_| self.rules.tells_beginnings)
        {
            self.items.push(Item::Arrived(wire.len()));
        }
        let rest = open.payload[open.told..].to_vec();
        self.items.push(if open.told > 0 {
            Item::Part(open.is_text, rest, false, true)
        } else if open.is_text
            && self.rules.version == Version::Rfc6455
            && self.rules.invalid_text == InvalidText::Binary
        {
            Item::Message(!is_not_text(&rest, true), rest)
        } else if open.is_text && self.rules.mends() {
            // D75-X2, D76-X8.
            let mended = String::from_utf8_lossy(&rest).into_owned();
            Item::Message(true, mended.into_bytes())
        } else {
            Item::Message(open.is_text, rest)
        });
    }
}

fn over(limit: Option<usize>, len: u128) -> bool {
    limit.is_some_and(|limit| len > u128::try_from(limit).unwrap())
}
