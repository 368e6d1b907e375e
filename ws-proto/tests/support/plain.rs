//! The wire formats a second time, slow and plain, from PROTOCOL.md alone: a decoder that sees the
//! whole stream at once and keeps no state between bytes, and an encoder that concatenates. Knows
//! nothing of time, queues, answers, or of the code under test.

use std::ops::Range;

use ws_proto::{Role, Version};

use super::Frame;

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
    /// The peer speaks version 7 or 8, in which 1004 is a close code (PROTOCOL.md §4).
    pub has_code_1004: bool,
    /// Messages are told in parts.
    pub fragments: bool,
}

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
            has_code_1004: false,
            fragments: false,
        }
    }

    fn mends(&self) -> bool {
        self.version != Version::Rfc6455 && (self.replaces || self.role == Role::Client)
    }
}

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
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
}

/// Decodes all that arrived, in the reads in which it arrived. These matter for parts of messages
/// only.
pub fn decode(rules: &Rules, reads: &[Vec<u8>]) -> Decoded {
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
        items: Vec::new(),
        open: None,
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
    Decoded {
        items: stream.items,
        at_boundary,
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
}

struct Stream<'a> {
    rules: &'a Rules,
    bytes: &'a [u8],
    /// Where the reads end.
    ends: &'a [usize],
    at: usize,
    items: Vec<Item>,
    open: Option<Open>,
}

impl Stream<'_> {
    /// Takes the next bytes, if they are there.
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let taken = self.bytes[self.at..].get(..count)?.to_vec();
        self.at += count;
        Some(taken)
    }

    /// Ends the stream.
    fn fail(&mut self, code: u16) -> Option<()> {
        self.items.push(Item::Fail(code));
        None
    }

    /// Reads one frame; `None` if it is not complete or the stream has ended.
    fn rfc6455_frame(&mut self) -> Option<()> {
        let first = self.take(1)?[0];
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode >= 8;
        // R-F3, R-F4, R-F8.
        if first & 0x70 != 0 || !matches!(opcode, 0..=2 | 8..=10) || (is_control && !fin) {
            return self.fail(1002);
        }
        let second = self.take(1)?[0];
        let (is_masked, form) = (second & 0x80 != 0, second & 0x7f);
        // R-F1, R-F2, R-F8.
        if is_masked != (self.rules.role == Role::Server) || (is_control && form > 125) {
            return self.fail(1002);
        }
        let (len, least) = match form {
            126 => (number(&self.take(2)?), 126),
            127 => (number(&self.take(8)?), 65536),
            form => (u128::from(form), 0),
        };
        // R-F5, R-F6.
        if len >= 1 << 63 || len < least {
            return self.fail(1002);
        }
        let key = match is_masked {
            true => self.take(4)?,
            false => vec![0; 4],
        };
        match is_control {
            true => {
                let payload = self.take(usize::try_from(len).unwrap())?;
                self.control(opcode, unmask(&payload, &key))
            }
            false => self.data(fin, opcode, len, &key),
        }
    }

    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Option<()> {
        self.items.push(match opcode {
            8 => close(&payload, self.rules.has_code_1004),
            9 => Item::Ping(payload),
            _ => Item::Pong(payload),
        });
        // R-X11.
        (opcode != 8).then_some(())
    }

    fn data(&mut self, fin: bool, opcode: u8, len: u128, key: &[u8]) -> Option<()> {
        // R-F10, R-F12.
        if (opcode == 0) != self.open.is_some() {
            return self.fail(1002);
        }
        let mut open = self.open.take().unwrap_or(Open {
            is_text: opcode == 1,
            frames: 0,
            payload: Vec::new(),
            told: 0,
        });
        open.frames += 1;
        // R-F17, X14, X17.
        let total = len + u128::try_from(open.payload.len()).unwrap();
        if over(self.rules.fragment_limit, open.frames.try_into().unwrap())
            || over(self.rules.frame_limit, len)
            || over(self.rules.message_limit, total)
        {
            return self.fail(1009);
        }
        let start = self.at;
        let available = self.bytes.len() - start;
        let is_whole = u128::try_from(available).unwrap() >= len;
        let end = match is_whole {
            true => start + usize::try_from(len).unwrap(),
            false => self.bytes.len(),
        };
        let payload = unmask(&self.bytes[start..end], key);
        let cuts = self.cuts(start..end);
        self.append(&mut open, &payload, &cuts, is_whole && fin, None)?;
        self.at = end;
        if !(is_whole && fin) {
            self.open = Some(open);
        }
        is_whole.then_some(())
    }

    /// Where reads end in a range, counted from its start.
    fn cuts(&self, range: Range<usize>) -> Vec<usize> {
        let ends = self.ends.iter().filter(|end| range.contains(end));
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
        let rest = open.payload[open.told..].to_vec();
        self.items.push(if open.told > 0 {
            Item::Part(open.is_text, rest, false, true)
        } else if open.is_text && self.rules.mends() {
            // D75-X2, D76-X8.
            let mended = String::from_utf8_lossy(&rest).into_owned();
            Item::Message(true, mended.into_bytes())
        } else {
            Item::Message(open.is_text, rest)
        });
    }

    /// Reads one frame of a draft (PROTOCOL.md §1.4, §2.7).
    fn draft_frame(&mut self) -> Option<()> {
        let frame_type = self.take(1)?[0];
        let is_strict = self.rules.role == Role::Server && !self.rules.skips;
        // Q20, Q21: strict is closing; 0x00, and 0xFF with length 0, are what a peer may send.
        if is_strict && !matches!(frame_type, 0x00 | 0xff) {
            return self.fail(1002);
        }
        match frame_type {
            0x00 => self.draft_text(),
            0x01..=0x7f => self.draft_terminated(),
            0x80..=0xff => self.draft_counted(frame_type, is_strict),
        }
    }

    /// D75-F2: up to the next 0xFF.
    fn draft_text(&mut self) -> Option<()> {
        let start = self.at;
        let len = self.bytes[start..].iter().position(|byte| *byte == 0xff);
        let end = len.map_or(self.bytes.len(), |len| start + len);
        let payload = self.bytes[start..end].to_vec();
        let mut open = Open {
            is_text: true,
            frames: 1,
            payload: Vec::new(),
            told: 0,
        };
        // Q27: limited while it is scanned, as its length is not declared.
        let limits = [self.rules.message_limit, self.rules.frame_limit];
        let limit = limits.into_iter().flatten().min();
        // A read can end between the text and its 0xFF.
        let cuts = self.cuts(start..end + usize::from(len.is_some()));
        self.append(&mut open, &payload, &cuts, len.is_some(), limit)?;
        if len.is_none() {
            self.open = Some(open);
        }
        self.at = end + usize::from(len.is_some());
        len.map(drop)
    }

    /// D76-F2: up to the next 0xFF, unseen.
    fn draft_terminated(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == 0xff);
        let len = end.unwrap_or(rest.len());
        if over(self.rules.message_limit, len.try_into().unwrap()) {
            return self.fail(1009);
        }
        self.at += end? + 1;
        Some(())
    }

    /// D75-F4, D75-F5, D76-F3 to D76-F6: a length in groups of 7 bits, and as many bytes, unseen.
    fn draft_counted(&mut self, frame_type: u8, is_strict: bool) -> Option<()> {
        let mut len = 0_u128;
        for count in 1.. {
            let byte = self.take(1)?[0];
            // X16: 9 bytes are 63 bits.
            if count > 9 {
                return self.fail(1002);
            }
            len = len * 128 + u128::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        if len == 0 {
            // D76-F4; D76-F5 and Q22 are not closes.
            let is_close = frame_type == 0xff && self.rules.version == Version::Draft76;
            if is_close {
                self.items.push(Item::Close(None, String::new()));
            }
            return (!is_close).then_some(());
        }
        if is_strict {
            return self.fail(1002);
        }
        if over(self.rules.message_limit, len) {
            return self.fail(1009);
        }
        self.take(usize::try_from(len).ok()?).map(drop)
    }
}

/// Reads the payload of a close frame (R-X1, R-X8, R-U2, PROTOCOL.md §5.6).
fn close(payload: &[u8], has_code_1004: bool) -> Item {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Item::Close(None, String::new()),
            _ => Item::Fail(1002),
        };
    };
    let code = u16::from_be_bytes(*code);
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !(may_be_sent || has_code_1004 && code == 1004) {
        return Item::Fail(1002);
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Item::Close(Some(code), reason.to_owned()),
        Err(_) => Item::Fail(1007),
    }
}

fn number(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0, |number, byte| number * 256 + u128::from(*byte))
}

fn over(limit: Option<usize>, len: u128) -> bool {
    limit.is_some_and(|limit| len > u128::try_from(limit).unwrap())
}

fn unmask(payload: &[u8], key: &[u8]) -> Vec<u8> {
    let bytes = payload.iter().enumerate();
    bytes.map(|(index, byte)| byte ^ key[index % 4]).collect()
}
