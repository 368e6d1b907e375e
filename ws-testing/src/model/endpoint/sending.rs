//! The bytes that an endpoint writes: messages, parts of them, control frames.

use std::ops::Range;

use ws_proto::{Role, Version};

use super::super::view::Refusal;
use super::{CONTROL_LIMIT, Endpoint};
use crate::plain;

impl Endpoint {
    pub fn send(&mut self, is_text: bool, payload: &[u8]) -> Result<(), Refusal> {
        self.check_send(is_text)?;
        let compressor = self.compressor.as_mut();
        let compressed = compressor.and_then(|compressor| compressor.message(payload));
        self.write_message(is_text, payload, compressed);
        Ok(())
    }

    /// A message that was prepared to be sent to many: compressed once, in such a window, or never.
    pub fn send_to_many(
        &mut self,
        is_text: bool,
        payload: &[u8],
        window_bits: Option<u8>,
    ) -> Result<(), Refusal> {
        self.check_send(is_text)?;
        let compressor = self.compressor.as_mut().zip(window_bits);
        let compressed = compressor.and_then(|(compressor, bits)| compressor.shared(payload, bits));
        self.write_message(is_text, payload, compressed);
        Ok(())
    }

    fn check_send(&self, is_text: bool) -> Result<(), Refusal> {
        self.check_sends()?;
        if self.open.is_some() {
            return Err(Refusal::MessageOpen);
        }
        self.check_message(is_text)
    }

    fn write_message(&mut self, is_text: bool, payload: &[u8], compressed: Option<Vec<u8>>) {
        if compressed.is_some() {
            self.watch_context();
        }
        let key = self.next_key();
        self.waiting.extend(match (compressed, is_text) {
            (None, _) => plain::encode(self.setup.rules.version, key, is_text, payload),
            // P-M1.
            (Some(compressed), true) => plain::frame(0xc1, key, &compressed),
            (Some(compressed), false) => plain::frame(0xc2, key, &compressed),
        });
    }

    pub fn send_fragment(
        &mut self,
        is_text: bool,
        payload: &[u8],
        last: bool,
    ) -> Result<(), Refusal> {
        self.check_sends()?;
        if self
            .open
            .is_some_and(|open_is_text| open_is_text != is_text)
        {
            return Err(Refusal::MessageOpen);
        }
        self.check_message(is_text)?;
        let first = self.open.is_none();
        self.open = (!last).then_some(is_text);
        match self.setup.rules.version {
            Version::Rfc6455 => {
                let opcode = match (first, is_text) {
                    (true, true) => 1,
                    (true, false) => 2,
                    (false, _) => 0,
                };
                let compressor = self.compressor.as_mut();
                let compressed = compressor.and_then(|it| it.fragment(payload, first, last));
                if compressed.is_some() {
                    self.watch_context();
                }
                let reserved = if compressed.is_some() && first {
                    0x40
                } else {
                    0
                };
                let first_byte = opcode | reserved | if last { 0x80 } else { 0 };
                let payload = compressed.as_deref().unwrap_or(payload);
                let key = self.next_key();
                self.waiting.extend(plain::frame(first_byte, key, payload));
            }
            Version::Draft75 | Version::Draft76 => {
                self.waiting.extend(first.then_some(0x00));
                self.waiting.extend(payload);
                self.waiting.extend(last.then_some(0xff));
            }
        }
        Ok(())
    }

    /// A ping or a pong.
    pub fn send_control(&mut self, first_byte: u8, payload: &[u8]) -> Result<(), Refusal> {
        self.check_sends()?;
        if self.setup.rules.version != Version::Rfc6455 {
            return Err(Refusal::Unsupported);
        }
        // R-F8.
        if payload.len() > 125 {
            return Err(Refusal::ControlTooLong);
        }
        if self.control_len() >= CONTROL_LIMIT {
            return Err(Refusal::QueueFull);
        }
        self.pings_sent += u64::from(first_byte == 0x89);
        self.control(first_byte, payload);
        Ok(())
    }

    fn check_sends(&self) -> Result<(), Refusal> {
        self.is_writable().then_some(()).ok_or(Refusal::Closed)
    }

    fn check_message(&self, is_text: bool) -> Result<(), Refusal> {
        if !is_text && self.setup.rules.version != Version::Rfc6455 {
            return Err(Refusal::Unsupported);
        }
        self.has_capacity().then_some(()).ok_or(Refusal::QueueFull)
    }

    /// R-F1, R-F2, R-F7: a client masks, with a fresh key for each frame.
    fn next_key(&mut self) -> Option<[u8; 4]> {
        let masks = self.setup.rules.role == Role::Client;
        (masks && self.setup.rules.version == Version::Rfc6455).then(|| {
            [(); 4].map(|()| {
                self.key = self.key.wrapping_add(1);
                self.key
            })
        })
    }

    pub(super) fn control(&mut self, first_byte: u8, payload: &[u8]) {
        let key = self.next_key();
        let frame = plain::frame(first_byte, key, payload);
        let start = self.gone + self.buffered();
        let at = start..start + frame.len();
        self.controls.push((at, first_byte == 0x89));
        self.waiting.extend(frame);
    }

    /// The bytes of pings and pongs that wait, those included that were taken to be written.
    pub(super) fn control_len(&self) -> usize {
        let waits = |(at, _): &(Range<usize>, bool)| at.end.saturating_sub(at.start.max(self.gone));
        self.controls.iter().map(waits).sum()
    }

    pub(super) fn write_close(&mut self, code: Option<u16>, reason: &str) {
        self.queue_close(code, reason);
        self.close_end = self.gone + self.buffered();
    }

    fn queue_close(&mut self, code: Option<u16>, reason: &str) {
        match self.setup.rules.version {
            Version::Draft75 => {}
            // D76-X7: not in a text that is half written.
            Version::Draft76 if self.open.is_some() => {}
            Version::Draft76 => self.waiting.extend([0xff, 0x00]),
            Version::Rfc6455 => {
                let payload = match code {
                    None => vec![],
                    Some(code) => [&code.to_be_bytes(), reason.as_bytes()].concat(),
                };
                let key = self.next_key();
                self.waiting.extend(plain::frame(0x88, key, &payload));
            }
        }
    }
}
