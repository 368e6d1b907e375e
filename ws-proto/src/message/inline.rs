//! A few bytes that live inside a value, so that small messages cost no allocation. They are copied,
//! masked and looked at as whole words in registers. Knows nothing of messages.

use crate::mask::Mask;

/// The words of a block. Three, as a value that is this or [`Bytes`](bytes::Bytes) then is no larger than
/// the latter: the fourth word of that, which is never zero, tells them apart.
const WORDS: usize = 3;

/// The length of a block.
pub(crate) const BLOCK_LEN: usize = WORDS * 8;

/// The most bytes that fit: a block less the byte that has the length.
pub(crate) const INLINE_LIMIT: usize = BLOCK_LEN - 1;

/// At most [`INLINE_LIMIT`] bytes; those behind them are zero, but for the last one of all, which has the
/// length.
#[derive(Clone, Debug)]
pub(crate) struct Inline([u8; BLOCK_LEN]);

impl Inline {
    pub(crate) const EMPTY: Self = Self([0; BLOCK_LEN]);

    /// Copies the first `len` of bytes that are masked, if they fit; tells whether what they are is ASCII.
    /// Costs least if there are more bytes than that, as a whole block is copied then.
    #[inline(always)]
    pub(crate) fn unmasked(masked: &[u8], len: usize, mask: Mask) -> Option<(Self, bool)> {
        let kept = KEPT.get(len)?;
        let block = match masked.first_chunk() {
            Some(block) => *block,
            None => short(&masked[..len]),
        };
        let wide = mask.wide();
        let [first, second, third] = words(block);
        let first = (first ^ wide) & kept[0];
        let second = (second ^ wide) & kept[1];
        let third = (third ^ wide) & kept[2];
        let is_ascii = (first | second | third) & HIGH_BITS == 0;
        let third = third | u64::try_from(len).ok()? << (64 - 8);
        Some((Self::of([first, second, third]), is_ascii))
    }

    /// Adds a mark, or none, that only [`unmarked`](Self::unmarked) knows of: nothing else may be asked of a
    /// value that is marked.
    #[inline(always)]
    pub(crate) fn marked(self, mark: bool) -> Self {
        self.with_last_word(|word| word | u64::from(mark) << 63)
    }

    /// Takes the mark off; tells whether it was there.
    #[inline(always)]
    pub(crate) fn unmarked(self) -> (Self, bool) {
        let [_, _, last] = words(self.0);
        (
            self.with_last_word(|word| word & !(1 << 63)),
            last >> 63 != 0,
        )
    }

    /// Leaves the others alone, so that they move as they are.
    #[inline(always)]
    fn with_last_word(mut self, change: impl FnOnce(u64) -> u64) -> Self {
        let [_, _, last] = words(self.0);
        self.0[16..].copy_from_slice(&change(last).to_le_bytes());
        self
    }

    #[inline(always)]
    fn of([first, second, third]: [u64; WORDS]) -> Self {
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

    /// Returns the block; only the first [`len`](Self::len) of its bytes mean anything.
    #[inline]
    pub(crate) fn as_block(&self) -> &[u8; BLOCK_LEN] {
        &self.0
    }
}

/// Makes a block of fewer bytes.
#[inline(never)]
fn short(bytes: &[u8]) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[..bytes.len()].copy_from_slice(bytes);
    block
}

/// The words of a block; on any machine their low byte is the first.
#[inline(always)]
const fn words(block: [u8; BLOCK_LEN]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let mut word = 0;
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

/// For each length, the bits of the words that are content.
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

    /// Whatever stands behind them, the bytes come out unmasked, and ASCII is told from what is not by
    /// them alone.
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
