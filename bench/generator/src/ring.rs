//! Messages encoded ahead, each with its own content, in both directions, so that a load copies nothing
//! and a comparison of bytes verifies an answer.

use std::io;
use std::ops::Range;

use clap::ValueEnum;

use crate::deflate::Compressing;
use crate::protocol::Protocol;

/// What texts are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Script {
    Ascii,
    /// Latin, Cyrillic, Han and emoji: characters of one to four bytes.
    Mixed,
    /// JSON in ASCII: records that are alike and not the same, as they are often compressed.
    Records,
}

/// So many messages that windows of neighbours differ, and no more memory than a cache can hold.
pub(crate) struct Ring {
    count: usize,
    stagger: usize,
    sent: Vec<u8>,
    /// Where each message begins, and the end.
    sent_at: Vec<usize>,
    returned: Vec<u8>,
    returned_len: usize,
}

impl Ring {
    pub(crate) fn new(protocol: Protocol, script: Script, size: usize, window: usize) -> Self {
        let mut count = (RING_LEN / size.max(1)).clamp(3, 251);
        if protocol.keeps_contexts() {
            count = (count / CONTEXTS).max(1) * CONTEXTS;
        }
        let mut random = Random::default();
        let mut compressing = Compressing::default();
        let (mut sent, mut returned) = (Vec::new(), Vec::new());
        let mut sent_at = vec![0];
        let messages: Vec<_> = (0..count)
            .map(|number| {
                (
                    text(script, number, size, &mut random),
                    random.masking_key(),
                )
            })
            .collect();
        // A window that begins at the last message is in one piece, too.
        for (number, (payload, key)) in messages.iter().cycle().take(count + window).enumerate() {
            if number % count.div_ceil(CONTEXTS) == 0 {
                compressing.begin();
            }
            protocol.encode_sent(payload, *key, &mut compressing, &mut sent);
            sent_at.push(sent.len());
            protocol.encode_returned(payload, *key, &mut returned);
        }
        Self {
            count,
            stagger: match protocol.keeps_contexts() {
                true => count / CONTEXTS,
                false => 7,
            },
            sent_at,
            returned_len: returned.len() / (count + window),
            sent,
            returned,
        }
    }

    /// Returns which message is that many after another.
    pub(crate) fn after(&self, message: usize, count: usize) -> usize {
        (message + count) % self.count
    }

    /// Returns which message a connection begins with. Neighbours send different ones, so that none can be taken for
    /// that of another; and nobody begins in the middle of a context.
    pub(crate) fn first_of(&self, connection: usize) -> usize {
        self.after(0, connection * self.stagger)
    }

    /// Returns where in the bytes that are sent a window lies.
    pub(crate) fn sent_window(&self, first: usize, count: usize) -> Range<usize> {
        let at = |message: usize| self.sent_at.get(message).copied().unwrap_or_default();
        at(first)..at(first + count)
    }

    /// Returns where in the bytes that are returned a window lies.
    pub(crate) fn returned_window(&self, first: usize, count: usize) -> Range<usize> {
        first * self.returned_len..(first + count) * self.returned_len
    }

    /// Returns where in the bytes that are returned the first message comes again.
    pub(crate) fn returned_end(&self) -> usize {
        self.count * self.returned_len
    }

    /// Returns the length of a message as it is returned.
    pub(crate) fn returned_len(&self) -> usize {
        self.returned_len
    }

    /// Whether a message begins there in the bytes that are returned.
    pub(crate) fn is_boundary(&self, returned_at: usize) -> bool {
        returned_at.is_multiple_of(self.returned_len)
    }

    pub(crate) fn sent(&self, range: Range<usize>) -> &[u8] {
        self.sent.get(range).unwrap_or_default()
    }

    /// Verifies bytes that came back.
    pub(crate) fn verify(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        match self.returned.get(at..at + bytes.len()) == Some(bytes) {
            true => Ok(()),
            false => Err(io::Error::other("a message came back changed")),
        }
    }
}

/// Messages that may refer to earlier ones begin anew so often in a ring. Between these lie 60 KiB of messages of 4 KiB,
/// twice a window, and 6 KiB of messages of 100 bytes.
const CONTEXTS: usize = 4;

/// The second-level cache of the machine holds it beside the buffers.
const RING_LEN: usize = 256 * 1024;

fn text(script: Script, number: usize, size: usize, random: &mut Random) -> Vec<u8> {
    let mut text = format!("{number:08x}");
    let left = |text: &String| size.saturating_sub(text.len());
    if script == Script::Mixed {
        while left(&text) >= 4 {
            text.push(random.pick(MIXED));
        }
    }
    while script == Script::Records && left(&text) > 0 {
        let (id, sensor) = (random.below(1 << 20), random.below(SENSORS.len()));
        let name = SENSORS.get(sensor).copied().unwrap_or_default();
        let value = random.below(1 << 12);
        text += &format!("{{\"id\":{id},\"sensor\":\"{name}\",\"value\":{value}.5}},");
    }
    while left(&text) > 0 {
        text.push(random.pick(ASCII));
    }
    text.truncate(size);
    text.into_bytes()
}

/// As many of each length, and all next to each other, which is the hard case for a validator.
const MIXED: &[char] = &[
    'a', 'é', 'ж', '界', 'ß', 'Я', '語', '🙂', 'x', 'ü', 'д', '中', '🚀',
];
const SENSORS: &[&str] = &["temperature", "pressure", "humidity", "wind", "rain"];
const ASCII: &[char] = &[
    'a', 'b', 'c', 'd', 'e', ' ', '0', '1', '{', '}', '"', ',', 'z', 'Q',
];

/// A xorshift generator: the same messages in every run.
pub(crate) struct Random {
    state: u64,
}

impl Default for Random {
    fn default() -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Returns a number below a limit.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % limit.max(1)
    }

    fn pick(&mut self, characters: &[char]) -> char {
        let index = self.below(characters.len());
        characters.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn masking_key(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        [a, b, c, d]
    }
}
