//! A connection and its peer: what the peer sends, and the frames that it reads.

use std::time::Instant;

use ws_proto::{Connection, ConnectionConfig, Role, Version};

use ws_testing::connections::{Frame, close_frame, connect, written};

pub(crate) fn open(role: Role, version: Version, now: Instant) -> Connection {
    connect(role, version, ConnectionConfig::new(), now)
}

/// A text message as the peer of `role` sends it.
pub(crate) fn text_to(role: Role, version: Version, text: &str) -> Vec<u8> {
    match version {
        Version::Draft75 | Version::Draft76 => [b"\0", text.as_bytes(), b"\xff"].concat(),
        Version::Rfc6455 => Frame::new(0x81, text).to(role),
    }
}

/// Lets the peer of `role` close: by a frame, in draft-75 by the end of its stream.
pub(crate) fn peer_closes(connection: &mut Connection, now: Instant) {
    match connection.version() {
        Version::Draft75 => connection.handle_eof(now),
        Version::Draft76 => connection.handle_read(now, b"\xff\0"),
        Version::Rfc6455 => {
            let close = close_frame(1001, "bye").to(connection.role());
            connection.handle_read(now, &close);
        }
    }
}

/// The frames of RFC 6455 in `bytes`, unmasked: first byte and payload. They must be whole.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first_byte, second_byte, rest @ ..] = bytes {
        let (len, rest) = match second_byte & 0x7f {
            126 => {
                let (len, rest) = rest.split_first_chunk().expect("a whole header");
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk().expect("a whole header");
                (usize::try_from(u64::from_be_bytes(*len)).unwrap(), rest)
            }
            len => (usize::from(len), rest),
        };
        let (key, rest) = match second_byte & 0x80 {
            0 => ([0; 4], rest),
            _ => rest
                .split_first_chunk()
                .map(|(key, rest)| (*key, rest))
                .expect("a whole header"),
        };
        let (payload, rest) = rest.split_at(len);
        let payload = payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect();
        frames.push((*first_byte, payload));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame was written: {bytes:x?}");
    frames
}

/// The first bytes of the drafts' frames in `bytes`. They must be whole, text or close.
pub(crate) fn draft_frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let Some(first) = bytes.first() {
        let len = match bytes {
            [0x00, rest @ ..] => {
                rest.iter()
                    .position(|byte| *byte == 0xff)
                    .expect("a whole text")
                    + 2
            }
            [0xff, 0x00, ..] => 2,
            bytes => panic!("not a frame: {bytes:x?}"),
        };
        frames.push(*first);
        bytes = &bytes[len..];
    }
    frames
}

/// What `role` writes in the end: nothing in draft-75, `FF 00` in draft-76, one close frame with
/// `payload` in RFC 6455.
pub(crate) fn assert_close_written(connection: &mut Connection, payload: &[u8], context: &str) {
    let bytes = written(connection);
    match connection.version() {
        Version::Draft75 => assert_eq!(bytes, b"", "{context}"),
        Version::Draft76 => assert_eq!(bytes, b"\xff\0", "{context}"),
        Version::Rfc6455 => assert_eq!(frames(&bytes), [(0x88, payload.to_vec())], "{context}"),
    }
}
