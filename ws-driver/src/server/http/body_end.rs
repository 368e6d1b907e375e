//! Finds the end of a request body, where the next request begins, while the bytes pass. Accepts only the framing
//! of RFC 9112 §6 and §7.1, strictly; anything else ends the stream. A lenient parser could disagree with a proxy
//! in front of the server about where a request begins (request smuggling).

use std::io;

use ws_proto::PlainBody;

/// The position in a body.
#[derive(Debug)]
pub(super) struct BodyEnd(Position);

/// What the next byte has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// One of this many bytes of content before the end.
    Content {
        left: u64,
    },
    /// The size of a chunk. `size` is the value of its digits so far, `None` before the first.
    Size {
        size: Option<u64>,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Chunk {
        left: u64,
    },
    ChunkCr,
    ChunkLf,
    /// The begin of a trailer, or of the empty line after the trailers.
    LineStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

impl BodyEnd {
    /// Starts after a request head.
    ///
    /// # Errors
    ///
    /// Fails if the framing of the body is unknown.
    pub(super) fn new(body: PlainBody) -> io::Result<Self> {
        match body {
            PlainBody::Length(left) => Ok(Self(Position::Content { left })),
            PlainBody::Chunked => Ok(Self(Position::Size { size: None })),
            body => Err(malformed(&format!("the framing {body:?} is unknown"))),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.0, Position::End | Position::Content { left: 0 })
    }

    /// Takes the next bytes. Returns how many of them belong to the body.
    ///
    /// # Errors
    ///
    /// Fails if the chunks are malformed.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut passed = 0;
        while let (false, Some(rest @ [byte, ..])) = (self.is_over(), bytes.get(passed..)) {
            passed += match &mut self.0 {
                Position::Content { left } | Position::Chunk { left } => {
                    let len =
                        usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= u64::try_from(len).unwrap_or(*left);
                    if self.0 == (Position::Chunk { left: 0 }) {
                        self.0 = Position::ChunkCr;
                    }
                    len
                }
                position @ (Position::Size { .. }
                | Position::Extension { .. }
                | Position::SizeLf { .. }
                | Position::ChunkCr
                | Position::ChunkLf
                | Position::LineStart
                | Position::Trailer
                | Position::TrailerLf
                | Position::EndLf
                | Position::End) => {
                    *position = step(*position, *byte)?;
                    1
                }
            };
        }
        Ok(passed)
    }
}

/// Takes a byte that is part of the framing.
fn step(position: Position, byte: u8) -> io::Result<Position> {
    Ok(match (position, byte) {
        (Position::Size { size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => (byte | 0x20) - b'a' + 10,
            };
            // A size that wraps around would end the body early.
            let size = size.unwrap_or(0).checked_mul(16);
            let size = size.ok_or_else(|| malformed("the size of a chunk is too large"))?;
            Position::Size {
                size: Some(size | u64::from(digit)),
            }
        }
        (Position::Size { size: Some(size) } | Position::Extension { size }, b'\r') => {
            Position::SizeLf { size }
        }
        (Position::Size { size: Some(size) }, b';' | b' ' | b'\t') => Position::Extension { size },
        (Position::SizeLf { size: 0 }, b'\n') | (Position::TrailerLf, b'\n') => Position::LineStart,
        (Position::SizeLf { size }, b'\n') => Position::Chunk { left: size },
        (Position::ChunkCr, b'\r') => Position::ChunkLf,
        (Position::ChunkLf, b'\n') => Position::Size { size: None },
        (Position::LineStart, b'\r') => Position::EndLf,
        (Position::Trailer, b'\r') => Position::TrailerLf,
        (Position::EndLf, b'\n') => Position::End,
        // Parsers differ in whether a bare LF ends a line, so it is an error everywhere else.
        (_, b'\n') => {
            return Err(malformed(
                "a line feed is at a place where it is not allowed",
            ));
        }
        (Position::Extension { size }, _) => Position::Extension { size },
        (Position::LineStart | Position::Trailer, _) => Position::Trailer,
        (
            Position::Size { .. }
            | Position::SizeLf { .. }
            | Position::ChunkCr
            | Position::ChunkLf
            | Position::TrailerLf
            | Position::EndLf
            | Position::Content { .. }
            | Position::Chunk { .. }
            | Position::End,
            _,
        ) => return Err(malformed("it is not a valid chunk")),
    })
}

fn malformed(problem: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("malformed HTTP request body: {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(body: PlainBody, bytes: &[u8], step: usize) -> Option<usize> {
        let mut end = BodyEnd::new(body).unwrap();
        let mut passed = 0;
        while !end.is_over() && passed < bytes.len() {
            let read = &bytes[passed..bytes.len().min(passed + step)];
            passed += end.pass(read).ok()?;
        }
        end.is_over().then_some(passed)
    }

    /// X13, RFC 9112 §6, §7.1: where a body ends, at any chopping, and what has no end.
    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (bytes, expected) in [
            ("0\r\n\r\nGET", Some(5)),
            ("3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
            (
                "A;x=\"y\"\r\n0123456789\r\n00\r\nT: u\r\nV:\r\n\r\nGET",
                Some(37),
            ),
            ("3 \r\na\r\n\r\n0\r\n\r\n", Some(14)),
            ("3\r\nabc", None),
            ("3\nabc\r\n0\r\n\r\n", None),
            ("3\r\nabcd\r\n0\r\n\r\n", None),
            ("\r\n0\r\n\r\n", None),
            ("x\r\n", None),
            ("0\r\n\n", None),
            ("0\r\nT: u\n\r\n", None),
            ("3;a\nb\r\nabc\r\n0\r\n\r\n", None),
            ("10000000000000000\r\n", None),
            ("-1\r\n", None),
        ] {
            for step in [1, 2, 5, 100] {
                let seen = end(PlainBody::Chunked, bytes.as_bytes(), step);
                assert_eq!(seen, expected, "{bytes:?} in {step}");
            }
        }
        for step in [1, 3, 100] {
            assert_eq!(end(PlainBody::Length(0), b"GET", step), Some(0));
            assert_eq!(end(PlainBody::Length(4), b"abcdGET", step), Some(4));
            assert_eq!(end(PlainBody::Length(u64::MAX), b"abcd", step), None);
        }
    }
}
