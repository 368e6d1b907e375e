//! A decoder for the frames of RFC 6455.

use ws_proto::Role;

use super::inflated::inflate;
use super::{Item, Open, Stream, is_not_text, over};

impl Stream<'_> {
    /// Reads one frame; `None` if it is not complete or the stream has ended.
    pub(super) fn rfc6455_frame(&mut self) -> Option<()> {
        self.frame_start = self.at;
        let first = self.take(1)?[0];
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode >= 8;
        // P-M1.
        let may_be_compressed = self.rules.inflates.is_some() && matches!(opcode, 1 | 2);
        let reserved = if may_be_compressed { 0x30 } else { 0x70 };
        // R-F3, R-F4, R-F8.
        if first & reserved != 0 || !matches!(opcode, 0..=2 | 8..=10) || (is_control && !fin) {
            return self.fail(1002);
        }
        let second = self.take(1)?[0];
        let (is_masked, form) = (second & 0x80 != 0, second & 0x7f);
        // R-F1, R-F2, R-F8.
        let is_wrong = is_masked != (self.rules.role == Role::Server);
        if is_wrong && !self.rules.wrong_masking || (is_control && form > 125) {
            return self.fail(1002);
        }
        let (len, least) = match form {
            126 => (number(&self.take(2)?), 126),
            127 => (number(&self.take(8)?), 65536),
            form => (u128::from(form), 0),
        };
        // R-F5, R-F6.
        if len >= 1 << 63 || len < least && !self.rules.padded_lengths {
            return self.fail(1002);
        }
        let key = if is_masked { self.take(4)? } else { vec![0; 4] };
        if is_control {
            let payload = self.take(usize::try_from(len).unwrap())?;
            self.control(opcode, unmask(&payload, &key))
        } else {
            self.data(first, len, &key)
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

    fn data(&mut self, first: u8, len: u128, key: &[u8]) -> Option<()> {
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        // R-F10, R-F12.
        if (opcode == 0) != self.open.is_some() {
            return self.fail(1002);
        }
        if opcode != 0 {
            self.begin();
        }
        let mut open = self.open.take().unwrap_or(Open {
            is_text: opcode == 1,
            frames: 0,
            payload: Vec::new(),
            told: 0,
            compressed: (first & 0x40 != 0).then(Vec::new),
        });
        open.frames += 1;
        // R-F17, X14, X17. What is compressed is limited by what comes out.
        let is_plain = open.compressed.is_none();
        let total = len + u128::try_from(open.payload.len()).unwrap();
        if over(self.rules.fragment_limit, open.frames.try_into().unwrap())
            || over(self.rules.frame_limit, len)
            || is_plain && over(self.rules.message_limit, total)
            || open
                .compressed
                .as_ref()
                .is_some_and(|wire| self.is_too_long(wire, len))
        {
            return self.fail(1009);
        }
        let start = self.at;
        let available = self.bytes.len() - start;
        let is_whole = u128::try_from(available).unwrap() >= len;
        let end = if is_whole {
            start + usize::try_from(len).unwrap()
        } else {
            self.bytes.len()
        };
        let payload = unmask(&self.bytes[start..end], key);
        let cuts = self.cuts(start..end);
        if is_plain {
            self.append(&mut open, &payload, &cuts, is_whole && fin, None)?
        } else {
            self.append_inflated(&mut open, &payload, &cuts, is_whole && fin)?
        }
        self.at = end;
        if !(is_whole && fin) {
            self.open = Some(open);
        }
        is_whole.then_some(())
    }

    /// Whether a compressed message is longer, with a frame of `len`, than any within the limit needs to be
    /// (X21).
    fn is_too_long(&self, wire: &[u8], len: u128) -> bool {
        let most = self
            .rules
            .message_limit
            .map(|limit| 2 * limit + (128 << 10));
        over(most, u128::try_from(wire.len()).unwrap() + len)
    }

    /// As [`append`](Self::append), for what arrived of a compressed message: what it says of the bytes
    /// holds for those that come out (P-M5, P-M8).
    fn append_inflated(
        &mut self,
        open: &mut Open,
        payload: &[u8],
        cuts: &[usize],
        is_complete: bool,
    ) -> Option<()> {
        let way = self.rules.inflates.expect("compression was agreed on");
        let checks = open.is_text && !self.rules.mends();
        let mut wire = open.compressed.take().expect("it is compressed");
        let before = wire.len();
        wire.extend(payload);
        let limit = self.rules.message_limit.unwrap_or(usize::MAX);
        let inflated = inflate(&wire, &self.history, way, self.rules, is_complete);
        for (index, cut) in cuts.iter().copied().chain([payload.len()]).enumerate() {
            let is_last = index == cuts.len();
            let bits = if is_last && is_complete {
                usize::MAX
            } else {
                (before + cut) * 8
            };
            let there = inflated.times.partition_point(|time| *time <= bits);
            open.payload = inflated.output[..there.min(limit)].to_vec();
            if checks && is_not_text(&open.payload, false) {
                return self.fail(1007);
            }
            if there > limit {
                return self.fail(1009);
            }
            // P-M11.
            if let Some((_, code)) = inflated.fails_at.filter(|(time, _)| *time <= bits) {
                return self.fail(code);
            }
            if !(is_last && is_complete) {
                self.tell(open, checks);
            }
        }
        open.compressed = Some(wire);
        if !is_complete {
            return Some(());
        }
        if checks && is_not_text(&open.payload, true) {
            return self.fail(1007);
        }
        self.finish(open);
        self.history.extend(&inflated.output);
        let kept = if way.takeover { way.window() } else { 0 };
        let forgotten = self.history.len().saturating_sub(kept);
        self.history.drain(..forgotten);
        Some(())
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

fn unmask(payload: &[u8], key: &[u8]) -> Vec<u8> {
    let bytes = payload.iter().enumerate();
    bytes.map(|(index, byte)| byte ^ key[index % 4]).collect()
}
