//! Inflates in plain steps, and reads earlier bytes in place, where the history keeps them (RFC 1951).
//!
//! zlib needs a copy of the window before it can begin, which costs as much as hundreds of bytes of a message. This
//! inflater begins at once, so it takes short messages and the bytes behind a final block (BFINAL). Each step takes one
//! part of a block or leaves the input unchanged, so the input can be split anywhere. Knows nothing of messages.

use super::bounds::{InflateError, reserve};
use super::codes::{self, Code, DISTANCES, LENGTHS, Word};
use super::history::{FULL_WINDOW, History};

/// The least number of bits that are held before a step, if there is input: more than any step takes. The longest step
/// is a length and a distance with their additional bits: 48 bits.
const ENOUGH_BITS: u32 = 56;

const LITERALS_LIMIT: usize = 286;
const DISTANCES_LIMIT: usize = 30;
const LENS_LIMIT: usize = LITERALS_LIMIT + DISTANCES_LIMIT;
const LENS_OF_LENS: usize = 19;

/// RFC 1951 §3.2.7: the order in which the lengths of the codes for lengths come.
const ORDER: [usize; LENS_OF_LENS] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

const END_OF_BLOCK: usize = 256;

/// A DEFLATE stream that continues behind final blocks.
#[derive(Debug)]
pub(super) struct Direct {
    bits: Bits,
    state: BlockState,
    /// Whether the current block is a final one. Between blocks: whether the last block was, or there was no block.
    is_final: bool,
    final_blocks: usize,
    /// The greatest distance that the next byte may refer to. Invariant: `reach <= FULL_WINDOW`.
    reach: usize,
    /// How many bytes in front of a final block's end may be referred to behind it: the negotiated window.
    window: usize,
    /// Made for the first block with codes of its own, because most short messages use the fixed codes.
    tables: Option<Box<Tables>>,
    #[cfg(test)]
    steps: usize,
}

/// Bits of the input that were taken and not used yet.
#[derive(Clone, Copy, Debug, Default)]
struct Bits {
    hold: u64,
    len: u32,
}

/// The part of a block that comes next.
#[derive(Clone, Copy, Debug)]
enum BlockState {
    Header,
    StoredLen,
    Stored {
        remaining: usize,
    },
    /// The counts at the beginning of a block with codes of its own.
    Counts,
    LensOfLens {
        counts: Counts,
        done: usize,
    },
    Lens {
        counts: Counts,
        done: usize,
    },
    Symbols {
        is_fixed: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    literals: usize,
    distances: usize,
    lens_of_lens: usize,
}

/// The codes of a block with codes of its own.
#[derive(Debug)]
struct Tables {
    lens: [u8; LENS_LIMIT],
    lens_code: Code<LENS_OF_LENS>,
    literals: Code<LITERALS_LIMIT>,
    distances: Code<DISTANCES_LIMIT>,
}

/// The result of a step.
enum Step {
    Done,
    /// The step needs more input.
    Starved,
}

/// The output, and the bytes that it may refer to.
pub(super) struct Sink<'a> {
    pub(super) history: &'a History,
    pub(super) output: &'a mut Vec<u8>,
    /// The bytes of `output` from this place on are not in the history yet.
    pub(super) noted: usize,
    /// The most bytes that `output` may have.
    pub(super) output_limit: usize,
}

impl Direct {
    /// Begins behind `final_blocks` final blocks of a message, or at the beginning of a message. While this is in use,
    /// the caller must add all output to the history, up to the full window.
    pub(super) fn new(history: &History, window: usize, final_blocks: usize) -> Self {
        Self {
            bits: Bits::default(),
            state: BlockState::Header,
            is_final: true,
            final_blocks,
            reach: history.len().min(window),
            window,
            tables: None,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Returns the number of steps since the last call.
    #[cfg(test)]
    pub(super) fn take_steps(&mut self) -> usize {
        std::mem::take(&mut self.steps)
    }

    /// Tells whether a message may end here without a trailer: behind a final block, or before the first block.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_final && self.is_between_blocks()
    }

    /// Tells whether a block could begin here, at the boundary of a byte.
    pub(super) fn is_between_blocks(&self) -> bool {
        matches!(self.state, BlockState::Header) && self.bits.len == 0
    }

    /// Inflates all of the input.
    pub(super) fn feed(
        &mut self,
        mut input: &[u8],
        sink: &mut Sink<'_>,
        final_block_limit: usize,
    ) -> Result<(), InflateError> {
        loop {
            self.bits.fill(&mut input);
            let step = self.step(sink, final_block_limit)?;
            // The bits can hold several steps after the last byte of the input, so the loop ends with a starved one.
            if matches!(step, Step::Starved) && input.is_empty() {
                return Ok(());
            }
        }
    }

    fn step(
        &mut self,
        sink: &mut Sink<'_>,
        final_block_limit: usize,
    ) -> Result<Step, InflateError> {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        // A step works on a copy of the bits, which is kept only if the step succeeds. So a step that runs out of bits
        // leaves no trace, and is tried again when more input is there.
        let mut bits = self.bits;
        let step = match self.state {
            BlockState::Header => self.header(&mut bits, final_block_limit),
            BlockState::StoredLen => self.stored_len(&mut bits),
            BlockState::Stored { remaining } => self.stored(&mut bits, remaining, sink),
            BlockState::Counts => self.counts(&mut bits),
            BlockState::LensOfLens { counts, done } => self.lens_of_lens(&mut bits, counts, done),
            BlockState::Lens { counts, done } => self.lens(&mut bits, counts, done),
            BlockState::Symbols { is_fixed } => self.symbol(&mut bits, is_fixed, sink),
        };
        match step {
            Some(Ok(())) => {
                self.bits = bits;
                Ok(Step::Done)
            }
            Some(Err(error)) => Err(error),
            None => Ok(Step::Starved),
        }
    }

    /// RFC 1951 §3.2.3.
    fn header(&mut self, bits: &mut Bits, final_block_limit: usize) -> Attempt {
        let header = bits.take(3)?;
        self.is_final = header & 1 == 1;
        self.state = match header >> 1 {
            // The length of a stored block begins at a byte boundary, and the bits before it are ignored (RFC 1951
            // §3.2.4).
            0 => {
                bits.align();
                BlockState::StoredLen
            }
            1 => BlockState::Symbols { is_fixed: true },
            2 => BlockState::Counts,
            _ => return INVALID,
        };
        // An empty final block is two bytes and gives no output, so without a limit a message could consist of them
        // for ever.
        if self.is_final {
            self.final_blocks = self.final_blocks.saturating_add(1);
            if self.final_blocks > final_block_limit {
                let limit = final_block_limit;
                return Some(Err(InflateError::TooManyFinalBlocks { limit }));
            }
        }
        DONE
    }

    fn end_block(&mut self, bits: &mut Bits) {
        self.state = BlockState::Header;
        if self.is_final {
            // A final block ends a DEFLATE stream (RFC 7692 §7.2.3.4). The next one starts at a byte boundary, and can
            // refer to the negotiated window only.
            bits.align();
            self.reach = self.reach.min(self.window);
        }
    }

    /// RFC 1951 §3.2.4.
    fn stored_len(&mut self, bits: &mut Bits) -> Attempt {
        let (len, inverse) = (bits.take(16)?, bits.take(16)?);
        if len != !inverse & 0xffff {
            return INVALID;
        }
        self.state = BlockState::Stored { remaining: len };
        // There is no byte that would end the block.
        if len == 0 {
            self.end_block(bits);
        }
        DONE
    }

    fn stored(&mut self, bits: &mut Bits, remaining: usize, sink: &mut Sink<'_>) -> Attempt {
        sink.push(bits.byte()?, &mut self.reach).map_or_else(
            |error| Some(Err(error)),
            |()| {
                let remaining = remaining - 1;
                self.state = BlockState::Stored { remaining };
                if remaining == 0 {
                    self.end_block(bits);
                }
                DONE
            },
        )
    }

    /// RFC 1951 §3.2.7.
    fn counts(&mut self, bits: &mut Bits) -> Attempt {
        let counts = Counts {
            literals: bits.take(5)? + 257,
            distances: bits.take(5)? + 1,
            lens_of_lens: bits.take(4)? + 4,
        };
        if counts.literals > LITERALS_LIMIT || counts.distances > DISTANCES_LIMIT {
            return INVALID;
        }
        let tables = self.tables.get_or_insert_with(|| Box::new(Tables::new()));
        // Lengths that the block leaves out are zero, and the tables still have those of the block before.
        tables.lens[..LENS_OF_LENS].fill(0);
        self.state = BlockState::LensOfLens { counts, done: 0 };
        DONE
    }

    fn lens_of_lens(&mut self, bits: &mut Bits, counts: Counts, done: usize) -> Attempt {
        let tables = self.tables.as_mut()?;
        tables.lens[ORDER[done]] = bits.small(3)?;
        let done = done + 1;
        self.state = BlockState::LensOfLens { counts, done };
        if done == counts.lens_of_lens {
            self.state = BlockState::Lens { counts, done: 0 };
            let lens = &tables.lens[..LENS_OF_LENS];
            // zlib accepts a code without symbols here, and reports the error behind the lengths. This does the same,
            // so that the two inflaters fail at the same byte.
            let is_right = tables.lens_code.set(lens)
                && (tables.lens_code.is_complete() || tables.lens_code.is_empty());
            if !is_right {
                return INVALID;
            }
        }
        DONE
    }

    fn lens(&mut self, bits: &mut Bits, counts: Counts, done: usize) -> Attempt {
        let tables = self.tables.as_mut()?;
        let word = if tables.lens_code.is_empty() {
            // zlib reads each bit as the length 0 then.
            let symbol = Some(0);
            Some(Word { symbol, len: 1 }).filter(|_| bits.len > 0)
        } else {
            tables.lens_code.read(bits.hold, bits.len)
        };
        let Some(symbol) = bits.skip(word?) else {
            return INVALID;
        };
        let (len, count) = match (symbol, done.checked_sub(1)) {
            // Symbol 16 repeats the previous length, and the first one has none before it.
            (16, None) => return INVALID,
            (16, Some(last)) => (tables.lens[last], 3 + bits.take(2)?),
            (17, _) => (0, 3 + bits.take(3)?),
            (18, _) => (0, 11 + bits.take(7)?),
            (len, _) => (u8::try_from(len).unwrap_or(0), 1),
        };
        let (done, all) = (done + count, counts.literals + counts.distances);
        // A repetition may run from the literals into the distances, but not beyond them.
        if done > all {
            return INVALID;
        }
        tables.lens[done - count..done].fill(len);
        self.state = BlockState::Lens { counts, done };
        if done == all {
            self.state = BlockState::Symbols { is_fixed: false };
            let (literals, distances) = tables.lens[..all].split_at(counts.literals);
            // Without the symbol that ends the block, the block could not end.
            let is_right = literals[END_OF_BLOCK] != 0
                && tables.literals.set(literals)
                && tables.distances.set(distances)
                && tables.literals.is_usable()
                && tables.distances.is_usable();
            if !is_right {
                return INVALID;
            }
        }
        DONE
    }

    /// RFC 1951 §3.2.5.
    fn symbol(&mut self, bits: &mut Bits, is_fixed: bool, sink: &mut Sink<'_>) -> Attempt {
        let tables = self.tables.as_ref().filter(|_| !is_fixed);
        let word = match tables {
            Some(tables) => tables.literals.read(bits.hold, bits.len),
            None => codes::read_fixed_literal(bits.hold, bits.len),
        };
        let Some(symbol) = bits.skip(word?) else {
            return INVALID;
        };
        if let Ok(literal) = u8::try_from(symbol) {
            return Some(sink.push(literal, &mut self.reach));
        }
        if usize::from(symbol) == END_OF_BLOCK {
            self.end_block(bits);
            return DONE;
        }
        // The fixed codes have symbols that never occur: two lengths here and two distances below (RFC 1951 §3.2.6).
        let Some(span) = LENGTHS.get(usize::from(symbol) - END_OF_BLOCK - 1) else {
            return INVALID;
        };
        let len = span.start + bits.take(span.extra)?;
        let word = match tables {
            Some(tables) => tables.distances.read(bits.hold, bits.len),
            None => codes::read_fixed_distance(bits.hold, bits.len),
        };
        let Some(symbol) = bits.skip(word?) else {
            return INVALID;
        };
        let Some(span) = DISTANCES.get(usize::from(symbol)) else {
            return INVALID;
        };
        let distance = span.start + bits.take(span.extra)?;
        // A reference in front of the first byte, or beyond the negotiated window.
        if distance > self.reach {
            return INVALID;
        }
        Some(sink.repeat(distance, len, &mut self.reach))
    }
}

/// The result of a part of a step; `None` if it needs more input, and has changed nothing.
type Attempt = Option<Result<(), InflateError>>;

const DONE: Attempt = Some(Ok(()));
const INVALID: Attempt = Some(Err(InflateError::Invalid));

impl Bits {
    fn fill(&mut self, input: &mut &[u8]) {
        while self.len <= ENOUGH_BITS {
            let Some((first, rest)) = input.split_first() else {
                return;
            };
            self.hold |= u64::from(*first) << self.len;
            self.len += 8;
            *input = rest;
        }
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        let rest = self.len.checked_sub(count)?;
        let number = self.hold & ((1 << count) - 1);
        self.hold >>= count;
        self.len = rest;
        usize::try_from(number).ok()
    }

    fn small(&mut self, count: u32) -> Option<u8> {
        self.take(count).and_then(|number| number.try_into().ok())
    }

    fn byte(&mut self) -> Option<u8> {
        self.small(8)
    }

    /// Removes a word. Returns its symbol.
    fn skip(&mut self, word: Word) -> Option<u16> {
        self.hold >>= word.len;
        self.len -= word.len;
        word.symbol
    }

    fn align(&mut self) {
        self.hold >>= self.len % 8;
        self.len -= self.len % 8;
    }
}

impl Sink<'_> {
    fn push(&mut self, byte: u8, reach: &mut usize) -> Result<(), InflateError> {
        if self.output.len() == self.output_limit {
            return Err(InflateError::TooLong);
        }
        reserve(self.output, 0, self.output_limit);
        self.output.push(byte);
        *reach = (*reach + 1).min(FULL_WINDOW);
        Ok(())
    }

    /// Appends `len` bytes that begin `distance` bytes before the end. They can overlap the appended bytes.
    fn repeat(
        &mut self,
        distance: usize,
        len: usize,
        reach: &mut usize,
    ) -> Result<(), InflateError> {
        // Output up to the limit is appended before the error is reported, so the same bytes come out however the input
        // is split.
        let mut remaining = len.min(self.output_limit - self.output.len());
        let is_too_long = remaining < len;
        *reach = (*reach + remaining).min(FULL_WINDOW);
        while self.output.capacity() - self.output.len() < remaining {
            reserve_more(self.output, remaining, self.output_limit);
        }
        // The oldest of the bytes can be in the history, and the rest in the output.
        let new = self.output.len() - self.noted;
        if let Some(back) = distance.checked_sub(new).filter(|back| *back > 0) {
            let count = back.min(remaining);
            self.history.copy(back, count, self.output);
            remaining -= count;
        }
        // Appended bytes are part of the source, so each round can copy twice as many.
        let start = self.output.len() - distance.min(self.output.len() - self.noted);
        while remaining > 0 {
            let count = remaining.min(self.output.len() - start);
            self.output.extend_from_within(start..start + count);
            remaining -= count;
        }
        if is_too_long {
            return Err(InflateError::TooLong);
        }
        Ok(())
    }
}

/// Reserves capacity for `additional` bytes, as [`reserve`] does for one byte.
fn reserve_more(output: &mut Vec<u8>, additional: usize, output_limit: usize) {
    let wanted = additional.max(output.len());
    let free = output_limit.saturating_add(1).saturating_sub(output.len());
    output.reserve_exact(wanted.min(free));
}

impl Tables {
    fn new() -> Self {
        Self {
            lens: [0; LENS_LIMIT],
            lens_code: Code::new(),
            literals: Code::new(),
            distances: Code::new(),
        }
    }
}
