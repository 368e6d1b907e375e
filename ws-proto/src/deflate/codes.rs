//! Huffman codes of DEFLATE (RFC 1951 §3.2). They are decoded bit by bit, from the number of code words of each length.
//! A lookup table would be faster for long blocks, but has to be filled for each block with codes of its own. So the
//! cost of such a block is proportional to its number of symbols, and a peer cannot make short blocks expensive.

/// The longest code word, in bits (RFC 1951 §3.2.7).
const LEN_LIMIT: usize = 15;

/// A code for at most `N` symbols.
#[derive(Clone, Debug)]
pub(super) struct Code<const N: usize> {
    /// The number of code words of each length.
    counts: [u16; LEN_LIMIT + 1],
    /// The symbols, in the order of their code words.
    symbols: [u16; N],
    /// How many words of the greatest length have no symbol.
    left: u32,
}

/// A code word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// The symbol; `None` if the code has no symbol for this word.
    pub(super) symbol: Option<u16>,
    /// The number of bits.
    pub(super) len: u32,
}

impl<const N: usize> Code<N> {
    pub(super) const fn new() -> Self {
        Self {
            counts: [0; LEN_LIMIT + 1],
            symbols: [0; N],
            left: 1 << LEN_LIMIT,
        }
    }

    /// Builds the code from the lengths of all symbols' words (RFC 1951 §3.2.2). Returns false if there are more words
    /// than the lengths allow.
    pub(super) fn set(&mut self, lens: &[u8]) -> bool {
        self.counts = [0; LEN_LIMIT + 1];
        for len in lens {
            self.counts[usize::from(*len)] += 1;
        }
        // A length of zero means that the symbol does not occur.
        self.counts[0] = 0;
        let mut starts = [0_u16; LEN_LIMIT + 1];
        let (mut left, mut used) = (1_u32, 0);
        for (start, count) in starts.iter_mut().zip(self.counts).skip(1) {
            *start = used;
            used += count;
            // Each unused word of one length is the beginning of two words of the next length.
            let Some(rest) = (left * 2).checked_sub(count.into()) else {
                return false;
            };
            left = rest;
        }
        self.left = left;
        for (symbol, len) in (0..).zip(lens) {
            if *len > 0 {
                let start = &mut starts[usize::from(*len)];
                self.symbols[usize::from(*start)] = symbol;
                *start += 1;
            }
        }
        true
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts == [0; LEN_LIMIT + 1]
    }

    /// Tells whether a block may use the code: it is complete, or has at most one word, of one bit (RFC 1951 §3.2.7).
    pub(super) fn is_usable(&self) -> bool {
        self.is_complete() || self.has_at_most_one()
    }

    fn has_at_most_one(&self) -> bool {
        self.counts[1] <= 1 && self.counts[2..] == [0; LEN_LIMIT - 1]
    }

    /// Reads a word from the lowest of `held` bits. Returns `None` if there are too few bits.
    pub(super) fn read(&self, mut bits: u64, held: u32) -> Option<Word> {
        // Words of one length are consecutive numbers from `first` on, and their symbols begin at `index`.
        let (mut word, mut first, mut index) = (0_u16, 0_u16, 0_u16);
        // In a code with one word, a wrong first bit is an error at once, as in zlib.
        let last = if self.has_at_most_one() { 1 } else { LEN_LIMIT };
        for (len, count) in (1..).zip(&self.counts[1..=last]) {
            if len > held {
                return None;
            }
            word |= u16::from(bits & 1 == 1);
            bits >>= 1;
            if word < first + count {
                let symbol = self.symbols[usize::from(index + (word - first))];
                let symbol = Some(symbol);
                return Some(Word { symbol, len });
            }
            index += count;
            first = (first + count) << 1;
            word <<= 1;
        }
        let len = u32::try_from(last).unwrap_or(u32::MAX);
        Some(Word { symbol: None, len }).filter(|word| word.len <= held)
    }
}

/// Reads a word of the fixed code for literals and lengths (RFC 1951 §3.2.6).
pub(super) fn read_fixed_literal(bits: u64, held: u32) -> Option<Word> {
    // The standard's table, by the first 7 and the first 8 of 9 bits. Missing bits are zeros, and the check of `held`
    // below rejects a word that needs them.
    let word = first_bits(bits, 9);
    let (symbol, len) = match (word >> 2, word >> 1) {
        (start @ 0..=0x17, _) => (256 + start, 7),
        (_, start @ 0..=0xbf) => (start - 0x30, 8),
        (_, start @ 0xc0..=0xc7) => (280 + start - 0xc0, 8),
        (_, _) => (144 + word - 0x190, 9),
    };
    let symbol = Some(symbol);
    (len <= held).then_some(Word { symbol, len })
}

/// Reads a word of the fixed code for distances.
pub(super) fn read_fixed_distance(bits: u64, held: u32) -> Option<Word> {
    let symbol = Some(first_bits(bits, 5));
    (held >= 5).then_some(Word { symbol, len: 5 })
}

/// Returns the lowest bits of `bits` in reverse order, because code words start with their highest bit (RFC 1951
/// §3.1.1).
fn first_bits(bits: u64, count: u32) -> u16 {
    u16::try_from(bits & 0xffff).unwrap_or(0).reverse_bits() >> (16 - count)
}

/// The range of lengths or distances that a symbol stands for (RFC 1951 §3.2.5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    /// The number of bits behind the symbol that select a value of the range.
    pub(super) extra: u32,
}

/// The lengths of the symbols from 257 on.
pub(super) const LENGTHS: [Span; 29] = {
    let mut spans = spans::<29>(3, 4);
    // 258 breaks the pattern: the symbol before it could express it, too, and this one needs no additional bits.
    spans[28] = Span {
        start: 258,
        extra: 0,
    };
    spans
};

/// The distances of the symbols from 0 on.
pub(super) const DISTANCES: [Span; 30] = spans(1, 2);

/// Returns adjacent spans. From the third group on, each group of `group` spans has one bit more than the one before.
const fn spans<const N: usize>(first: usize, group: usize) -> [Span; N] {
    let mut all = [Span { start: 0, extra: 0 }; N];
    let (mut at, mut start, mut extra) = (0, first, 0);
    while at < N {
        if at > group && at % group == 0 {
            extra += 1;
        }
        all[at] = Span { start, extra };
        start += 1 << extra;
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1951 §3.2.5: the first and last rows of its two tables, and the rows where the bits change.
    #[test]
    fn the_spans_are_those_of_the_standard() {
        let length = |symbol: usize| {
            let span = LENGTHS[symbol - 257];
            (span.extra, span.start)
        };
        let lengths = [257, 264, 265, 269, 284, 285].map(length);
        let expected = [(0, 3), (0, 10), (1, 11), (2, 19), (5, 227), (0, 258)];
        assert_eq!(lengths, expected);
        let distances = [0, 3, 4, 6, 28, 29].map(|symbol: usize| {
            let span = DISTANCES[symbol];
            (span.extra, span.start)
        });
        let expected = [(0, 1), (0, 4), (1, 5), (2, 9), (13, 16385), (13, 24577)];
        assert_eq!(distances, expected);
    }

    /// RFC 1951 §3.2.6: the fixed code is the code with these lengths, and both functions read it in the same way.
    #[test]
    fn the_fixed_code_is_that_of_the_lengths() {
        let lens = [(144, 8), (112, 9), (24, 7), (8, 8)].map(|(count, len)| vec![len; count]);
        let mut code = Code::<288>::new();
        assert!(code.set(&lens.concat()) && code.is_complete());
        for bits in 0..1 << 9 {
            for held in 0..=9 {
                let expected = code.read(bits, held).map(|word| (word.symbol, word.len));
                let seen = read_fixed_literal(bits & ((1 << held) - 1), held);
                assert_eq!(seen.map(|word| (word.symbol, word.len)), expected, "{bits}");
            }
        }
    }
}
