//! A peer that does what zlib's users do: one stream for each direction that is never made anew unless
//! the terms say so, `Z_SYNC_FLUSH`, four bytes off and four bytes on. Shares no code with ours.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::support::Frame;

pub(crate) const TRAILER: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses as a peer would, one message after the other.
pub(crate) struct Deflater {
    stream: Compress,
    takeover: bool,
}

impl Deflater {
    pub(crate) fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            stream: Compress::new_with_window_bits(Compression::new(6), false, window_bits),
            takeover,
        }
    }

    pub(crate) fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return vec![0];
        }
        let mut compressed = Vec::with_capacity(payload.len() * 2 + 1000);
        let status = self
            .stream
            .compress_vec(payload, &mut compressed, FlushCompress::Sync);
        assert_eq!(status.unwrap(), Status::Ok);
        assert!(
            compressed.ends_with(&TRAILER),
            "room was made for all of it"
        );
        compressed.truncate(compressed.len() - TRAILER.len());
        if !self.takeover {
            self.stream.reset();
        }
        compressed
    }
}

/// Inflates as a peer would, with a window of its own that is no larger than what was agreed on, and one
/// byte of output at a time, so that everything further back must be in that window.
pub(crate) struct Inflater {
    stream: Decompress,
    takeover: bool,
}

impl Inflater {
    pub(crate) fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            stream: Decompress::new_with_window_bits(false, window_bits),
            takeover,
        }
    }

    pub(crate) fn inflate(&mut self, compressed: &[u8]) -> Vec<u8> {
        assert!(!compressed.is_empty(), "P-M12");
        let input = [compressed, &TRAILER].concat();
        let mut input = &*input;
        let mut inflated = Vec::new();
        loop {
            let mut byte = [0];
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut byte, FlushDecompress::Sync)
                .expect("it was compressed within the terms");
            assert_ne!(status, Status::StreamEnd, "nobody here finishes");
            let taken = usize::try_from(self.stream.total_in() - read).unwrap();
            input = &input[taken..];
            match self.stream.total_out() - written {
                0 if input.is_empty() => break,
                0 => assert!(taken > 0, "it goes on"),
                _ => inflated.push(byte[0]),
            }
        }
        if !self.takeover {
            self.stream.reset(false);
        }
        inflated
    }
}

/// Splits outgoing bytes into frames, unmasked: the first byte and the payload of each.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let first_byte = bytes[0];
        let masked = bytes[1] & 0x80 != 0;
        let (len, header_len) = match bytes[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => {
                let len = u64::from_be_bytes(bytes[2..10].try_into().unwrap());
                (usize::try_from(len).unwrap(), 10)
            }
            len => (usize::from(len), 2),
        };
        let key = match masked {
            true => [0, 1, 2, 3].map(|i| bytes[header_len + i]),
            false => [0; 4],
        };
        let start = header_len + if masked { 4 } else { 0 };
        let payload = bytes[start..start + len].iter().enumerate();
        let payload = payload.map(|(i, byte)| byte ^ key[i % 4]).collect();
        frames.push((first_byte, payload));
        bytes = &bytes[start + len..];
    }
    frames
}

/// A frame that is a whole compressed message.
pub(crate) fn message(is_text: bool, compressed: &[u8]) -> Frame {
    Frame::new(if is_text { 0xc1 } else { 0xc2 }, compressed)
}
