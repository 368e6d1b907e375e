//! Compresses what is sent. Knows nothing of frames.
//!
//! One rule makes everything here right: the compressor refers only to what it has seen since it
//! began, so that must be the end of what the peer has inflated so far. It is while all that the peer
//! inflates came out of it, in order. Where something else was sent compressed, such as a message that was
//! compressed once for many, the compressor begins anew; beginning anew is allowed at any time (RFC 7692
//! §7.2.1). Messages that are sent plain do not count (P-M2).

use flate2::{Compress, FlushCompress, Status};

use super::inflate::TRAILER;
use super::options::Deflate;
use super::streams::{DeflateStreams, Lent};
use super::terms::{DeflateTerms, LEAST_COMPRESSOR_BITS};

/// Compresses the messages of one connection.
#[derive(Debug)]
pub(super) struct Compressor {
    level: u8,
    threshold: usize,
    window_bits: u8,
    /// Whether the stream goes on with the next message.
    takeover: bool,
    /// What the next message may refer to; made when it is needed.
    stream: Option<Box<Compress>>,
    /// Whether it was used since somebody last [looked](Self::rest).
    is_used: bool,
    /// While a message is sent in fragments: whether it is compressed.
    open: bool,
}

impl Compressor {
    pub(super) fn new(terms: &DeflateTerms) -> Self {
        Self {
            level: terms.level,
            threshold: terms.threshold,
            window_bits: terms.sending.window_bits,
            takeover: terms.sending.takeover,
            stream: None,
            is_used: false,
            open: false,
        }
    }

    /// Compresses a message; `None` if it is to be sent plain.
    pub(super) fn compress(&mut self, payload: &[u8], lent: &mut Lent) -> Option<Vec<u8>> {
        if !self.wants(payload.len()) {
            return None;
        }
        let mut compressed = self.run(payload, lent);
        end_message(&mut compressed);
        if !self.takeover {
            self.begin_anew(lent);
        }
        // With takeover the stream has it in mind, so the peer must see it.
        let is_worth_it = self.takeover || compressed.len() < payload.len();
        is_worth_it.then_some(compressed)
    }

    /// Compresses a part of a message, so that the peer can inflate it as it comes; `None` if it is to
    /// be sent plain. The first part decides for all.
    pub(super) fn compress_fragment(
        &mut self,
        payload: &[u8],
        first: bool,
        last: bool,
        lent: &mut Lent,
    ) -> Option<Vec<u8>> {
        if first {
            self.open = self.wants(payload.len());
        }
        if !self.open {
            return None;
        }
        let mut compressed = self.run(payload, lent);
        if last {
            end_message(&mut compressed);
            self.open = false;
            if !self.takeover {
                self.begin_anew(lent);
            }
        }
        Some(compressed)
    }

    /// Forgets what was compressed: nothing may refer to it, or the peer was sent a compressed message which
    /// did not come from here.
    pub(super) fn begin_anew(&mut self, lent: &mut Lent) {
        if let (Some(stream), Some(lent)) = (self.stream.take(), lent) {
            lent.give_compressor(stream, self.level, self.window_bits);
        }
    }

    /// Tells whether a message that was compressed on its own can be sent: one with a window of two to
    /// the power of `window_bits`.
    pub(super) fn can_send(&self, window_bits: u8) -> bool {
        window_bits <= self.window_bits
    }

    /// Returns the options by which a message that is compressed elsewhere comes out as it would here, if none
    /// refers to another.
    pub(super) fn alone(&self) -> Option<Deflate> {
        let options = Deflate {
            level: self.level,
            threshold: self.threshold,
            server_max_window_bits: self.window_bits,
            ..Deflate::new()
        };
        let may_compress = self.window_bits >= LEAST_COMPRESSOR_BITS;
        (!self.takeover && may_compress).then_some(options)
    }

    /// Gives memory back if nothing was compressed since the last call: the next message begins anew.
    pub(super) fn rest(&mut self) {
        if !std::mem::take(&mut self.is_used) && !self.open {
            self.stream = None;
        }
    }

    fn wants(&self, payload_len: usize) -> bool {
        payload_len >= self.threshold && self.window_bits >= LEAST_COMPRESSOR_BITS
    }

    /// Compresses all of `payload` and flushes it, to a byte and behind an empty block (P-M4). Of
    /// nothing it makes nothing.
    fn run(&mut self, payload: &[u8], lent: &mut Lent) -> Vec<u8> {
        if payload.is_empty() {
            return Vec::new();
        }
        self.is_used = true;
        let stream = self.stream.get_or_insert_with(|| {
            let mut none = DeflateStreams::new();
            let streams = lent.as_mut().unwrap_or(&mut none);
            streams.take_compressor(self.level, self.window_bits)
        });
        flush(stream, payload)
    }
}

/// Compresses a message on its own; the result can be inflated whatever was inflated before.
pub(super) fn compress_alone(
    payload: &[u8],
    level: u8,
    window_bits: u8,
    streams: &mut DeflateStreams,
) -> Vec<u8> {
    let mut stream = streams.take_compressor(level, window_bits);
    let mut compressed = flush(&mut stream, payload);
    streams.give_compressor(stream, level, window_bits);
    end_message(&mut compressed);
    compressed
}

fn flush(stream: &mut Compress, mut payload: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(most_room(payload.len()));
    loop {
        let before = stream.total_in();
        let status = stream
            .compress_vec(payload, &mut compressed, FlushCompress::Sync)
            .expect("a stream that is never finished takes whatever comes");
        debug_assert_ne!(status, Status::StreamEnd, "it is never finished");
        let taken = stream.total_in() - before;
        payload = &payload[usize::try_from(taken).unwrap_or(payload.len())..];
        // With room to spare zlib has nothing left to write.
        if payload.is_empty() && compressed.len() < compressed.capacity() {
            break;
        }
        compressed.reserve(most_room(payload.len()));
    }
    // What waits to be written is counted by its length, so it must not hold much more.
    if compressed.capacity() - compressed.len() > SPARE_LEN {
        compressed.shrink_to_fit();
    }
    compressed
}

/// Room for what can come out at worst: 9 bits for each byte, and the ends of blocks. Called again because
/// the room is just full, zlib would flush again, and the message have 5 bytes more than it needs.
fn most_room(len: usize) -> usize {
    len.saturating_add(len / 8).saturating_add(ENDS_LEN)
}

/// Cuts off what the peer adds again. Nothing to flush gives nothing, so the empty block that ends a
/// message is missing then (PROTOCOL.md §6.4, trap 2).
fn end_message(compressed: &mut Vec<u8>) {
    match compressed.strip_suffix(&TRAILER).map(<[u8]>::len) {
        Some(len) => compressed.truncate(len),
        None => {
            debug_assert!(compressed.is_empty(), "what is flushed ends in a trailer");
            compressed.extend_from_slice(&EMPTY);
        }
    }
}

/// An empty message, and the end of one whose last bytes were flushed before: the first byte of an empty
/// stored block (P-M12).
const EMPTY: [u8; 1] = [0x00];

/// Room for the ends of blocks.
const ENDS_LEN: usize = 64;

/// Memory that a compressed message may hold and not use: shorter ones are copied when they are queued.
const SPARE_LEN: usize = 4096;
