//! What one endpoint sends the other one receives, in every version and both directions, however
//! the bytes are cut; and what is on the wire is what a plain encoder writes and a plain decoder
//! reads.

use std::time::Instant;

use bytes::Buf;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ws_proto::{Connection, ConnectionConfig, Event, Message, PreparedMessage, Role, Version};
use ws_testing::connections::{connect, item, written};
use ws_testing::plain::{self, Item, Rules};

/// A message and how it is sent.
#[derive(Clone)]
struct Sent {
    is_text: bool,
    payload: Vec<u8>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Whole,
    Prepared,
    /// In fragments that end here.
    Parts(Vec<Index>),
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            is_text,
            payload,
            how,
        } = self;
        write!(f, "is_text={is_text} of {} bytes, {how:?}", payload.len())
    }
}

impl Sent {
    fn message(&self, part: &[u8]) -> Message {
        match self.is_text {
            true => String::from_utf8(part.to_vec()).unwrap().into(),
            false => part.to_vec().into(),
        }
    }

    /// The payload in the parts in which it is sent; a text is cut between characters.
    fn parts(&self) -> Vec<&[u8]> {
        let How::Parts(cuts) = &self.how else {
            return vec![&self.payload];
        };
        let mut ends: Vec<usize> = cuts
            .iter()
            .map(|cut| cut.index(self.payload.len() + 1))
            .collect();
        if let (true, Ok(text)) = (self.is_text, std::str::from_utf8(&self.payload)) {
            ends.retain(|end| text.is_char_boundary(*end));
        }
        ends.sort_unstable();
        ends.push(self.payload.len());
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts
            .zip(&ends)
            .map(|(start, end)| &self.payload[start..*end])
            .collect()
    }

    fn send(&self, connection: &mut Connection) {
        match &self.how {
            How::Whole => connection.send(self.message(&self.payload)).unwrap(),
            How::Prepared => {
                let message = PreparedMessage::new(self.message(&self.payload));
                assert_eq!(
                    (message.len(), message.is_text()),
                    (self.payload.len(), self.is_text)
                );
                connection.send_prepared(&message).unwrap();
            }
            How::Parts(_) => {
                let parts = self.parts();
                for (index, part) in parts.iter().enumerate() {
                    let is_last = index + 1 == parts.len();
                    connection
                        .send_fragment(self.message(part), is_last)
                        .unwrap();
                }
            }
        }
    }

    /// What a plain encoder writes (R-F5, R-F6, R-F7, D75-F1).
    fn encode(&self, version: Version, keys: &mut impl FnMut() -> Option<[u8; 4]>) -> Vec<u8> {
        if version != Version::Rfc6455 {
            return plain::encode(version, None, true, &self.payload);
        }
        let parts = self.parts();
        let frames = parts.iter().enumerate().map(|(index, part)| {
            let opcode = match (index, self.is_text) {
                (0, true) => 1,
                (0, false) => 2,
                _ => 0,
            };
            let fin = if index + 1 == parts.len() { 0x80 } else { 0 };
            plain::frame(fin | opcode, keys(), part)
        });
        frames.collect::<Vec<_>>().concat()
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let len = prop_oneof![
        6 => 0_usize..200,
        3 => select(vec![0_usize, 1, 38, 39, 124, 125, 126, 127, 128, 4095, 4096]),
        1 => select(vec![65_534_usize, 65_535, 65_536, 65_537]),
        1 => 0_usize..70_000,
    ];
    let how = prop_oneof![
        2 => Just(How::Whole),
        1 => Just(How::Prepared),
        2 => vec(any::<Index>(), 0..5).prop_map(How::Parts),
    ];
    (any::<bool>(), len, any::<u8>(), how).prop_map(|(is_text, len, noise, how)| {
        let payload = match is_text {
            // Two-byte characters, so that cuts fall into them, too.
            true => ["a".repeat(len % 2), "κ".repeat(len / 2)]
                .concat()
                .into_bytes(),
            false => (0..len)
                .map(|index| noise ^ index.to_le_bytes()[0])
                .collect(),
        };
        Sent {
            is_text,
            payload,
            how,
        }
    })
}

/// The keys of `ws_testing::connections::Counting`, drawn by a client of RFC 6455.
fn keys(role: Role) -> impl FnMut() -> Option<[u8; 4]> {
    let mut last = 0_u8;
    move || {
        (role == Role::Client).then(|| {
            [(); 4].map(|()| {
                last = last.wrapping_add(1);
                last
            })
        })
    }
}

/// Cuts bytes into reads of these lengths, over and over.
fn chop(bytes: &[u8], lens: &[usize]) -> Vec<Vec<u8>> {
    let mut reads = Vec::new();
    let mut rest = bytes;
    for len in lens.iter().cycle() {
        let (read, left) = rest.split_at((*len).min(rest.len()));
        reads.push(read.to_vec());
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    reads
}

/// The messages that were told, whole or in parts.
fn join(items: &[Item]) -> Vec<(bool, Vec<u8>)> {
    let (mut messages, mut open) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Message(is_text, payload) => messages.push((*is_text, payload.clone())),
            Item::Part(is_text, part, first, last) => {
                assert_eq!(*first, open.is_empty(), "the first part, and no other");
                open.extend(part);
                if *last {
                    messages.push((*is_text, std::mem::take(&mut open)));
                }
            }
            other => panic!("nobody sent {other:?}"),
        }
    }
    messages
}

fn config(fragments: bool) -> ConnectionConfig {
    ConnectionConfig::new()
        .send_queue_limit(None)
        .receive_fragments(fragments)
}

/// Takes all that waits, in place or in segments.
fn wire(connection: &mut Connection, takes: bool) -> Vec<u8> {
    if !takes {
        return written(connection);
    }
    let mut bytes = Vec::new();
    while connection.buffered_amount() > 0 {
        let mut taken = connection.take_outgoing(1000);
        let count = taken.remaining();
        bytes.extend(taken.copy_to_bytes(count));
        connection.handle_written(count);
    }
    bytes
}

/// A pair of connections, and what each of them sends.
struct Trip {
    version: Version,
    fragments: bool,
    takes: bool,
    read_lens: Vec<usize>,
}

impl Trip {
    /// Sends from one end to the other; checks the wire and what arrives.
    fn run(
        &self,
        role: Role,
        sent: &[Sent],
        from: &mut Connection,
        to: &mut Connection,
        now: Instant,
    ) -> Result<(), TestCaseError> {
        let mut keys = keys(role);
        let mut expected = Vec::new();
        for message in sent {
            message.send(from);
            expected.extend(message.encode(self.version, &mut keys));
        }
        let bytes = wire(from, self.takes);
        prop_assert!(
            bytes == expected,
            "{} {role:?}: the plain encoder differs",
            self.version
        );

        let reads = chop(&bytes, &self.read_lens);
        let mut items = Vec::new();
        for read in &reads {
            to.handle_read(now, read);
            let events = std::iter::from_fn(|| to.poll_event(now));
            items.extend(events.map(|event: Event| item(&event)));
        }
        let rules = Rules {
            fragments: self.fragments,
            ..Rules::new(self.version, to.role())
        };
        let decoded = plain::decode(&rules, &reads);
        prop_assert!(
            decoded.items == items,
            "{} {role:?}: the plain decoder differs",
            self.version
        );
        prop_assert!(decoded.at_boundary);
        let all: Vec<_> = sent
            .iter()
            .map(|sent| (sent.is_text, sent.payload.clone()))
            .collect();
        prop_assert!(
            join(&items) == all,
            "{} {role:?}: what arrives differs",
            self.version
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves that every message arrives as it was sent, in order, in both directions, and that
    /// both ends agree with a plain encoder and a plain decoder (R-F5 to R-F7, R-F11, R-F16,
    /// D75-F1, D75-F2).
    #[test]
    fn what_is_sent_arrives(
        by_server in vec(sent(), 0..6),
        by_client in vec(sent(), 0..6),
        read_lens in prop_oneof![
            1 => Just(vec![1]),
            3 => vec(1_usize..3000, 1..5),
            1 => Just(vec![usize::MAX]),
        ],
        fragments: bool,
        takes: bool,
    ) {
        let now = Instant::now();
        for version in Version::ALL {
            let [mut server, mut client] = [Role::Server, Role::Client]
                .map(|role| connect(role, version, config(fragments), now));
            // The drafts have text only.
            let fits = |sent: &&Sent| sent.is_text || version.features().binary;
            let [by_server, by_client] = [&by_server, &by_client]
                .map(|sent| sent.iter().filter(fits).cloned().collect::<Vec<_>>());
            // Byte by byte takes long in a debug build, and a plain decoder longer.
            let both = by_server.iter().chain(&by_client);
            let len: usize = both.map(|sent| sent.payload.len()).sum();
            let read_lens = match read_lens[..] {
                [1] if len > 3000 => vec![len / 500],
                _ => read_lens.clone(),
            };
            let trip = Trip { version, fragments, takes, read_lens };
            trip.run(Role::Server, &by_server, &mut server, &mut client, now)?;
            trip.run(Role::Client, &by_client, &mut client, &mut server, now)?;
            prop_assert_eq!(server.buffered_amount() + client.buffered_amount(), 0);
        }
    }
}
