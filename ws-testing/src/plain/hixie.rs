//! A decoder for the frames of the drafts.

use ws_proto::{Role, Version};

use super::{Item, Open, Stream, over};

impl Stream<'_> {
    /// Reads one frame of a draft (PROTOCOL.md §1.4, §2.7).
    pub(super) fn draft_frame(&mut self) -> Option<()> {
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
        // With the first byte behind the type.
        if start < self.bytes.len() {
            self.begin();
        }
        let mut open = Open {
            is_text: true,
            frames: 1,
            payload: Vec::new(),
            told: 0,
            compressed: None,
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
