//! The vectors of RFC 7692 §7.2.3, and what follows from them (PROTOCOL.md §6.5, §6.4).

use std::time::Instant;

use ws_proto::{ConnectionConfig, Role};

use super::{eager, open};
use ws_testing::connections::{Frame, told, written};

/// A name, what arrives, as payloads of compressed text messages, and the texts that come out.
type Vector = (
    &'static str,
    &'static [&'static [u8]],
    &'static [&'static str],
);

const VECTORS: [Vector; 12] = [
    (
        "one fixed block",
        &[b"\xf2\x48\xcd\xc9\xc9\x07\x00"],
        &["Hello"],
    ),
    (
        "a shared window",
        &[b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00"],
        &["Hello", "Hello"],
    ),
    (
        "a stored block",
        &[b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"],
        &["Hello"],
    ),
    (
        "a final block",
        &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"],
        &["Hello"],
    ),
    (
        "two blocks",
        &[b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"],
        &["Hello"],
    ),
    ("an empty message", &[b"\x00"], &[""]),
    (
        "an empty message behind another",
        &[b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\x00"],
        &["Hello", ""],
    ),
    ("an empty final block", &[b"\x03\x00\x00"], &[""]),
    // Trap 1: the window outlives a final block, in the same message and in the next one.
    (
        "a reference over a final block to the message before",
        &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"\xf2\x00\x11\x00\x00"],
        &["Hello", "Hello"],
    ),
    (
        "a reference over a final block in one message",
        &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00"],
        &["HelloHello"],
    ),
    // P-M12 and trap 3: such peers exist; what they mean is clear, and the next message must not suffer.
    (
        "no payload at all",
        &[
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"",
            b"\xf2\x00\x11\x00\x00",
        ],
        &["Hello", "", "Hello"],
    ),
    (
        "a final block and nothing behind it",
        &[b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00"],
        &["Hello", "Hello"],
    ),
];

/// Proves that each vector is inflated to its text, in both roles, whole, byte by byte, and in fragments
/// that are split anywhere (P-M3, P-M5, P-M9, P-M10).
#[test]
fn the_vectors_are_inflated() {
    let now = Instant::now();
    let options = eager().server_no_context_takeover(false);
    for role in [Role::Server, Role::Client] {
        for (name, payloads, texts) in VECTORS {
            let expected: Vec<_> = texts.iter().map(|text| format!("text:{text}")).collect();
            for split in 0..14 {
                let mut connection = open(role, &options, ConnectionConfig::new(), now);
                let mut bytes = Vec::new();
                for payload in payloads {
                    if split == 0 {
                        bytes.extend(Frame::new(0xc1, payload).to(role));
                        continue;
                    }
                    let (head, rest) = payload.split_at(payload.len().min(split - 1));
                    bytes.extend(Frame::new(0x41, head).to(role));
                    bytes.extend(Frame::new(0x00, b"").to(role));
                    bytes.extend(Frame::new(0x80, rest).to(role));
                }
                let mut whole = open(role, &options, ConnectionConfig::new(), now);
                whole.handle_read(now, &bytes);
                bytes
                    .iter()
                    .for_each(|byte| connection.handle_read(now, &[*byte]));
                assert_eq!(told(&mut whole, now), expected, "{name}, split {split}");
                assert_eq!(
                    told(&mut connection, now),
                    expected,
                    "{name}, split {split}"
                );
            }
        }
    }
}

/// Proves that our bytes are the standard's: the first vector, masked and unmasked, and the second one
/// where the context is kept.
#[test]
fn we_send_the_vectors() {
    let now = Instant::now();
    let options = eager().server_no_context_takeover(false);
    let mut server = open(Role::Server, &options, ConnectionConfig::new(), now);
    for _ in 0..2 {
        server.send("Hello").unwrap();
    }
    let expected: [&[u8]; 2] = [
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\xc1\x05\xf2\x00\x11\x00\x00",
    ];
    assert_eq!(written(&mut server), expected.concat());

    let mut client = open(Role::Client, &options, ConnectionConfig::new(), now);
    client.send("Hello").unwrap();
    let mut frame = Frame::new(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    frame.mask = Some([1, 2, 3, 4]);
    assert_eq!(written(&mut client), frame.bytes());
}
