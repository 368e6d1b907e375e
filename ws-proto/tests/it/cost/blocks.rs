//! DEFLATE blocks by hand, one bit after the other (RFC 1951 §3.2).

/// Bits that are put together.
#[derive(Default)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    len: usize,
}

impl Blocks {
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A number, its lowest bit first.
    fn number(&mut self, number: usize, count: usize) -> &mut Self {
        for at in 0..count {
            if self.len % 8 == 0 {
                self.bytes.push(0);
            }
            let bit = u8::try_from(number >> at & 1).unwrap();
            *self.bytes.last_mut().unwrap() |= bit << (self.len % 8);
            self.len += 1;
        }
        self
    }

    /// A word of a code, its highest bit first.
    fn word(&mut self, word: usize, count: usize) -> &mut Self {
        (0..count)
            .rev()
            .fold(self, |blocks, at| blocks.number(word >> at & 1, 1))
    }

    fn align(&mut self) {
        self.len = self.len.next_multiple_of(8);
    }

    /// A block of the fixed code, with a literal or a reference, or nothing, in it.
    pub(crate) fn fixed(&mut self, is_final: bool, content: &Content) {
        self.number(usize::from(is_final), 1).number(1, 2);
        match content {
            Content::Nothing => {}
            Content::Literal => drop(self.word(0x30 + 7, 8)),
            // 258 bytes from 24577 to 32768 bytes back.
            Content::Reference => {
                self.word(0xc0 + 5, 8).word(29, 5).number(0, 13);
            }
        }
        self.word(0, 7);
        if is_final {
            self.align();
        }
    }

    /// A block with nothing in it that brings codes of its own: the longest words that there can be, so that a table
    /// for them is as large as it can be.
    pub(crate) fn dynamic(&mut self, is_final: bool) {
        const ORDER: [usize; 19] = [
            16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
        ];
        self.number(usize::from(is_final), 1).number(2, 2);
        self.number(0, 5).number(15, 5).number(15, 4);
        // Sixteen words of four bits: for the lengths 1 to 15, and for many zeros.
        let word_of = |len: usize| len - 1;
        let zeros = 15;
        for len in ORDER {
            let has_word = (1..16).contains(&len) || len == 18;
            self.number(if has_word { 4 } else { 0 }, 3);
        }
        for len in (2..16).chain([15]) {
            self.word(word_of(len), 4);
        }
        for count in [138, 103] {
            self.word(zeros, 4).number(count - 11, 7);
        }
        self.word(word_of(1), 4);
        for len in (1..16).chain([15]) {
            self.word(word_of(len), 4);
        }
        self.word(0, 1);
        if is_final {
            self.align();
        }
    }
}

/// What is in a block.
pub(crate) enum Content {
    Nothing,
    Literal,
    Reference,
}
