//! Inflates what the peer compressed: in steps, so that the limit counts what comes out, and a bomb ends
//! at it. Knows nothing of frames but their masks.
//!
//! Each message has an inflater of its own; what a connection keeps between messages is the end of what
//! came out, as far as the next message may refer to it. So an idle connection holds no more than that;
//! behind a final block (BFINAL), which zlib takes for the end of everything, `direct.rs` goes on with the same
//! memory; and no message can leave an inflater in a state that spoils the next one (PROTOCOL.md §6.4,
//! traps 1 and 3).

use flate2::{Decompress, FlushDecompress, Status};

use super::bounds::{Bounds, InflateError, reserve};
use super::direct::{Direct, Sink};
use super::history::{FULL_WINDOW, History};
use super::streams::{DeflateStreams, Lent};
use super::terms::Direction;
use crate::mask::Mask;

/// What a sender leaves out at the end of a message (P-M4, P-M5).
pub(super) const TRAILER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block, stored. Behind a trailer all of it is taken and ends the stream without a byte; in
/// the midst of a block that was cut off it is something else, or ends that block by its first bits.
const FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];
const FINAL_BLOCK_LEN: u64 = 5;

/// Bytes that are unmasked in one go, on the stack.
const BLOCK_LEN: usize = 1024;

/// A whole message of so many bytes is inflated without zlib: to copy the window to it would take longer.
const SHORT_LEN: usize = 32;

/// Inflates the messages of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Inflater {
    terms: Direction,
    history: History,
    /// While a message is open.
    stream: Option<Stream>,
    #[cfg(test)]
    work: tests::Work,
}

/// The DEFLATE stream of one message.
#[derive(Debug)]
enum Stream {
    Zlib(Zlib),
    /// Of a short message, or behind a final block. zlib would have to begin anew there and copy the window for each
    /// final block, which can be two bytes; and it would be given back and taken anew.
    Direct(Box<Direct>),
}

#[derive(Debug)]
struct Zlib {
    inflate: Box<Decompress>,
    /// Whether it has seen a byte.
    has_begun: bool,
}

impl Inflater {
    pub(super) fn new(terms: Direction) -> Self {
        Self {
            terms,
            history: History::new(),
            stream: None,
            #[cfg(test)]
            work: tests::Work::default(),
        }
    }

    /// Appends to `output` what comes out of a part of a message, or of a whole one.
    pub(super) fn inflate(
        &mut self,
        masked: &[u8],
        mask: Option<Mask>,
        is_whole: bool,
        output: &mut Vec<u8>,
        bounds: Bounds,
        lent: &mut Lent,
    ) -> Result<(), InflateError> {
        if is_whole && masked.len() <= SHORT_LEN {
            let direct = Direct::new(&self.history, self.window(), 0);
            self.stream = Some(Stream::Direct(Box::new(direct)));
        }
        let Some(mut mask) = mask else {
            return self.feed(masked, output, bounds, lent);
        };
        let mut block = [0; BLOCK_LEN];
        for part in masked.chunks(BLOCK_LEN) {
            let block = &mut block[..part.len()];
            block.copy_from_slice(part);
            mask.apply(block);
            mask = mask.skip(block.len());
            self.feed(block, output, bounds, lent)?;
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
        bounds: Bounds,
        lent: &mut Lent,
    ) -> Result<(), InflateError> {
        if self
            .stream
            .as_ref()
            .is_some_and(|stream| !stream.is_fresh())
        {
            self.feed(&TRAILER, output, bounds, lent)?;
            let stream = self.stream.as_mut();
            if !stream.is_some_and(Stream::is_between_blocks) {
                return Err(InflateError::Invalid);
            }
        }
        if let (Some(Stream::Zlib(stream)), Some(lent)) = (self.stream.take(), lent) {
            lent.give_inflater(stream.inflate);
        }
        if self.terms.takeover {
            self.history.settle(self.window());
        } else {
            self.history = History::new();
        }
        Ok(())
    }

    /// Gives up the message that is open, and all memory: there will be no other.
    pub(super) fn stop(&mut self, lent: &mut Lent) {
        if let (Some(Stream::Zlib(zlib)), Some(lent)) = (self.stream.take(), lent) {
            lent.give_inflater(zlib.inflate);
        }
        *self = Self::new(self.terms);
    }

    fn window(&self) -> usize {
        1 << self.terms.window_bits
    }

    fn feed(
        &mut self,
        mut input: &[u8],
        output: &mut Vec<u8>,
        bounds: Bounds,
        lent: &mut Lent,
    ) -> Result<(), InflateError> {
        let window = self.window();
        let stream = self.stream.get_or_insert_with(|| {
            #[cfg(test)]
            self.work.count_window(self.history.len());
            let mut none = DeflateStreams::new();
            let zlib = Zlib::new(lent.as_mut().unwrap_or(&mut none), &self.history);
            Stream::Zlib(zlib)
        });
        if let Stream::Zlib(zlib) = stream {
            let noted = output.len();
            #[cfg(test)]
            self.work.count_turns(1);
            let is_at_end = zlib.feed(&mut input, output, bounds.most)?;
            self.history.note(&output[noted..], window);
            if !is_at_end {
                return Ok(());
            }
            let direct = Direct::new(&self.history, window, 1);
            let ended = std::mem::replace(stream, Stream::Direct(Box::new(direct)));
            if let (Stream::Zlib(zlib), Some(lent)) = (ended, lent) {
                lent.give_inflater(zlib.inflate);
            }
        }
        if let Stream::Direct(direct) = stream {
            let noted = output.len();
            let mut sink = Sink {
                history: &self.history,
                output,
                noted,
                most: bounds.most,
            };
            let result = direct.feed(input, &mut sink, bounds.final_blocks);
            self.history.note(&output[noted..], FULL_WINDOW);
            #[cfg(test)]
            self.work.count_turns(direct.take_steps());
            result?;
        }
        Ok(())
    }
}

impl Stream {
    /// Tells whether a message may end here without a trailer.
    fn is_fresh(&self) -> bool {
        match self {
            Self::Zlib(zlib) => !zlib.has_begun,
            Self::Direct(direct) => direct.is_fresh(),
        }
    }

    /// Tells whether a block could begin here. The stream cannot be used any more.
    fn is_between_blocks(&mut self) -> bool {
        match self {
            Self::Zlib(zlib) => zlib.is_between_blocks(),
            Self::Direct(direct) => direct.is_between_blocks(),
        }
    }
}

impl Zlib {
    fn new(streams: &mut DeflateStreams, history: &History) -> Self {
        let mut inflate = streams.take_inflater();
        for bytes in history.as_slices() {
            let set = inflate.set_dictionary(bytes);
            debug_assert!(set.is_ok(), "a raw stream takes a dictionary at any time");
        }
        Self {
            inflate,
            has_begun: false,
        }
    }

    /// Inflates the input up to the end of a final block; tells whether that was reached.
    fn feed(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        most: usize,
    ) -> Result<bool, InflateError> {
        while !input.is_empty() || output.len() == output.capacity() {
            reserve(output, input.len(), most);
            let (len_before, in_before) = (output.len(), self.inflate.total_in());
            let result = self
                .inflate
                .decompress_vec(input, output, FlushDecompress::Sync);
            let taken = self.inflate.total_in() - in_before;
            self.has_begun |= taken > 0;
            *input = &input[usize::try_from(taken).unwrap_or(input.len())..];
            if output.len() > most {
                output.truncate(most);
                return Err(InflateError::TooLong);
            }
            match result {
                Ok(Status::StreamEnd) => return Ok(true),
                Ok(Status::Ok | Status::BufError) if taken > 0 || output.len() > len_before => {}
                Ok(Status::Ok | Status::BufError) if input.is_empty() => break,
                Ok(Status::Ok | Status::BufError) | Err(_) => return Err(InflateError::Invalid),
            }
        }
        Ok(false)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What inflating took, in counts.
    #[derive(Debug, Default)]
    pub(super) struct Work {
        /// How often a window was copied to zlib, and how many bytes.
        windows: usize,
        copied: usize,
        /// Calls of zlib, and steps beside it.
        turns: usize,
    }

    impl Work {
        pub(super) fn count_window(&mut self, len: usize) {
            self.windows += 1;
            self.copied += len;
        }

        pub(super) fn count_turns(&mut self, count: usize) {
            self.turns += count;
        }
    }

    const WINDOW: usize = 32 << 10;

    /// Inflates messages, in the parts that are given, behind a window that is full; returns what that took.
    fn work(messages: &[&[&[u8]]], is_whole: bool) -> Work {
        let terms = Direction {
            takeover: true,
            window_bits: 15,
        };
        let mut inflater = Inflater::new(terms);
        inflater.history.note(&[7; WINDOW], WINDOW);
        let (mut output, mut lent) = (Vec::new(), Some(DeflateStreams::new()));
        let bounds = Bounds {
            most: usize::MAX,
            final_blocks: usize::MAX,
        };
        for parts in messages {
            output.clear();
            for part in *parts {
                let result = inflater.inflate(part, None, is_whole, &mut output, bounds, &mut lent);
                assert_eq!(result, Ok(()));
            }
            assert_eq!(inflater.finish(&mut output, bounds, &mut lent), Ok(()));
        }
        inflater.work
    }

    /// X21: a message copies the window once, however many final blocks it has, and takes a few turns for each byte;
    /// however it is cut.
    #[test]
    fn final_blocks_copy_no_window() {
        let units: [(&str, &[u8]); 4] = [
            ("empty, fixed", b"\x03\x00"),
            ("empty, stored", b"\x01\x00\x00\xff\xff"),
            ("one byte, stored", b"\x01\x01\x00\xfe\xff7"),
            ("one byte, fixed", b"\x33\x04\x00"),
        ];
        for (name, unit) in units {
            let bytes = unit.repeat(10_000);
            for cut in [1, 2, 3, 1000, bytes.len()] {
                let parts: Vec<_> = bytes.chunks(cut).collect();
                let work = work(&[&parts], false);
                assert!(work.windows <= 1, "{name}: {work:?}");
                assert!(work.copied <= WINDOW, "{name}: {work:?}");
                assert!(work.turns <= 4 * bytes.len(), "{name}: {work:?}");
            }
        }
    }

    /// Proves that short messages, which a peer can send for seven bytes each, copy no window.
    #[test]
    fn short_messages_copy_no_window() {
        let messages: [&[u8]; 4] = [b"", b"\x00", b"\x32\x04\x00", b"\x03\x00"];
        for message in messages {
            let parts = [message];
            let work = work(&[&parts[..]; 100], true);
            assert_eq!((work.windows, work.copied), (0, 0), "{message:x?}");
            assert!(work.turns <= 100 * 12, "{message:x?}: {work:?}");
        }
    }
}
