//! Whatever is sent under whatever terms arrives, however the bytes are chopped; and however any bytes are
//! chopped, the same is told of them.

use std::time::Instant;

use proptest::prelude::*;
use ws_proto::{Connection, ConnectionConfig, Event, Message, PreparedMessage, Role};

use super::peer::Deflater;
use super::{all_terms, eager, noise, open, prose};
use ws_testing::connections::{Frame, describe, events, item, written};
use ws_testing::plain;

/// One act of a sender.
#[derive(Clone, Debug)]
enum Act {
    Send(Message),
    /// As many fragments as there are lengths.
    Fragments(u32, Vec<usize>),
    Shared(Message),
    Plain(Message),
    Ping,
}

fn messages() -> impl Strategy<Value = Message> {
    let len = prop_oneof![0..200_usize, 1000..6000_usize, Just(70_000)];
    (len, 0..3_u32, 0..3_u8).prop_map(|(len, seed, kind)| match kind {
        0 => Message::from(prose(len, seed)),
        1 => Message::from(prose(len, seed).into_bytes()),
        _ => Message::from(noise(len, seed.into())),
    })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => messages().prop_map(Act::Send),
        2 => (0..3_u32, prop::collection::vec(0..3000_usize, 1..5))
            .prop_map(|(seed, lens)| Act::Fragments(seed, lens)),
        2 => messages().prop_map(Act::Shared),
        1 => messages().prop_map(Act::Plain),
        1 => Just(Act::Ping),
    ];
    prop::collection::vec(act, 1..12)
}

fn perform(
    sender: &mut Connection,
    act: &Act,
    of_broadcast: &ws_proto::Deflate,
) -> Option<Message> {
    match act {
        Act::Send(message) => sender.send(message.clone()).unwrap(),
        Act::Fragments(seed, lens) => {
            let mut all = String::new();
            for (i, len) in lens.iter().enumerate() {
                let part = prose(*len, *seed);
                all.push_str(&part);
                sender.send_fragment(part, i + 1 == lens.len()).unwrap();
            }
            return Some(Message::from(all));
        }
        Act::Shared(message) => {
            let prepared = PreparedMessage::compressed(message.clone(), of_broadcast);
            sender.send_prepared(&prepared).unwrap();
        }
        Act::Plain(message) => {
            sender
                .send_prepared(&PreparedMessage::plain(message.clone()))
                .unwrap();
        }
        Act::Ping => {
            sender.ping(b"").unwrap();
            return None;
        }
    }
    match act {
        Act::Send(message) | Act::Shared(message) | Act::Plain(message) => Some(message.clone()),
        Act::Fragments(..) | Act::Ping => None,
    }
}

/// Hands the bytes in, in portions of the lengths in turn.
fn feed(connection: &mut Connection, mut bytes: &[u8], portions: &[usize], now: Instant) {
    for len in portions.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let portion;
        (portion, bytes) = bytes.split_at(bytes.len().min(*len));
        let taken = connection.handle_read_some(now, portion);
        assert_eq!(taken, portion.len(), "nothing is limited");
    }
}

/// Everything that was told, with parts put together, so that chopping makes no difference.
fn account(connection: &mut Connection, now: Instant) -> Vec<String> {
    let (mut told, mut whole) = (Vec::new(), Vec::new());
    for event in events(connection, now) {
        match &event {
            Event::Fragment(part) => {
                whole.extend_from_slice(part.content.as_bytes());
                if part.last {
                    let whole = std::mem::take(&mut whole);
                    told.push(format!(
                        "{} {}",
                        part.content.is_text(),
                        whole.escape_ascii()
                    ));
                }
            }
            Event::Message(message) => {
                told.push(format!(
                    "{} {}",
                    message.is_text(),
                    message.as_bytes().escape_ascii()
                ));
            }
            other => told.push(describe(other)),
        }
    }
    // How much of a message is given out before what is wrong with it is found may differ.
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// P-M3 to P-M8: what is sent arrives, in both directions, with all terms, chopped in any way, in
    /// fragments, shared, plain, and with messages taken whole or in parts.
    #[test]
    fn what_is_sent_arrives(
        acts in acts(),
        portions in prop::collection::vec(prop_oneof![1..20_usize, 1..5000_usize], 1..4),
        which in 0..20_usize,
        is_server in any::<bool>(),
        in_parts in any::<bool>(),
        small_broadcast in any::<bool>(),
    ) {
        let now = Instant::now();
        let options = all_terms().nth(which).unwrap();
        let config = ConnectionConfig::new()
            .send_queue_limit(None)
            .receive_queue_limit(None)
            .receive_fragments(in_parts);
        let (from, to) = match is_server {
            true => (Role::Server, Role::Client),
            false => (Role::Client, Role::Server),
        };
        let of_broadcast = match small_broadcast {
            true => eager().server_max_window_bits(9).unwrap(),
            false => eager(),
        };
        let mut sender = open(from, &options, config.clone(), now);
        let mut receiver = open(to, &options, config, now);
        let mut expected = Vec::new();
        for act in &acts {
            expected.extend(perform(&mut sender, act, &of_broadcast));
        }
        feed(&mut receiver, &written(&mut sender), &portions, now);
        let mut seen: Vec<Message> = Vec::new();
        let mut whole = Vec::new();
        for event in events(&mut receiver, now) {
            match item(&event) {
                plain::Item::Message(is_text, bytes) | plain::Item::Part(is_text, bytes, true, true) => {
                    seen.push(remake(is_text, bytes));
                }
                plain::Item::Part(is_text, bytes, first, last) => {
                    prop_assert_eq!(first, whole.is_empty());
                    whole.extend(bytes);
                    if last {
                        seen.push(remake(is_text, std::mem::take(&mut whole)));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        prop_assert!(seen == expected, "{} of {}", seen.len(), expected.len());
    }

    /// Whatever a peer sends, broken or not, within the limit or not: the same is told, and the same is
    /// answered, for any chopping.
    #[test]
    fn any_bytes_mean_the_same_for_any_chopping(
        payloads in prop::collection::vec(payloads(), 1..5),
        portions in prop::collection::vec(1..700_usize, 1..4),
        limit in prop::option::of(prop_oneof![0..100_usize, 500..5000_usize]),
        in_parts in any::<bool>(),
        is_text in any::<bool>(),
    ) {
        let now = Instant::now();
        let options = eager().server_no_context_takeover(false);
        let config = ConnectionConfig::new()
            .message_limit(limit)
            .receive_queue_limit(None)
            .receive_fragments(in_parts);
        let mut bytes = Vec::new();
        for (payload, split) in payloads {
            let (head, rest) = payload.split_at(split.min(payload.len()));
            bytes.extend(Frame::new(if is_text { 0x41 } else { 0x42 }, head).to(Role::Server));
            bytes.extend(Frame::new(0x80, rest).to(Role::Server));
        }
        let mut whole = open(Role::Server, &options, config.clone(), now);
        let mut chopped = open(Role::Server, &options, config, now);
        whole.handle_read(now, &bytes);
        feed(&mut chopped, &bytes, &portions, now);
        prop_assert_eq!(account(&mut whole, now), account(&mut chopped, now));
        prop_assert_eq!(written(&mut whole), written(&mut chopped));
    }
}

fn remake(is_text: bool, bytes: Vec<u8>) -> Message {
    match is_text {
        true => Message::from(String::from_utf8(bytes).unwrap()),
        false => Message::from(bytes),
    }
}

/// Compressed messages, some with a byte that is wrong, and any bytes; with a place to split them.
fn payloads() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let compressed = (
        messages(),
        prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    );
    let compressed = compressed.prop_map(|(message, wrong)| {
        let mut compressed = Deflater::new(15, true).compress(message.as_bytes());
        if let Some((index, byte)) = wrong {
            let index = index.index(compressed.len());
            compressed[index] = byte;
        }
        compressed
    });
    let payload = prop_oneof![
        3 => compressed,
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => prop::sample::select(vec![b"\x03\x00".to_vec(), b"\xf3\x48\xcd\xc9\xc9\x07\x00".to_vec()]),
    ];
    (payload, 0..3000_usize)
}
