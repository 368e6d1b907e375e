//! The masking of RFC 6455 §5.3: an XOR with a 4-byte key. Knows nothing of frames.
//!
//! Unmasking also finds out whether the result is ASCII. ASCII is valid UTF-8, so most texts need no other check,
//! and the bytes pass through the registers anyway.

/// A masking key, rotated so that it begins with the key byte of the next payload byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

/// The number of bytes that one round masks: a cache line. It is a multiple of the key's length, so the key is the
/// same in each round.
const LINE_LEN: usize = 64;

/// A line, as an array of fixed length: the compiler turns loops over it into vector instructions.
type Line = [u8; LINE_LEN];

impl Mask {
    /// The key of zeros, which changes no byte.
    pub(crate) const NONE: Self = Self([0; 4]);

    pub(crate) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks `bytes` in place. Tells whether the result is ASCII.
    pub(crate) fn apply(self, bytes: &mut [u8]) -> bool {
        let key = self.line();
        let mut seen = [0; LINE_LEN];
        let mut lines = bytes.chunks_exact_mut(LINE_LEN);
        for bytes in &mut lines {
            let line: &mut Line = bytes.try_into().expect("chunks are lines");
            *line = mask_line(*line, key, &mut seen);
        }
        let rest = lines.into_remainder();
        let masked = mask_line(line_of(rest, key), key, &mut seen);
        rest.copy_from_slice(&masked[..rest.len()]);
        is_ascii(seen)
    }

    /// Appends `bytes`, masked or unmasked, to `buffer`. Tells whether the result is ASCII. Does all in one pass,
    /// because each pass over the bytes costs about the same.
    pub(crate) fn append(self, bytes: &[u8], buffer: &mut Vec<u8>) -> bool {
        let key = self.line();
        let mut seen = [0; LINE_LEN];
        let mut lines = bytes.chunks_exact(LINE_LEN);
        buffer.reserve(bytes.len());
        for bytes in &mut lines {
            let line: &Line = bytes.try_into().expect("chunks are lines");
            buffer.extend_from_slice(&mask_line(*line, key, &mut seen));
        }
        // The rest is masked as a whole line, too, so there is no loop over single bytes.
        let rest = lines.remainder();
        let masked = mask_line(line_of(rest, key), key, &mut seen);
        buffer.extend_from_slice(&masked[..rest.len()]);
        is_ascii(seen)
    }

    /// Returns the key, repeated over a whole line.
    fn line(self) -> Line {
        let word = self.wide().to_ne_bytes();
        let mut line = [0; LINE_LEN];
        for bytes in line.chunks_exact_mut(8) {
            bytes.copy_from_slice(&word);
        }
        line
    }

    /// Returns the key twice, in the byte order of the machine.
    #[inline]
    pub(crate) fn wide(self) -> u64 {
        let key = u64::from(u32::from_ne_bytes(self.0));
        key << 32 | key
    }

    /// Returns the mask for the byte that comes `count` bytes later.
    pub(crate) fn skip(self, count: usize) -> Self {
        let mut key = self.0;
        key.rotate_left(count % 4);
        Self(key)
    }
}

/// Masks a line, and collects the bits of the result in `seen`.
#[inline(always)]
fn mask_line(mut line: Line, key: Line, seen: &mut Line) -> Line {
    // `seen` is a line of its own and not one byte, so that each lane of a vector collects its own bits.
    for i in 0..LINE_LEN {
        line[i] ^= key[i];
        seen[i] |= line[i];
    }
    line
}

/// Pads a few bytes to a whole line. The padding becomes zeros when it is masked.
fn line_of(bytes: &[u8], key: Line) -> Line {
    // Zeros count as ASCII, so the padding does not change what `seen` tells.
    let mut line = key;
    line[..bytes.len()].copy_from_slice(bytes);
    line
}

fn is_ascii(seen: Line) -> bool {
    seen.into_iter().fold(0, |all, byte| all | byte).is_ascii()
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

    /// The same with `append`, over more than one line. A byte that is not ASCII is found at any place.
    #[test]
    fn appended_bytes_are_unmasked_and_looked_at() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in [0, 1, 7, 8, 9, 38, LINE_LEN, 100 * LINE_LEN + 13] {
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
