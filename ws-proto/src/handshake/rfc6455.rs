//! The parts of the opening handshake that only RFC 6455 has: the key and its hash, the version number, the
//! list of subprotocols. Every reader is linear, or n log n, in its input.

use std::str;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::http::fields::is_token;
use crate::randomness::Randomness;

/// Appended to the key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Tells whether a value is base64 of 16 bytes.
///
/// The unused bits of the last character can have any value.
pub(super) fn is_key(value: &[u8]) -> bool {
    // Not the decoder of the crate base64, which demands that the unused bits are zero. In the example of RFC 6455
    // §4.1 they are not.
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    value.len() == 24 && value.ends_with(b"==") && value[..22].iter().all(is_digit)
}

/// The value of `Sec-WebSocket-Accept`: base64 of a SHA-1 hash. An array, so that it needs no allocation.
pub(super) type AcceptHash = [u8; 28];

/// Returns the `Sec-WebSocket-Accept` for a key as it was sent (RFC 6455 §4.2.2).
pub(super) fn accept_hash(key: &[u8]) -> AcceptHash {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let encoded = STANDARD.encode_slice(hash, &mut accept);
    debug_assert_eq!(encoded, Ok(accept.len()), "base64 of 20 bytes has 28");
    accept
}

/// Generates the key of a request.
pub(super) fn generate_key(randomness: &mut dyn Randomness) -> String {
    let mut nonce = [0; 16];
    randomness.fill(&mut nonce);
    STANDARD.encode(nonce)
}

/// Reads a `Sec-WebSocket-Version`: 0 to 255 without a leading zero (RFC 6455 §4.3).
pub(super) fn parse_version(value: &[u8]) -> Option<u8> {
    let digits = str::from_utf8(value).ok()?;
    // `parse` alone would also take a `+` and leading zeros.
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
    if is_decimal && !has_leading_zero {
        digits.parse().ok()
    } else {
        None
    }
}

/// Reads the subprotocols that a client offers: a list of different tokens, over all lines of the header (RFC
/// 6455 §11.3.4). The error says what is wrong with the list.
pub(super) fn parse_subprotocols<'a>(
    offered: impl Iterator<Item = &'a str>,
) -> Result<Vec<Box<str>>, &'static str> {
    let offered: Vec<&str> = offered.collect();
    if !offered.iter().all(|name| is_token(name)) {
        return Err("it must be a list of tokens");
    }
    // In order, equal names are neighbours. To compare every pair would let a peer's long list cost quadratic time.
    let mut in_order = offered.clone();
    in_order.sort_unstable();
    if in_order.is_sorted_by(|a, b| a < b) {
        Ok(offered.into_iter().map(Into::into).collect())
    } else {
        Err("a subprotocol is offered twice")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL.md §5.3: the accept vectors; R-H7: the standard's own key is not canonical.
    #[test]
    fn the_hash_is_that_of_the_key_as_it_was_sent() {
        for (key, accept) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("Xn3fdKyc3qEXPuj2A3O+ZA==", "BIFTHkJk4r5t8kuud82tZJaQsCE="),
            ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
            ("AQIDBAUGBwgJCgsMDQ4PEA==", "C/0nmHhBztSRGR1CwL6Tf4ZjwpY="),
        ] {
            assert!(is_key(key.as_bytes()), "{key}");
            assert_eq!(accept_hash(key.as_bytes()), accept.as_bytes());
        }
    }

    /// R-H7: base64 of exactly 16 bytes.
    #[test]
    fn other_keys_are_not_valid() {
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25jZQA=",
            "dGhlIHNhbXBsZSBub25j-Q==",
            "dGhlIHNhbXBsZSBub25j Q==",
            "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert!(!is_key(key.as_bytes()), "{key}");
        }
    }

    /// PROTOCOL.md §4 row 4.
    #[test]
    fn a_version_is_a_decimal_byte_without_leading_zeros() {
        for (value, version) in [("13", 13), ("8", 8), ("0", 0), ("255", 255)] {
            assert_eq!(parse_version(value.as_bytes()), Some(version));
        }
        for value in [
            "",
            "013",
            "00",
            "256",
            "+13",
            "-1",
            "13, 8",
            "13 ",
            "0x0d",
            "13\u{661}",
        ] {
            assert_eq!(parse_version(value.as_bytes()), None, "{value:?}");
        }
    }
}
