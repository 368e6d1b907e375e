//! Randomness for keys and masks, from the operating system (R-F7, X2), drawn in blocks as a system
//! call for each frame would cost more than the frame.

use std::cell::RefCell;

use ws_proto::Randomness;

/// Bytes that are drawn at once: masks for 256 frames.
const BLOCK_LEN: usize = 1024;

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK_LEN], used: BLOCK_LEN }) };
}

struct Block {
    bytes: [u8; BLOCK_LEN],
    /// Bytes that were handed out; each is handed out once.
    used: usize,
}

/// The operating system's random numbers.
#[derive(Debug, Default)]
pub(crate) struct SystemRandomness;

impl Randomness for SystemRandomness {
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give: to go on with masks that can be
    /// foreseen would be worse.
    fn fill(&mut self, bytes: &mut [u8]) {
        BLOCK.with_borrow_mut(|block| {
            for byte in bytes {
                if block.used == BLOCK_LEN {
                    getrandom::fill(&mut block.bytes).expect("the system has randomness");
                    block.used = 0;
                }
                *byte = std::mem::take(&mut block.bytes[block.used]);
                block.used += 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_masks_of_many_blocks_are_made_of_the_same_bytes() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..BLOCK_LEN {
            let mut bytes = [0; 16];
            SystemRandomness.fill(&mut bytes);
            assert!(seen.insert(bytes), "{bytes:x?} came twice");
        }
    }
}
