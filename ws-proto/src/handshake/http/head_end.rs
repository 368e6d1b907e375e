//! Finds the end of a head while it arrives.
//!
//! Each byte is examined once, however the reads divide the head. Bytes that HTTP parsers treat in different
//! ways are refused: CR or LF on its own, continued lines, control bytes.

use super::fields::is_token_byte;
use crate::handshake::error::HandshakeError;

/// The empty lines that are skipped before a request. RFC 9112 §2.2 asks for at least one, because old clients send
/// one behind a body.
const EMPTY_LINE_LIMIT: usize = 1;

/// The longest method in bytes. The longest registered one has 17. A longer first word is not HTTP, and is refused
/// before a whole head of noise has arrived.
const METHOD_LIMIT: usize = 24;

/// The first bytes of every response.
const RESPONSE_START: &[u8] = b"HTTP/1.";

/// Finds the end of a head while it arrives.
#[derive(Debug)]
pub(in crate::handshake) struct HeadReader {
    position: Position,
    /// Where the first line begins.
    start: usize,
    /// Whether header lines may be continued.
    has_folds: bool,
    /// How many bytes were examined. A later call goes on here, so many short reads cost linear time.
    scanned: usize,
    header_lines: usize,
    head_limit: usize,
    header_limit: usize,
}

/// The place of the last byte that was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Method,
    EmptyLineCr,
    ResponseStart,
    Line,
    LineCr,
    LineStart,
    EndCr,
    End,
}

impl HeadReader {
    pub(in crate::handshake) fn request(head_limit: usize, header_limit: usize) -> Self {
        Self {
            position: Position::Method,
            start: 0,
            has_folds: false,
            scanned: 0,
            header_lines: 0,
            head_limit,
            header_limit,
        }
    }

    pub(in crate::handshake) fn response(head_limit: usize, header_limit: usize) -> Self {
        Self {
            position: Position::ResponseStart,
            ..Self::request(head_limit, header_limit)
        }
    }

    /// Allows continued header lines, which a client must take (RFC 9112 §5.2).
    pub(in crate::handshake) fn with_folds(mut self) -> Self {
        self.has_folds = true;
        self
    }

    /// Begins again, for the next response on the stream.
    pub(in crate::handshake) fn restart(&mut self) {
        *self = Self {
            has_folds: self.has_folds,
            ..Self::response(self.head_limit, self.header_limit)
        };
    }

    /// Examines the new bytes of `received`, which holds all bytes that ever arrived. Returns the length of
    /// the head once its end is there.
    pub(in crate::handshake) fn find_end(
        &mut self,
        received: &[u8],
    ) -> Result<Option<usize>, HandshakeError> {
        while let Some(&byte) = received.get(self.scanned) {
            // Before the byte is examined, so that the error does not depend on how the reads divide the head.
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
                | Position::EmptyLineCr
                | Position::ResponseStart
                | Position::LineCr
                | Position::LineStart
                | Position::EndCr => {}
            }
        }
        Ok(None)
    }

    /// Skips to the next control byte, or to the limit.
    fn skip_text(&mut self, received: &[u8]) {
        // Most bytes of a head are text inside of a line. They change no state, so `step` is not called for them.
        let end = received.len().min(self.head_limit);
        let rest = received.get(self.scanned..end).unwrap_or_default();
        self.scanned += text_len(rest);
    }

    /// Returns the number of header lines up to here.
    pub(in crate::handshake) fn header_lines(&self) -> usize {
        self.header_lines
    }

    fn step(&mut self, byte: u8, seen: &[u8]) -> Result<Position, HandshakeError> {
        let malformed = |problem| Err(HandshakeError::MalformedHead { problem });
        let line_len = seen.len() - self.start;
        match (self.position, byte) {
            (Position::Method, b' ') if line_len > 1 => Ok(Position::Line),
            (Position::Method, _) if is_token_byte(byte) && line_len <= METHOD_LIMIT => {
                Ok(Position::Method)
            }
            // An empty line has two bytes.
            (Position::Method, b'\r') if line_len == 1 && seen.len() <= 2 * EMPTY_LINE_LIMIT => {
                Ok(Position::EmptyLineCr)
            }
            (Position::EmptyLineCr, b'\n') => {
                self.start = seen.len();
                Ok(Position::Method)
            }
            (Position::ResponseStart, _) if RESPONSE_START.starts_with(seen) => {
                Ok(if seen.len() == RESPONSE_START.len() {
                    Position::Line
                } else {
                    Position::ResponseStart
                })
            }
            // At once, not at the end of a line: TLS and other protocols may never send one.
            (Position::Method | Position::EmptyLineCr | Position::ResponseStart, _) => {
                Err(HandshakeError::NotHttp {
                    seen: seen.to_vec(),
                })
            }
            (Position::LineCr, b'\n') => Ok(Position::LineStart),
            (Position::EndCr, b'\n') => Ok(Position::End),
            (Position::LineCr | Position::EndCr, _) => malformed("a CR is not followed by an LF"),
            (_, b'\n') => malformed("an LF does not follow a CR"),
            (Position::LineStart, b'\r') => Ok(Position::EndCr),
            // Not behind the first line: RFC 9112 §2.2 does not say what would be continued there.
            (Position::LineStart, b' ' | b'\t') if self.has_folds && self.header_lines > 0 => {
                Ok(Position::Line)
            }
            (Position::LineStart, b' ' | b'\t') => malformed("a header line is continued"),
            (_, b'\r') => Ok(Position::LineCr),
            (_, 0..=8 | 10..=31 | 127) => malformed("it contains a control byte"),
            (Position::LineStart, _) => {
                // Counted here and not by the parser, which would need memory for all lines first.
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

/// Returns how many bytes come before the first control byte.
fn text_len(bytes: &[u8]) -> usize {
    let is_control = |byte: &u8| byte.is_ascii_control();
    // Blocks without an early exit become vector instructions.
    let blocks = bytes.chunks_exact(BLOCK_LEN);
    let has_control = |block: &[u8]| block.iter().fold(false, |has, byte| has | is_control(byte));
    let text_blocks = blocks.take_while(|block| !has_control(block)).count();
    let len = text_blocks * BLOCK_LEN;
    let rest = &bytes[len..];
    len + rest.iter().position(is_control).unwrap_or(rest.len())
}

/// The length of a vector that every 64-bit processor has.
const BLOCK_LEN: usize = 16;

/// Replaces the line breaks of continued header lines by spaces (RFC 9112 §5.2). `head` is a whole head.
pub(in crate::handshake) fn unfold(head: &mut [u8]) {
    // In place, and the length stays the same: the parser behind this takes no continued lines.
    for at in 2..head.len() {
        if matches!(head[at], b' ' | b'\t') && head[at - 2..at] == *b"\r\n" {
            head[at - 2..at].fill(b' ');
        }
    }
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
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(20))),
            (b"\r\n", Ok(None)),
            (b"\r", Ok(None)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", not_http(b"\r\n\r")),
            (b"\r\n \r\n", not_http(b"\r\n ")),
            (b"\rGET / HTTP/1.1\r\n\r\n", not_http(b"\rG")),
            (b"\nGET / HTTP/1.1\r\n\r\n", not_http(b"\n")),
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
}
