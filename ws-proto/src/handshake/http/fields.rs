//! The headers of a head, as its checks read them, and the parts of their values: tokens, lists, text (RFC 9110 §5.6).

use std::str;

use http::header::{HeaderMap, HeaderValue};

use crate::handshake::error::HandshakeError;
use crate::redact::{Redacted, is_secret};

/// The headers of a head: a map, or the lines of a head that nobody has asked for yet.
pub(in crate::handshake) trait Fields {
    /// Iterates over the values of a header, in the order of its lines.
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]>;

    /// Tells whether an error may show only the length of the values of a header.
    fn hides(&self, name: &str) -> bool;

    /// Returns the first value of a header.
    fn value(&self, name: &'static str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// Tells whether a header is there.
    fn has(&self, name: &'static str) -> bool {
        self.value(name).is_some()
    }
}

impl Fields for HeaderMap {
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }

    fn hides(&self, name: &str) -> bool {
        // Another HTTP server may have marked more values than we know of.
        is_secret(name) || self.get_all(name).iter().any(HeaderValue::is_sensitive)
    }
}

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
    headers: &'a (impl Fields + ?Sized),
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    headers
        .values(name)
        // A line that is not UTF-8 becomes one element that is not a token. Skipping it would hide it from a check
        // that every element is allowed.
        .map(|value| str::from_utf8(value).unwrap_or("\u{fffd}"))
        .flat_map(|line| line.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}

/// Tells whether a header that is a list contains a token, in any case.
pub(in crate::handshake) fn list_contains(
    headers: &(impl Fields + ?Sized),
    name: &'static str,
    token: &str,
) -> bool {
    // Mostly a value is the token alone, so nothing has to be split.
    let is_alone = |value: &[u8]| value.eq_ignore_ascii_case(token.as_bytes());
    headers.values(name).any(is_alone)
        || list(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}

/// Returns the value of a header that must not appear more than once.
pub(in crate::handshake) fn single<'a>(
    headers: &'a (impl Fields + ?Sized),
    name: &'static str,
) -> Result<Option<&'a [u8]>, HandshakeError> {
    let mut values = headers.values(name);
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(HandshakeError::DuplicateHeader { name }),
    }
}

/// Returns the value of a header that must not appear more than once and consists of visible ASCII characters and
/// inner spaces. Such a value can be copied into a response.
pub(in crate::handshake) fn single_text<'a>(
    headers: &'a (impl Fields + ?Sized),
    name: &'static str,
) -> Result<Option<&'a str>, HandshakeError> {
    let Some(value) = single(headers, name)? else {
        return Ok(None);
    };
    match str::from_utf8(value) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            Ok(Some(text))
        }
        Ok(_) | Err(_) => Err(HandshakeError::InvalidHeader {
            name,
            value: lossy(headers, name, value),
            problem: "it must be one or more printable ASCII characters",
        }),
    }
}

/// Returns the value of a header as text, for an error. Of a secret value the error shows only the length.
pub(in crate::handshake) fn lossy(
    headers: &(impl Fields + ?Sized),
    name: &str,
    value: &[u8],
) -> Redacted {
    let text = String::from_utf8_lossy(value);
    if headers.hides(name) {
        Redacted::secret(text)
    } else {
        Redacted::new(text)
    }
}
