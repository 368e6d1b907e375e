//! The header lines that we write. The headers of an application are checked here, and a line of a response can be
//! split again.

use std::borrow::Cow;

use http::header::{HeaderName, HeaderValue};

use crate::error::ConfigError;

/// A header. Its name is a string and not a `HeaderName`, because that would lose its case.
pub(in crate::handshake) type Header = (Cow<'static, str>, HeaderValue);

/// Appends a header line.
pub(in crate::handshake) fn push_header(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
}

/// Splits a line that [`push_header`] wrote, without its line break, into name and value.
pub(in crate::handshake) fn split_header(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.unwrap_or(line.len()));
    (name, value.strip_prefix(b": ").unwrap_or(value))
}

/// Checks a header that an application adds to a request or an answer.
pub(in crate::handshake) fn checked_header(name: &str, value: &str) -> Result<Header, ConfigError> {
    let invalid = |problem| ConfigError::InvalidHeader {
        name: name.to_owned(),
        problem,
    };
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(invalid("its name is not a token"));
    }
    let lower = name.to_ascii_lowercase();
    // Whole families, not a list: a later standard can add headers to the handshake.
    let is_reserved = RESERVED.contains(&&*lower)
        || ["sec-websocket-", "websocket-"]
            .iter()
            .any(|prefix| lower.starts_with(prefix));
    if is_reserved {
        return Err(invalid("it belongs to the handshake or to the transport"));
    }
    // Stricter than `HeaderValue`, which takes bytes above 127: peers decode those in different ways.
    if !value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
    {
        return Err(invalid("its value is not printable ASCII"));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| invalid("its value is malformed"))?;
    // Any header that an application adds can hold a secret, whatever its name is.
    value.set_sensitive(true);
    Ok((name.to_owned().into(), value))
}

/// The headers that the handshake writes itself, or that would change how the bytes behind it are read.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// X7, X8: nothing that an application sets can break a head or the handshake.
    #[test]
    fn headers_that_would_break_the_head_cannot_be_set() {
        for (name, value) in [
            ("", "a"),
            ("A b", "a"),
            ("A:", "a"),
            ("A\r\nB", "a"),
            ("é", "a"),
            ("A", "a\r\nB: c"),
            ("A", "a\n"),
            ("A", "a\0"),
            ("A", "é"),
            ("A", "\x7f"),
            ("connection", "close"),
            ("Upgrade", "h2c"),
            ("Content-Length", "0"),
            ("TRANSFER-ENCODING", "chunked"),
            ("Sec-WebSocket-Accept", "a"),
            ("sec-websocket-protocol", "a"),
            ("WebSocket-Origin", "a"),
            ("Host", "a"),
            ("Origin", "a"),
        ] {
            let result = checked_header(name, value);
            assert!(
                matches!(result, Err(ConfigError::InvalidHeader { .. })),
                "{name:?}: {value:?}"
            );
        }
        for (name, value) in [
            ("Set-Cookie", "a=b; Path=/"),
            ("X-A", ""),
            ("server", "a\tb"),
        ] {
            let (sent, kept) = checked_header(name, value).unwrap();
            assert_eq!((&*sent, kept.to_str().unwrap()), (name, value));
        }
    }
}
