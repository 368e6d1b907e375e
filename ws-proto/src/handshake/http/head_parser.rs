//! Reads a head whose end was found. The parser itself is the crate httparse.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::fields::Fields;
use crate::handshake::error::HandshakeError;
use crate::handshake::head::{RequestHead, ResponseHead};
use crate::redact::{is_secret, mark_secret};

/// The header lines that are read without an allocation. Browsers send about 15.
const FEW_LINES: usize = 24;

/// The head of a request as its checks read it: parts of bytes or of a map that someone else keeps.
pub(in crate::handshake) struct RequestView<'a, H: ?Sized> {
    pub(in crate::handshake) method: Method,
    pub(in crate::handshake) target: &'a str,
    pub(in crate::handshake) http_version: http::Version,
    pub(in crate::handshake) headers: &'a H,
}

/// The header lines of a head that was parsed where it lies.
pub(in crate::handshake) type HeaderLines<'a> = [httparse::Header<'a>];

impl<'a> RequestView<'a, HeaderLines<'a>> {
    /// Reads a head whose end was found by a `HeadReader`. Whatever this takes, [`RequestHead::parse`] takes.
    pub(in crate::handshake) fn parse(
        bytes: &'a [u8],
        slots: &'a mut HeaderSlots<'a>,
    ) -> Result<Self, HandshakeError> {
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(bytes, slots.all());
        let status =
            status.map_err(|error| other_protocol(bytes).unwrap_or_else(|| malformed(error)))?;
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
        check_map(request.headers)?;
        Ok(Self {
            method,
            target,
            http_version: http_version(minor),
            headers: request.headers,
        })
    }
}

impl Fields for HeaderLines<'_> {
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        // No index: a search of all lines for each header of the handshake takes less time than a table of a few
        // lines, and the `header_limit` bounds it.
        let lines = self.iter();
        let lines = lines.filter(move |line| line.name.eq_ignore_ascii_case(name));
        lines.map(|line| line.value)
    }

    fn hides(&self, name: &str) -> bool {
        is_secret(name)
    }
}

impl RequestHead {
    /// Reads a head whose end was found by a `HeadReader`, and keeps its bytes.
    pub(in crate::handshake) fn parse(
        bytes: &Bytes,
        header_lines: usize,
    ) -> Result<Self, HandshakeError> {
        let mut slots = HeaderSlots::new(header_lines);
        let view = RequestView::parse(bytes, &mut slots)?;
        Ok(Self {
            method: view.method,
            target: bytes.slice_ref(view.target.as_bytes()),
            headers: collect(bytes, view.headers)?,
        })
    }
}

impl ResponseHead {
    /// Reads a head whose end was found by a `HeadReader`, and keeps its bytes.
    pub(in crate::handshake) fn parse(
        bytes: &Bytes,
        header_lines: usize,
    ) -> Result<Self, HandshakeError> {
        let mut slots = HeaderSlots::new(header_lines);
        let mut response = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            slots.all(),
        );
        let status = status.map_err(malformed)?;
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

/// The places for the header lines of one head: on the stack if they are few, on the heap otherwise.
pub(in crate::handshake) struct HeaderSlots<'b> {
    few: [MaybeUninit<httparse::Header<'b>>; FEW_LINES],
    many: Vec<MaybeUninit<httparse::Header<'b>>>,
    header_lines: usize,
}

impl<'b> HeaderSlots<'b> {
    /// Makes exactly `header_lines` places. A `HeadReader` has counted the lines and checked the limit.
    pub(in crate::handshake) fn new(header_lines: usize) -> Self {
        let mut many = Vec::new();
        if header_lines > FEW_LINES {
            many.resize(header_lines, MaybeUninit::uninit());
        }
        Self {
            // Not initialized, because this would take longer than the parser needs for a short head.
            few: [MaybeUninit::uninit(); FEW_LINES],
            many,
            header_lines,
        }
    }

    fn all(&mut self) -> &mut [MaybeUninit<httparse::Header<'b>>] {
        match self.few.get_mut(..self.header_lines) {
            Some(few) => few,
            None => &mut self.many,
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

/// Checks that a [`HeaderMap`] takes these lines, because one is made of them when somebody asks for it.
fn check_map(lines: &HeaderLines<'_>) -> Result<(), HandshakeError> {
    let malformed = |problem| Err(HandshakeError::MalformedHead { problem });
    if lines.len() > MAP_LINE_LIMIT {
        return malformed("it has too many headers");
    }
    // The parser has checked the characters of names and values, by the same rules as the map.
    if lines.iter().any(|line| line.name.len() > MAP_NAME_LIMIT) {
        return malformed("a header name is not a token");
    }
    Ok(())
}

/// The most lines for which a [`HeaderMap`] can be made in one step: three quarters of its 32,768 places.
const MAP_LINE_LIMIT: usize = 24_576;

/// The longest name of a [`HeaderMap`], in bytes.
const MAP_NAME_LIMIT: usize = 65_535;

fn collect(bytes: &Bytes, lines: &HeaderLines<'_>) -> Result<HeaderMap, HandshakeError> {
    let malformed = |problem| HandshakeError::MalformedHead { problem };
    check_map(lines)?;
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

/// Recognizes other protocols whose first line ends like one of HTTP, so that the end of a head was found. The names are in
/// `HandshakeError::NotHttp`.
fn other_protocol(head: &[u8]) -> Option<HandshakeError> {
    // The rest of such a line is not kept: the PROXY protocol has addresses there.
    let seen = OTHER_STARTS.iter().find(|start| head.starts_with(start))?;
    let seen = seen.to_vec();
    Some(HandshakeError::NotHttp { seen })
}

/// The preface of HTTP/2 (RFC 9113 §3.4), and version 1 of the PROXY protocol, each up to where it is no HTTP/1.
const OTHER_STARTS: [&[u8]; 2] = [b"PRI * HTTP/2", b"PROXY "];

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

    /// A head for which the map of headers would have no place is refused when it arrives, whatever limits an
    /// application sets; nothing panics when somebody asks for the map.
    #[test]
    fn what_no_map_can_hold_is_refused() {
        let lines = |count| {
            let lines: String = (0..count).map(|line| format!("a{line}:\r\n")).collect();
            format!("GET / HTTP/1.1\r\n{lines}\r\n")
        };
        let name = |len| format!("GET / HTTP/1.1\r\n{}:\r\n\r\n", "a".repeat(len));
        for (text, count, problem) in [
            (lines(MAP_LINE_LIMIT), MAP_LINE_LIMIT, None),
            (
                lines(MAP_LINE_LIMIT + 1),
                MAP_LINE_LIMIT + 1,
                Some("it has too many headers"),
            ),
            (name(MAP_NAME_LIMIT), 1, None),
            (
                name(MAP_NAME_LIMIT + 1),
                1,
                Some("a header name is not a token"),
            ),
        ] {
            let expected = problem.map(|problem| HandshakeError::MalformedHead { problem });
            let mut slots = HeaderSlots::new(count);
            let viewed = RequestView::parse(text.as_bytes(), &mut slots);
            assert_eq!(viewed.err(), expected);
            let kept = RequestHead::parse(&text.clone().into(), count);
            assert_eq!(kept.err(), expected);
        }
    }

    #[test]
    fn all_header_values_share_one_buffer() {
        let bytes = Bytes::from_static(b"GET / HTTP/1.1\r\nA: 1\r\nB:  two \r\nA: 3\r\nE:\r\n\r\n");
        let head = RequestHead::parse(&bytes, 4).unwrap();
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
