//! The parts of header values: tokens, lists, text (RFC 9110 §5.6).

use std::str;

use http::header::{HeaderMap, HeaderValue};

use crate::handshake::error::HandshakeError;
use crate::redact::Redacted;

/// Tells whether `text` is a token (RFC 9110 §5.6.2).
pub(in crate::handshake) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Tells whether a byte may be part of a token.
pub(in crate::handshake) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Iterates over the elements of a header that is a list, over all its lines. Empty elements are skipped (RFC
/// 9110 §5.6.1.2).
pub(in crate::handshake) fn list<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        // A line that is not UTF-8 becomes one element that is not a token. Skipping it would hide it from a check
        // that every element is allowed.
        .map(|value| str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}"))
        .flat_map(|line| line.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}

/// Tells whether a header that is a list contains a token, in any case.
pub(in crate::handshake) fn list_contains(headers: &HeaderMap, name: &str, token: &str) -> bool {
    list(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}

/// Returns the value of a header that must not appear more than once.
pub(in crate::handshake) fn single<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a HeaderValue>, HandshakeError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(HandshakeError::DuplicateHeader { name }),
    }
}

/// Returns the value of a header that must not appear more than once and consists of visible ASCII characters and
/// inner spaces. Such a value can be copied into a response.
pub(in crate::handshake) fn single_text<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, HandshakeError> {
    let Some(value) = single(headers, name)? else {
        return Ok(None);
    };
    match str::from_utf8(value.as_bytes()) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            Ok(Some(text))
        }
        Ok(_) | Err(_) => Err(HandshakeError::InvalidHeader {
            name,
            value: lossy(value),
            problem: "it must be one or more printable ASCII characters",
        }),
    }
}

/// Returns the value of a header as text, for an error. Of a secret value the error shows only the length.
pub(in crate::handshake) fn lossy(value: &HeaderValue) -> Redacted {
    let text = String::from_utf8_lossy(value.as_bytes());
    if value.is_sensitive() {
        Redacted::secret(text)
    } else {
        Redacted::new(text)
    }
}
