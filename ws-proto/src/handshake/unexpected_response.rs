//! The response of a server that did not accept: its head, and as much of its body as a limit allows.

use std::fmt;

use bytes::Bytes;

use super::head::ResponseHead;

/// A response with another status than 101, so that the client has no connection.
#[derive(Clone, PartialEq, Eq)]
pub struct UnexpectedResponse {
    pub(super) head: ResponseHead,
    pub(super) body: Bytes,
    pub(super) is_whole: bool,
}

impl UnexpectedResponse {
    /// Returns the head, with all headers.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns the first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Returns the body, up to the [`response_body_limit`](crate::ClientConfig::response_body_limit). It is empty if the head
    /// does not say how long the body is, because the client does not wait for such a body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Tells whether [`body`](Self::body) returns the whole body.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl fmt::Debug for UnexpectedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnexpectedResponse")
            .field("head", &self.head)
            // Only the length: `Debug` ends in logs, and a body can be 4 KiB.
            .field("body", &self.body.len())
            .field("is_whole", &self.is_whole)
            .finish()
    }
}

impl fmt::Display for UnexpectedResponse {
    /// Shows the beginning of the body, if it is text. It is a suffix for the message of
    /// [`HandshakeError::Status`](crate::HandshakeError::Status).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(text) = std::str::from_utf8(&self.body) else {
            return Ok(());
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        // `{:?}` escapes control characters, which a server could use to forge lines in a log.
        let shown: String = text.chars().take(SHOWN_LIMIT).collect();
        let dots = if shown.len() < text.len() { "…" } else { "" };
        write!(f, "; it said {shown:?}{dots}")
    }
}

/// The characters of a body that an error shows: enough for a sentence, short enough for a line in a log.
const SHOWN_LIMIT: usize = 200;
