//! The length of a request that is not an upgrade, on a stream that an HTTP server shares. Two parsers must not
//! disagree on where the next request begins (RFC 9112 §6.3, §11.2).

use std::str;

use crate::handshake::error::HandshakeError;
use crate::handshake::http::fields::{Fields, list};
use crate::handshake::http::head_parser::RequestView;

const CONTENT_LENGTH: &str = "Content-Length";
const TRANSFER_ENCODING: &str = "Transfer-Encoding";

/// The length of a request that is not an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainRequest {
    pub(super) head_len: usize,
    pub(super) body: PlainBody,
}

impl PlainRequest {
    /// Returns the length of the head in bytes, with the empty line at its end and empty lines before it.
    pub fn head_len(self) -> usize {
        self.head_len
    }

    /// Returns the length of the body behind it.
    pub fn body(self) -> PlainBody {
        self.body
    }
}

/// How to find the end of the body of a request (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainBody {
    /// The body has this length in bytes, which can be zero.
    Length(u64),
    /// The body is sent in chunks, and the last chunk ends it.
    Chunked,
}

/// Checks the head of a request that goes to an HTTP server, and returns how its body ends. A head that parsers read in
/// different ways is refused, because a second request could be smuggled behind it.
pub(super) fn check<H: Fields + ?Sized>(
    head: &RequestView<'_, H>,
) -> Result<PlainBody, HandshakeError> {
    let malformed = |problem| Err(HandshakeError::MalformedHead { problem });
    let RequestView {
        target, headers, ..
    } = *head;
    let invalid = |problem| {
        Err(HandshakeError::InvalidTarget {
            target: target.into(),
            problem,
        })
    };
    if target.contains('#') {
        return invalid("it must not have a fragment");
    }
    // hyper reads targets with this type, so both refuse the same ones.
    if http::Uri::try_from(target).is_err() {
        return invalid("it is not a request target of HTTP");
    }
    let mut lengths = headers.values(CONTENT_LENGTH);
    let length = lengths.next();
    // Even if both are equal, which RFC 9112 §6.3 lets a server take: some parsers use the first, some the last.
    if lengths.next().is_some() {
        return malformed("Content-Length appears more than once");
    }
    if headers.has(TRANSFER_ENCODING) {
        // The classic way to smuggle a request (RFC 9112 §11.2): one parser reads the length, the other the chunks.
        if length.is_some() {
            return malformed("it has both Content-Length and Transfer-Encoding");
        }
        if head.http_version < http::Version::HTTP_11 {
            return malformed("Transfer-Encoding in HTTP/1.0");
        }
        let mut codings = list(headers, TRANSFER_ENCODING);
        return match (codings.next(), codings.next()) {
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => {
                Ok(PlainBody::Chunked)
            }
            (_, _) => malformed("its Transfer-Encoding is not chunked, and nothing else"),
        };
    }
    let Some(digits) = length else {
        return Ok(PlainBody::Length(0));
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let len = str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    match len.filter(|_| is_number) {
        Some(len) if len <= LENGTH_LIMIT => Ok(PlainBody::Length(len)),
        Some(_) | None => malformed("Content-Length is not a number of bytes"),
    }
}

/// The longest body in bytes: what fits 63 bits, because HTTP implementations count in signed numbers.
const LENGTH_LIMIT: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::http::head_parser::HeaderSlots;

    fn body(target: &str, version: &str, lines: &str) -> Result<PlainBody, HandshakeError> {
        let bytes = format!("POST {target} {version}\r\n{lines}\r\n");
        let mut slots = HeaderSlots::new(8);
        check(&RequestView::parse(bytes.as_bytes(), &mut slots).unwrap())
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
