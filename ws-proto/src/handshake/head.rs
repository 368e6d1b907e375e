//! The HTTP/1.1 head: finding its end while it arrives, and what is in it.
//!
//! The reader looks at each byte once, whatever the reads, and refuses what HTTP parsers disagree
//! about: CR or LF on its own, continued lines, control bytes. Knows nothing of WebSockets.

use std::str;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::error::HandshakeError;

/// The longest method that is waited for; the longest one registered has 17 bytes.
const METHOD_LIMIT: usize = 24;

/// What every answer begins with.
const RESPONSE_START: &[u8] = b"HTTP/1.";

/// Header lines that are read without an allocation; browsers send about 15.
const FEW_LINES: usize = 24;

/// The head of a request, as it was received.
///
/// Target and header values share one buffer, that of the received bytes. To keep a head for long
/// [pack](Self::pack) it.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(super) method: Method,
    /// Invariant: it is UTF-8.
    pub(super) target: Bytes,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the request target as it was received, such as `/chat?room=1`.
    #[expect(clippy::missing_panics_doc, reason = "a target is text from the start")]
    pub fn target(&self) -> &str {
        str::from_utf8(&self.target).expect("a target is text")
    }

    /// Returns the path of the target, without its query; still percent-encoded.
    pub fn path(&self) -> &str {
        let target = self.target();
        let target = &target[path_start(target)..];
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// Returns what follows the first `?` of the target, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// Returns all headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    pub(super) fn from_parts(parts: &http::request::Parts) -> Self {
        Self {
            method: parts.method.clone(),
            target: Bytes::from(parts.uri.to_string()),
            headers: parts.headers.clone(),
        }
    }

    /// Reads a head whose end was found by a [`HeadReader`], and keeps its bytes.
    pub(super) fn parse(
        bytes: &Bytes,
        header_lines: usize,
    ) -> Result<(Self, http::Version), HandshakeError> {
        let (mut few, mut many) = ([httparse::EMPTY_HEADER; FEW_LINES], Vec::new());
        let mut request = httparse::Request::new(room(&mut few, &mut many, header_lines));
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

/// The head of a response, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    pub(super) status: StatusCode,
    pub(super) version: http::Version,
    pub(super) headers: HeaderMap,
    pub(super) subprotocol: Option<Box<str>>,
}

impl ResponseHead {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the HTTP version.
    pub fn version(&self) -> http::Version {
        self.version
    }

    /// Returns all headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Returns the subprotocol that the server chose, once the head was checked.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Reads a head whose end was found by a [`HeadReader`], and keeps its bytes.
    pub(super) fn parse(bytes: &Bytes, header_lines: usize) -> Result<Self, HandshakeError> {
        let (mut few, mut many) = ([httparse::EMPTY_HEADER; FEW_LINES], Vec::new());
        let mut response = httparse::Response::new(room(&mut few, &mut many, header_lines));
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

/// Finds the end of a head while it arrives.
#[derive(Debug)]
pub(super) struct HeadReader {
    position: Position,
    /// How many bytes were looked at.
    scanned: usize,
    header_lines: usize,
    head_limit: usize,
    header_limit: usize,
}

/// What was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Method,
    ResponseStart,
    Line,
    LineCr,
    LineStart,
    EndCr,
    End,
}

impl HeadReader {
    pub(super) fn request(head_limit: usize, header_limit: usize) -> Self {
        Self {
            position: Position::Method,
            scanned: 0,
            header_lines: 0,
            head_limit,
            header_limit,
        }
    }

    pub(super) fn response(head_limit: usize, header_limit: usize) -> Self {
        Self {
            position: Position::ResponseStart,
            ..Self::request(head_limit, header_limit)
        }
    }

    /// Looks at what is new in `received`, which is all that ever arrived; returns the length of
    /// the head once its end is there.
    pub(super) fn find_end(&mut self, received: &[u8]) -> Result<Option<usize>, HandshakeError> {
        while let Some(&byte) = received.get(self.scanned) {
            if self.scanned >= self.head_limit {
                return Err(HandshakeError::HeadTooLarge {
                    limit: self.head_limit,
                });
            }
            let seen = &received[..=self.scanned];
            self.position = self.step(byte, seen)?;
            self.scanned += 1;
            match self.position {
                Position::End => return Ok(Some(self.scanned)),
                Position::Line => self.skip_text(received),
                Position::Method
                | Position::ResponseStart
                | Position::LineCr
                | Position::LineStart
                | Position::EndCr => {}
            }
        }
        Ok(None)
    }

    /// Goes on to the next byte that is not a line's text, or to the limit: most bytes are text, which
    /// changes nothing.
    fn skip_text(&mut self, received: &[u8]) {
        let end = received.len().min(self.head_limit);
        let rest = received.get(self.scanned..end).unwrap_or_default();
        let is_control = |byte: &u8| byte.is_ascii_control();
        self.scanned += rest.iter().position(is_control).unwrap_or(rest.len());
    }

    /// Returns the number of header lines up to here.
    pub(super) fn header_lines(&self) -> usize {
        self.header_lines
    }

    fn step(&mut self, byte: u8, seen: &[u8]) -> Result<Position, HandshakeError> {
        let malformed = |problem| Err(HandshakeError::MalformedHead { problem });
        match (self.position, byte) {
            (Position::Method, b' ') if seen.len() > 1 => Ok(Position::Line),
            (Position::Method, _) if is_token_byte(byte) && seen.len() <= METHOD_LIMIT => {
                Ok(Position::Method)
            }
            (Position::ResponseStart, _) if RESPONSE_START.starts_with(seen) => {
                Ok(if seen.len() == RESPONSE_START.len() {
                    Position::Line
                } else {
                    Position::ResponseStart
                })
            }
            (Position::Method | Position::ResponseStart, _) => Err(HandshakeError::NotHttp {
                seen: seen.to_vec(),
            }),
            (Position::LineCr, b'\n') => Ok(Position::LineStart),
            (Position::EndCr, b'\n') => Ok(Position::End),
            (Position::LineCr | Position::EndCr, _) => malformed("a CR is not followed by an LF"),
            (_, b'\n') => malformed("an LF does not follow a CR"),
            (Position::LineStart, b'\r') => Ok(Position::EndCr),
            (Position::LineStart, b' ' | b'\t') => malformed("a header line is continued"),
            (_, b'\r') => Ok(Position::LineCr),
            (_, 0..=8 | 10..=31 | 127) => malformed("it contains a control byte"),
            (Position::LineStart, _) => {
                self.header_lines += 1;
                if self.header_lines > self.header_limit {
                    return Err(HandshakeError::TooManyHeaders {
                        limit: self.header_limit,
                    });
                }
                Ok(Position::Line)
            }
            (Position::Line | Position::End, _) => Ok(Position::Line),
        }
    }
}

/// Tells whether `text` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Tells whether a byte may be part of a token.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Iterates over the elements of a header that is a list, over all its lines (RFC 9110 §5.6.1). A
/// line that is not text becomes one element that is no token.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}"))
        .flat_map(|line| line.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
}

/// Tells whether a header that is a list contains a token, in whatever case.
pub(super) fn list_contains(headers: &HeaderMap, name: &str, token: &str) -> bool {
    list(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}

/// Returns the value of a header that must not be there more than once.
pub(super) fn single<'a>(
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

/// Returns the value of a header that must not be there more than once and consists of visible
/// ASCII characters and inner spaces. Such a value can be copied into an answer.
pub(super) fn single_text<'a>(
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

/// Returns a header's value as text, for an error.
pub(super) fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// Where the path of a target begins: behind the authority, if it is a whole URI.
fn path_start(target: &str) -> usize {
    if target.starts_with('/') {
        return 0;
    }
    let Some(scheme_len) = target.find("://") else {
        return 0;
    };
    let authority = scheme_len + "://".len();
    let rest = &target[authority..];
    authority + rest.find(['/', '?']).unwrap_or(rest.len())
}

/// Returns room for so many header lines: on the stack if they are few.
fn room<'r, 'b>(
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
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| malformed("a header name is not a token"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value))
            .map_err(|_| malformed("a header value contains a control byte"))?;
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
    use super::*;

    fn find(bytes: &[u8], step: usize) -> Result<Option<usize>, HandshakeError> {
        let mut reader = HeadReader::request(64, 2);
        let mut end = None;
        for len in (0..bytes.len()).step_by(step).skip(1).chain([bytes.len()]) {
            end = reader.find_end(&bytes[..len])?;
            if end.is_some() {
                break;
            }
        }
        Ok(end)
    }

    /// X7, X12, D75-S5: where a head ends, and what is refused before, at any chopping.
    #[test]
    fn a_head_ends_with_an_empty_line_and_nothing_else() {
        let malformed = |problem| Err(HandshakeError::MalformedHead { problem });
        let not_http = |seen: &[u8]| {
            Err(HandshakeError::NotHttp {
                seen: seen.to_vec(),
            })
        };
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(64 - 18));
        let longer = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(64 - 17));
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Ok(Some(18))),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\n\r\n\r\n", Ok(Some(24))),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r", Ok(None)),
            (b"", Ok(None)),
            (long.as_bytes(), Ok(Some(64))),
            (
                longer.as_bytes(),
                Err(HandshakeError::HeadTooLarge { limit: 64 }),
            ),
            (
                b"GET / H\r\nA:\r\nB:\r\nC:",
                Err(HandshakeError::TooManyHeaders { limit: 2 }),
            ),
            (
                b"GET / HTTP/1.1\r\nA: b\r\n\n",
                malformed("an LF does not follow a CR"),
            ),
            (
                b"GET / HTTP/1.1\n\n",
                malformed("an LF does not follow a CR"),
            ),
            (
                b"GET / HTTP/1.1\r\nA: b\rX: c\r\n",
                malformed("a CR is not followed by an LF"),
            ),
            (
                b"GET / HTTP/1.1\r\n\r\r\n",
                malformed("a CR is not followed by an LF"),
            ),
            (
                b"GET / HTTP/1.1\r\nA: b\r\n c\r\n",
                malformed("a header line is continued"),
            ),
            (
                b"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n",
                malformed("a header line is continued"),
            ),
            (
                b"GET / HTTP/1.1\r\nA: b\0\r\n",
                malformed("it contains a control byte"),
            ),
            (
                b"GET /\x7f HTTP/1.1\r\n",
                malformed("it contains a control byte"),
            ),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", not_http(b"\r")),
            (b" GET", not_http(b" ")),
            (b"\x16\x03\x01\x02\x00\x01", not_http(b"\x16")),
            (b"<policy-file-request/>\0", not_http(b"<")),
            (b"SSH-2.0-x\r\n", not_http(b"SSH-2.0-x\r")),
            (
                b"aaaaaaaaaaaaaaaaaaaaaaaaaa",
                not_http(b"aaaaaaaaaaaaaaaaaaaaaaaaa"),
            ),
        ] {
            for step in [1, 2, 3, 7, 1000] {
                assert_eq!(
                    find(bytes, step),
                    expected,
                    "{} in {step}",
                    bytes.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn path_and_query_are_parts_of_the_target() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/a/b?c=d?e", "/a/b", Some("c=d?e")),
            ("/?", "/", Some("")),
            ("/a?u=http://x/y", "/a", Some("u=http://x/y")),
            ("http://example.com/a?b", "/a", Some("b")),
            ("http://example.com", "/", None),
            ("http://example.com?b", "/", Some("b")),
            ("*", "*", None),
        ] {
            let bytes = format!("GET {target} HTTP/1.1\r\n\r\n");
            let (head, _) = RequestHead::parse(&bytes.into(), 0).unwrap();
            assert_eq!((head.path(), head.query()), (path, query), "{target}");
        }
    }

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
