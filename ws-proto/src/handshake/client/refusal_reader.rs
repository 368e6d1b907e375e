//! Reads the body of an answer that is no 101. Knows nothing of what would have been accepted.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, LOCATION, TRANSFER_ENCODING};

use crate::handshake::error::HandshakeError;
use crate::handshake::head::ResponseHead;
use crate::handshake::http::fields::list_contains;
use crate::handshake::refusal::Refusal;

/// Reads the body of a refusal.
#[derive(Debug)]
pub(super) struct RefusalReader {
    head: ResponseHead,
    framing: Framing,
    limit: usize,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is none, or its end is that of the stream.
    None,
    Length(u64),
    Chunked,
}

impl RefusalReader {
    pub(super) fn new(head: &ResponseHead, limit: usize) -> Self {
        Self {
            framing: Framing::of(head),
            head: head.clone(),
            limit,
        }
    }

    /// Looks at all that was received behind the head; says what came of it once nothing more is needed.
    pub(super) fn read(&self, received: &[u8]) -> Option<HandshakeError> {
        if self.location().is_some() {
            return Some(self.give_up(received));
        }
        let within = &received[..received.len().min(self.limit)];
        let is_full = within.len() == self.limit;
        match self.framing {
            Framing::None => Some(self.error(&[], true)),
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

    /// Says what came of it when no more will come.
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

    /// Returns where a redirect points to.
    fn location(&self) -> Option<&str> {
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
            refusal: Box::new(Refusal {
                head: self.head.clone(),
                body: Bytes::copy_from_slice(body),
                is_whole,
            }),
        }
    }
}

impl Framing {
    /// RFC 9112 §6.3, of which this needs no more: who breaks it is refused a body, not a connection.
    fn of(head: &ResponseHead) -> Self {
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
            return match list_contains(headers, TRANSFER_ENCODING.as_str(), "chunked") {
                true => Self::Chunked,
                false => Self::None,
            };
        }
        let len = head
            .header(CONTENT_LENGTH.as_str())
            .and_then(|len| len.parse().ok());
        len.map_or(Self::None, Self::Length)
    }
}

/// Takes the content out of chunks as far as they are there, and tells whether the last one is (RFC 9112
/// §7.1). What is malformed counts as not there.
fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, len))) = httparse::parse_chunk_size(bytes) {
        if len == 0 {
            return (body, true);
        }
        let rest = &bytes[start..];
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
