//! Messages that are compressed, each on its own or in a context (RFC 7692 §7.2.1), and what comes back of them,
//! inflated.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::frame::encode_plain;

/// What a sender leaves out at the end of a message.
const TRAILER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// More than any message of the loads.
const MESSAGE_LIMIT: usize = 2 << 20;

/// Compresses messages.
pub(crate) struct Compressing {
    stream: Compress,
}

impl Default for Compressing {
    fn default() -> Self {
        Self {
            stream: Compress::new(Compression::new(6), false),
        }
    }
}

impl Compressing {
    /// Begins a new context: what follows refers to nothing before it.
    pub(crate) fn begin(&mut self) {
        self.stream.reset();
    }

    /// Compresses the next message of the context.
    pub(crate) fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::with_capacity(payload.len() * 2 + 100);
        let stream = &mut self.stream;
        let status = stream.compress_vec(payload, &mut compressed, FlushCompress::Sync);
        debug_assert!(matches!(status, Ok(Status::Ok)), "there is room for all");
        compressed.truncate(compressed.len().saturating_sub(TRAILER.len()));
        compressed
    }
}

/// Turns the frames that a server sends into what they were if it did not compress.
pub(crate) struct Inflating {
    stream: Decompress,
    keeps_context: bool,
    /// What came of a frame that is not complete.
    input: Vec<u8>,
    output: Vec<u8>,
    message: Vec<u8>,
}

impl Inflating {
    pub(crate) fn new(keeps_context: bool) -> Self {
        Self {
            stream: Decompress::new(false),
            keeps_context,
            input: Vec::new(),
            output: Vec::new(),
            message: Vec::new(),
        }
    }
}

impl Inflating {
    /// Takes bytes; returns what is complete with them.
    ///
    /// # Errors
    ///
    /// Fails if it is no text, or not compressed as it was agreed on.
    pub(crate) fn inflate(&mut self, bytes: &[u8]) -> io::Result<&[u8]> {
        self.input.extend_from_slice(bytes);
        self.output.clear();
        let mut rest = &*self.input;
        while let Some((first_byte, payload, behind)) = split_frame(rest) {
            match first_byte {
                0x81 => encode_plain(payload, &mut self.output),
                0xc1 => {
                    if !self.keeps_context {
                        self.stream.reset(false);
                    }
                    inflate_one(&mut self.stream, payload, &mut self.message)?;
                    encode_plain(&self.message, &mut self.output);
                }
                _ => return Err(io::Error::other("what came back is no text")),
            }
            rest = behind;
        }
        let taken = self.input.len() - rest.len();
        self.input.drain(..taken);
        Ok(&self.output)
    }
}

/// Returns the first byte of a frame without a mask, its payload, and what is behind it.
fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first_byte, rest) = bytes.split_first()?;
    let (short, rest) = rest.split_first()?;
    let (len, rest) = match short {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*len)).ok()?, rest)
        }
        short => (usize::from(*short), rest),
    };
    let (payload, behind) = rest.split_at_checked(len)?;
    Some((*first_byte, payload, behind))
}

fn inflate_one(stream: &mut Decompress, payload: &[u8], message: &mut Vec<u8>) -> io::Result<()> {
    message.clear();
    for part in [payload, &TRAILER] {
        let end = stream.total_in() + u64::try_from(part.len()).map_err(io::Error::other)?;
        let mut rest = part;
        while stream.total_in() < end {
            if message.len() > MESSAGE_LIMIT {
                return Err(io::Error::other("a message came back longer than any"));
            }
            message.reserve(part.len() * 4);
            let before = stream.total_in();
            stream.decompress_vec(rest, message, FlushDecompress::Sync)?;
            let taken = usize::try_from(stream.total_in() - before).map_err(io::Error::other)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
    Ok(())
}
