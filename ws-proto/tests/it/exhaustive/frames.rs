//! The frames that are put together: one for each thing that PROTOCOL.md tells apart.

use ws_proto::{Role, Version};

use ws_testing::plain;

/// The key of all masks.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a peer of an endpoint can send, in any order.
pub(crate) fn table(role: Role, version: Version) -> Vec<Vec<u8>> {
    match version {
        Version::Rfc6455 => rfc6455(role),
        Version::Draft75 | Version::Draft76 => draft(),
    }
}

fn rfc6455(role: Role) -> Vec<Vec<u8>> {
    let key = (role == Role::Server).then_some(KEY);
    let frame = |first_byte: u8, payload: &[u8]| plain::frame(first_byte, key, payload);
    let mut all = Vec::new();
    // R-F4: every opcode, in a frame that is whole and in one that goes on.
    for opcode in 0..16 {
        all.push(frame(0x80 | opcode, b"a"));
    }
    for opcode in [0, 1, 2, 8, 9, 10] {
        all.push(frame(opcode, b"b"));
        all.push(frame(0x80 | opcode, b""));
    }
    // R-F3, P-M1: every flag, on data, on what continues it, and on a control frame.
    for first_byte in [0xc1, 0xa1, 0x91, 0x41, 0xc0, 0xc9] {
        all.push(frame(first_byte, b"a"));
    }
    // R-F5, R-F6: every form of a length; those that are too long are declared and not sent.
    all.push(frame(0x82, &[7; 125]));
    all.push(frame(0x02, &[7; 126]));
    all.push(frame(0x89, &[7; 125]));
    for (first_byte, form, len) in [
        (0x82, 126, &[0, 125][..]),
        (0x82, 126, &[0xff, 0xff]),
        (0x82, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        (0x82, 127, &[0, 0, 1, 0, 0, 0, 0, 0]),
        (0x82, 127, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        (0x89, 126, &[0, 126]),
    ] {
        let mask_bit = if key.is_some() { 0x80 } else { 0 };
        let key = key.unwrap_or_default();
        let key = if mask_bit > 0 { &key[..] } else { b"" };
        all.push([&[first_byte, mask_bit | form], len, key].concat());
    }
    // R-F1, R-F2: a mask where none must be, and none where one must.
    all.push(plain::frame(0x81, key.xor(Some(KEY)), b"a"));
    // R-U1 to R-U3: text that is none, and characters that are cut.
    for (first_byte, payload) in [
        (0x81, &b"\xff"[..]),
        (0x01, b"\xc3"),
        (0x80, b"\xa9"),
        (0x00, b"\xf0\x9f"),
    ] {
        all.push(frame(first_byte, payload));
    }
    // R-X1, R-X8, R-U2: closes.
    for payload in [
        &b"\x03\xe8"[..],
        b"\x03\xe8bye",
        b"\x03\xed",
        b"\x03\xec",
        b"\x03\xe8\xff",
    ] {
        all.push(frame(0x88, payload));
    }
    // P-M5 to P-M12: messages that are compressed, in blocks of each type, final and not, with a reference to the message
    // before, without an end, and one of which too much comes out.
    for (first_byte, payload) in [
        (0xc1, &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..]),
        (0xc1, b"\xf2\x00\x11\x00\x00"),
        (0x41, b"\xf2\x48\xcd"),
        (0x80, b"\xc9\xc9\x07\x00"),
        (0xc2, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
        (0xc2, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        (0xc2, b"\x03\x00\x03\x00\x03\x00"),
        (0xc2, b"\x03\x00"),
        (0xc2, b"\x00"),
        (0xc2, b"\x4b\x84\x81\x51\x00\x00"),
    ] {
        all.push(frame(first_byte, payload));
    }
    all
}

fn draft() -> Vec<Vec<u8>> {
    let long = [&b"\0"[..], &[b'a'; 201], b"\xff"].concat();
    let all: [&[u8]; 19] = [
        b"\0\xff",
        b"\0a\xff",
        b"\0\xc3\xa9\xff",
        b"\0\xc3\xff",
        b"\0\x80\xff",
        b"\0",
        b"\0a",
        b"\xc3",
        b"\xff",
        &long,
        b"\xff\0",
        b"\xff\x80\0",
        b"\xff\x01a",
        b"\x80\0",
        b"\x80\x02ab",
        b"\x80\x81\x80\x00",
        b"\x01a\xff",
        b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
    ];
    all.map(<[u8]>::to_vec).to_vec()
}
