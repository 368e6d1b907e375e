//! The parts of the opening handshake that only the drafts have: the numbers hidden in the keys of draft-76,
//! the digest that answers them, and the location, which draft-75 has, too.

use md5::{Digest, Md5};

use crate::randomness::Randomness;

/// The length of key3, the bytes behind a draft-76 request (draft-76 §5.2).
pub(super) const KEY3_LEN: usize = 8;

/// The length of the bytes behind a draft-76 answer.
pub(super) const RESPONSE_LEN: usize = 16;

/// Returns the number that is hidden in a key (draft-76 §5.2), or the reason why the key has no number.
///
/// Only 0x30 to 0x39 are digits and only 0x20 is a space; all other bytes are noise.
pub(super) fn key_number(key: &[u8]) -> Result<u32, &'static str> {
    let mut digits = key.iter().filter(|byte| byte.is_ascii_digit()).peekable();
    if digits.peek().is_none() {
        return Err("it has no digit");
    }
    let spaces = key.iter().filter(|byte| **byte == b' ').count();
    let spaces = u64::try_from(spaces)
        .ok()
        .filter(|spaces| *spaces > 0)
        .ok_or("it has no space")?;
    // 64 bits suffice. The quotient must fit 32 bits and no head has 2^32 spaces, so a larger product is invalid.
    let product = digits
        .try_fold(0u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or("its number is too large")?;
    if product % spaces != 0 {
        return Err("its number is not a multiple of its spaces");
    }
    u32::try_from(product / spaces).map_err(|_| "its number is too large")
}

/// Returns the digest that answers a challenge (draft-76 §5.2).
pub(super) fn challenge_response(numbers: [u32; 2], key3: &[u8]) -> [u8; RESPONSE_LEN] {
    let [first, second] = numbers.map(u32::to_be_bytes);
    Md5::new()
        .chain_update(first)
        .chain_update(second)
        .chain_update(key3)
        .finalize()
        .into()
}

/// Returns the URL in the location header of a response of the drafts.
pub(super) fn location(secure: bool, authority: &str, resource: &str) -> String {
    location_parts(secure, authority, resource).concat()
}

/// Returns the same URL in parts, so that a server can write it without an allocation.
pub(super) fn location_parts<'a>(
    secure: bool,
    authority: &'a str,
    resource: &'a str,
) -> [&'a str; 3] {
    let scheme = if secure { "wss://" } else { "ws://" };
    [scheme, authority, resource]
}

/// A key of a request, and the number that is hidden in it.
pub(super) struct Key {
    pub(super) number: u32,
    pub(super) text: String,
}

impl Key {
    /// Generates a key (draft-76 §4.1, steps 16 to 24 of the client).
    pub(super) fn generate(randomness: &mut dyn Randomness) -> Self {
        let spaces = 1 + below(randomness, 12);
        let number = below(randomness, u64::from(u32::MAX) / spaces + 1);
        let mut text = (number * spaces).to_string().into_bytes();
        for _ in 0..=below(randomness, 12) {
            let noise = pick(randomness, NOISE.len());
            let position = pick(randomness, text.len() + 1);
            text.insert(position, NOISE[noise]);
        }
        for _ in 0..spaces {
            // Never first or last: a proxy or server that trims the value must not change the count of spaces.
            let position = 1 + pick(randomness, text.len() - 1);
            text.insert(position, b' ');
        }
        Self {
            number: u32::try_from(number).expect("number is at most u32::MAX / spaces"),
            text: String::from_utf8(text).expect("digits, noise and spaces are ASCII"),
        }
    }
}

/// 0x21 to 0x2F and 0x3A to 0x7E: all visible characters except digits.
const NOISE: &[u8] =
    b"!\"#$%&'()*+,-./:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

/// Draws a number below `bound`, which is at most 2^32.
fn below(randomness: &mut dyn Randomness, bound: u64) -> u64 {
    // Scaled, not rejected and drawn again: a loop would have no bound. The bias is below 2^-20 for small bounds,
    // and harmless since these numbers are only noise.
    let mut bytes = [0; 4];
    randomness.fill(&mut bytes);
    (u64::from(u32::from_be_bytes(bytes)) * bound) >> 32
}

fn pick(randomness: &mut dyn Randomness, len: usize) -> usize {
    let bound = u64::try_from(len).unwrap_or(u64::MAX).min(1 << 32);
    usize::try_from(below(randomness, bound)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(u8);

    impl Randomness for Constant {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    /// K1 to K6, K9: what a key may look like.
    #[test]
    fn a_key_hides_one_number_of_32_bits() {
        for (key, number) in [
            (&b"0 x"[..], Ok(0)),
            (b"4294967295 ", Ok(u32::MAX)),
            (b"8589934590  ", Ok(u32::MAX)),
            (b"000000000000000000000000000001 ", Ok(1)),
            (b"\xff1\t0\x80 ", Ok(10)),
            (b"              14", Ok(1)),
            (b"", Err("it has no digit")),
            (b" a ", Err("it has no digit")),
            (b"12", Err("it has no space")),
            (b"1\t2", Err("it has no space")),
            (b"3  ", Err("its number is not a multiple of its spaces")),
            (b"4294967296 ", Err("its number is too large")),
            (b"18446744073709551618 2", Err("its number is too large")),
            (b"99999999999999999999999 ", Err("its number is too large")),
        ] {
            assert_eq!(key_number(key), number, "{}", key.escape_ascii());
        }
    }

    /// Draft-76 §4.1: the extremes of the generator are legal keys, too.
    #[test]
    fn a_generated_key_hides_its_number_whatever_is_drawn() {
        for byte in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
            let key = Key::generate(&mut Constant(byte));
            assert_eq!(
                key_number(key.text.as_bytes()),
                Ok(key.number),
                "{}",
                key.text
            );
            assert_eq!(key.text.trim(), key.text);
            assert!(key.text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }

    #[test]
    fn noise_is_everything_visible_but_digits() {
        let expected: Vec<u8> = (0x21..=0x2f).chain(0x3a..=0x7e).collect();
        assert_eq!(NOISE, expected);
    }
}
