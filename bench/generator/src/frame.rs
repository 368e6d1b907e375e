//! Frames, as they are written.

/// Appends a text as a server sends it that does not compress.
pub(crate) fn encode_plain(payload: &[u8], frame: &mut Vec<u8>) {
    encode_header(0x81, payload.len(), 0, frame);
    frame.extend_from_slice(payload);
}

/// Appends a frame as a client sends it.
pub(crate) fn encode_masked(
    first_byte: u8,
    payload: &[u8],
    masking_key: [u8; 4],
    frame: &mut Vec<u8>,
) {
    encode_header(first_byte, payload.len(), MASK, frame);
    frame.extend_from_slice(&masking_key);
    let masked = payload.iter().zip(masking_key.iter().cycle());
    frame.extend(masked.map(|(byte, key)| byte ^ key));
}

/// RFC 6455 §5.2: the first byte, then the shortest length (R-F5).
fn encode_header(first_byte: u8, len: usize, mask: u8, frame: &mut Vec<u8>) {
    frame.push(first_byte);
    match (u8::try_from(len), u16::try_from(len), u64::try_from(len)) {
        (Ok(len @ 0..=125), _, _) => frame.push(len | mask),
        (_, Ok(len), _) => {
            frame.push(126 | mask);
            frame.extend_from_slice(&len.to_be_bytes());
        }
        (_, _, len) => {
            frame.push(127 | mask);
            frame.extend_from_slice(&len.unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

/// Appends a text of the drafts.
pub(crate) fn encode_draft(payload: &[u8], frame: &mut Vec<u8>) {
    frame.push(0x00);
    frame.extend_from_slice(payload);
    frame.push(0xff);
}

/// Takes the pings of a server away that stand before a message: to open many connections can take longer
/// than a server lets the first of them be silent. Runs are too short for it to miss the pongs.
pub(crate) fn skip_pings(mut bytes: &[u8]) -> &[u8] {
    while let [PING, len, rest @ ..] = bytes {
        let Some(rest) = rest.get(usize::from(*len)..) else {
            break;
        };
        bytes = rest;
    }
    bytes
}

/// A whole ping, whose payload has 125 bytes at most.
const PING: u8 = 0x89;

const MASK: u8 = 0x80;
