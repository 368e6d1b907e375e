//! permessage-deflate (RFC 7692): compresses messages, each on its own or with reference to earlier ones.
//!
//! Imports: `config`, `error`, `frame`, `mask`, `message`, `state`.
//!
//! The rest of the crate touches this in three places: the frame codec accepts a reserved bit, the assembler
//! inflates what arrives, and the connection compresses what it sends. The handshakes negotiate the parameters. Without
//! the feature, `off.rs` has the same names and does nothing, so no other folder needs a `cfg` for it.

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
use self::streams::AttachedStreams;
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

/// Compression on one connection, if the handshake agreed on it. Boxed, because most connections have none.
#[derive(Debug, Default)]
pub(crate) struct Compression(Option<Box<Coders>>);

#[derive(Debug)]
struct Coders {
    compressor: Compressor,
    inflater: Inflater,
    streams: AttachedStreams,
}

impl Compression {
    pub(crate) fn new(terms: Option<&DeflateTerms>) -> Self {
        Self(terms.map(|terms| {
            Box::new(Coders {
                compressor: Compressor::new(terms),
                inflater: Inflater::new(terms.receiving),
                streams: None,
            })
        }))
    }

    /// Tells whether the handshake agreed on compression, so that the peer may send compressed messages.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the options for compressing this connection's messages elsewhere, for instance without its lock; `None`
    /// if they depend on each other.
    pub(crate) fn standalone_options(&self) -> Option<Deflate> {
        self.0.as_ref()?.compressor.standalone_options()
    }

    /// Attaches streams, for the next calls that compress or inflate.
    pub(crate) fn attach(&mut self, streams: &mut DeflateStreams) {
        if let Some(coders) = &mut self.0 {
            coders
                .streams
                .get_or_insert_with(|| std::mem::take(streams));
        }
    }

    /// Gives attached streams back.
    pub(crate) fn detach(&mut self, streams: &mut DeflateStreams) {
        if let Some(attached) = self.0.as_mut().and_then(|coders| coders.streams.take()) {
            *streams = attached;
        }
    }

    /// Compresses a message. Returns `None` if the caller must send it plain.
    #[inline]
    pub(crate) fn compress(&mut self, message: &Message) -> Option<Vec<u8>> {
        let coders = self.0.as_mut()?;
        coders
            .compressor
            .compress(message.as_bytes(), &mut coders.streams)
    }

    /// Compresses a fragment of a message. Returns `None` if the caller must send the whole message plain.
    pub(crate) fn compress_fragment(
        &mut self,
        content: &Message,
        first: bool,
        last: bool,
    ) -> Option<Vec<u8>> {
        let coders = self.0.as_mut()?;
        let streams = &mut coders.streams;
        coders
            .compressor
            .compress_fragment(content.as_bytes(), first, last, streams)
    }

    /// Chooses the payload for a message that was encoded before.
    #[inline]
    pub(crate) fn choose<'a>(
        &mut self,
        prepared: &'a PreparedCompression,
        payload: &[u8],
    ) -> PreparedPayload<'a> {
        let Some(coders) = &mut self.0 else {
            return PreparedPayload::Plain;
        };
        let compressor = &mut coders.compressor;
        match prepared {
            PreparedCompression::Never => PreparedPayload::Plain,
            PreparedCompression::Shared(shared) if compressor.can_send(shared.window_bits) => {
                // The peer now has this message in its window, and our compressor has not seen it. So the next message
                // must not refer to anything in front of it.
                compressor.restart(&mut coders.streams);
                PreparedPayload::Shared(&shared.payload)
            }
            // A shared payload with a larger window than this peer's is of no use here.
            PreparedCompression::Shared(_) | PreparedCompression::Each => {
                let compressed = compressor.compress(payload, &mut coders.streams);
                compressed.map_or(PreparedPayload::Plain, PreparedPayload::Own)
            }
        }
    }

    /// Inflates a piece of a compressed message and appends the result to `output`. `given_out` bytes of the message
    /// are no longer in `output`, and count. Bytes that were inflated before an error are appended, too.
    pub(crate) fn inflate(
        &mut self,
        piece: &Piece<'_>,
        output: &mut Vec<u8>,
        given_out: usize,
        config: &ConnectionConfig,
    ) -> Result<(), ProtocolError> {
        let Some(coders) = &mut self.0 else {
            debug_assert!(
                false,
                "without an agreement the codec refuses compressed frames"
            );
            return Err(ProtocolError::InvalidDeflate);
        };
        let limit = config.message_limit.unwrap_or(usize::MAX);
        let bounds = Bounds {
            output_limit: limit.saturating_sub(given_out),
            // A sender that ends each fragment with a final block stays within this.
            final_blocks: config.fragment_limit.unwrap_or(usize::MAX),
        };
        let (inflater, streams) = (&mut coders.inflater, &mut coders.streams);
        let ends = piece.last && piece.fin;
        let is_whole = piece.opcode != Opcode::Continuation && piece.first && ends;
        let (bytes, mask) = (piece.payload, piece.mask);
        let mut inflated = inflater.inflate(bytes, mask, is_whole, output, bounds, streams);
        if ends {
            inflated = inflated.and_then(|()| inflater.finish(output, bounds, streams));
        }
        inflated.map_err(|error| error.into_protocol_error(limit))
    }

    /// Frees the memory for messages from the peer, because no more will arrive.
    pub(crate) fn stop_receiving(&mut self) {
        if let Some(coders) = &mut self.0 {
            coders.inflater.stop(&mut coders.streams);
        }
    }

    /// Frees the memory for messages to the peer, because no more will be sent.
    pub(crate) fn stop_sending(&mut self) {
        if let Some(coders) = &mut self.0 {
            coders.compressor.restart(&mut coders.streams);
        }
    }

    /// Frees the memory for messages of both directions. Attached streams stay until they are detached.
    pub(crate) fn end(&mut self) {
        self.stop_receiving();
        self.stop_sending();
    }

    /// Tells whether the next message to send may refer to those before it.
    pub(crate) fn keeps_context(&self) -> bool {
        let coders = self.0.as_ref();
        coders.is_some_and(|coders| coders.compressor.keeps_context())
    }

    /// Frees the memory that the next message to send does not need, if nothing was compressed since the last call.
    pub(crate) fn release_if_idle(&mut self) {
        if let Some(coders) = &mut self.0 {
            coders.compressor.release_if_idle();
        }
    }
}

/// The form in which one connection sends a message that was encoded before.
pub(crate) enum PreparedPayload<'a> {
    /// Not compressed.
    Plain,
    /// Compressed once for all connections.
    Shared(&'a Bytes),
    /// Compressed for this connection.
    Own(Vec<u8>),
}

/// The compression of a prepared message.
#[derive(Clone, Debug)]
pub(crate) enum PreparedCompression {
    /// Each connection compresses the message for itself.
    Each,
    /// All connections send the message plain.
    Never,
    /// All connections that can inflate it send this payload.
    Shared(SharedPayload),
}

/// A message that was compressed on its own, so that any peer with a window of this size can inflate it.
#[derive(Clone, Debug)]
pub(crate) struct SharedPayload {
    payload: Bytes,
    window_bits: u8,
}

impl PreparedCompression {
    /// Compresses a payload for all connections, with the options of a server.
    pub(crate) fn shared(payload: &[u8], options: &Deflate, streams: &mut DeflateStreams) -> Self {
        if payload.len() < options.threshold {
            return Self::Never;
        }
        let window_bits = options.server_max_window_bits;
        let level = options.level;
        let mut compressed = compress::compress_standalone(payload, level, window_bits, streams);
        // Without a context no later message refers to this one, so it can go plain where that is shorter.
        if compressed.len() >= payload.len() {
            return Self::Never;
        }
        // It lives as long as the slowest peer has not received it, so it must not hold unused memory.
        compressed.shrink_to_fit();
        Self::Shared(SharedPayload {
            payload: compressed.into(),
            window_bits,
        })
    }
}
