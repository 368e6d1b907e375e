//! Inflates what the peer compressed: in steps, so that the limit counts what comes out, and a bomb ends
//! at it. Knows nothing of frames but their masks.
//!
//! Each message has an inflater of its own; what a connection keeps between messages is the end of what
//! came out, as far as the next message may refer to it. So an idle connection holds no more than that;
//! a final block (BFINAL), which zlib takes for the end of everything, is a fresh start with the same
//! memory; and no message can leave an inflater in a state that spoils the next one (PROTOCOL.md §6.4,
//! traps 1 and 3).

use std::collections::VecDeque;

use flate2::{Decompress, FlushDecompress, Status};

use super::negotiate::Direction;
use super::streams::{DeflateStreams, Lent};
use crate::error::ProtocolError;
use crate::mask::Mask;

/// What a sender leaves out at the end of a message (P-M4, P-M5).
pub(super) const TRAILER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block, stored. Behind a trailer all of it is taken and ends the stream without a byte; in
/// the midst of a block that was cut off it is something else, or ends that block by its first bits.
const FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];
const FINAL_BLOCK_LEN: u64 = 5;

/// Bytes that are unmasked in one go, on the stack.
const BLOCK_LEN: usize = 1024;

/// Room that is made for the first bytes of a message: for each byte that came, and at least.
const GROWTH: usize = 4;
const LEAST_ROOM: usize = 64;

/// Inflates the messages of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Inflater {
    terms: Direction,
    history: History,
    /// While a message is open.
    stream: Option<Stream>,
}

/// The DEFLATE stream of one message; a final block begins it anew.
#[derive(Debug)]
struct Stream {
    inflate: Box<Decompress>,
    /// Whether it has seen a byte since it began.
    has_begun: bool,
}

impl Inflater {
    pub(super) fn new(terms: Direction) -> Self {
        Self {
            terms,
            history: History::new(1 << terms.window_bits),
            stream: None,
        }
    }

    /// Appends to `output` what comes out of a part of a message, up to a length of `most`.
    pub(super) fn inflate(
        &mut self,
        masked: &[u8],
        mask: Option<Mask>,
        output: &mut Vec<u8>,
        most: usize,
        lent: &mut Lent,
    ) -> Result<(), InflateError> {
        let Some(mut mask) = mask else {
            return self.feed(masked, output, most, lent);
        };
        let mut block = [0; BLOCK_LEN];
        for part in masked.chunks(BLOCK_LEN) {
            let block = &mut block[..part.len()];
            block.copy_from_slice(part);
            mask.apply(block);
            mask = mask.skip(block.len());
            self.feed(block, output, most, lent)?;
        }
        Ok(())
    }

    /// Ends a message: as [`inflate`](Self::inflate) for what is left out at its end.
    ///
    /// A message that ends behind a final block, or has no byte at all, lacks the byte that the
    /// trailer completes (P-M12, trap 3). What it means is clear, so it is let pass.
    pub(super) fn finish(
        &mut self,
        output: &mut Vec<u8>,
        most: usize,
        lent: &mut Lent,
    ) -> Result<(), InflateError> {
        if self.stream.as_ref().is_some_and(|stream| stream.has_begun) {
            self.feed(&TRAILER, output, most, lent)?;
            let stream = self.stream.as_mut();
            if !stream.is_some_and(Stream::is_between_blocks) {
                return Err(InflateError::Invalid);
            }
        }
        if let (Some(stream), Some(lent)) = (self.stream.take(), lent) {
            lent.give_inflater(stream.inflate);
        }
        match self.terms.takeover {
            true => self.history.settle(),
            false => self.history = History::new(self.history.limit),
        }
        Ok(())
    }

    /// Gives up the message that is open, and all memory: there will be no other.
    pub(super) fn stop(&mut self, lent: &mut Lent) {
        if let (Some(stream), Some(lent)) = (self.stream.take(), lent) {
            lent.give_inflater(stream.inflate);
        }
        *self = Self::new(self.terms);
    }

    fn feed(
        &mut self,
        mut input: &[u8],
        output: &mut Vec<u8>,
        most: usize,
        lent: &mut Lent,
    ) -> Result<(), InflateError> {
        let stream = self.stream.get_or_insert_with(|| {
            let mut none = DeflateStreams::new();
            Stream::new(lent.as_mut().unwrap_or(&mut none), &self.history)
        });
        let mut noted = output.len();
        while !input.is_empty() || output.len() == output.capacity() {
            reserve(output, input.len(), most);
            let (len_before, in_before) = (output.len(), stream.inflate.total_in());
            let result = stream
                .inflate
                .decompress_vec(input, output, FlushDecompress::Sync);
            let taken = stream.inflate.total_in() - in_before;
            stream.has_begun |= taken > 0;
            input = &input[usize::try_from(taken).unwrap_or(input.len())..];
            if output.len() > most {
                output.truncate(most);
                return Err(InflateError::TooLong);
            }
            match result {
                Ok(Status::StreamEnd) => {
                    self.history.note(&output[noted..]);
                    noted = output.len();
                    stream.begin_anew(&self.history);
                }
                Ok(Status::Ok | Status::BufError) if taken > 0 || output.len() > len_before => {}
                Ok(Status::Ok | Status::BufError) if input.is_empty() => break,
                Ok(Status::Ok | Status::BufError) | Err(_) => return Err(InflateError::Invalid),
            }
        }
        self.history.note(&output[noted..]);
        Ok(())
    }
}

impl Stream {
    fn new(streams: &mut DeflateStreams, history: &History) -> Self {
        let mut stream = Self {
            inflate: streams.take_inflater(),
            has_begun: false,
        };
        stream.remember(history);
        stream
    }

    fn begin_anew(&mut self, history: &History) {
        self.inflate.reset(false);
        self.has_begun = false;
        self.remember(history);
    }

    fn remember(&mut self, history: &History) {
        let (older, newer) = history.bytes.as_slices();
        for bytes in [older, newer] {
            let set = self.inflate.set_dictionary(bytes);
            debug_assert!(set.is_ok(), "a raw stream takes a dictionary at any time");
        }
    }

    /// Tells whether a block could begin here. The stream cannot be used any more.
    fn is_between_blocks(&mut self) -> bool {
        let mut nothing = [0];
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress(&FINAL_BLOCK, &mut nothing, FlushDecompress::Sync);
        let is_all_taken = self.inflate.total_in() - before == FINAL_BLOCK_LEN;
        matches!(status, Ok(Status::StreamEnd)) && is_all_taken
    }
}

/// The end of what came out so far: what the next bytes may refer to.
#[derive(Debug)]
struct History {
    /// Invariant: `bytes.len() <= limit`.
    bytes: VecDeque<u8>,
    limit: usize,
}

impl History {
    fn new(limit: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            limit,
        }
    }

    fn note(&mut self, output: &[u8]) {
        let new = &output[output.len().saturating_sub(self.limit)..];
        let needed = self.bytes.len() + new.len();
        self.bytes.drain(..needed.saturating_sub(self.limit));
        if needed > self.bytes.capacity() {
            let capacity = needed.saturating_mul(2).min(self.limit);
            self.bytes
                .reserve_exact(capacity.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend(new);
    }

    /// Gives memory back that was made ready and not used.
    fn settle(&mut self) {
        if self.bytes.capacity() - self.bytes.len() > self.limit / 2 {
            self.bytes.shrink_to_fit();
        }
    }
}

/// Why inflating ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    /// What came out is as long as it may be, and more would come.
    TooLong,
    /// It is not DEFLATE, refers to what was never there, or is cut off.
    Invalid,
}

impl InflateError {
    pub(super) fn into_protocol_error(self, limit: usize) -> ProtocolError {
        match self {
            Self::TooLong => ProtocolError::MessageTooBig {
                len: u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1),
                limit,
            },
            Self::Invalid => ProtocolError::InvalidDeflate,
        }
    }
}

/// Makes room, if there is none: memory follows what came out, and stays within one byte more than
/// `most`, which is how more is noticed.
fn reserve(output: &mut Vec<u8>, input_len: usize, most: usize) {
    let len = output.len();
    if len == output.capacity() {
        let wanted = input_len.saturating_mul(GROWTH).max(LEAST_ROOM).max(len);
        let most_room = most.saturating_add(1).saturating_sub(len);
        output.reserve_exact(wanted.min(most_room));
    }
}
