//! Heads in one short block of memory, for as long as a connection is open.
//!
//! A map of headers is a hash table of more than a kilobyte, and an application rarely reads it. So it is made when
//! somebody asks for it. Unpacking returns the same method, target and headers in the same order.

use std::fmt;
use std::str;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::handshake::head::{RequestHead, ResponseHead};
use crate::redact::mark_secret;

/// The end of each part of a head that is packed in parts. A line break cannot occur inside of one: the parser refuses it
/// in targets and values.
const END: u8 = b'\n';

/// A [`RequestHead`] in one block of memory.
///
/// The block has the bytes as they were received, so that packing costs nothing. Of a head that another HTTP server has
/// read it has the parts, behind an empty one. No head that was received begins with a line feed.
///
/// Invariant: the parser of heads takes the bytes that were received.
#[derive(Clone)]
pub struct PackedRequest(Box<[u8]>);

impl PackedRequest {
    /// Packs the bytes of a head that has been parsed.
    pub(in crate::handshake) fn of_received(head: BytesMut) -> Self {
        // A head that arrived in one read fills its buffer, and nothing is copied.
        Self(Vec::from(head).into_boxed_slice())
    }

    /// Packs the head of a request that another HTTP server has read.
    pub(in crate::handshake) fn of_parts(parts: &http::request::Parts) -> Self {
        // Not as bytes of HTTP: an application may have added values that begin or end with a space, and a parser would
        // trim them.
        let target = parts.uri.to_string();
        let first = [b"", parts.method.as_str().as_bytes(), target.as_bytes()];
        Self(pack(&first, &parts.headers))
    }

    /// Returns the same request without its headers, in a block that is shorter by them.
    #[must_use]
    pub fn without_headers(&self) -> Self {
        if self.has_parts() {
            let first_len = memchr::memchr_iter(END, &self.0).nth(2).map(|end| end + 1);
            return Self(self.0[..first_len.unwrap_or(self.0.len())].into());
        }
        // An empty line may come before the head, see `HeadReader`.
        let head = self.0.strip_prefix(b"\r\n").unwrap_or(&self.0);
        let first_len = memchr::memchr(b'\r', head).unwrap_or(head.len());
        Self([&head[..first_len], b"\r\n\r\n"].concat().into())
    }

    /// Returns the head.
    #[expect(clippy::missing_panics_doc, reason = "the block was made from a head")]
    pub fn unpack(self) -> RequestHead {
        let has_parts = self.has_parts();
        let block = Bytes::from(self.0);
        if !has_parts {
            // The lines of the headers, and at most three others.
            let lines = memchr::memchr_iter(b'\n', &block).count();
            return RequestHead::parse(&block, lines).expect("it was parsed before");
        }
        let mut parts = Parts { rest: block };
        let (_, method, target) = (parts.next(), parts.next(), parts.next());
        RequestHead {
            method: Method::from_bytes(&method).expect("it was a method"),
            target,
            headers: parts.headers(),
        }
    }

    fn has_parts(&self) -> bool {
        self.0.first() == Some(&END)
    }
}

/// A [`ResponseHead`] in one block of memory.
#[derive(Clone)]
pub struct PackedResponse(Box<[u8]>);

impl PackedResponse {
    /// Packs the head of a response.
    pub fn new(head: &ResponseHead) -> Self {
        // The parser returns only these two versions.
        let version: &[u8] = match head.version {
            http::Version::HTTP_10 => b"",
            _ => b"1",
        };
        // An empty part stands for no subprotocol, since a name has at least one character.
        let subprotocol = head.subprotocol.as_deref().unwrap_or_default();
        let first = [
            head.status.as_str().as_bytes(),
            version,
            subprotocol.as_bytes(),
        ];
        Self(pack(&first, &head.headers))
    }

    /// Returns the head again.
    #[expect(clippy::missing_panics_doc, reason = "the block was made from a head")]
    pub fn unpack(&self) -> ResponseHead {
        let rest = Bytes::copy_from_slice(&self.0);
        let mut parts = Parts { rest };
        let (status, version, subprotocol) = (parts.next(), parts.next(), parts.next());
        let subprotocol = str::from_utf8(&subprotocol).expect("it was text");
        ResponseHead {
            status: StatusCode::from_bytes(&status).expect("it was a status"),
            version: if version.is_empty() {
                http::Version::HTTP_10
            } else {
                http::Version::HTTP_11
            },
            headers: parts.headers(),
            subprotocol: Some(subprotocol.into()).filter(|_| !subprotocol.is_empty()),
        }
    }
}

impl fmt::Debug for PackedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().unpack().fmt(f)
    }
}

impl fmt::Debug for PackedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

/// Concatenates the first parts, then the names and values.
fn pack(first: &[&[u8]], headers: &HeaderMap) -> Box<[u8]> {
    let headers = || {
        let lines = headers.iter();
        lines.flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()])
    };
    let parts = || first.iter().copied().chain(headers());
    // Measured first, then filled: a vector that grows would leave unused capacity, and boxing it would copy it.
    let mut packed = Vec::with_capacity(parts().map(|part| part.len() + 1).sum());
    for part in parts() {
        debug_assert!(!part.contains(&END), "a part of a head is one line");
        packed.extend_from_slice(part);
        packed.push(END);
    }
    packed.into_boxed_slice()
}

/// The parts of a block, one after the other. All share one copy of it.
struct Parts {
    rest: Bytes,
}

impl Parts {
    /// Takes the next part. It is empty at the end.
    fn next(&mut self) -> Bytes {
        let end = memchr::memchr(END, &self.rest).unwrap_or(self.rest.len());
        let part = self.rest.split_to(end);
        self.rest = self.rest.slice(1.min(self.rest.len())..);
        part
    }

    fn headers(mut self) -> HeaderMap {
        let count = memchr::memchr_iter(END, &self.rest).count() / 2;
        let mut headers = HeaderMap::with_capacity(count);
        while !self.rest.is_empty() {
            let name = HeaderName::from_bytes(&self.next()).expect("it was a header name");
            let value = HeaderValue::from_maybe_shared(self.next());
            let mut value = value.expect("it was a header value");
            // A packed value is only bytes, so its mark as a secret must be set again.
            mark_secret(&name, &mut value);
            headers.append(name, value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packed head is one block of the bytes that were received, and unpacks to the head that they are.
    #[test]
    fn a_packed_head_is_the_bytes_that_were_received() {
        for (start, target, lines) in [
            ("", "/", &[][..]),
            ("", "/\u{e9}", &[("a", "")]),
            (
                "\r\n",
                "http://a.example/?b=c",
                &[("A", "1"), ("b", "\u{e9}\t2"), ("a", "3")],
            ),
        ] {
            let mut text = format!("{start}GET {target} HTTP/1.1\r\n");
            for (name, value) in lines {
                text += &format!("{name}: {value}\r\n");
            }
            text += "\r\n";
            let packed = PackedRequest::of_received(text.as_bytes().into());
            assert_eq!(*packed.0, *text.as_bytes());
            let without = packed.without_headers();
            let expected = format!("GET {target} HTTP/1.1\r\n\r\n");
            assert_eq!(*without.0, *expected.as_bytes());
            for (packed, lines) in [(packed, lines), (without, &[][..])] {
                let head = packed.unpack();
                assert_eq!((head.method().as_str(), head.target()), ("GET", target));
                let values = head.headers().iter();
                let mut values: Vec<_> =
                    values.map(|(name, value)| (name.as_str(), value)).collect();
                // The map keeps the values of one name together.
                values.sort();
                let lines = lines.iter().map(|(name, value)| {
                    (
                        name.to_ascii_lowercase(),
                        HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                    )
                });
                let mut lines: Vec<_> = lines.collect();
                lines.sort();
                let lines = lines.iter().map(|(name, value)| (&**name, value));
                assert!(values.into_iter().eq(lines), "{text}");
            }
        }
    }

    /// A head that another HTTP server has read is one block of its parts, and comes back with its values untrimmed.
    #[test]
    fn the_head_of_another_server_is_packed_in_parts() {
        let request = http::Request::get("http://a.example/b?c")
            .header("Host", "a")
            .header("X", "1")
            .header("Cookie", "d")
            .header("X", &b"\xff "[..])
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let packed = PackedRequest::of_parts(&parts);
        let expected = b"\nGET\nhttp://a.example/b?c\nhost\na\nx\n1\nx\n\xff \ncookie\nd\n";
        assert_eq!(*packed.0, *expected);
        let without = packed.without_headers();
        assert_eq!(*without.0, *b"\nGET\nhttp://a.example/b?c\n");
        let (head, without) = (packed.unpack(), without.unpack());
        assert_eq!(*head.headers(), parts.headers);
        assert!(head.headers()["cookie"].is_sensitive());
        assert!(without.headers().is_empty());
        for head in [head, without] {
            let seen = (head.method().as_str(), head.target());
            assert_eq!(seen, ("GET", "http://a.example/b?c"));
        }
    }
}
