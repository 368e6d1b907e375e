//! The masking of RFC 6455 §5.3: an XOR with a 4-byte key. Knows nothing of frames.

/// A masking key, turned so that it begins at the byte at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

/// What is copied and looked at in one go: fits the first-level cache. A multiple of the key's length.
const BLOCK_LEN: usize = 8 << 10;

/// In each of 8 bytes, the bit that no ASCII character has.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

impl Mask {
    /// The key that changes nothing.
    pub(crate) const NONE: Self = Self([0; 4]);

    pub(crate) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks, or unmasks, `bytes` in place; tells whether the result is ASCII, as it passes by anyway.
    pub(crate) fn apply(self, bytes: &mut [u8]) -> bool {
        let key = u32::from_ne_bytes(self.0);
        let wide = u64::from(key) << 32 | u64::from(key);
        let mut seen = 0;
        let mut apply_word = |word: &mut [u8]| {
            let word: &mut [u8; 8] = word.try_into().expect("chunks are 8 bytes");
            let masked = u64::from_ne_bytes(*word) ^ wide;
            seen |= masked;
            *word = masked.to_ne_bytes();
        };
        // Several words a round, so that the processor is not held up by the counting of rounds.
        let mut rounds = bytes.chunks_exact_mut(64);
        for round in &mut rounds {
            round.chunks_exact_mut(8).for_each(&mut apply_word);
        }
        let mut words = rounds.into_remainder().chunks_exact_mut(8);
        for word in &mut words {
            apply_word(word);
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(wide.to_ne_bytes()) {
            *byte ^= key;
            seen |= u64::from(*byte);
        }
        seen & HIGH_BITS == 0
    }

    /// Appends `bytes`, masked or unmasked, to `buffer`; tells whether the result is ASCII. Goes block
    /// by block, so that they are still in the cache when they are looked at.
    pub(crate) fn append(self, bytes: &[u8], buffer: &mut Vec<u8>) -> bool {
        let mut is_ascii = true;
        for block in bytes.chunks(BLOCK_LEN) {
            let start = buffer.len();
            buffer.extend_from_slice(block);
            is_ascii &= match self {
                Self::NONE => block.is_ascii(),
                _ => self.apply(&mut buffer[start..]),
            };
        }
        is_ascii
    }

    /// Returns the key again and again: what is masked to zeros.
    pub(crate) fn repeated<const N: usize>(self) -> [u8; N] {
        std::array::from_fn(|i| self.0[i % 4])
    }

    /// Returns the mask for what comes `count` bytes later.
    pub(crate) fn skip(self, count: usize) -> Self {
        let mut key = self.0;
        key.rotate_left(count % 4);
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §5.3: octet i is XORed with octet i mod 4 of the key, for any length and any split.
    #[test]
    fn masking_is_the_xor_of_the_standard_whatever_the_split() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in [0_usize, 1, 3, 4, 7, 8, 9, 31, 64, 100] {
            let plain: Vec<u8> = (0..=255).cycle().take(len).collect();
            let expected: Vec<u8> = plain
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ key[i % 4])
                .collect();
            for split in 0..=len {
                let mut masked = plain.clone();
                let (head, rest) = masked.split_at_mut(split);
                Mask::new(key).apply(head);
                Mask::new(key).skip(split).apply(rest);
                assert_eq!(masked, expected, "length {len}, split at {split}");
            }
        }
    }

    /// The same by way of `append`, over more than one block, and ASCII is told from what is not
    /// wherever it stands.
    #[test]
    fn appended_bytes_are_unmasked_and_looked_at() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in [0, 1, 7, 8, 9, 38, BLOCK_LEN, 2 * BLOCK_LEN + 13] {
            for odd in [None, Some(0), Some(len / 2), Some(len.saturating_sub(1))] {
                let mut plain = vec![b'a'; len];
                if let Some(byte) = odd.and_then(|odd| plain.get_mut(odd)) {
                    *byte = 0x80;
                }
                let is_ascii = plain.is_ascii();
                let mut masked = plain.clone();
                assert_eq!(Mask::new(key).apply(&mut masked), masked.is_ascii());
                for (mask, input) in [(Mask::new(key), &masked), (Mask::NONE, &plain)] {
                    let mut buffer = b"before".to_vec();
                    assert_eq!(mask.append(input, &mut buffer), is_ascii);
                    assert_eq!(buffer, [b"before", &*plain].concat());
                }
            }
        }
    }
}
