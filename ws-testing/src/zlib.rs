//! A peer that compresses as users of zlib do: one stream that restarts only if the terms say so,
//! `Z_SYNC_FLUSH`, four bytes removed and four bytes added. It inflates on its own, and shares no code with ours.

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::puff::Inflate;

pub const TRAILER: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses as a peer would, one message after the other.
pub struct Deflater {
    stream: Compress,
    takeover: bool,
}

impl Deflater {
    pub fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            stream: Compress::new_with_window_bits(Compression::new(6), false, window_bits),
            takeover,
        }
    }

    pub fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return vec![0];
        }
        let mut compressed = deflate(&mut self.stream, payload);
        compressed.truncate(compressed.len() - TRAILER.len());
        if !self.takeover {
            self.stream.reset();
        }
        compressed
    }
}

/// Compresses bytes, one or more, up to the trailer.
pub fn deflate(stream: &mut Compress, payload: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(payload.len() * 2 + 1000);
    let status = stream.compress_vec(payload, &mut compressed, FlushCompress::Sync);
    assert_eq!(status.expect("any bytes can be compressed"), Status::Ok);
    assert!(
        compressed.ends_with(&TRAILER),
        "room was made for all of it"
    );
    compressed
}

/// Inflates as a peer would that has just the window that was agreed on.
pub struct Inflater {
    window: usize,
    takeover: bool,
    /// The end of what came out before.
    before: Vec<u8>,
}

impl Inflater {
    pub fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            window: 1 << window_bits,
            takeover,
            before: Vec::new(),
        }
    }

    pub fn inflate(&mut self, compressed: &[u8]) -> Vec<u8> {
        assert!(!compressed.is_empty(), "P-M12");
        let input = [compressed, &TRAILER].concat();
        let before = std::mem::take(&mut self.before);
        let start = before.len();
        let mut inflate = Inflate::new(&input, before, self.window);
        while !inflate.is_at_end() {
            let is_last = inflate.block();
            assert_eq!(is_last, Ok(false), "it is within the terms, and goes on");
        }
        let mut output = inflate.output;
        if self.takeover {
            let kept = output.len().saturating_sub(self.window);
            self.before = output[kept..].to_vec();
        }
        output.split_off(start)
    }
}
