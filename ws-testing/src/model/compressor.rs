//! The model of a sender that compresses: which messages, and to which bytes, as zlib does it. One stream
//! continues from message to message, and restarts where the peer would not know the earlier input.

use flate2::Compress;

use super::view::Agreement;
use crate::zlib::{TRAILER, deflate};

/// Zlib's deflate has no smaller window (PROTOCOL.md §6.4, trap 4).
const LEAST_WINDOW_BITS: u8 = 9;

/// Compresses what one side sends.
#[derive(Debug)]
pub struct Compressor {
    agreed: Agreement,
    stream: Option<Compress>,
    /// Whether something was compressed since the last rest.
    is_used: bool,
    /// Whether the message that is sent in fragments is compressed.
    is_open: bool,
}

impl Compressor {
    pub fn new(agreed: Agreement) -> Self {
        Self {
            agreed,
            stream: None,
            is_used: false,
            is_open: false,
        }
    }

    /// A message; `None` if it goes plain.
    pub fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.wants(payload) {
            return None;
        }
        let mut compressed = self.flush(payload);
        end(&mut compressed);
        if self.agreed.sends.takeover {
            return Some(compressed);
        }
        self.stream = None;
        Some(compressed).filter(|compressed| compressed.len() < payload.len())
    }

    /// A part of a message; the first one decides for all.
    pub fn fragment(&mut self, payload: &[u8], first: bool, last: bool) -> Option<Vec<u8>> {
        if first {
            self.is_open = self.wants(payload);
        }
        if !self.is_open {
            return None;
        }
        let mut compressed = self.flush(payload);
        if last {
            end(&mut compressed);
            self.is_open = false;
            if !self.agreed.sends.takeover {
                self.stream = None;
            }
        }
        Some(compressed)
    }

    /// A message that is compressed once for all connections, with the same options but for the window.
    pub fn shared(&mut self, payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
        if payload.len() < self.agreed.threshold {
            return None;
        }
        let mut stream = self.begin(window_bits);
        let mut compressed = deflate(&mut stream, payload);
        end(&mut compressed);
        if compressed.len() >= payload.len() {
            return None;
        }
        if window_bits > self.agreed.sends.window_bits {
            return self.message(payload);
        }
        self.stream = None;
        Some(compressed)
    }

    /// Whether the next message may refer to those before it.
    pub fn keeps_context(&self) -> bool {
        self.agreed.sends.takeover && self.stream.is_some()
    }

    /// What was not used since the last time is given back.
    pub fn rest(&mut self) {
        if !self.is_used && !self.is_open {
            self.stream = None;
        }
        self.is_used = false;
    }

    fn wants(&self, payload: &[u8]) -> bool {
        let agreed = &self.agreed;
        payload.len() >= agreed.threshold && agreed.sends.window_bits >= LEAST_WINDOW_BITS
    }

    fn begin(&self, window_bits: u8) -> Compress {
        let level = flate2::Compression::new(self.agreed.level.into());
        Compress::new_with_window_bits(level, false, window_bits)
    }

    fn flush(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return Vec::new();
        }
        self.is_used = true;
        let begun = self.stream.take();
        let mut stream = begun.unwrap_or_else(|| self.begin(self.agreed.sends.window_bits));
        let compressed = deflate(&mut stream, payload);
        self.stream = Some(stream);
        compressed
    }
}

/// P-M4, P-M12.
fn end(compressed: &mut Vec<u8>) {
    match compressed.strip_suffix(&TRAILER) {
        Some(rest) => *compressed = rest.to_vec(),
        None => compressed.push(0),
    }
}
