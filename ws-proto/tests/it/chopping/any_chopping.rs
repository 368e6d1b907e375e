//! A stream in any parts gives the same events and answers as in one.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::{CloseCause, Event, Role, Version};

use super::decoder::{answers, decode};
use super::endpoint::{LIMIT, config, frames};
use super::streams::{draft_stream, rfc6455_stream};
use ws_testing::connections::{self, all, connect, written};

fn short(event: &Event) -> String {
    match event {
        Event::Closed(closed) => match &closed.cause {
            CloseCause::Handshake => format!("closed:{} {}", closed.code, closed.reason),
            CloseCause::Failed(error) => format!("failed:{}", error.close_code()),
            CloseCause::Disconnected => "gone".to_owned(),
            cause => format!("{cause:?}"),
        },
        event => connections::describe(event),
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
