//! How long a request is that is no upgrade, for who shares a stream with an HTTP server: where the next one
//! begins must not be a question on which two parsers disagree (RFC 9112 §6.3, §11.2).

use std::str;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use crate::handshake::error::HandshakeError;
use crate::handshake::head::RequestHead;
use crate::handshake::http::fields::list;

/// A request that is no upgrade: how many bytes of the stream are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainRequest {
    pub(super) head_len: usize,
    pub(super) body: PlainBody,
}

impl PlainRequest {
    /// Returns the length of the head in bytes, with the empty line at its end and what was skipped before.
    pub fn head_len(self) -> usize {
        self.head_len
    }

    /// Returns the length of the body behind it.
    pub fn body(self) -> PlainBody {
        self.body
    }
}

/// How the end of the body of a request is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainBody {
    /// By its length in bytes, which can be zero.
    Length(u64),
    /// It says so itself, in chunks.
    Chunked,
}

/// Checks the head of a request that goes to an HTTP server, and says how its body ends. What parsers read in
/// different ways is refused, as something behind it could be smuggled.
pub(super) fn check(
    head: &RequestHead,
    http_version: http::Version,
) -> Result<PlainBody, HandshakeError> {
    let malformed = |problem| Err(HandshakeError::MalformedHead { problem });
    let target = head.target();
    let invalid = |problem| {
        Err(HandshakeError::InvalidTarget {
            target: target.into(),
            problem,
        })
    };
    if target.contains('#') {
        return invalid("it must not have a fragment");
    }
    // Shared, so that nothing is copied to look at it.
    if http::Uri::from_maybe_shared(head.target.clone()).is_err() {
        return invalid("it is no request target of HTTP");
    }
    let headers = head.headers();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return malformed("Content-Length is there more than once");
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if length.is_some() {
            return malformed("it has both Content-Length and Transfer-Encoding");
        }
        if http_version < http::Version::HTTP_11 {
            return malformed("Transfer-Encoding in HTTP/1.0");
        }
        let mut codings = list(headers, TRANSFER_ENCODING.as_str());
        return match (codings.next(), codings.next()) {
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => {
                Ok(PlainBody::Chunked)
            }
            (_, _) => malformed("its Transfer-Encoding is not chunked, and nothing else"),
        };
    }
    let Some(length) = length else {
        return Ok(PlainBody::Length(0));
    };
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let len = str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    match len.filter(|_| is_number) {
        // More than this hyper does not take, and nobody sends.
        Some(len) if len <= LENGTH_LIMIT => Ok(PlainBody::Length(len)),
        Some(_) | None => malformed("Content-Length is not a number of bytes"),
    }
}

/// The longest body that can be said: what fits 63 bits, as HTTP implementations count in those.
const LENGTH_LIMIT: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(target: &str, version: &str, lines: &str) -> Result<PlainBody, HandshakeError> {
        let bytes = format!("POST {target} {version}\r\n{lines}\r\n");
        let (head, version) = RequestHead::parse(&bytes.into(), 8).unwrap();
        check(&head, version)
    }

    /// X13, RFC 9112 §6.3: one length or chunks, and nothing that two parsers read in different ways.
    #[test]
    fn the_end_of_a_request_is_no_matter_of_taste() {
        for (lines, expected) in [
            ("", PlainBody::Length(0)),
            ("Content-Length: 0\r\n", PlainBody::Length(0)),
            ("Content-Length: 007\r\n", PlainBody::Length(7)),
            (
                "Content-Length: 9223372036854775807\r\n",
                PlainBody::Length(u64::MAX >> 1),
            ),
            ("Transfer-Encoding: Chunked\r\n", PlainBody::Chunked),
            ("Transfer-Encoding: chunked,\r\n", PlainBody::Chunked),
        ] {
            assert_eq!(body("/", "HTTP/1.1", lines), Ok(expected), "{lines}");
        }
        for lines in [
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: \r\n",
            "Content-Length: 9223372036854775808\r\n",
            "Content-Length: 18446744073709551618\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \r\n",
        ] {
            let refused = body("/", "HTTP/1.1", lines);
            assert!(
                matches!(refused, Err(HandshakeError::MalformedHead { .. })),
                "{lines}: {refused:?}"
            );
        }
        assert!(body("/", "HTTP/1.0", "Transfer-Encoding: chunked\r\n").is_err());
        for target in ["/a#b", "/a?b#", "/<a>"] {
            assert!(body(target, "HTTP/1.1", "").is_err(), "{target}");
        }
        for target in ["*", "/", "/a|b?c=d", "http://a/b", "/%00", "a.example:80"] {
            assert!(body(target, "HTTP/1.1", "").is_ok(), "{target}");
        }
    }
}
