//! What the benches of the core share: the messages, their bytes on the wire, and how long to measure.
//!
//! Goes through the public API only, as a driver does: so a figure is what a driver pays.

use std::hint::black_box;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Buf;
use criterion::{Criterion, Throughput};
use ws_proto::{Connection, ConnectionConfig, Message, Randomness, Role, Utf8Bytes, Version};

/// The lengths of messages, in bytes.
pub const SIZES: [usize; 3] = [16, 1 << 10, 64 << 10];

/// What a driver hands over at most at once.
pub const READ_LEN: usize = 64 << 10;

/// Returns how many messages of a size are worked off together: about what arrives in one read.
pub fn batch_len(size: usize) -> usize {
    (8192 / size).clamp(1, 64)
}

/// Short by default: the whole suite in less than two minutes. Criterion's options lengthen it.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
        .nresamples(2000)
        .without_plots()
        .configure_from_args()
}

/// Says that so many messages of a size are worked off: their payload counts, not their headers.
pub fn throughput(count: usize, size: usize) -> Throughput {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Throughput::ElementsAndBytes {
        elements: wide(count),
        bytes: wide(count * size),
    }
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text of one-byte characters.
    Ascii,
    /// Text of characters of one to four bytes next to each other, the hard case for a validator.
    Mixed,
    /// No text; RFC 6455 only.
    Binary,
}

impl Content {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ascii, Self::Mixed, Self::Binary];

    /// Names it in a bench.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Mixed => "mixed",
            Self::Binary => "binary",
        }
    }

    /// Tells whether a version can carry it.
    pub fn suits(self, version: Version) -> bool {
        self != Self::Binary || version.features().binary
    }

    /// Makes a payload of exactly so many bytes.
    pub fn payload(self, size: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(size);
        if self == Self::Mixed {
            for text in ["é", "ж", "界", "🙂", "a", "ü", "語", "🚀"].iter().cycle() {
                if payload.len() + text.len() > size {
                    break;
                }
                payload.extend_from_slice(text.as_bytes());
            }
        }
        let fill = b"The quick brown fox jumps over the lazy dog. "
            .iter()
            .cycle();
        payload.extend(fill.take(size - payload.len()));
        payload
    }

    /// Makes a message of exactly so many bytes.
    ///
    /// # Panics
    ///
    /// Panics if [`payload`](Self::payload) is no text where it must be.
    pub fn message(self, size: usize) -> Message {
        let payload = bytes::Bytes::from(self.payload(size));
        match self {
            Self::Ascii | Self::Mixed => {
                let text = Utf8Bytes::try_from(payload).expect("the payload is text");
                text.into()
            }
            Self::Binary => payload.into(),
        }
    }
}

/// Makes a connection without limits that would end a bench.
pub fn connection(version: Version, role: Role, now: Instant) -> Connection {
    let config = ConnectionConfig::new()
        .send_queue_limit(None)
        .keepalive_interval(None);
    match role {
        Role::Server => Connection::server(version, config, now),
        Role::Client => Connection::client(version, config, now, Box::new(Keys::default())),
    }
}

/// The other role.
pub fn peer_of(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

/// Names a role in a bench.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}

/// Names a version in a bench.
pub fn version_name(version: Version) -> &'static str {
    match version {
        Version::Draft75 => "draft75",
        Version::Draft76 => "draft76",
        Version::Rfc6455 => "rfc6455",
    }
}

/// Returns the bytes of a batch of messages as `role` sends them.
///
/// # Panics
///
/// Panics if the version cannot carry the content.
pub fn wire(version: Version, role: Role, content: Content, size: usize) -> Vec<u8> {
    let mut sender = connection(version, role, Instant::now());
    let message = content.message(size);
    for _ in 0..batch_len(size) {
        sender.send(message.clone()).expect("nothing is full");
    }
    let mut outgoing = sender.outgoing();
    let len = outgoing.len();
    outgoing.copy_to_bytes(len).to_vec()
}

/// Takes all bytes as a socket would, which takes everything at once; returns how many.
pub fn drain(mut outgoing: impl Buf) -> usize {
    let mut total = 0;
    while outgoing.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = outgoing.chunks_vectored(&mut slices);
        let taken = slices.iter().take(count);
        let len = black_box(taken).map(|slice| slice.len()).sum();
        outgoing.advance(len);
        total += len;
    }
    total
}

/// Keys that differ and cost next to nothing: where a driver gets its own is not measured here.
#[derive(Default)]
pub struct Keys {
    state: u64,
}

impl Randomness for Keys {
    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let next = (self.state ^ (self.state >> 29)).to_le_bytes();
            let (next, _) = next.split_at(part.len());
            part.copy_from_slice(next);
        }
    }
}
