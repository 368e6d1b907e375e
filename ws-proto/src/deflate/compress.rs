//! Compresses the messages that are sent. Knows nothing of frames.
//!
//! One rule keeps all of this correct: the compressor refers only to bytes that it has seen since it started, so
//! these must be the last bytes that the peer has inflated. That holds while all that the peer inflates came out
//! of this compressor, in order. When the connection sends something else compressed, such as a message that was
//! compressed once for many, the compressor restarts. It may restart at any time (RFC 7692 §7.2.1), because a
//! compressor need not refer to anything. Messages that are sent plain do not count (P-M2).

use flate2::{Compress, FlushCompress, Status};

use super::inflate::TRAILER;
use super::options::Deflate;
use super::streams::{AttachedStreams, DeflateStreams};
use super::terms::{DeflateTerms, LEAST_COMPRESSOR_BITS};

/// Compresses the messages of one connection.
#[derive(Debug)]
pub(super) struct Compressor {
    level: u8,
    threshold: usize,
    window_bits: u8,
    /// Whether the stream continues with the next message.
    takeover: bool,
    /// The stream that the next message continues. It is large, so it is made when it is needed, and given back as
    /// early as possible: without takeover, behind each message.
    stream: Option<Box<Compress>>,
    /// Whether the stream was used since the last call of [`release_if_idle`](Self::release_if_idle).
    is_used: bool,
    /// Whether an unfinished message in fragments is compressed.
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

    /// Compresses a message. Returns `None` if the caller must send it plain.
    pub(super) fn compress(
        &mut self,
        payload: &[u8],
        streams: &mut AttachedStreams,
    ) -> Option<Vec<u8>> {
        if !self.wants(payload.len()) {
            return None;
        }
        let mut compressed = self.run(payload, streams);
        end_message(&mut compressed);
        // The stream goes back at once, so that the next connection can use it.
        if !self.takeover {
            self.restart(streams);
        }
        // With takeover the stream can refer to this message from now on, so the peer must inflate it.
        let is_worth_it = self.takeover || compressed.len() < payload.len();
        is_worth_it.then_some(compressed)
    }

    /// Compresses a fragment of a message, so that the peer can inflate it on arrival. Returns `None` if the caller
    /// must send it plain.
    pub(super) fn compress_fragment(
        &mut self,
        payload: &[u8],
        first: bool,
        last: bool,
        streams: &mut AttachedStreams,
    ) -> Option<Vec<u8>> {
        // The first fragment decides for all, because only its frame has the bit for compression (P-M1).
        if first {
            self.open = self.wants(payload.len());
        }
        if !self.open {
            return None;
        }
        let mut compressed = self.run(payload, streams);
        if last {
            end_message(&mut compressed);
            self.open = false;
            if !self.takeover {
                self.restart(streams);
            }
        }
        Some(compressed)
    }

    /// Forgets all that was compressed. For a message that no other may refer to, and when the peer was sent a
    /// compressed message that did not come from this compressor.
    pub(super) fn restart(&mut self, streams: &mut AttachedStreams) {
        if let (Some(stream), Some(streams)) = (self.stream.take(), streams) {
            streams.give_compressor(stream, self.level, self.window_bits);
        }
    }

    /// Tells whether the next message may refer to those before it.
    pub(super) fn keeps_context(&self) -> bool {
        self.takeover && self.stream.is_some()
    }

    /// Tells whether the peer can inflate a message that was compressed on its own with a window of
    /// 2^`window_bits` bytes.
    pub(super) fn can_send(&self, window_bits: u8) -> bool {
        window_bits <= self.window_bits
    }

    /// Returns the options with which [`compress_standalone`] gives the same bytes as this compressor; `None` if
    /// messages refer to each other.
    pub(super) fn standalone_options(&self) -> Option<Deflate> {
        let options = Deflate {
            level: self.level,
            threshold: self.threshold,
            server_max_window_bits: self.window_bits,
            ..Deflate::new()
        };
        let may_compress = self.window_bits >= LEAST_COMPRESSOR_BITS;
        (!self.takeover && may_compress).then_some(options)
    }

    /// Frees the stream if nothing was compressed since the last call. The next message then starts a new one.
    pub(super) fn release_if_idle(&mut self) {
        // Inside a message the stream must stay, because the peer's inflater continues with the next fragment.
        if !std::mem::take(&mut self.is_used) && !self.open {
            self.stream = None;
        }
    }

    fn wants(&self, payload_len: usize) -> bool {
        payload_len >= self.threshold && self.window_bits >= LEAST_COMPRESSOR_BITS
    }

    /// Compresses all of `payload` and flushes it, up to a byte boundary and an empty block (P-M4). Returns nothing
    /// for nothing.
    fn run(&mut self, payload: &[u8], streams: &mut AttachedStreams) -> Vec<u8> {
        // A second flush without input gives no bytes at all, so `end_message` has to complete an empty message anyway
        // (PROTOCOL.md §6.4, trap 2).
        if payload.is_empty() {
            return Vec::new();
        }
        self.is_used = true;
        let stream = self.stream.get_or_insert_with(|| {
            // Without attached streams the connection makes its own.
            let mut own = DeflateStreams::new();
            let streams = streams.as_mut().unwrap_or(&mut own);
            streams.take_compressor(self.level, self.window_bits)
        });
        flush(stream, payload)
    }
}

/// Compresses a message on its own. A peer can inflate the result whatever it inflated before.
pub(super) fn compress_standalone(
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
    let mut compressed = Vec::with_capacity(worst_case_len(payload.len()));
    // One call is enough, as far as `worst_case_len` is right. If it is not, the loop costs bytes and not correctness.
    loop {
        let before = stream.total_in();
        // `Sync`: after a full flush the removal of the trailer would not be correct (PROTOCOL.md §6.4, trap 7).
        let status = stream
            .compress_vec(payload, &mut compressed, FlushCompress::Sync)
            .expect("a stream that is never finished takes whatever comes");
        debug_assert_ne!(status, Status::StreamEnd, "it is never finished");
        let taken = stream.total_in() - before;
        payload = &payload[usize::try_from(taken).unwrap_or(payload.len())..];
        // zlib has left capacity unused, so it has nothing more to write.
        if payload.is_empty() && compressed.len() < compressed.capacity() {
            break;
        }
        compressed.reserve(worst_case_len(payload.len()));
    }
    // The send queue counts the length of this, so its memory must not be much more.
    if compressed.capacity() - compressed.len() > UNUSED_LIMIT {
        compressed.shrink_to_fit();
    }
    compressed
}

/// Returns the most bytes that compressing `len` bytes can give: 9 bits for each byte, and the ends of blocks.
// All of it is reserved at once. If the output just filled the buffer, the loop would call zlib again, and zlib would
// flush again: 5 bytes that the message does not need.
fn worst_case_len(len: usize) -> usize {
    len.saturating_add(len / 8).saturating_add(ENDS_LEN)
}

/// Cuts off the trailer, which the peer adds again. A flush of nothing gives nothing, so the empty block that ends a
/// message is missing then (PROTOCOL.md §6.4, trap 2).
fn end_message(compressed: &mut Vec<u8>) {
    match compressed.strip_suffix(&TRAILER).map(<[u8]>::len) {
        Some(len) => compressed.truncate(len),
        None => {
            debug_assert!(compressed.is_empty(), "flushed bytes end with a trailer");
            compressed.extend_from_slice(&EMPTY);
        }
    }
}

/// An empty message, or the end of a message whose last bytes were flushed before: the first byte of an empty
/// stored block (P-M12).
const EMPTY: [u8; 1] = [0x00];

/// The capacity for the ends of blocks.
const ENDS_LEN: usize = 64;

/// The most unused memory of a compressed message. The queue copies shorter messages than this anyway.
const UNUSED_LIMIT: usize = 4096;
