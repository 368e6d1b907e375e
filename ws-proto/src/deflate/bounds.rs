//! How much may come out of a compressed message, and the errors of one that has more or is malformed. Knows
//! nothing of how it is inflated.

use crate::error::ProtocolError;

/// Room that is made for the first bytes of a message: for each byte that came, and at least.
const GROWTH: usize = 4;
const LEAST_ROOM: usize = 64;

/// What may come out of a part of a message, and what it may be made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The length that the output may have.
    pub(super) most: usize,
    /// How many final blocks the message may have.
    pub(super) final_blocks: usize,
}

/// Why inflating ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    /// What came out is as long as it may be, and more would come.
    TooLong,
    /// It is not DEFLATE, refers to what was never there, or is cut off.
    Invalid,
    /// The message has more final blocks than it may have.
    TooManyFinalBlocks { limit: usize },
}

impl InflateError {
    pub(super) fn into_protocol_error(self, limit: usize) -> ProtocolError {
        match self {
            Self::TooLong => ProtocolError::MessageTooBig {
                len: u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1),
                limit,
            },
            Self::Invalid => ProtocolError::InvalidDeflate,
            Self::TooManyFinalBlocks { limit } => ProtocolError::TooManyFinalBlocks { limit },
        }
    }
}

/// Makes room, if there is none: memory follows what came out, and stays within one byte more than
/// `most`, which is how more is noticed.
pub(super) fn reserve(output: &mut Vec<u8>, input_len: usize, most: usize) {
    let len = output.len();
    if len == output.capacity() {
        let wanted = input_len.saturating_mul(GROWTH).max(LEAST_ROOM).max(len);
        let most_room = most.saturating_add(1).saturating_sub(len);
        output.reserve_exact(wanted.min(most_room));
    }
}
