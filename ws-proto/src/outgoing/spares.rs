//! Small pieces of memory for queues, for many connections that are sent to at the same time.

use super::Outgoing;

/// The largest piece that is kept, in bytes: a queue with some small messages.
const PIECE_LIMIT: usize = 1 << 10;

/// The most bytes that are kept: the queues of a broadcast of small messages to about a thousand connections.
const LIMIT: usize = 512 << 10;

/// Empty queues whose memory waits for its next use.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    pieces: Vec<Outgoing>,
    /// Their bytes.
    len: usize,
}

impl Spares {
    pub(crate) const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
        }
    }

    /// Takes a piece out; it has no memory if there is none.
    pub(crate) fn take(&mut self) -> Outgoing {
        let piece = self.pieces.pop().unwrap_or_default();
        self.len -= piece.memory_len();
        piece
    }

    /// Keeps a piece, unless it is too large or there are many.
    pub(crate) fn keep(&mut self, piece: Outgoing) {
        debug_assert!(piece.is_empty(), "bytes would be lost");
        let len = piece.memory_len();
        if (1..=PIECE_LIMIT).contains(&len) && self.len + len <= LIMIT {
            self.len += len;
            self.pieces.push(piece);
        }
    }

    /// Returns the bytes of memory that are kept.
    pub(crate) fn memory_len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(len: usize) -> Outgoing {
        let mut memory = Outgoing::new();
        let mut outgoing = Outgoing::new();
        outgoing.attach(&mut memory);
        outgoing.push(&vec![0; len]);
        outgoing.clear();
        outgoing.detach().expect("it was attached")
    }

    /// Small pieces come back as they were, within the limit; large ones are freed.
    #[test]
    fn small_memory_is_kept_within_the_limit() {
        let mut spares = Spares::new();
        spares.keep(piece(2 * PIECE_LIMIT));
        assert_eq!(spares.memory_len(), 0);
        let one = piece(100).memory_len();
        for _ in 0..10 * LIMIT / one {
            spares.keep(piece(100));
            assert!(spares.memory_len() <= LIMIT);
        }
        assert!(spares.memory_len() > LIMIT - one);
        assert_eq!(spares.take().memory_len(), one);
        assert!(spares.memory_len() <= LIMIT - one);
        while spares.take().memory_len() > 0 {}
        assert_eq!(spares.memory_len(), 0);
    }
}
