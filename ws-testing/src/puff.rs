//! A plain inflater for DEFLATE (RFC 1951) that reads a bit at a time, for a receiver with a given window. A
//! reference beyond the window is an error, which zlib's own inflater accepts in a small window. For each byte of
//! output it knows how much input was needed.

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The rest is not there.
    More,
    /// It cannot go on like this.
    Invalid(&'static str),
    /// More came out than is asked for.
    Enough,
    /// A final block is one too many.
    TooManyBlocks,
}

use Halt::Invalid;

/// Symbols of an alphabet in the order of their codes, and how many codes there are of each length.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
    /// Codes of the greatest length that stand for nothing.
    left: usize,
}

impl Code {
    /// RFC 1951 §3.2.2.
    fn new(lens: &[usize]) -> Result<Self, Halt> {
        let mut counts = [0; 16];
        for len in lens {
            counts[*len] += usize::from(*len > 0);
        }
        let of_len = |wanted: usize| {
            let symbols = lens.iter().enumerate();
            symbols
                .filter(move |(_, len)| **len == wanted)
                .map(|(symbol, _)| symbol)
        };
        let left = (1..16).try_fold(1_usize, |left, len| (left * 2).checked_sub(counts[len]));
        Ok(Self {
            counts,
            symbols: (1..16).flat_map(of_len).collect(),
            left: left.ok_or(Invalid("more codes than there can be"))?,
        })
    }

    fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// §3.2.7: a code may have one symbol, of one bit, or none, if that is all that is needed.
    fn is_least(&self) -> bool {
        self.symbols.len() == self.counts[1] && self.counts[1] <= 1
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<usize, Halt> {
        let byte = self.bytes.get(self.position / 8).ok_or(Halt::More)?;
        let bit = byte >> (self.position % 8) & 1;
        self.position += 1;
        Ok(bit.into())
    }

    fn number(&mut self, bits: usize) -> Result<usize, Halt> {
        (0..bits).try_fold(0, |number, at| Ok(number | self.bit()? << at))
    }

    fn symbol(&mut self, code: &Code) -> Result<usize, Halt> {
        if code.is_least() {
            let symbol = code.symbols.get(self.bit()?);
            return symbol.copied().ok_or(NO_SUCH_CODE);
        }
        let (mut word, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            word |= self.bit()?;
            if word < first + count {
                return Ok(code.symbols[index + word - first]);
            }
            index += count;
            first = (first + count) << 1;
            word <<= 1;
        }
        unreachable!("a complete code has a symbol for all bits")
    }
}

const NO_SUCH_CODE: Halt = Invalid("no symbol has such a code");

/// What comes out of a stream.
pub struct Inflate<'a> {
    bits: Bits<'a>,
    /// It begins with what came out before.
    pub output: Vec<u8>,
    /// For each byte that came out, how many bits were read until it did.
    pub times: Vec<usize>,
    /// No reference may go further back than this.
    window: usize,
    /// Nor to what is in front of this place in `output`.
    pub floor: usize,
    /// It stops when `output` is longer.
    pub most: usize,
}

impl<'a> Inflate<'a> {
    pub fn new(bytes: &'a [u8], before: Vec<u8>, window: usize) -> Self {
        Self {
            bits: Bits { bytes, position: 0 },
            output: before,
            times: Vec::new(),
            window,
            floor: 0,
            most: usize::MAX,
        }
    }

    /// Bits that were read.
    pub fn position(&self) -> usize {
        self.bits.position
    }

    pub fn is_at_end(&self) -> bool {
        self.bits.position == self.bits.bytes.len() * 8
    }

    /// Returns the header of the next block, if it is there: whether it is a final one, and its type (§3.2.3).
    pub fn header(&self) -> Option<(bool, usize)> {
        let (bytes, position) = (self.bits.bytes, self.bits.position);
        let header = Bits { bytes, position }.number(3).ok()?;
        Some((header & 1 == 1, header >> 1))
    }

    /// Passes over the rest of a byte.
    pub fn align(&mut self) {
        self.bits.position = self.bits.position.next_multiple_of(8);
    }

    /// Inflates one block; tells whether it says that it is the last one (§3.2.3).
    pub fn block(&mut self) -> Result<bool, Halt> {
        let header = self.bits.number(3)?;
        match header >> 1 {
            0 => self.stored()?,
            1 => {
                let literals = [(144, 8), (112, 9), (24, 7), (8, 8)];
                let literals = literals.map(|(count, len)| vec![len; count]).concat();
                let distances = Code::new(&[5; 32])?;
                self.compressed(&Code::new(&literals)?, &distances)?;
            }
            2 => {
                let (literals, distances) = self.dynamic()?;
                self.compressed(&literals, &distances)?;
            }
            _ => return Err(Invalid("there is no such type of block")),
        }
        Ok(header & 1 == 1)
    }

    fn push(&mut self, byte: u8) -> Result<(), Halt> {
        self.output.push(byte);
        self.times.push(self.bits.position);
        if self.output.len() > self.most {
            Err(Halt::Enough)
        } else {
            Ok(())
        }
    }

    /// §3.2.4.
    fn stored(&mut self) -> Result<(), Halt> {
        self.align();
        let (len, inverse) = (self.bits.number(16)?, self.bits.number(16)?);
        if len != !inverse & 0xffff {
            return Err(Invalid("a length that is not confirmed"));
        }
        for _ in 0..len {
            let byte = self.bits.number(8)?;
            self.push(u8::try_from(byte).expect("8 bits are a byte"))?;
        }
        Ok(())
    }

    /// §3.2.7.
    fn dynamic(&mut self) -> Result<(Code, Code), Halt> {
        const ORDER: [usize; 19] = [
            16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
        ];
        let bits = &mut self.bits;
        let (literals, distances) = (bits.number(5)? + 257, bits.number(5)? + 1);
        let count = bits.number(4)? + 4;
        if literals > 286 || distances > 30 {
            return Err(Invalid("more symbols than there are"));
        }
        let mut lens_of_lens = [0; 19];
        for place in &ORDER[..count] {
            lens_of_lens[*place] = bits.number(3)?;
        }
        let code = Code::new(&lens_of_lens)?;
        if code.symbols.is_empty() {
            // What zlib makes of it: a bit for each length, and each is 0.
            for _ in 0..literals + distances {
                bits.bit()?;
            }
            return Err(Invalid("no lengths"));
        }
        if !code.is_complete() {
            return Err(Invalid("codes of lengths that stand for nothing"));
        }
        let mut lens = Vec::new();
        while lens.len() < literals + distances {
            let (len, count) = match bits.symbol(&code)? {
                16 => {
                    let count = 3 + bits.number(2)?;
                    let last = lens.last().ok_or(Invalid("nothing to repeat"))?;
                    (*last, count)
                }
                17 => (0, 3 + bits.number(3)?),
                18 => (0, 11 + bits.number(7)?),
                len => (len, 1),
            };
            lens.extend(std::iter::repeat_n(len, count));
        }
        if lens.len() > literals + distances {
            return Err(Invalid("too many lengths"));
        }
        if lens[END_OF_BLOCK] == 0 {
            return Err(Invalid("a block without an end"));
        }
        let codes = (Code::new(&lens[..literals])?, Code::new(&lens[literals..])?);
        let is_right = |code: &Code| code.is_complete() || code.is_least();
        if is_right(&codes.0) && is_right(&codes.1) {
            Ok(codes)
        } else {
            Err(Invalid("codes that stand for nothing"))
        }
    }

    fn compressed(&mut self, literals: &Code, distances: &Code) -> Result<(), Halt> {
        let (lengths, ways) = (lengths(), ways());
        loop {
            let symbol = self.bits.symbol(literals)?;
            if let Ok(literal) = u8::try_from(symbol) {
                self.push(literal)?;
                continue;
            }
            if symbol == END_OF_BLOCK {
                return Ok(());
            }
            let length = self.spanned(symbol - END_OF_BLOCK - 1, &lengths)?;
            let symbol = self.bits.symbol(distances)?;
            let distance = self.spanned(symbol, &ways)?;
            let reach = (self.output.len() - self.floor).min(self.window);
            if distance > reach {
                return Err(Invalid("it refers further back than it may"));
            }
            for _ in 0..length {
                self.push(self.output[self.output.len() - distance])?;
            }
        }
    }

    /// Reads the bits that a symbol has behind it (§3.2.5).
    fn spanned(&mut self, symbol: usize, spans: &[(usize, usize)]) -> Result<usize, Halt> {
        let (start, extra) = spans.get(symbol).ok_or(NO_SUCH_CODE)?;
        Ok(start + self.bits.number(*extra)?)
    }
}

const END_OF_BLOCK: usize = 256;

/// §3.2.5: the lengths that begin at each symbol, and their additional bits.
fn lengths() -> Vec<(usize, usize)> {
    let extra = (0..28_usize).map(|i| (i / 4).saturating_sub(1));
    let mut lengths = starting(3, extra);
    lengths.push((258, 0));
    lengths
}

/// The distances, likewise.
fn ways() -> Vec<(usize, usize)> {
    starting(1, (0..30_usize).map(|i| (i / 2).saturating_sub(1)))
}

fn starting(first: usize, extra: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let spans = extra.scan(first, |next, bits| {
        let start = *next;
        *next += 1 << bits;
        Some((start, bits))
    });
    spans.collect()
}
