//! The bytes that a message may refer to: the last bytes that were inflated before.

use std::collections::VecDeque;

/// The window of DEFLATE (RFC 1951 §2). Within a message zlib accepts references over all of it, even if the
/// handshake agreed on a smaller window.
pub(super) const FULL_WINDOW: usize = 32 << 10;

/// The last inflated bytes.
#[derive(Debug, Default)]
pub(super) struct History {
    // A ring, because each message removes bytes in front and adds bytes behind.
    bytes: VecDeque<u8>,
}

impl History {
    pub(super) const fn new() -> Self {
        Self {
            bytes: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn as_slices(&self) -> [&[u8]; 2] {
        self.bytes.as_slices().into()
    }

    /// Appends inflated bytes, and keeps the last `limit` bytes of all.
    pub(super) fn note(&mut self, output: &[u8], limit: usize) {
        // Bytes in front of the last `limit` ones are not copied at all.
        let new = &output[output.len().saturating_sub(limit)..];
        let needed = self.bytes.len() + new.len();
        self.bytes.drain(..needed.saturating_sub(limit));
        if needed > self.bytes.capacity() {
            // Doubles, but never beyond the limit, which the deque's own growth would pass.
            let capacity = needed.saturating_mul(2).min(limit);
            self.bytes
                .reserve_exact(capacity.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend(new);
    }

    /// Appends the `count` bytes that start `back` bytes before the end to `output`.
    pub(super) fn copy(&self, back: usize, count: usize, output: &mut Vec<u8>) {
        let start = self.bytes.len() - back;
        let (older, newer) = self.bytes.as_slices();
        let split = older.len();
        output.extend_from_slice(&older[start.min(split)..(start + count).min(split)]);
        let newer_end = (start + count).saturating_sub(split);
        output.extend_from_slice(&newer[start.saturating_sub(split)..newer_end]);
    }

    /// Keeps the last `limit` bytes, and frees much of unused capacity.
    pub(super) fn settle(&mut self, limit: usize) {
        self.bytes.drain(..self.bytes.len().saturating_sub(limit));
        // An idle connection keeps this memory. Little unused capacity stays, so that not each message reallocates.
        if self.bytes.capacity() - self.bytes.len() > limit / 2 {
            self.bytes.shrink_to_fit();
        }
    }
}
