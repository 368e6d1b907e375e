//! Inflates messages of the peer. It works in steps, so the limit counts the bytes that come out, and a
//! decompression bomb ends at the limit. Knows nothing of frames but their masks.
//!
//! Each message has an inflater of its own. Between messages a connection keeps only the last inflated bytes, as far as
//! the next message may refer to them. An inflater that lives as long as its connection was rejected for three reasons:
//! - it takes 47 KiB, also on an idle connection;
//! - zlib takes a final block (BFINAL) for the end of all, while `direct.rs` continues behind it with the same history;
//! - one message could leave it in a state that breaks the next one (PROTOCOL.md §6.4, traps 1 and 3).

use flate2::{Decompress, FlushDecompress, Status};

use super::bounds::{Bounds, InflateError, reserve};
use super::direct::{Direct, Sink};
use super::history::{FULL_WINDOW, History};
use super::streams::{AttachedStreams, DeflateStreams};
use super::terms::Direction;
use crate::mask::Mask;

/// The bytes that a sender leaves out at the end of a message (P-M4, P-M5).
pub(super) const TRAILER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block, stored. Behind a trailer, zlib takes all of it and ends the stream without output. Inside a
/// block that was cut off, zlib reads it as something else, or the first bits of it end that block.
const FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];
const FINAL_BLOCK_LEN: u64 = 5;

/// The number of bytes that are unmasked at once, on the stack.
const BLOCK_LEN: usize = 1024;

/// The longest whole message, in compressed bytes, that is inflated without zlib. Copying the window to zlib would take
/// longer than the message itself.
const SHORT_LEN: usize = 32;

/// Inflates the messages of one connection, one after another.
#[derive(Debug)]
pub(super) struct Inflater {
    terms: Direction,
    history: History,
    /// The stream of the message that is being received.
    stream: Option<Stream>,
    #[cfg(test)]
    work: tests::Work,
}

/// The DEFLATE stream of one message.
#[derive(Debug)]
enum Stream {
    Zlib(Zlib),
    /// For a short message, and behind a final block. There zlib would have to restart and copy the window for each
    /// final block, and such a block can be two bytes.
    Direct(Box<Direct>),
}

#[derive(Debug)]
struct Zlib {
    inflate: Box<Decompress>,
    /// Whether it has taken a byte.
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

    /// Inflates a part of a message, or a whole one, and appends the result to `output`.
    pub(super) fn inflate(
        &mut self,
        masked: &[u8],
        mask: Option<Mask>,
        is_whole: bool,
        output: &mut Vec<u8>,
        bounds: Bounds,
        streams: &mut AttachedStreams,
    ) -> Result<(), InflateError> {
        // Only a whole message, because the length of the rest is not known of a part.
        if is_whole && masked.len() <= SHORT_LEN {
            let direct = Direct::new(&self.history, self.window(), 0);
            self.stream = Some(Stream::Direct(Box::new(direct)));
        }
        let Some(mut mask) = mask else {
            return self.feed(masked, output, bounds, streams);
        };
        // The input is borrowed from the caller, so it is unmasked in a copy. Block by block, because a copy of the
        // whole input would need an allocation.
        let mut block = [0; BLOCK_LEN];
        for part in masked.chunks(BLOCK_LEN) {
            let block = &mut block[..part.len()];
            block.copy_from_slice(part);
            mask.apply(block);
            mask = mask.skip(block.len());
            self.feed(block, output, bounds, streams)?;
        }
        Ok(())
    }

    /// Ends a message: inflates the trailer, which the sender has left out, and checks that nothing is cut off.
    pub(super) fn finish(
        &mut self,
        output: &mut Vec<u8>,
        bounds: Bounds,
        streams: &mut AttachedStreams,
    ) -> Result<(), InflateError> {
        // A message that ends behind a final block, or has no byte at all, lacks the byte that the trailer completes
        // (P-M12, trap 3). Its meaning is clear, so it is accepted without a trailer.
        if self
            .stream
            .as_ref()
            .is_some_and(|stream| !stream.is_fresh())
        {
            self.feed(&TRAILER, output, bounds, streams)?;
            // The trailer inside of a block that was cut off would be content.
            let stream = self.stream.as_mut();
            if !stream.is_some_and(Stream::is_between_blocks) {
                return Err(InflateError::Invalid);
            }
        }
        // Without attached streams the inflater is dropped.
        if let (Some(Stream::Zlib(stream)), Some(streams)) = (self.stream.take(), streams) {
            streams.give_inflater(stream.inflate);
        }
        if self.terms.takeover {
            self.history.settle(self.window());
        } else {
            self.history = History::new();
        }
        Ok(())
    }

    /// Drops the unfinished message and frees all memory, because no other message will arrive.
    pub(super) fn stop(&mut self, streams: &mut AttachedStreams) {
        if let (Some(Stream::Zlib(zlib)), Some(streams)) = (self.stream.take(), streams) {
            streams.give_inflater(zlib.inflate);
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
        streams: &mut AttachedStreams,
    ) -> Result<(), InflateError> {
        let window = self.window();
        let stream = self.stream.get_or_insert_with(|| {
            #[cfg(test)]
            self.work.count_window(self.history.len());
            let mut own = DeflateStreams::new();
            let zlib = Zlib::new(streams.as_mut().unwrap_or(&mut own), &self.history);
            Stream::Zlib(zlib)
        });
        if let Stream::Zlib(zlib) = stream {
            let noted = output.len();
            #[cfg(test)]
            self.work.count_turns(1);
            let is_at_end = zlib.feed(&mut input, output, bounds.output_limit)?;
            // zlib keeps the full window itself, so the history needs the negotiated one only.
            self.history.note(&output[noted..], window);
            if !is_at_end {
                return Ok(());
            }
            // zlib ended with the first final block of the message, so the count of them starts at 1.
            let direct = Direct::new(&self.history, window, 1);
            let ended = std::mem::replace(stream, Stream::Direct(Box::new(direct)));
            if let (Stream::Zlib(zlib), Some(streams)) = (ended, streams) {
                streams.give_inflater(zlib.inflate);
            }
        }
        if let Stream::Direct(direct) = stream {
            let noted = output.len();
            let mut sink = Sink {
                history: &self.history,
                output,
                noted,
                output_limit: bounds.output_limit,
            };
            let result = direct.feed(input, &mut sink, bounds.final_blocks);
            // The full window, because within a message zlib would accept references over all of it, too. `finish` cuts
            // it to the negotiated one.
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

    /// Tells whether a block could begin here. The stream cannot be used afterwards.
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
            debug_assert!(set.is_ok(), "a raw stream accepts a dictionary at any time");
        }
        Self {
            inflate,
            has_begun: false,
        }
    }

    /// Inflates the input up to the end of a final block. Tells whether it was reached.
    fn feed(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        output_limit: usize,
    ) -> Result<bool, InflateError> {
        // A full output can hide more output that zlib still holds, so it is called again without input.
        while !input.is_empty() || output.len() == output.capacity() {
            reserve(output, input.len(), output_limit);
            let (len_before, in_before) = (output.len(), self.inflate.total_in());
            let result = self
                .inflate
                .decompress_vec(input, output, FlushDecompress::Sync);
            // zlib's counters, because the result says nothing of how far it came.
            let taken = self.inflate.total_in() - in_before;
            self.has_begun |= taken > 0;
            *input = &input[usize::try_from(taken).unwrap_or(input.len())..];
            if output.len() > output_limit {
                output.truncate(output_limit);
                return Err(InflateError::TooLong);
            }
            match result {
                Ok(Status::StreamEnd) => return Ok(true),
                Ok(Status::Ok | Status::BufError) if taken > 0 || output.len() > len_before => {}
                Ok(Status::Ok | Status::BufError) if input.is_empty() => break,
                // No progress in spite of input and capacity: calling again would loop for ever.
                Ok(Status::Ok | Status::BufError) | Err(_) => return Err(InflateError::Invalid),
            }
        }
        Ok(false)
    }

    fn is_between_blocks(&mut self) -> bool {
        // zlib does not say where it is, so the answer is what it makes of a block that only fits here.
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

    /// The work of inflating, in counts.
    #[derive(Debug, Default)]
    pub(super) struct Work {
        /// How often a window was copied to zlib, and how many bytes.
        windows: usize,
        copied: usize,
        /// Calls of zlib, and steps of `direct.rs`.
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

    /// Inflates messages, in the given parts, behind a full window. Returns the work.
    fn work(messages: &[&[&[u8]]], is_whole: bool) -> Work {
        let terms = Direction {
            takeover: true,
            window_bits: 15,
        };
        let mut inflater = Inflater::new(terms);
        inflater.history.note(&[7; WINDOW], WINDOW);
        let (mut output, mut streams) = (Vec::new(), Some(DeflateStreams::new()));
        let bounds = Bounds {
            output_limit: usize::MAX,
            final_blocks: usize::MAX,
        };
        for parts in messages {
            output.clear();
            for part in *parts {
                let result =
                    inflater.inflate(part, None, is_whole, &mut output, bounds, &mut streams);
                assert_eq!(result, Ok(()));
            }
            assert_eq!(inflater.finish(&mut output, bounds, &mut streams), Ok(()));
        }
        inflater.work
    }

    /// X21: a message copies the window once, however many final blocks it has, and takes a few steps for each byte,
    /// however it is split.
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
