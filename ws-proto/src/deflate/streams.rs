//! A pool of zlib streams. They are large and take long to make, and most connections need one for a moment only, so
//! connections use the same ones in turn.

use flate2::{Compress, Compression as Level, Decompress};

use super::options::FULL_WINDOW_BITS;

/// A compressor and an inflater for use in turn. Connections compress with them messages that do not refer to others,
/// and inflate all messages. [`PreparedMessage::compress_for`](crate::PreparedMessage::compress_for) uses them, too. A
/// connection without attached streams makes its own for each message, and frees them.
///
/// The pool begins empty and keeps the streams that are given back: up to 430 KB.
#[derive(Debug, Default)]
pub(crate) struct DeflateStreams {
    compressor: Option<IdleCompressor>,
    inflater: Option<Box<Decompress>>,
}

/// The streams that are attached to a connection, if there are any.
pub(super) type AttachedStreams = Option<DeflateStreams>;

#[derive(Debug)]
struct IdleCompressor {
    stream: Box<Compress>,
    level: u8,
    window_bits: u8,
}

impl DeflateStreams {
    /// Makes an empty pool.
    pub(crate) const fn new() -> Self {
        Self {
            compressor: None,
            inflater: None,
        }
    }

    /// Returns a compressor in its initial state.
    pub(super) fn take_compressor(&mut self, level: u8, window_bits: u8) -> Box<Compress> {
        match self.compressor.take() {
            // Level and window cannot be changed later. One compressor is kept, because the connections of a server
            // usually have the same ones.
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

    /// Keeps a compressor that was made with this level and window.
    pub(super) fn give_compressor(&mut self, stream: Box<Compress>, level: u8, window_bits: u8) {
        self.compressor = Some(IdleCompressor {
            stream,
            level,
            window_bits,
        });
    }

    /// Returns an inflater in its initial state.
    pub(super) fn take_inflater(&mut self) -> Box<Decompress> {
        // Always the full window, even if the handshake agreed on less. The memory is the same. And zlib checks a
        // reference against its window only when it copies from there, so with a smaller one the same message would
        // pass or fail by the way it is split.
        match self.inflater.take() {
            Some(mut stream) => {
                stream.reset(false);
                stream
            }
            None => Box::new(Decompress::new_with_window_bits(false, FULL_WINDOW_BITS)),
        }
    }

    /// Keeps an inflater for the next message.
    pub(super) fn give_inflater(&mut self, stream: Box<Decompress>) {
        self.inflater = Some(stream);
    }
}
