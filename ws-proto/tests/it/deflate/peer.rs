//! The frames of a peer that compresses, and those that are sent to it.

use ws_testing::connections::Frame;
pub(crate) use ws_testing::zlib::{Deflater, Inflater};

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
