//! Reads a head whose end was found. The parser itself is the crate httparse.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::handshake::error::HandshakeError;
use crate::handshake::head::{RequestHead, ResponseHead};
use crate::redact::mark_secret;

/// The header lines that are read without an allocation. Browsers send about 15.
const FEW_LINES: usize = 24;

impl RequestHead {
    /// Reads a head whose end was found by a `HeadReader`, and keeps its bytes.
    pub(in crate::handshake) fn parse(
        bytes: &Bytes,
        header_lines: usize,
    ) -> Result<(Self, http::Version), HandshakeError> {
        let (mut few, mut many) = ([httparse::EMPTY_HEADER; FEW_LINES], Vec::new());
        let mut request = httparse::Request::new(header_slots(&mut few, &mut many, header_lines));
        let status = request.parse(bytes).map_err(malformed)?;
        let (Some(method), Some(target), Some(minor), true) = (
            request.method,
            request.path,
            request.version,
            status.is_complete(),
        ) else {
            return Err(HandshakeError::MalformedHead {
                problem: "it ends too early",
            });
        };
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| HandshakeError::MalformedHead {
                problem: "the method is not a token",
            })?;
        let headers = collect(bytes, request.headers)?;
        Ok((
            Self {
                method,
                target: bytes.slice_ref(target.as_bytes()),
                headers,
            },
            http_version(minor),
        ))
    }
}

impl ResponseHead {
    /// Reads a head whose end was found by a `HeadReader`, and keeps its bytes.
    pub(in crate::handshake) fn parse(
        bytes: &Bytes,
        header_lines: usize,
    ) -> Result<Self, HandshakeError> {
        let (mut few, mut many) = ([httparse::EMPTY_HEADER; FEW_LINES], Vec::new());
        let mut response = httparse::Response::new(header_slots(&mut few, &mut many, header_lines));
        let status = response.parse(bytes).map_err(malformed)?;
        let (Some(code), Some(minor), true) =
            (response.code, response.version, status.is_complete())
        else {
            return Err(HandshakeError::MalformedHead {
                problem: "it ends too early",
            });
        };
        let status = StatusCode::from_u16(code).map_err(|_| HandshakeError::MalformedHead {
            problem: "the status is below 100",
        })?;
        let headers = collect(bytes, response.headers)?;
        Ok(Self {
            status,
            version: http_version(minor),
            headers,
            subprotocol: None,
        })
    }
}

/// Returns exactly `header_lines` slots: on the stack if they are few, on the heap otherwise. `HeadReader` has
/// counted the lines and checked the limit.
fn header_slots<'r, 'b>(
    few: &'r mut [httparse::Header<'b>; FEW_LINES],
    many: &'r mut Vec<httparse::Header<'b>>,
    header_lines: usize,
) -> &'r mut [httparse::Header<'b>] {
    match few.get_mut(..header_lines) {
        Some(few) => few,
        None => {
            many.resize(header_lines, httparse::EMPTY_HEADER);
            many
        }
    }
}

fn http_version(minor: u8) -> http::Version {
    if minor == 0 {
        http::Version::HTTP_10
    } else {
        http::Version::HTTP_11
    }
}

fn collect(bytes: &Bytes, lines: &[httparse::Header<'_>]) -> Result<HeaderMap, HandshakeError> {
    let malformed = |problem| HandshakeError::MalformedHead { problem };
    // `HeaderMap` iterates in the same order for the same insertions, so no result depends on random hashes.
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| malformed("a header name is not a token"))?;
        // A slice of the received bytes, not a copy: a head then costs one buffer, however many headers it has.
        let mut value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value))
            .map_err(|_| malformed("a header value contains a control byte"))?;
        mark_secret(&name, &mut value);
        // `append` panics if the map is full, and a peer chooses the number of headers.
        headers
            .try_append(name, value)
            .map_err(|_| malformed("it has too many headers"))?;
    }
    Ok(headers)
}

fn malformed(error: httparse::Error) -> HandshakeError {
    let problem = match error {
        httparse::Error::HeaderName => "a header name is not a token",
        httparse::Error::HeaderValue => "a header value contains a control byte",
        httparse::Error::NewLine => "a line does not end with CR LF",
        httparse::Error::Status => "the status is not a number of three digits",
        httparse::Error::Token => "the first line is not one of HTTP/1",
        httparse::Error::TooManyHeaders => "it has too many headers",
        httparse::Error::Version => "the HTTP version is neither 1.0 nor 1.1",
    };
    HandshakeError::MalformedHead { problem }
}

#[cfg(test)]
mod tests {
    use super::super::fields::list;
    use super::*;

    #[test]
    fn all_header_values_share_one_buffer() {
        let bytes = Bytes::from_static(b"GET / HTTP/1.1\r\nA: 1\r\nB:  two \r\nA: 3\r\nE:\r\n\r\n");
        let (head, version) = RequestHead::parse(&bytes, 4).unwrap();
        assert_eq!(version, http::Version::HTTP_11);
        assert_eq!(
            (head.header("a"), head.header("B")),
            (Some("1"), Some("two"))
        );
        assert_eq!((head.header("e"), head.header("f")), (Some(""), None));
        assert_eq!(list(head.headers(), "a").collect::<Vec<_>>(), ["1", "3"]);
        let address = |name| head.headers()[name].as_bytes().as_ptr().addr();
        assert_eq!(
            address("b") - address("a"),
            7,
            "no value has an allocation of its own"
        );
    }
}
