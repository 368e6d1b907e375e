//! The output of a compressed message, or of the part that has arrived, and when each byte of it is available.

use super::{Rules, Way};
use crate::puff::{Halt, Inflate};

/// Whatever was agreed on, within a message there is a window of this length.
const FULL_WINDOW: usize = 32 << 10;

/// What a sender leaves out at the end of a message (P-M4, P-M5).
const TRAILER: [u8; 4] = [0, 0, 0xff, 0xff];

/// What comes out of a message.
pub(super) struct Inflated {
    pub(super) output: Vec<u8>,
    /// For each byte of it, how many bits had to be there.
    pub(super) times: Vec<usize>,
    /// After how many bits it is wrong, and the close code that says so.
    pub(super) fails_at: Option<(usize, u16)>,
}

/// Inflates a message, or what is there of one (P-M5, P-M9, P-M10). Behind a last block all begins anew,
/// with what came out in mind, and a message may end there without a trailer (PROTOCOL.md §6.4, traps 1
/// and 3).
/// Stops behind the first byte that is over the limit, and behind the header of a final block that is one
/// too many (X21).
pub(super) fn inflate(
    wire: &[u8],
    history: &[u8],
    way: Way,
    rules: &Rules,
    is_complete: bool,
) -> Inflated {
    let limit = rules.message_limit.unwrap_or(usize::MAX);
    let final_block_limit = rules.fragment_limit.unwrap_or(usize::MAX);

    let all = [wire, &TRAILER].concat();
    let mut inflate = Inflate::new(&all, history.to_vec(), FULL_WINDOW);
    inflate.most = history.len().saturating_add(limit);
    let (mut begins_anew, mut final_blocks) = (true, 0);
    let halt = loop {
        let lacks_trailer = begins_anew && inflate.position() == wire.len() * 8;
        if inflate.is_at_end() || lacks_trailer {
            break None;
        }
        if let Some((true, 0..3)) = inflate.header() {
            final_blocks += 1;
            if final_blocks > final_block_limit {
                break Some(Halt::TooManyBlocks);
            }
        }
        begins_anew = match inflate.block() {
            Ok(is_last) => is_last,
            Err(halt) => break Some(halt),
        };
        if begins_anew {
            inflate.align();
            inflate.floor = inflate.output.len().saturating_sub(way.window());
        }
    };
    let position = inflate.position();
    let fails_at = match halt {
        Some(Halt::Invalid(_)) => Some((position, 1007)),
        Some(Halt::TooManyBlocks) => Some((position + 3, 1009)),
        // Cut off.
        Some(Halt::More) if is_complete => Some((usize::MAX, 1007)),
        Some(Halt::More | Halt::Enough) | None => None,
    };
    Inflated {
        output: inflate.output.split_off(history.len()),
        times: inflate.times,
        fails_at,
    }
}
