//! Percent-encoding (RFC 3986 §2.1): how a URL spells bytes that it cannot contain.

use std::fmt::Write;

/// Decodes percent-encoded text, or returns `None` if a `%` is not followed by two hexadecimal digits.
pub fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        // `from_str_radix` would accept a sign.
        let code = part.get(..2).filter(|code| !code.starts_with('+'))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

/// Encodes all bytes but those that mean themselves everywhere in a URL (RFC 3986 §2.3).
pub(in crate::handshake) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes all that is written");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986 §2.1: two digits in any case, and nothing else behind a `%`.
    #[test]
    fn a_percent_sign_begins_two_hexadecimal_digits() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("a-b", b"a-b"),
            ("%41%6a%6A", b"Ajj"),
            ("a%00%ff!", b"a\0\xff!"),
            ("%2525", b"%25"),
        ] {
            assert_eq!(percent_decoded(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["%", "a%4", "%4g", "%+1", "%%41", "%é", "%4é"] {
            assert_eq!(percent_decoded(text), None, "{text}");
        }
        assert_eq!(percent_encoded("az-._~%é/"), "az-._~%25%C3%A9%2F");
    }
}
