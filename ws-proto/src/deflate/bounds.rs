//! The limits of a compressed message, and the errors of a message that exceeds them or is malformed. Knows nothing of
//! inflating.

use crate::error::ProtocolError;

/// The first capacity for a message: so many bytes for each byte that arrived, and at least the second number. Not
/// more, because memory must follow what came out and not what a peer claims.
const GROWTH: usize = 4;
const LEAST_CAPACITY: usize = 64;

/// The limits for inflating a part of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The most bytes that the output may have.
    pub(super) output_limit: usize,
    /// The most final blocks that the message may have.
    pub(super) final_blocks: usize,
}

/// Error from inflating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    /// The output has reached its limit, and more would follow.
    TooLong,
    /// The input is not DEFLATE, refers to bytes before the first one, or is cut off.
    Invalid,
    /// The message has more final blocks than the limit.
    TooManyFinalBlocks { limit: usize },
}

impl InflateError {
    pub(super) fn into_protocol_error(self, limit: usize) -> ProtocolError {
        match self {
            // Inflating stops at the limit, so the full length is not known: one more is what was seen.
            Self::TooLong => ProtocolError::MessageTooBig {
                len: u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1),
                limit,
            },
            Self::Invalid => ProtocolError::InvalidDeflate,
            Self::TooManyFinalBlocks { limit } => ProtocolError::TooManyFinalBlocks { limit },
        }
    }
}

/// Reserves capacity, if `output` is full. It grows with the bytes that came out, at most to one byte more than
/// `output_limit`.
pub(super) fn reserve(output: &mut Vec<u8>, input_len: usize, output_limit: usize) {
    let len = output.len();
    if len == output.capacity() {
        let wanted = input_len
            .saturating_mul(GROWTH)
            .max(LEAST_CAPACITY)
            .max(len);
        // One byte more than the limit, because a byte that lands there is how zlib's output exceeds it.
        let free = output_limit.saturating_add(1).saturating_sub(len);
        output.reserve_exact(wanted.min(free));
    }
}
