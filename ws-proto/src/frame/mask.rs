//! The masking of RFC 6455 §5.3: an XOR with a 4-byte key. Knows nothing of frames.

/// A masking key, turned so that it begins at the byte at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    pub(crate) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks, or unmasks, `bytes` in place.
    pub(crate) fn apply(self, bytes: &mut [u8]) {
        let key = u32::from_ne_bytes(self.0);
        let wide = u64::from(key) << 32 | u64::from(key);
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            let word: &mut [u8; 8] = word.try_into().expect("chunks are 8 bytes");
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in words
            .into_remainder()
            .iter_mut()
            .zip(self.0.into_iter().cycle())
        {
            *byte ^= key;
        }
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
}
