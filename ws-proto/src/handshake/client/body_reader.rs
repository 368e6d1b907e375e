//! Reads the body of a response that is not a 101. This file does not know which response would be accepted.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, LOCATION, TRANSFER_ENCODING};

use crate::handshake::error::HandshakeError;
use crate::handshake::head::ResponseHead;
use crate::handshake::http::fields::list_contains;
use crate::handshake::unexpected_response::UnexpectedResponse;

/// Reads the body of an unexpected response.
#[derive(Debug)]
pub(super) struct BodyReader {
    head: ResponseHead,
    framing: Framing,
    limit: usize,
}

/// How the reader finds the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is no body, or it ends with the stream. Neither is read.
    None,
    Length(u64),
    Chunked,
}

impl BodyReader {
    pub(super) fn new(head: &ResponseHead, limit: usize) -> Self {
        Self {
            framing: Framing::of(head),
            head: head.clone(),
            limit,
        }
    }

    /// Examines all bytes behind the head. Returns the error of the handshake once no more bytes are needed.
    pub(super) fn read(&self, received: &[u8]) -> Option<HandshakeError> {
        // A redirect is reported without its body, so there is no reason to wait for one.
        if self.location().is_some() {
            return Some(self.give_up(received));
        }
        let within = &received[..received.len().min(self.limit)];
        let is_full = within.len() == self.limit;
        match self.framing {
            Framing::None => Some(self.error(&[], true)),
            // A length that does not fit `usize` is above every limit, so that the body cannot be whole.
            Framing::Length(len) => match usize::try_from(len) {
                Ok(len) if within.len() >= len => Some(self.error(&within[..len], true)),
                Ok(_) | Err(_) => is_full.then(|| self.error(within, false)),
            },
            Framing::Chunked => {
                let (body, is_whole) = dechunk(within);
                (is_whole || is_full).then(|| self.error(&body, is_whole))
            }
        }
    }

    /// Returns the error of the handshake when no more bytes will come.
    pub(super) fn give_up(&self, received: &[u8]) -> HandshakeError {
        if let Some(location) = self.location() {
            return HandshakeError::Redirect {
                status: self.head.status(),
                location: location.into(),
            };
        }
        let within = &received[..received.len().min(self.limit)];
        match self.framing {
            Framing::None => self.error(&[], true),
            Framing::Length(_) => self.error(within, false),
            Framing::Chunked => self.error(&dechunk(within).0, false),
        }
    }

    /// Returns the location of a redirect.
    fn location(&self) -> Option<&str> {
        // Not every 3xx: 300 and 304 have no single new location.
        let is_redirect = matches!(
            self.head.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        self.head.header(LOCATION.as_str()).filter(|_| is_redirect)
    }

    fn error(&self, body: &[u8], is_whole: bool) -> HandshakeError {
        HandshakeError::Status {
            status: self.head.status(),
            response: Box::new(UnexpectedResponse {
                head: self.head.clone(),
                body: Bytes::copy_from_slice(body),
                is_whole,
            }),
        }
    }
}

impl Framing {
    /// Determines how the body ends, by the part of RFC 9112 §6.3 that applies here.
    fn of(head: &ResponseHead) -> Self {
        // A malformed length or coding only loses the body. The handshake fails in any case, and no other response
        // follows on this stream.
        let headers = head.headers();
        if head.status().is_informational()
            || matches!(
                head.status(),
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            )
        {
            return Self::None;
        }
        if headers.contains_key(TRANSFER_ENCODING) {
            // It counts before a Content-Length, and another coding than chunked ends with the stream.
            return if list_contains(headers, TRANSFER_ENCODING.as_str(), "chunked") {
                Self::Chunked
            } else {
                Self::None
            };
        }
        let len = head
            .header(CONTENT_LENGTH.as_str())
            .and_then(|len| len.parse().ok());
        len.map_or(Self::None, Self::Length)
    }
}

/// Returns the content of the chunks that have arrived, and whether the last chunk is among them (RFC 9112 §7.1). A
/// malformed chunk ends the content.
fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, len))) = httparse::parse_chunk_size(bytes) {
        if len == 0 {
            return (body, true);
        }
        let rest = &bytes[start..];
        // A peer chooses the length, so it is compared with what is there and never added to an index.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        body.extend_from_slice(&rest[..rest.len().min(len)]);
        let Some(next) = rest.get(len..).and_then(|rest| rest.strip_prefix(b"\r\n")) else {
            break;
        };
        bytes = next;
    }
    (body, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9112 §7.1: chunks are put together as far as they came; the last one ends the body.
    #[test]
    fn chunks_are_put_together() {
        for (bytes, body, is_whole) in [
            (&b""[..], "", false),
            (b"0\r\n\r\n", "", true),
            (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n", "abcde", true),
            (b"3\r\nabc\r\n5\r\nde", "abcde", false),
            (b"3\r\nabc", "abc", false),
            (b"3\r\nabcd", "abc", false),
            (b"nonsense\r\n", "", false),
            (b"ffffffffffffffff\r\na", "a", false),
        ] {
            let text = bytes.escape_ascii().to_string();
            assert_eq!(dechunk(bytes), (body.into(), is_whole), "{text}");
        }
    }
}
