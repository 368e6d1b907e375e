//! permessage-deflate (RFC 7692): messages are compressed, each on its own or with what went before in
//! mind.
//!
//! Imports: `config`, `error`, `frame`, `mask`, `message`, `state`.
//!
//! The seam is small: the frame codec lets a reserved bit pass, the assembler has inflated what arrives,
//! the connection has compressed what it sends. What is agreed on is for the handshakes. Without the feature,
//! `off.rs` has the same names and does nothing.

mod bounds;
mod codes;
mod compress;
mod direct;
mod history;
mod inflate;
mod options;
mod streams;
mod terms;

use bytes::Bytes;

use self::bounds::Bounds;
use self::compress::Compressor;
use self::inflate::Inflater;
use self::streams::Lent;
use crate::config::ConnectionConfig;
use crate::error::ProtocolError;
use crate::frame::{Opcode, Piece};
use crate::message::Message;

pub use self::options::Deflate;
pub(crate) use self::options::FULL_WINDOW_BITS;
pub(crate) use self::streams::DeflateStreams;
pub use self::terms::DeflateTerms;
pub(crate) use self::terms::{
    CLIENT_MAX_WINDOW_BITS, CLIENT_NO_CONTEXT_TAKEOVER, Direction, LEAST_COMPRESSOR_BITS,
    Parameters, SERVER_MAX_WINDOW_BITS, SERVER_NO_CONTEXT_TAKEOVER,
};

/// Compression on one connection, if it was agreed on.
#[derive(Debug, Default)]
pub(crate) struct Compression(Option<Box<Both>>);

#[derive(Debug)]
struct Both {
    compressor: Compressor,
    inflater: Inflater,
    lent: Lent,
}

impl Compression {
    pub(crate) fn new(terms: Option<&DeflateTerms>) -> Self {
        Self(terms.map(|terms| {
            Box::new(Both {
                compressor: Compressor::new(terms),
                inflater: Inflater::new(terms.receiving),
                lent: None,
            })
        }))
    }

    /// Tells whether the peer may send compressed messages.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the options by which messages can be compressed elsewhere.
    pub(crate) fn alone(&self) -> Option<Deflate> {
        self.0.as_ref()?.compressor.alone()
    }

    /// Lends streams to the work on messages.
    pub(crate) fn lend(&mut self, streams: &mut DeflateStreams) {
        if let Some(both) = &mut self.0 {
            both.lent.get_or_insert_with(|| std::mem::take(streams));
        }
    }

    /// Gives back what was lent.
    pub(crate) fn reclaim(&mut self, streams: &mut DeflateStreams) {
        if let Some(lent) = self.0.as_mut().and_then(|both| both.lent.take()) {
            *streams = lent;
        }
    }

    /// Compresses a message; `None` if it is to be sent plain.
    #[inline]
    pub(crate) fn compress(&mut self, message: &Message) -> Option<Vec<u8>> {
        let both = self.0.as_mut()?;
        both.compressor.compress(message.as_bytes(), &mut both.lent)
    }

    /// Compresses a part of a message; `None` if all of it is to be sent plain.
    pub(crate) fn compress_fragment(
        &mut self,
        content: &Message,
        first: bool,
        last: bool,
    ) -> Option<Vec<u8>> {
        let both = self.0.as_mut()?;
        let lent = &mut both.lent;
        both.compressor
            .compress_fragment(content.as_bytes(), first, last, lent)
    }

    /// Chooses how a message is sent that was encoded before.
    #[inline]
    pub(crate) fn choose<'a>(
        &mut self,
        prepared: &'a PreparedCompression,
        payload: &[u8],
    ) -> Choice<'a> {
        let Some(both) = &mut self.0 else {
            return Choice::Plain;
        };
        let compressor = &mut both.compressor;
        match prepared {
            PreparedCompression::Never => Choice::Plain,
            PreparedCompression::Shared(shared) if compressor.can_send(shared.window_bits) => {
                compressor.begin_anew(&mut both.lent);
                Choice::Shared(&shared.payload)
            }
            PreparedCompression::Shared(_) | PreparedCompression::Each => {
                let compressed = compressor.compress(payload, &mut both.lent);
                compressed.map_or(Choice::Plain, Choice::Own)
            }
        }
    }

    /// Appends to `output` what comes out of a part of a compressed message, the last one if `ends`;
    /// `received` bytes were there before. What came out before an error is appended, too.
    pub(crate) fn inflate(
        &mut self,
        piece: &Piece<'_>,
        output: &mut Vec<u8>,
        given_out: usize,
        config: &ConnectionConfig,
    ) -> Result<(), ProtocolError> {
        let Some(both) = &mut self.0 else {
            debug_assert!(false, "the codec refuses what was not agreed on");
            return Err(ProtocolError::InvalidDeflate);
        };
        let limit = config.message_limit.unwrap_or(usize::MAX);
        let bounds = Bounds {
            most: limit.saturating_sub(given_out),
            // A sender that ends each fragment with a final block stays within this.
            final_blocks: config.fragment_limit.unwrap_or(usize::MAX),
        };
        let (inflater, lent) = (&mut both.inflater, &mut both.lent);
        let ends = piece.last && piece.fin;
        let is_whole = piece.opcode != Opcode::Continuation && piece.first && ends;
        let (bytes, mask) = (piece.payload, piece.mask);
        let mut inflated = inflater.inflate(bytes, mask, is_whole, output, bounds, lent);
        if ends {
            inflated = inflated.and_then(|()| inflater.finish(output, bounds, lent));
        }
        inflated.map_err(|error| error.into_protocol_error(limit))
    }

    /// Gives back what was kept for messages that are still to arrive: none will.
    pub(crate) fn stop_receiving(&mut self) {
        if let Some(both) = &mut self.0 {
            both.inflater.stop(&mut both.lent);
        }
    }

    /// Gives back what was kept for messages of either side; what is lent waits for its owner.
    pub(crate) fn end(&mut self) {
        if let Some(both) = &mut self.0 {
            both.inflater.stop(&mut both.lent);
            both.compressor.begin_anew(&mut both.lent);
        }
    }

    /// Gives back what the next message to be sent can do without, if none was sent for a while.
    pub(crate) fn rest(&mut self) {
        if let Some(both) = &mut self.0 {
            both.compressor.rest();
        }
    }
}

/// How a message that was encoded before is sent.
pub(crate) enum Choice<'a> {
    /// As it is.
    Plain,
    /// As it was compressed for all.
    Shared(&'a Bytes),
    /// As it was compressed for this connection.
    Own(Vec<u8>),
}

/// What a prepared message knows of compression.
#[derive(Clone, Debug)]
pub(crate) enum PreparedCompression {
    /// Each connection compresses it for itself.
    Each,
    /// It is sent plain.
    Never,
    /// It was compressed for all that can inflate it.
    Shared(Shared),
}

/// A message that was compressed on its own, so that any peer with such a window can inflate it.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    payload: Bytes,
    window_bits: u8,
}

impl PreparedCompression {
    /// Compresses a payload for all, as the options of a server say.
    pub(crate) fn shared(payload: &[u8], options: &Deflate, streams: &mut DeflateStreams) -> Self {
        if payload.len() < options.threshold {
            return Self::Never;
        }
        let window_bits = options.server_max_window_bits;
        let level = options.level;
        let mut compressed = compress::compress_alone(payload, level, window_bits, streams);
        if compressed.len() >= payload.len() {
            return Self::Never;
        }
        compressed.shrink_to_fit();
        Self::Shared(Shared {
            payload: compressed.into(),
            window_bits,
        })
    }
}
