//! What a server sends that does not accept: its head, and as much of its body as a limit allows.

use std::fmt;

use bytes::Bytes;

use super::head::ResponseHead;

/// An answer that is no 101: what a server says to a client that it refuses.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(super) head: ResponseHead,
    pub(super) body: Bytes,
    pub(super) is_whole: bool,
}

impl Refusal {
    /// Returns the head, with all headers.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns the first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Returns the body, up to the [`refusal_limit`](crate::ClientConfig::refusal_limit). A body whose
    /// length the head does not say is not waited for.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Tells whether that is all of it.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("head", &self.head)
            .field("body", &self.body.len())
            .field("is_whole", &self.is_whole)
            .finish()
    }
}

impl fmt::Display for Refusal {
    /// Shows the beginning of the body, if it is text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(text) = std::str::from_utf8(&self.body) else {
            return Ok(());
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let shown: String = text.chars().take(SHOWN_LIMIT).collect();
        let dots = if shown.len() < text.len() { "…" } else { "" };
        write!(f, "; it said {shown:?}{dots}")
    }
}

/// Characters of a body that an error shows.
const SHOWN_LIMIT: usize = 200;
