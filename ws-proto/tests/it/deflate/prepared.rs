//! Prepared messages where compression was agreed on: compressed once, understood by all, and sent plain
//! if that was asked for.

use std::io::IoSlice;
use std::time::Instant;

use bytes::Buf;
use ws_proto::{ConnectionConfig, Message, OutgoingMut, PreparedMessage, Role, Version, Workspace};

use super::peer::frames;
use super::{all_terms, eager, noise, open, prose, terms};
use ws_testing::connections::{connect, events, written};

/// Proves that a message which was compressed once is understood on connections with any terms, between
/// messages of their own that refer back as far as they may; and that these do not refer to what the
/// peer does not have, or has elsewhere.
#[test]
fn a_message_that_was_compressed_once_is_understood_by_all() {
    let now = Instant::now();
    let config = ConnectionConfig::new()
        .send_queue_limit(None)
        .receive_queue_limit(None);
    for of_broadcast in [eager(), eager().server_max_window_bits(9).unwrap()] {
        let prepared: Vec<_> = [3000, 40_000, 1]
            .map(|len| Message::from(prose(len, 77)))
            .into_iter()
            .chain([Message::from(noise(3000, 1)), Message::from("")])
            .map(|message| PreparedMessage::compressed(message, &of_broadcast))
            .collect();
        for options in all_terms() {
            for (sender, receiver) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
                let mut sends = open(sender, &options, config.clone(), now);
                let mut receives = open(receiver, &options, config.clone(), now);
                let mut lens = Vec::new();
                for prepared in prepared.iter().chain(&prepared) {
                    for own in [prose(3000, 77), prose(2000, 78)] {
                        lens.push(own.len());
                        sends.send(own).unwrap();
                    }
                    lens.push(prepared.len());
                    sends.send_prepared(prepared).unwrap();
                }
                receives.handle_read(now, &written(&mut sends));
                let seen = events(&mut receives, now);
                let seen: Vec<_> = seen
                    .iter()
                    .map(|event| match event {
                        ws_proto::Event::Message(message) => message.len(),
                        other => panic!("{options:?}: {other:?}"),
                    })
                    .collect();
                assert_eq!(seen, lens, "{options:?}");
            }
        }
    }
}

/// Proves that all connections that can share it write the very same memory, and that others get the
/// message as well: a smaller window of their own, no compression, a draft.
#[test]
fn a_message_is_compressed_once_for_all_that_can_share_it() {
    let now = Instant::now();
    let text = noise(20_000, 5)
        .iter()
        .map(|byte| char::from(byte % 64 + 32))
        .collect::<String>();
    let prepared = PreparedMessage::compressed(&*text, &eager());
    let mut places = Vec::new();
    let small = eager().server_max_window_bits(10).unwrap();
    for options in [eager(), eager().server_no_context_takeover(false), small] {
        let mut connection = open(Role::Server, &options, ConnectionConfig::new(), now);
        connection.send_prepared(&prepared).unwrap();
        places.push(place_of_longest(&connection.outgoing()));
        let bytes = written(&mut connection);
        assert!(bytes.len() < text.len());
        assert_eq!(bytes[0], 0xc1);
    }
    assert_eq!(places[0], places[1], "takeover or not");
    assert_ne!(places[0], places[2], "too large a window");
    for version in Version::ALL {
        let mut plain = connect(Role::Server, version, ConnectionConfig::new(), now);
        let mut usual = connect(Role::Server, version, ConnectionConfig::new(), now);
        plain.send_prepared(&prepared).unwrap();
        usual.send(&*text).unwrap();
        assert!(written(&mut plain) == written(&mut usual), "{version}");
    }
}

/// Where the longest of the slices is that a gather write would take.
fn place_of_longest(outgoing: &OutgoingMut<'_>) -> *const u8 {
    let mut slices = [IoSlice::new(b""); 4];
    let count = outgoing.chunks_vectored(&mut slices);
    let longest = slices[..count].iter().max_by_key(|slice| slice.len());
    longest.unwrap().as_ptr()
}

/// Proves that what is not worth it, or shorter than the threshold, is sent plain to all.
#[test]
fn what_is_not_worth_it_is_sent_plain_to_all() {
    let now = Instant::now();
    for (message, threshold) in [
        (Message::from(noise(3000, 1)), 0),
        (Message::from(prose(1023, 1)), 1024),
    ] {
        let options = eager().threshold(threshold);
        let prepared = PreparedMessage::compressed(message.clone(), &options);
        let mut connection = open(Role::Server, &eager(), ConnectionConfig::new(), now);
        connection.send_prepared(&prepared).unwrap();
        assert_eq!(frames(&written(&mut connection))[0].1, message.as_bytes());
    }
}

/// X22: a message that was asked to be sent plain is, by each way of sending, and cannot be compressed by
/// a broadcast later; it does not disturb the context.
#[test]
fn a_plain_message_is_never_compressed() {
    let now = Instant::now();
    let secret = prose(3000, 9);
    for options in all_terms() {
        let mut connection = open(Role::Server, &options, ConnectionConfig::new(), now);
        let plain = PreparedMessage::plain(&secret).compress_for(&options, &mut Workspace::new());
        connection.send(&secret).unwrap();
        connection.send_prepared(&plain).unwrap();
        connection.send(&secret).unwrap();
        let frames = frames(&written(&mut connection));
        assert_eq!(frames[1], (0x81, secret.clone().into_bytes()));
        assert!(frames[0].0 == 0xc1 && frames[2].0 == 0xc1);
        assert!(frames[2].1.len() <= frames[0].1.len());
    }
}

/// Proves that a message that was prepared without options is compressed by each connection that agreed
/// on it, and by no other.
#[test]
fn a_prepared_message_is_compressed_where_that_was_agreed_on() {
    let now = Instant::now();
    let prepared = PreparedMessage::new(prose(3000, 9));
    let mut with = open(Role::Server, &eager(), ConnectionConfig::new(), now);
    let without = connect(Role::Server, Version::Rfc6455, ConnectionConfig::new(), now);
    assert!(with.has_deflate() && !without.has_deflate());
    let mut without = without;
    with.send_prepared(&prepared).unwrap();
    without.send_prepared(&prepared).unwrap();
    assert_eq!(frames(&written(&mut with))[0].0, 0xc1);
    assert_eq!(frames(&written(&mut without))[0].0, 0x81);
}

/// The drafts have no extensions; whoever claims to have agreed on one is told so.
#[test]
#[should_panic(expected = "draft76 has no extensions")]
fn a_draft_cannot_be_compressed() {
    let now = Instant::now();
    let connection = connect(Role::Server, Version::Draft76, ConnectionConfig::new(), now);
    drop(connection.with_deflate(&terms(&eager()).0));
}
