//! A peer that compresses: as users of zlib do, as the standard allows, and wrongly.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};
use proptest::sample::Index;
use ws_proto::Role;

use super::hex;
use crate::plain;
use crate::zlib::{Deflater, TRAILER, deflate};

/// A compressed message, in one frame or more.
#[derive(Clone)]
pub struct Deflated {
    pub is_text: bool,
    pub content: Vec<u8>,
    pub how: How,
    pub harm: Option<Harm>,
    /// Where its frames end.
    pub cuts: Vec<Index>,
}

/// How a message is compressed.
#[derive(Clone, Debug)]
pub enum How {
    /// By the stream that goes on from message to message.
    Stream,
    /// On its own, in one block or two.
    Alone(Option<Index>),
    /// P-M9, P-M10: up to here as a whole stream with a last block, and the rest, with that in mind, as
    /// another.
    Ended(Index),
    /// A last block, and nothing behind it.
    Final,
    /// Not at all: blocks that end here are stored.
    Stored(Index),
    /// The content is what is sent.
    Raw,
}

/// What is wrong with it.
#[derive(Clone, Debug)]
pub enum Harm {
    /// A bit is turned over.
    Flip(Index),
    /// The rest is missing.
    Cut(Index),
    /// The trailer was left there.
    Trailer,
    /// Something follows.
    More(u8),
}

impl Deflated {
    /// The frames; the stream of the peer goes on.
    pub fn bytes(&self, role: Role, stream: &mut Deflater) -> Vec<u8> {
        let mut wire = self.compress(stream);
        if let Some(harm) = &self.harm {
            harm.apply(&mut wire);
        }
        let mut ends: Vec<_> = self
            .cuts
            .iter()
            .map(|cut| cut.index(wire.len() + 1))
            .collect();
        ends.sort_unstable();
        ends.push(wire.len());
        let key = (role == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        let mut start = 0;
        let mut bytes = Vec::new();
        for (index, end) in ends.iter().copied().enumerate() {
            let opcode = match (index, self.is_text) {
                (0, true) => 0x41,
                (0, false) => 0x42,
                _ => 0x00,
            };
            let fin = if index + 1 == ends.len() { 0x80 } else { 0 };
            bytes.extend(plain::frame(fin | opcode, key, &wire[start..end]));
            start = end;
        }
        bytes
    }

    fn compress(&self, stream: &mut Deflater) -> Vec<u8> {
        let content = &*self.content;
        let parts = |cut: &Index| content.split_at(cut.index(content.len() + 1));
        match &self.how {
            How::Stream => stream.compress(content),
            How::Alone(None) => end(sync(&mut fresh(), content)),
            How::Alone(Some(cut)) => {
                let mut stream = fresh();
                let (one, two) = parts(cut);
                end([sync(&mut stream, one), sync(&mut stream, two)].concat())
            }
            How::Ended(cut) => {
                let (one, two) = parts(cut);
                let mut rest = fresh();
                if !one.is_empty() {
                    rest.set_dictionary(one).unwrap();
                }
                [finish(one), end(sync(&mut rest, two))].concat()
            }
            How::Final => finish(content),
            How::Stored(cut) => {
                let (one, two) = parts(cut);
                [stored(one), stored(two), vec![0]].concat()
            }
            How::Raw => content.to_vec(),
        }
    }
}

impl fmt::Debug for Deflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            is_text,
            content,
            how,
            harm,
            cuts,
        } = self;
        let content = hex(content);
        write!(
            f,
            "is_text={is_text} {how:?} {harm:?} {cuts:?} of {content}"
        )
    }
}

impl Harm {
    fn apply(&self, wire: &mut Vec<u8>) {
        match self {
            Self::Flip(at) if !wire.is_empty() => {
                let bit = at.index(wire.len() * 8);
                wire[bit / 8] ^= 1 << (bit % 8);
            }
            Self::Flip(_) => {}
            Self::Cut(at) => wire.truncate(at.index(wire.len() + 1)),
            Self::Trailer => wire.extend(TRAILER),
            Self::More(byte) => wire.push(*byte),
        }
    }
}

fn fresh() -> Compress {
    Compress::new_with_window_bits(Compression::new(6), false, 15)
}

/// Up to the trailer; of nothing there is nothing.
fn sync(stream: &mut Compress, part: &[u8]) -> Vec<u8> {
    match part {
        [] => Vec::new(),
        part => deflate(stream, part),
    }
}

fn end(flushed: Vec<u8>) -> Vec<u8> {
    match flushed.strip_suffix(&TRAILER) {
        Some(rest) => rest.to_vec(),
        None => vec![0],
    }
}

fn finish(content: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(content.len() * 2 + 1000);
    let status = fresh().compress_vec(content, &mut compressed, FlushCompress::Finish);
    assert_eq!(status.unwrap(), flate2::Status::StreamEnd);
    compressed
}

fn stored(part: &[u8]) -> Vec<u8> {
    let len = u16::try_from(part.len()).unwrap();
    [&[0], &len.to_le_bytes()[..], &(!len).to_le_bytes(), part].concat()
}
