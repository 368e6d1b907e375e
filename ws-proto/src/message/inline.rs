//! A few bytes that are stored inside a value, so that small messages cost no allocation. They are copied,
//! unmasked and checked as whole words in registers. Knows nothing of messages.
//!
//! A block is an array of bytes, and all work on it is on three words, because a value that is written in small
//! stores and then read as words makes the processor wait for each store. A queue of the public enum did that, and
//! was slower by measurement.

use crate::mask::Mask;

/// The number of words in a block. Three, because an enum of a block and [`Bytes`](bytes::Bytes) is then no larger than
/// `Bytes` alone: that has four words, and the one that is never zero serves as the tag.
const WORDS: usize = 3;

/// The length of a block.
pub(crate) const BLOCK_LEN: usize = WORDS * 8;

/// The most bytes that fit: a block without the byte that contains the length.
pub(crate) const INLINE_LIMIT: usize = BLOCK_LEN - 1;

/// At most [`INLINE_LIMIT`] bytes. The last byte of the block is the length, and the bytes in between are zero.
#[derive(Clone, Debug)]
pub(crate) struct Inline([u8; BLOCK_LEN]);

impl Inline {
    pub(crate) const EMPTY: Self = Self([0; BLOCK_LEN]);

    /// Copies and unmasks the first `len` bytes of `masked`, if they fit. Tells whether the result is ASCII. Costs
    /// least if `masked` has a whole block of bytes or more.
    // `inline(always)`: as a call, the block would go through memory, and not from register to register.
    #[inline(always)]
    pub(crate) fn unmasked(masked: &[u8], len: usize, mask: Mask) -> Option<(Self, bool)> {
        let kept = KEPT.get(len)?;
        // A copy of fixed length is a few instructions, while a copy of `len` bytes is a call. The bytes behind `len`
        // belong to the next frame, and `kept` clears them.
        let block = match masked.first_chunk() {
            Some(block) => *block,
            None => padded(&masked[..len]),
        };
        let wide = mask.wide();
        let [first, second, third] = words(block);
        let first = (first ^ wide) & kept[0];
        let second = (second ^ wide) & kept[1];
        let third = (third ^ wide) & kept[2];
        let is_ascii = (first | second | third) & HIGH_BITS == 0;
        let third = third | u64::try_from(len).ok()? << (64 - 8);
        Some((Self::from_words([first, second, third]), is_ascii))
    }

    /// Sets the mark if `mark` is true. No method but [`unmarked`](Self::unmarked) may be called on a marked value.
    #[inline(always)]
    pub(crate) fn marked(self, mark: bool) -> Self {
        // The top bit of the length is free, because a length is at most 23.
        self.with_last_word(|word| word | u64::from(mark) << 63)
    }

    /// Removes the mark. Tells whether it was set.
    #[inline(always)]
    pub(crate) fn unmarked(self) -> (Self, bool) {
        let [_, _, last] = words(self.0);
        (
            self.with_last_word(|word| word & !(1 << 63)),
            last >> 63 != 0,
        )
    }

    /// Changes the last word only, so that the compiler moves the other two as they are.
    #[inline(always)]
    fn with_last_word(mut self, change: impl FnOnce(u64) -> u64) -> Self {
        let [_, _, last] = words(self.0);
        self.0[16..].copy_from_slice(&change(last).to_le_bytes());
        self
    }

    #[inline(always)]
    fn from_words([first, second, third]: [u64; WORDS]) -> Self {
        let mut block = [0; BLOCK_LEN];
        block[..8].copy_from_slice(&first.to_le_bytes());
        block[8..16].copy_from_slice(&second.to_le_bytes());
        block[16..].copy_from_slice(&third.to_le_bytes());
        Self(block)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.0[INLINE_LIMIT])
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0[..self.len()]
    }

    /// Returns the block. Only the first [`len`](Self::len) bytes of it are content.
    #[inline]
    pub(crate) fn as_block(&self) -> &[u8; BLOCK_LEN] {
        &self.0
    }
}

/// Pads a few bytes to a block.
// `inline(never)`: of the messages of a read only the last ones come here, and the path of the others stays short.
#[inline(never)]
fn padded(bytes: &[u8]) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[..bytes.len()].copy_from_slice(bytes);
    block
}

/// Returns the words of a block. The low byte of a word is the first one, on any machine.
#[inline(always)]
const fn words(block: [u8; BLOCK_LEN]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let mut word = 0;
    // A `while`, and each byte by its index, because a const fn has neither `for` nor a subslice of a range.
    while word < WORDS {
        let [a, b, c, d, e, f, g, h] = [
            block[word * 8],
            block[word * 8 + 1],
            block[word * 8 + 2],
            block[word * 8 + 3],
            block[word * 8 + 4],
            block[word * 8 + 5],
            block[word * 8 + 6],
            block[word * 8 + 7],
        ];
        words[word] = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        word += 1;
    }
    words
}

/// In each byte of a word, the bit that no ASCII character has.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// For each length, a mask of the bits that are content.
// A table, because shifts over three words need branches.
const KEPT: [[u64; WORDS]; INLINE_LIMIT + 1] = {
    let mut table = [[0; WORDS]; INLINE_LIMIT + 1];
    let mut len = 0;
    while len <= INLINE_LIMIT {
        let mut block = [0; BLOCK_LEN];
        let mut byte = 0;
        while byte < len {
            block[byte] = 0xff;
            byte += 1;
        }
        table[len] = words(block);
        len += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes come out unmasked, and only they decide whether the result is ASCII, whatever bytes follow them.
    #[test]
    fn bytes_are_unmasked_and_looked_at_to_their_length() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..=INLINE_LIMIT {
            for behind in [0, 1, BLOCK_LEN] {
                for odd in [None, Some(0), Some(len / 2), Some(len.saturating_sub(1))] {
                    let mut plain: Vec<u8> = (b'a'..=b'z').take(len).collect();
                    if let Some(byte) = odd.and_then(|odd| plain.get_mut(odd)) {
                        *byte = 0x80;
                    }
                    let mut masked = plain.clone();
                    Mask::new(key).apply(&mut masked);
                    masked.extend(vec![0xaa; behind]);
                    let (inline, is_ascii) =
                        Inline::unmasked(&masked, len, Mask::new(key)).unwrap();
                    assert_eq!(inline.as_slice(), plain);
                    assert_eq!(is_ascii, plain.is_ascii(), "{plain:x?}");
                    let rest = &inline.as_block()[len..INLINE_LIMIT];
                    assert!(rest.iter().all(|byte| *byte == 0), "what is behind got in");
                }
            }
        }
        assert!(Inline::unmasked(&[0; 100], INLINE_LIMIT + 1, Mask::NONE).is_none());
    }
}
