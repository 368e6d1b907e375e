//! Streams of zlib between two messages: they are large, take long to make, and most connections need one for
//! a moment only.

use flate2::{Compress, Compression as Level, Decompress};

use super::options::FULL_WINDOW_BITS;

/// A compressor and an inflater, used in turn: by connections, for messages that are compressed on their own and
/// for all that they inflate, and for [what is prepared](crate::PreparedMessage::compress_for) for many. A connection
/// that was lent none makes its own for each message, and gives the memory back.
///
/// It begins empty, and keeps what is left in it: up to 430 KB.
#[derive(Debug, Default)]
pub(crate) struct DeflateStreams {
    compressor: Option<IdleCompressor>,
    inflater: Option<Box<Decompress>>,
}

/// The streams that were lent to a connection, if there are any.
pub(super) type Lent = Option<DeflateStreams>;

#[derive(Debug)]
struct IdleCompressor {
    stream: Box<Compress>,
    level: u8,
    window_bits: u8,
}

impl DeflateStreams {
    /// Makes one that is empty.
    pub(crate) const fn new() -> Self {
        Self {
            compressor: None,
            inflater: None,
        }
    }

    /// Returns a compressor that has seen nothing.
    pub(super) fn take_compressor(&mut self, level: u8, window_bits: u8) -> Box<Compress> {
        match self.compressor.take() {
            Some(mut idle) if (idle.level, idle.window_bits) == (level, window_bits) => {
                idle.stream.reset();
                idle.stream
            }
            Some(_) | None => {
                let level = Level::new(level.into());
                Box::new(Compress::new_with_window_bits(level, false, window_bits))
            }
        }
    }

    /// Keeps a compressor that was made so.
    pub(super) fn give_compressor(&mut self, stream: Box<Compress>, level: u8, window_bits: u8) {
        self.compressor = Some(IdleCompressor {
            stream,
            level,
            window_bits,
        });
    }

    /// Returns an inflater that has seen nothing. Its window is the full one, whatever was agreed on: the memory is
    /// the same, and what a message may refer to must not depend on how it is cut.
    pub(super) fn take_inflater(&mut self) -> Box<Decompress> {
        match self.inflater.take() {
            Some(mut stream) => {
                stream.reset(false);
                stream
            }
            None => Box::new(Decompress::new_with_window_bits(false, FULL_WINDOW_BITS)),
        }
    }

    /// Keeps an inflater.
    pub(super) fn give_inflater(&mut self, stream: Box<Decompress>) {
        self.inflater = Some(stream);
    }
}
