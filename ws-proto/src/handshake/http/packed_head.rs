//! Heads in one short block of memory, for as long as a connection is open.
//!
//! A parsed head is a hash table of more than a kilobyte, and an application rarely reads it after the handshake.
//! Unpacking returns the same method, target and headers in the same order, but not the case of names.

use std::fmt;
use std::str;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::handshake::head::{RequestHead, ResponseHead};
use crate::redact::mark_secret;

/// The end of each part. A line break cannot occur inside of one: the parser refuses it in targets and values.
const END: u8 = b'\n';

/// A [`RequestHead`] in one block of memory.
#[derive(Clone)]
pub struct PackedRequest(Box<[u8]>);

impl PackedRequest {
    /// Packs the head of a request.
    pub fn new(head: &RequestHead) -> Self {
        let first = [head.method.as_str().as_bytes(), &head.target];
        Self(pack(&first, &head.headers))
    }

    /// Returns the head again.
    #[expect(clippy::missing_panics_doc, reason = "the block was made from a head")]
    pub fn unpack(&self) -> RequestHead {
        let mut parts = Parts::of(&self.0);
        let (method, target) = (parts.next(), parts.next());
        RequestHead {
            method: Method::from_bytes(&method).expect("it was a method"),
            target,
            headers: parts.headers(),
        }
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
        let mut parts = Parts::of(&self.0);
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
        self.unpack().fmt(f)
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
    fn of(packed: &[u8]) -> Self {
        let rest = Bytes::copy_from_slice(packed);
        Self { rest }
    }

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

    /// A packed head of any method unpacks to the same head, and takes one block that is exactly as long as its
    /// parts.
    #[test]
    fn a_packed_head_is_as_short_as_what_it_says() {
        for (method, target, lines) in [
            ("GET", "/", &[][..]),
            ("HEAD", "*", &[("a", "")]),
            (
                "OPTIONS",
                "http://a.example/?b=c",
                &[("a", "1"), ("b", "\u{e9}\t2"), ("a", "3")],
            ),
            (
                "M-SEARCH",
                "/\u{e9}",
                &[("x-empty", ""), ("x-empty", ""), ("host", "a")],
            ),
        ] {
            let mut text = format!("{method} {target} HTTP/1.1\r\n");
            for (name, value) in lines {
                text += &format!("{name}: {value}\r\n");
            }
            text += "\r\n";
            let (head, _) = RequestHead::parse(&text.clone().into(), lines.len()).unwrap();
            let packed = PackedRequest::new(&head);
            let said = lines
                .iter()
                .map(|(name, value)| name.len() + value.len() + 2);
            let expected = method.len() + target.len() + 2 + said.sum::<usize>();
            assert_eq!(packed.0.len(), expected, "{text}");
            let again = packed.unpack();
            assert_eq!((again.method().as_str(), again.target()), (method, target));
            assert!(again.headers().iter().eq(head.headers().iter()), "{text}");
            assert_eq!(again.headers().len(), lines.len());
        }
    }
}
