//! Every kind of frame, block and head, by name, and what it may cost.

use ws_proto::{Role, Version};

use super::blocks::{Blocks, Content};
use ws_testing::connections::Frame;

/// The window of a peer that has sent so much: all of it.
const FULL: usize = 32 << 10;

/// What a peer sends again and again.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// What comes once, in front.
    start: Vec<u8>,
    pub(crate) unit: Vec<u8>,
    pub(crate) allocations_per_kib: u64,
    pub(crate) allocated_per_byte: usize,
}

/// Where it is sent to.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// A connection of this version; so many bytes came out of compressed messages before.
    Connection(Version, usize),
    /// A handshake for each unit, which is read in portions of this length.
    Handshake(usize),
}

impl Kind {
    pub(crate) fn bytes(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.start.clone();
        bytes.extend(self.unit.repeat(len.div_ceil(self.unit.len())));
        bytes
    }

    fn may(mut self, allocations_per_kib: u64, allocated_per_byte: usize) -> Self {
        self.allocations_per_kib = allocations_per_kib;
        self.allocated_per_byte = allocated_per_byte;
        self
    }

    fn new(name: &'static str, target: Target, start: Vec<u8>, unit: Vec<u8>) -> Self {
        Self {
            name,
            target,
            start,
            unit,
            allocations_per_kib: 8,
            allocated_per_byte: 16,
        }
    }
}

fn frame(name: &'static str, first_byte: u8, payload: &[u8]) -> Kind {
    let target = Target::Connection(Version::Rfc6455, 0);
    let unit = Frame::new(first_byte, payload).to(Role::Server);
    Kind::new(name, target, Vec::new(), unit)
}

/// A frame in the midst of a message.
fn fragment(name: &'static str, payload: &[u8]) -> Kind {
    let start = Frame::new(0x02, b"").to(Role::Server);
    Kind {
        start,
        ..frame(name, 0x00, payload)
    }
}

fn draft(name: &'static str, unit: &[u8]) -> Kind {
    let target = Target::Connection(Version::Draft76, 0);
    Kind::new(name, target, Vec::new(), unit.to_vec())
}

/// A compressed message again and again, behind a window that is full.
fn message(name: &'static str, compressed: &[u8]) -> Kind {
    let target = Target::Connection(Version::Rfc6455, FULL);
    Kind {
        target,
        ..frame(name, 0xc2, compressed)
    }
}

/// Blocks without end, in one compressed message whose frame declares that it is long.
fn block(name: &'static str, make: impl Fn(&mut Blocks)) -> Kind {
    let mut blocks = Blocks::default();
    // Eight of them end at the boundary of a byte.
    (0..8).for_each(|_| make(&mut blocks));
    raw_block(name, &blocks.bytes())
}

fn raw_block(name: &'static str, unit: &[u8]) -> Kind {
    let target = Target::Connection(Version::Rfc6455, FULL);
    let mut start = vec![0xc2, 0xff];
    start.extend((64_u64 << 20).to_be_bytes());
    start.extend([0; 4]);
    Kind::new(name, target, start, unit.to_vec())
}

fn head(name: &'static str, lines: &str, read_len: usize) -> Kind {
    let unit = format!("GET / HTTP/1.1\r\n{lines}").into_bytes();
    Kind::new(name, Target::Handshake(read_len), Vec::new(), unit)
}

pub(crate) fn all() -> Vec<Kind> {
    [frames(), drafts(), messages(), blocks(), heads()]
        .into_iter()
        .flatten()
        .collect()
}

fn frames() -> Vec<Kind> {
    vec![
        frame("empty binary frame", 0x82, b""),
        frame("binary frame of 1 byte", 0x82, b"a"),
        frame("text frame of 1 byte", 0x81, b"a"),
        frame(
            "text frame of 20 bytes, not ASCII",
            0x81,
            "κόσμε12345".as_bytes(),
        ),
        frame("binary frame of 125 bytes", 0x82, &[7; 125]),
        frame("binary frame of 126 bytes", 0x82, &[7; 126]),
        frame("binary frame of 64 KiB", 0x82, &[7; 64 << 10]),
        frame(
            "text frame of 64 KiB, not ASCII",
            0x81,
            "é".repeat(32 << 10).as_bytes(),
        ),
        frame("empty ping", 0x89, b""),
        frame("ping of 125 bytes", 0x89, &[7; 125]).may(16, 4),
        frame("empty pong", 0x8a, b""),
        frame("pong of 125 bytes", 0x8a, &[7; 125]).may(16, 4),
        fragment("empty fragment", b""),
        fragment("fragment of 1 byte", b"a"),
        fragment("fragment of 1 KiB", &[7; 1 << 10]),
    ]
}

fn drafts() -> Vec<Kind> {
    // An event in the queue is longer than a message of two bytes.
    let kinds = vec![
        draft("draft: empty text", b"\x00\xff"),
        draft("draft: text of 1 byte", b"\x00a\xff"),
        draft("draft: skipped frame of no byte", b"\x80\x00"),
        draft(
            "draft: skipped frame of 100 bytes",
            &[&[0x80, 100][..], &[7; 100]].concat(),
        ),
        draft("draft: skipped frame without a length", b"\x01a\xff"),
    ];
    kinds.into_iter().map(|kind| kind.may(1, 32)).collect()
}

fn messages() -> Vec<Kind> {
    let mut referring = Blocks::default();
    referring.fixed(false, &Content::Reference);
    referring.fixed(false, &Content::Nothing);
    let mut referring = referring.bytes();
    // The header of the stored block that the trailer completes.
    referring.push(0);
    vec![
        message("compressed message, empty", b"\x00"),
        message("compressed message of 1 byte", b"\x62\x00\x00"),
        message(
            "compressed message, 258 bytes from the far end of the window",
            &referring,
        ),
        message(
            "compressed message that ends with a final block",
            b"\x03\x00",
        ),
    ]
    .into_iter()
    // Three allocations for a message of nine bytes: its content, the event and the stream.
    .map(|kind| kind.may(360, 64))
    .collect()
}

fn blocks() -> Vec<Kind> {
    let fixed =
        |is_final, content: Content| move |blocks: &mut Blocks| blocks.fixed(is_final, &content);
    vec![
        block("final block, empty", fixed(true, Content::Nothing)),
        block("final block, one literal", fixed(true, Content::Literal)),
        block(
            "final block, 258 bytes from the far end of the window",
            fixed(true, Content::Reference),
        )
        .may(1, 200),
        raw_block("final block, stored, empty", b"\x01\x00\x00\xff\xff"),
        block("final block, empty, with codes of its own", |blocks| {
            blocks.dynamic(true)
        }),
        block("block, empty", fixed(false, Content::Nothing)),
        block("block, one literal", fixed(false, Content::Literal)),
        block(
            "block, 258 bytes from the far end of the window",
            fixed(false, Content::Reference),
        )
        .may(1, 200),
        raw_block("block, stored, empty", b"\x00\x00\x00\xff\xff"),
        raw_block("block, stored, one byte", b"\x00\x01\x00\xfe\xffa"),
        block("block, empty, with codes of its own", |blocks| {
            blocks.dynamic(false)
        }),
    ]
}

fn heads() -> Vec<Kind> {
    let many = "a: b\r\n".repeat(90);
    let long = format!("a: {}\r\n", "b".repeat(16_000));
    vec![
        head("head of 90 short lines", &format!("{many}\r\n"), usize::MAX),
        head(
            "head of 90 short lines, a byte at a time",
            &format!("{many}\r\n"),
            1,
        ),
        head(
            "head of one line of 16 KB",
            &format!("{long}\r\n"),
            usize::MAX,
        ),
        head(
            "head of one line of 16 KB, a byte at a time",
            &format!("{long}\r\n"),
            1,
        ),
        head("head that does not end, a byte at a time", &long, 1),
    ]
    .into_iter()
    .map(|kind| kind.may(200, 64))
    .collect()
}
