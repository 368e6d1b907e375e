//! The stand-in for permessage-deflate without the feature: it offers, accepts and compresses nothing. It has the same
//! names, so that connection, handshake and assembler need no `cfg`.

use crate::config::ConnectionConfig;
use crate::error::ProtocolError;
use crate::frame::Piece;
use crate::message::Message;

/// The terms of an agreement, of which there are no values.
#[derive(Clone, Debug)]
pub(crate) enum DeflateTerms {}

impl std::fmt::Display for DeflateTerms {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

/// A pool of no streams.
#[derive(Debug, Default)]
pub(crate) struct DeflateStreams;

impl DeflateStreams {
    pub(crate) const fn new() -> Self {
        Self
    }
}

/// Compression that is never on.
#[derive(Debug)]
pub(crate) struct Compression;

impl Compression {
    pub(crate) fn new(_: Option<&DeflateTerms>) -> Self {
        Self
    }

    pub(crate) fn is_on(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn attach(&mut self, _: &mut DeflateStreams) {}

    #[inline]
    pub(crate) fn detach(&mut self, _: &mut DeflateStreams) {}

    #[inline]
    pub(crate) fn compress(&mut self, _: &Message) -> Option<Vec<u8>> {
        None
    }

    #[inline]
    pub(crate) fn compress_fragment(&mut self, _: &Message, _: bool, _: bool) -> Option<Vec<u8>> {
        None
    }

    #[inline]
    pub(crate) fn choose<'a>(
        &mut self,
        _: &'a PreparedCompression,
        _: &[u8],
    ) -> PreparedPayload<'a> {
        PreparedPayload::Plain
    }

    pub(crate) fn inflate(
        &mut self,
        _: &Piece<'_>,
        _: &mut Vec<u8>,
        _: usize,
        _: &ConnectionConfig,
    ) -> Result<(), ProtocolError> {
        debug_assert!(
            false,
            "without an agreement the codec refuses compressed frames"
        );
        Err(ProtocolError::InvalidDeflate)
    }

    pub(crate) fn stop_receiving(&mut self) {}

    pub(crate) fn stop_sending(&mut self) {}

    pub(crate) fn keeps_context(&self) -> bool {
        false
    }

    pub(crate) fn release_if_idle(&mut self) {}

    pub(crate) fn end(&mut self) {}
}

/// The compression of a prepared message: each connection decides, and none compresses.
#[derive(Clone, Debug)]
pub(crate) enum PreparedCompression {
    Each,
}

/// The form in which one connection sends a message that was encoded before: always plain.
pub(crate) enum PreparedPayload<'a> {
    Plain,
    #[expect(dead_code, reason = "nothing is ever compressed")]
    Shared(&'a bytes::Bytes),
    #[expect(dead_code, reason = "nothing is ever compressed")]
    Own(Vec<u8>),
}
