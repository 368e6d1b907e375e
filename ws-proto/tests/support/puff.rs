//! DEFLATE (RFC 1951) inflated as plainly as it can be, a bit at a time, by a receiver that has just the window
//! that was agreed on: what refers further back is an error. Zlib's own inflater lets that pass.

/// Symbols of an alphabet in the order of their codes, and how many codes there are of each length.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// RFC 1951 §3.2.2.
    fn new(lens: &[usize]) -> Self {
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
        Self {
            counts,
            symbols: (1..16).flat_map(of_len).collect(),
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<usize, &'static str> {
        let byte = self
            .bytes
            .get(self.position / 8)
            .ok_or("it ends too early")?;
        let bit = byte >> (self.position % 8) & 1;
        self.position += 1;
        Ok(bit.into())
    }

    fn number(&mut self, bits: usize) -> Result<usize, &'static str> {
        (0..bits).try_fold(0, |number, at| Ok(number | self.bit()? << at))
    }

    fn symbol(&mut self, code: &Code) -> Result<usize, &'static str> {
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
        Err("no symbol has such a code")
    }
}

/// RFC 1951 §3.2.5: the lengths and distances that begin at each symbol, and their additional bits.
fn lengths() -> ([usize; 29], [usize; 29]) {
    let extra = std::array::from_fn(|i| match i {
        28 => 0,
        _ => (i / 4).saturating_sub(1),
    });
    let mut starts = starting(3, extra);
    starts[28] = 258;
    (starts, extra)
}

fn distances() -> ([usize; 30], [usize; 30]) {
    let extra = std::array::from_fn(|i| (i / 2).saturating_sub(1));
    (starting(1, extra), extra)
}

fn starting<const N: usize>(first: usize, extra: [usize; N]) -> [usize; N] {
    let mut next = first;
    extra.map(|bits| {
        let start = next;
        next += 1 << bits;
        start
    })
}

/// Appends to `output`, which holds what came out before, what comes out of the blocks of one message up to
/// where they end. No reference may go further back than `window`, and none into what is not there.
pub(crate) fn inflate(
    bytes: &[u8],
    output: &mut Vec<u8>,
    window: usize,
) -> Result<(), &'static str> {
    let mut bits = Bits { bytes, position: 0 };
    while bits.position < bytes.len() * 8 {
        if bits.bit()? == 1 {
            return Err("nobody here has a last block");
        }
        match bits.number(2)? {
            0 => stored(&mut bits, output)?,
            1 => {
                let literals = [(144, 8), (112, 9), (24, 7), (8, 8)];
                let literals = literals.map(|(count, len)| vec![len; count]).concat();
                let codes = (Code::new(&literals), Code::new(&[5; 30]));
                compressed(&mut bits, &codes, output, window)?;
            }
            2 => {
                let codes = dynamic(&mut bits)?;
                compressed(&mut bits, &codes, output, window)?;
            }
            _ => return Err("there is no such type of block"),
        }
    }
    Ok(())
}

/// RFC 1951 §3.2.4.
fn stored(bits: &mut Bits<'_>, output: &mut Vec<u8>) -> Result<(), &'static str> {
    bits.position = bits.position.next_multiple_of(8);
    let (len, inverse) = (bits.number(16)?, bits.number(16)?);
    if len != !inverse & 0xffff {
        return Err("a length that is not confirmed");
    }
    let start = bits.position / 8;
    let stored = bits.bytes.get(start..start + len);
    output.extend_from_slice(stored.ok_or("it ends too early")?);
    bits.position += len * 8;
    Ok(())
}

/// RFC 1951 §3.2.7.
fn dynamic(bits: &mut Bits<'_>) -> Result<(Code, Code), &'static str> {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let (literals, distances) = (bits.number(5)? + 257, bits.number(5)? + 1);
    let count = bits.number(4)? + 4;
    let mut lens_of_lens = [0; 19];
    for place in &ORDER[..count] {
        lens_of_lens[*place] = bits.number(3)?;
    }
    let code = Code::new(&lens_of_lens);
    let mut lens = Vec::new();
    while lens.len() < literals + distances {
        let (len, count) = match bits.symbol(&code)? {
            16 => {
                let last = *lens.last().ok_or("nothing to repeat")?;
                (last, 3 + bits.number(2)?)
            }
            17 => (0, 3 + bits.number(3)?),
            18 => (0, 11 + bits.number(7)?),
            len => (len, 1),
        };
        lens.extend(std::iter::repeat_n(len, count));
    }
    if lens.len() > literals + distances {
        return Err("too many lengths");
    }
    Ok((Code::new(&lens[..literals]), Code::new(&lens[literals..])))
}

fn compressed(
    bits: &mut Bits<'_>,
    codes: &(Code, Code),
    output: &mut Vec<u8>,
    window: usize,
) -> Result<(), &'static str> {
    let (lengths, distances) = (lengths(), distances());
    loop {
        let symbol = bits.symbol(&codes.0)?;
        if let Ok(literal) = u8::try_from(symbol) {
            output.push(literal);
            continue;
        }
        let Some(at) = symbol.checked_sub(257) else {
            return Ok(());
        };
        let start = *lengths.0.get(at).ok_or("no such length")?;
        let length = start + bits.number(lengths.1[at])?;
        let at = bits.symbol(&codes.1)?;
        let start = *distances.0.get(at).ok_or("no such distance")?;
        let distance = start + bits.number(distances.1[at])?;
        if distance > window {
            return Err("it refers further back than was agreed on");
        }
        for _ in 0..length {
            let from = output
                .len()
                .checked_sub(distance)
                .ok_or("it refers to before the beginning")?;
            output.push(output[from]);
        }
    }
}
