//! Stands in for permessage-deflate where the feature is off: nothing is offered, accepted or compressed.

use crate::config::ConnectionConfig;
use crate::error::ProtocolError;
use crate::frame::Piece;
use crate::message::Message;

/// What nobody can agree on.
#[derive(Clone, Debug)]
pub(crate) enum DeflateTerms {}

impl std::fmt::Display for DeflateTerms {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

/// None are needed.
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
    pub(crate) fn lend(&mut self, _: &mut DeflateStreams) {}

    #[inline]
    pub(crate) fn reclaim(&mut self, _: &mut DeflateStreams) {}

    #[inline]
    pub(crate) fn compress(&mut self, _: &Message) -> Option<Vec<u8>> {
        None
    }

    #[inline]
    pub(crate) fn compress_fragment(&mut self, _: &Message, _: bool, _: bool) -> Option<Vec<u8>> {
        None
    }

    #[inline]
    pub(crate) fn choose<'a>(&mut self, _: &'a PreparedCompression, _: &[u8]) -> Choice<'a> {
        Choice::Plain
    }

    pub(crate) fn inflate(
        &mut self,
        _: &Piece<'_>,
        _: &mut Vec<u8>,
        _: usize,
        _: &ConnectionConfig,
    ) -> Result<(), ProtocolError> {
        debug_assert!(false, "the codec refuses what was not agreed on");
        Err(ProtocolError::InvalidDeflate)
    }

    pub(crate) fn stop_receiving(&mut self) {}

    pub(crate) fn rest(&mut self) {}

    pub(crate) fn end(&mut self) {}
}

/// What a prepared message knows of compression: nothing.
#[derive(Clone, Debug)]
pub(crate) enum PreparedCompression {
    Each,
}

/// How a message that was encoded before is sent: as it is.
pub(crate) enum Choice<'a> {
    Plain,
    #[expect(dead_code, reason = "nothing is ever compressed")]
    Shared(&'a bytes::Bytes),
    #[expect(dead_code, reason = "nothing is ever compressed")]
    Own(Vec<u8>),
}
