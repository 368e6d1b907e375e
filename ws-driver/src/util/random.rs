//! Random bytes for keys and masks, from the operating system (R-F7, X2). They are drawn in blocks, because a system
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
    /// The number of bytes that were given out. Each is given out once.
    used: usize,
}

/// The operating system's random numbers.
#[derive(Debug, Default)]
pub(crate) struct SystemRandomness;

impl Randomness for SystemRandomness {
    /// # Panics
    ///
    /// Panics if the operating system has no random bytes. Predictable masks would be worse.
    fn fill(&mut self, bytes: &mut [u8]) {
        BLOCK.with_borrow_mut(|block| {
            for byte in bytes {
                if block.used == BLOCK_LEN {
                    getrandom::fill(&mut block.bytes).expect("the system has randomness");
                    block.used = 0;
                }
                // Erased, so that a mask of the past cannot be read from this memory.
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
