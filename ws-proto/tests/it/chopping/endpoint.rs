//! The endpoints: their options, and the frames that they write.

use ws_proto::{ConnectionConfig, Role};

/// The message limit in half of the cases; generated messages lie on both sides of it.
pub(crate) const LIMIT: usize = 100;
pub(crate) const FRAGMENT_LIMIT: usize = 6;

pub(crate) fn config(limit: Option<usize>) -> ConnectionConfig {
    ConnectionConfig::new()
        .message_limit(limit)
        .fragment_limit(FRAGMENT_LIMIT)
        .send_queue_limit(None)
        .control_events(true)
}

/// The frames of RFC 6455 in `bytes`, unmasked; they are our own and whole.
pub(crate) fn frames(role: Role, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let [first_byte, second_byte, ..] = rest {
        assert_eq!(
            second_byte & 0x80 != 0,
            role == Role::Client,
            "clients mask, servers do not"
        );
        let (used, len) = match second_byte & 0x7f {
            126 => (
                4,
                usize::from(u16::from_be_bytes(*rest[2..].first_chunk().unwrap())),
            ),
            127 => {
                let len = u64::from_be_bytes(*rest[2..].first_chunk().unwrap());
                (10, usize::try_from(len).unwrap())
            }
            len => (2, usize::from(len)),
        };
        rest = &rest[used..];
        let mut key = [0; 4];
        if role == Role::Client {
            key.copy_from_slice(&rest[..4]);
            rest = &rest[4..];
        }
        let payload = rest[..len]
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect();
        frames.push((*first_byte, payload));
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "half a frame was written");
    frames
}
