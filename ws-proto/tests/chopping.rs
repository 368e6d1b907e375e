//! Any chopping of the input gives the same events and the same answers, for any bytes at all; what
//! they are is compared with a slow, plain decoder that sees the whole stream at once.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Buf;
use proptest::collection::vec;
use proptest::prelude::*;
use support::plain::{self, Item, Rules};
use support::{all, connect, written};
use ws_proto::{
    CloseCause, CloseCode, Connection, ConnectionConfig, Event, Message, NO_STATUS, Role, Version,
};

/// The message limit in half of the cases; generated messages lie on both sides of it.
const LIMIT: usize = 100;
const FRAGMENT_LIMIT: usize = 6;

fn config(limit: Option<usize>) -> ConnectionConfig {
    ConnectionConfig::new()
        .message_limit(limit)
        .fragment_limit(FRAGMENT_LIMIT)
        .send_queue_limit(None)
        .control_events(true)
}

fn short(event: &Event) -> String {
    match event {
        Event::Closed(closed) => match &closed.cause {
            CloseCause::Handshake => format!("closed:{} {}", closed.code, closed.reason),
            CloseCause::Failed(error) => format!("failed:{}", error.close_code()),
            CloseCause::Disconnected => "gone".to_owned(),
            cause => format!("{cause:?}"),
        },
        event => support::describe(event),
    }
}

/// Feeds the stream in parts and then its end; takes the events after each part, echoes messages if
/// wanted, and writes. Returns the events in short, and what was written.
fn run(
    role: Role,
    version: Version,
    limit: Option<usize>,
    parts: &[&[u8]],
    echoes: bool,
) -> (Vec<String>, Vec<u8>) {
    let now = Instant::now();
    let mut connection = connect(role, version, config(limit), now);
    let (mut said, mut sent) = (Vec::new(), Vec::new());
    for part in parts.iter().map(Some).chain([None]) {
        match part {
            Some(part) => connection.handle_read(now, part),
            None => connection.handle_eof(now),
        }
        while let Some(event) = connection.poll_event(now) {
            said.push(short(&event));
            if let (Event::Message(message), true) = (event, echoes) {
                connection
                    .send(message)
                    .expect("what came before the end can be answered");
            }
        }
        sent.extend(written(&mut connection));
    }
    (said, sent)
}

/// Cuts `bytes` into parts of the given lengths, over and over.
fn chop<'a>(mut bytes: &'a [u8], lens: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for len in lens.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (part, rest) = bytes.split_at((*len).min(bytes.len()));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// The frames of RFC 6455 in `bytes`, unmasked; they are our own and whole.
fn frames(role: Role, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let [first_byte, second_byte, ..] = rest {
        assert_eq!(
            second_byte & 0x80 != 0,
            role == Role::Client,
            "clients mask, servers do not"
        );
        let (used, len) = match second_byte & 0x7f {
            126 => (
                4,
                usize::from(u16::from_be_bytes(*rest[2..].first_chunk().unwrap())),
            ),
            127 => {
                let len = u64::from_be_bytes(*rest[2..].first_chunk().unwrap());
                (10, usize::try_from(len).unwrap())
            }
            len => (2, usize::from(len)),
        };
        rest = &rest[used..];
        let mut key = [0; 4];
        if role == Role::Client {
            key.copy_from_slice(&rest[..4]);
            rest = &rest[4..];
        }
        let payload = rest[..len]
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect();
        frames.push((*first_byte, payload));
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "half a frame was written");
    frames
}

// ---- streams that mean something most of the time ----

#[derive(Clone, Debug)]
enum Op {
    Frame {
        first_byte: u8,
        payload: Vec<u8>,
        key: [u8; 4],
    },
    /// A frame with all that a peer can do wrong: the mask bit and the form of the length.
    Odd {
        first_byte: u8,
        wrong_mask: bool,
        form: u8,
        len: u64,
        payload: Vec<u8>,
    },
    Raw(Vec<u8>),
}

impl Op {
    fn write(&self, role: Role, bytes: &mut Vec<u8>) {
        match self {
            Self::Frame {
                first_byte,
                payload,
                key,
            } => {
                let mask = (role == Role::Server).then_some(*key);
                let frame = support::Frame {
                    first_byte: *first_byte,
                    mask,
                    payload: payload.clone(),
                };
                bytes.extend(frame.bytes());
            }
            Self::Odd {
                first_byte,
                wrong_mask,
                form,
                len,
                payload,
            } => {
                let mask_bit = if (role == Role::Server) != *wrong_mask {
                    0x80
                } else {
                    0
                };
                bytes.push(*first_byte);
                bytes.push(mask_bit | form);
                match form {
                    126 => bytes.extend(u16::try_from(*len & 0xffff).unwrap().to_be_bytes()),
                    127 => bytes.extend(len.to_be_bytes()),
                    _ => {}
                }
                bytes.extend(payload);
            }
            Self::Raw(raw) => bytes.extend(raw),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ -~κé€\u{10ffff}\0]{0,30}",
        1 => (120_usize..6000).prop_map(|len| "é".repeat(len / 2)),
    ]
}

fn frame(first_byte: u8, payload: Vec<u8>) -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(move |key| Op::Frame {
        first_byte,
        payload: payload.clone(),
        key,
    })
}

/// A message in one or more fragments, cut anywhere, with pings and pongs in between.
fn message() -> impl Strategy<Value = Vec<Op>> {
    let content = prop_oneof![
        4 => text().prop_map(|text| (0x01, text.into_bytes())),
        2 => vec(any::<u8>(), 0..150).prop_map(|bytes| (0x02, bytes)),
        1 => vec(0x70_u8..0xff, 1..8).prop_map(|bytes| (0x01, bytes)),
    ];
    let cuts = prop_oneof![3 => Just(vec![]), 2 => vec((any::<usize>(), any::<bool>()), 1..8)];
    (content, cuts, any::<[u8; 4]>()).prop_map(|((opcode, bytes), cuts, key)| {
        let mut ends: Vec<_> = cuts
            .iter()
            .map(|(cut, ping)| (cut % (bytes.len() + 1), *ping))
            .collect();
        ends.sort_unstable();
        let mut ops = Vec::new();
        let (mut start, mut opcode) = (0, opcode);
        for (end, ping) in ends {
            ops.push(Op::Frame {
                first_byte: opcode,
                payload: bytes[start..end].to_vec(),
                key,
            });
            (start, opcode) = (end, 0x00);
            if ping {
                ops.push(Op::Frame {
                    first_byte: 0x89,
                    payload: vec![b'p'; end % 126],
                    key,
                });
            }
        }
        ops.push(Op::Frame {
            first_byte: 0x80 | opcode,
            payload: bytes[start..].to_vec(),
            key,
        });
        ops
    })
}

fn rfc6455_stream() -> impl Strategy<Value = Vec<Op>> {
    let control = (0x89_u8..=0x8a, vec(any::<u8>(), 0..126))
        .prop_flat_map(|(first_byte, payload)| frame(first_byte, payload));
    let close = prop_oneof![
        Just(vec![]),
        vec(any::<u8>(), 0..5),
        (990_u16..1020, text()).prop_map(|(code, reason)| {
            let mut payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
            payload.truncate(125);
            payload
        }),
    ]
    .prop_flat_map(|payload| frame(0x88, payload));
    let len = prop_oneof![0_u64..200, 65_500_u64..65_600, any::<u64>()];
    let form = prop_oneof![0_u8..126, Just(126), Just(127)];
    let odd = (
        any::<u8>(),
        any::<bool>(),
        form,
        len,
        vec(any::<u8>(), 0..40),
    )
        .prop_map(|(first_byte, wrong_mask, form, len, payload)| Op::Odd {
            first_byte,
            wrong_mask,
            form,
            len,
            payload,
        });
    let ops = prop_oneof![
        24 => message(),
        6 => control.prop_map(|op| vec![op]),
        2 => close.prop_map(|op| vec![op]),
        1 => odd.prop_map(|op| vec![op]),
        1 => vec(any::<u8>(), 1..20).prop_map(|raw| vec![Op::Raw(raw)]),
    ];
    vec(ops, 1..12).prop_map(|ops| ops.concat())
}

fn draft_stream() -> impl Strategy<Value = Vec<u8>> {
    let length = (0_u8..6, 0_usize..250).prop_map(|(padding, len)| {
        let mut bytes = vec![0x80; usize::from(padding)];
        bytes.push(0x80 | u8::try_from(len / 128).unwrap());
        bytes.push(u8::try_from(len % 128).unwrap());
        (bytes, len)
    });
    let skipped =
        (0x80_u8..=0xff, length, any::<u8>()).prop_map(|(frame_type, (length, len), filler)| {
            [&[frame_type][..], &length, &vec![filler; len]].concat()
        });
    let frames = prop_oneof![
        24 => text().prop_map(|text| [b"\0", text.as_bytes(), b"\xff"].concat()),
        3 => vec(0_u8..0xff, 0..12).prop_map(|bytes| [b"\0", &*bytes, b"\xff"].concat()),
        3 => (1_u8..0x80, vec(0_u8..0xff, 0..120))
            .prop_map(|(frame_type, bytes)| [&[frame_type][..], &bytes, b"\xff"].concat()),
        3 => skipped,
        1 => prop_oneof![Just(b"\xff\0".to_vec()), Just(b"\xff\x80\0".to_vec())],
        1 => vec(prop_oneof![Just(0x80_u8), Just(0xff), any::<u8>()], 1..20),
    ];
    vec(frames, 1..12).prop_map(|frames| frames.concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        vec(1_usize..40, 1..8),
        vec(1_usize..3000, 1..4)
    ]
}

fn limits() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![Just(None), Just(Some(LIMIT))]
}

// ---- what a plain decoder finds that sees the whole stream at once ----

/// Decodes a stream up to its end, and says the same in short as `run`.
fn decode(role: Role, version: Version, bytes: &[u8], limit: Option<usize>) -> Vec<String> {
    let rules = Rules {
        message_limit: limit,
        fragment_limit: Some(FRAGMENT_LIMIT),
        ..Rules::new(version, role)
    };
    let decoded = plain::decode(&rules, &[bytes.to_vec()]);
    let ends = decoded.items.last().is_some_and(Item::is_end);
    let end = match version {
        _ if ends => None,
        Version::Draft75 if decoded.at_boundary => Some("closed:1005 "),
        Version::Draft75 | Version::Draft76 | Version::Rfc6455 => Some("gone"),
    };
    let said = decoded.items.iter().map(|item| match item {
        Item::Message(true, text) => format!("text:{}", std::str::from_utf8(text).unwrap()),
        Item::Message(false, payload) => format!("binary:{}", payload.escape_ascii()),
        Item::Part(..) => unreachable!("messages are told whole"),
        Item::Ping(payload) => format!("ping:{}", payload.escape_ascii()),
        Item::Pong(payload) => format!("pong:{}", payload.escape_ascii()),
        Item::Close(code, reason) => format!("closed:{} {reason}", code.unwrap_or(NO_STATUS)),
        Item::Fail(code) => format!("failed:{code}"),
    });
    said.chain(end.map(str::to_owned)).collect()
}

/// What an endpoint sends of itself for what it is told: pongs, then its close.
fn answers(version: Version, said: &[String]) -> Vec<(u8, Vec<u8>)> {
    let mut answers = Vec::new();
    for event in said {
        let close = match event.split_once([':', ' ']) {
            Some(("closed", code)) => code.split_once(' ').unwrap().0.parse::<u16>().unwrap(),
            Some(("failed", code)) => code.parse().unwrap(),
            _ => continue,
        };
        let payload = match close {
            1005 => vec![],
            code => code.to_be_bytes().to_vec(),
        };
        if version == Version::Rfc6455 {
            answers.push((0x88, payload));
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves for RFC 6455, both roles, that any chopping of a stream gives the events that a plain
    /// decoder finds and the answers that they demand (R-F1 to R-F17, R-U1 to R-U3, R-X1, R-X2).
    ///
    /// Echoes and pongs may change places: pongs go out as soon as a ping is read, echoes when the
    /// application sends them. Each of the two keeps its own order, and the close comes last.
    #[test]
    fn any_chopping_of_rfc6455_is_the_same(
        ops in rfc6455_stream(),
        cuts in cuts(),
        limit in limits(),
    ) {
        for role in [Role::Server, Role::Client] {
            let mut bytes = Vec::new();
            for op in &ops {
                op.write(role, &mut bytes);
            }
            let expected = decode(role, Version::Rfc6455, &bytes, limit);
            let parts = chop(&bytes, &cuts);
            let (said, whole) = run(role, Version::Rfc6455, limit, &[&bytes], false);
            prop_assert_eq!(&said, &expected, "{:?} {:x?}", role, bytes);
            let (said, chopped) = run(role, Version::Rfc6455, limit, &parts, false);
            prop_assert_eq!(&said, &expected, "{:?} {:x?}", role, bytes);
            prop_assert_eq!(&chopped, &whole, "{:?} {:x?}", role, bytes);
            let closes: Vec<_> =
                frames(role, &whole).into_iter().filter(|(first, _)| *first == 0x88).collect();
            prop_assert_eq!(closes, answers(Version::Rfc6455, &expected));

            for parts in [&parts, &vec![&bytes[..]]] {
                let (said, sent) = run(role, Version::Rfc6455, limit, parts, true);
                prop_assert_eq!(&said, &expected, "{:?} {:x?}", role, bytes);
                let sent = frames(role, &sent);
                prop_assert!(sent.iter().rev().skip(1).all(|(first, _)| *first != 0x88));
                let (control, data): (Vec<_>, Vec<_>) =
                    sent.into_iter().partition(|(first, _)| first & 0x08 != 0);
                prop_assert_eq!(control, frames(role, &whole));
                let echoes: Vec<_> = data.iter().map(|(first, payload)| match first {
                    0x81 => format!("text:{}", std::str::from_utf8(payload).unwrap()),
                    _ => format!("binary:{}", payload.escape_ascii()),
                }).collect();
                let messages: Vec<_> = expected.iter().filter(|event| {
                    event.starts_with("text:") || event.starts_with("binary:")
                }).cloned().collect();
                prop_assert_eq!(echoes, messages);
            }
        }
    }

    /// Proves the same for the drafts, where nothing is sent but echoes and the close: the bytes are
    /// the same, too (D75-F1 to D75-F6, D76-F1 to D76-F6, D76-X2, D75-X2).
    #[test]
    fn any_chopping_of_the_drafts_is_the_same(
        bytes in draft_stream(),
        cuts in cuts(),
        limit in limits(),
    ) {
        for (role, version) in all().filter(|(_, version)| *version != Version::Rfc6455) {
            let expected = decode(role, version, &bytes, limit);
            let mut answer = Vec::new();
            for event in &expected {
                match event.split_once(':') {
                    Some(("text", text)) => answer.extend([b"\0", text.as_bytes(), b"\xff"].concat()),
                    Some(_) if version == Version::Draft76 => answer.extend(b"\xff\0"),
                    _ => {}
                }
            }
            for parts in [vec![&bytes[..]], chop(&bytes, &cuts)] {
                let (said, sent) = run(role, version, limit, &parts, true);
                prop_assert_eq!(&said, &expected, "{} {:?} {:x?}", version, role, bytes);
                prop_assert_eq!(&sent, &answer, "{} {:?} {:x?}", version, role, bytes);
            }
        }
    }

    /// Proves the same for bytes that mean nothing.
    #[test]
    fn any_chopping_of_any_bytes_is_the_same(
        bytes in vec(any::<u8>(), 0..300),
        cuts in cuts(),
        limit in limits(),
    ) {
        for (role, version) in all() {
            let expected = decode(role, version, &bytes, limit);
            let whole = run(role, version, limit, &[&bytes], false);
            prop_assert_eq!(&whole.0, &expected, "{} {:?} {:x?}", version, role, bytes);
            let chopped = run(role, version, limit, &chop(&bytes, &cuts), false);
            prop_assert_eq!(whole, chopped, "{} {:?} {:x?}", version, role, bytes);
        }
    }
}

// ---- two connections ----

#[derive(Clone, Debug)]
enum Deed {
    Send(Message),
    Ping(Vec<u8>),
    /// Writes in place, or takes bytes out and says later that they were written.
    Write {
        takes: Option<usize>,
    },
    /// Lets so many bytes through to this end.
    Read(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let long = prop_oneof![20 => 0_usize..300, 2 => 4000_usize..5000, 1 => Just(70_000)];
    prop_oneof![
        6 => text().prop_map(|text| Deed::Send(text.into())),
        3 => (any::<u8>(), long).prop_map(|(byte, len)| Deed::Send(vec![byte; len].into())),
        1 => vec(any::<u8>(), 0..126).prop_map(Deed::Ping),
        3 => proptest::option::of(0_usize..10_000).prop_map(|takes| Deed::Write { takes }),
        6 => (1_usize..6000).prop_map(Deed::Read),
    ]
}

/// One of two connections that talk to each other.
struct End {
    connection: Connection,
    /// Bytes on their way to this end, and whether the other end has shut down behind them.
    pipe: VecDeque<u8>,
    pipe_ends: bool,
    eof: bool,
    sent: Vec<Message>,
    received: Vec<Message>,
    closed: Option<ws_proto::Closed>,
}

impl End {
    fn new(role: Role, version: Version, now: Instant) -> Self {
        Self {
            connection: connect(role, version, config(None), now),
            pipe: VecDeque::new(),
            pipe_ends: false,
            eof: false,
            sent: Vec::new(),
            received: Vec::new(),
            closed: None,
        }
    }

    fn write(&mut self, other: &mut Self, takes: Option<usize>) {
        match takes {
            None => other.pipe.extend(written(&mut self.connection)),
            Some(limit) => {
                let mut taken = self.connection.take_outgoing(limit);
                let count = taken.len();
                while taken.has_remaining() {
                    let chunk = taken.chunk();
                    other.pipe.extend(chunk);
                    let count = chunk.len();
                    taken.advance(count);
                }
                self.connection.handle_written(count);
            }
        }
        other.pipe_ends |= self.connection.wants_shutdown();
    }

    fn read(&mut self, limit: usize, now: Instant) {
        let part: Vec<u8> = self.pipe.drain(..limit.min(self.pipe.len())).collect();
        self.connection.handle_read(now, &part);
        if self.pipe_ends && self.pipe.is_empty() && !self.eof {
            self.eof = true;
            self.connection.handle_eof(now);
        }
        while let Some(event) = self.connection.poll_event(now) {
            match event {
                Event::Message(message) => self.received.push(message),
                Event::Closed(closed) => self.closed = Some((*closed).clone()),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves that two connections of any version deliver everything, in order, through a pipe that
    /// chops as it likes, and close cleanly, whoever closes: one of them or both at once.
    #[test]
    fn two_connections_deliver_everything_and_close(
        deeds in vec((any::<bool>(), deed()), 0..60),
        closers in 1_u8..4,
    ) {
        let now = Instant::now();
        for version in Version::ALL {
            let mut ends = [End::new(Role::Server, version, now), End::new(Role::Client, version, now)];
            for (by_client, deed) in &deeds {
                let [server, client] = &mut ends;
                let (end, other) = if *by_client { (client, server) } else { (server, client) };
                match deed {
                    Deed::Send(message) => {
                        if message.is_text() || version.features().binary {
                            end.connection.send(message.clone()).unwrap();
                            end.sent.push(message.clone());
                        }
                    }
                    Deed::Ping(payload) => {
                        prop_assert_eq!(
                            end.connection.ping(payload).is_ok(),
                            version.features().ping
                        );
                    }
                    Deed::Write { takes } => end.write(other, *takes),
                    Deed::Read(limit) => end.read(*limit, now),
                }
            }
            for (index, end) in ends.iter_mut().enumerate() {
                if closers & (1 << index) != 0 {
                    end.connection.close(now, Some(CloseCode::NORMAL), "done").unwrap();
                }
            }
            for _ in 0..20 {
                let [server, client] = &mut ends;
                server.write(client, None);
                client.write(server, None);
                client.read(usize::MAX, now);
                server.read(usize::MAX, now);
            }
            let [server, client] = &ends;
            prop_assert!(server.received == client.sent, "{version}: to the server");
            prop_assert!(client.received == server.sent, "{version}: to the client");
            for end in &ends {
                prop_assert!(end.connection.is_finished(), "{version}");
                let closed = end.closed.as_ref().expect("the end is told");
                prop_assert_eq!(&closed.cause, &CloseCause::Handshake, "{}", version);
                prop_assert_eq!(closed.clean, version.features().close_frame);
            }
        }
    }
}

// ---- writing in pieces ----

#[derive(Clone, Debug)]
enum Writing {
    Send {
        len: usize,
        count: usize,
    },
    Ping,
    /// Writes so many bytes in place.
    Advance(usize),
    Take(usize),
}

fn writing() -> impl Strategy<Value = Writing> {
    let send = prop_oneof![
        3 => (0_usize..300, 1_usize..300),
        2 => (4000_usize..5000, 1_usize..20),
        1 => (60_000_usize..70_000, Just(1)),
    ];
    prop_oneof![
        4 => send.prop_map(|(len, count)| Writing::Send { len, count }),
        4 => Just(Writing::Ping),
        4 => prop_oneof![1_usize..100, 1_usize..100_000].prop_map(Writing::Advance),
        1 => (0_usize..100_000).prop_map(Writing::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves that however the bytes are written, control frames that go ahead of waiting messages
    /// cut none of them; that messages keep their order, and that no ping is lost or doubled. Pings
    /// may overtake each other, which is harmless: a pong tells by its payload what it answers
    /// (R-F9, R-F13, R-F18).
    #[test]
    fn control_frames_go_ahead_between_frames_only(ops in vec(writing(), 1..40)) {
        for role in [Role::Server, Role::Client] {
            let now = Instant::now();
            let mut connection = connect(role, Version::Rfc6455, config(None), now);
            let (mut messages, mut pings, mut sent) = (Vec::new(), Vec::new(), Vec::new());
            for op in &ops {
                match op {
                    Writing::Send { len, count } => {
                        for _ in 0..*count {
                            let payload = vec![u8::try_from(messages.len() % 251).unwrap(); *len];
                            connection.send(payload.clone()).unwrap();
                            messages.push(payload);
                        }
                    }
                    Writing::Ping => {
                        let payload = pings.len().to_string().into_bytes();
                        connection.ping(&payload).unwrap();
                        pings.push(payload);
                    }
                    Writing::Advance(count) => {
                        let outgoing = connection.outgoing();
                        let count = (*count).min(outgoing.remaining());
                        sent.extend(outgoing.copy_to_bytes(count));
                    }
                    Writing::Take(limit) => {
                        let mut taken = connection.take_outgoing(*limit);
                        let count = taken.len();
                        sent.extend(taken.copy_to_bytes(count));
                        connection.handle_written(count);
                    }
                }
            }
            sent.extend(written(&mut connection));
            let (control, data): (Vec<_>, Vec<_>) =
                frames(role, &sent).into_iter().partition(|(first, _)| *first == 0x89);
            prop_assert!(data.iter().all(|(first, _)| *first == 0x82));
            prop_assert!(data.into_iter().map(|(_, payload)| payload).eq(messages));
            let mut control: Vec<_> = control.into_iter().map(|(_, payload)| payload).collect();
            control.sort_by_key(|payload| (payload.len(), payload.clone()));
            prop_assert_eq!(control, pings);
        }
    }
}
