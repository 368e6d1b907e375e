//! Prepared messages: encoded once, the same bytes as a plain send on every kind of connection, and
//! shared by all of them.

use std::io::IoSlice;
use std::time::Instant;

use bytes::Buf;
use ws_proto::{CloseReason, ConnectionConfig, Message, PreparedMessage, Role, SendError, Version};
use ws_testing::connections::{all, connect, written};

/// Lengths on both sides of every border: inline payloads, length forms, copied or shared.
const LENS: [usize; 14] = [
    0, 1, 38, 39, 125, 126, 4091, 4092, 4095, 4096, 4097, 65_535, 65_536, 300_000,
];

fn messages(len: usize) -> [Message; 2] {
    [
        Message::from("x".repeat(len)),
        Message::from(vec![0xa5; len]),
    ]
}

/// Proves that one prepared message gives the same bytes as a plain send on connections of every
/// version and role, the masks of clients included, and leaves them ready for the next.
#[test]
fn a_prepared_message_is_sent_as_a_plain_one() {
    let now = Instant::now();
    let config = ConnectionConfig::new().send_queue_limit(None);
    for message in LENS.into_iter().flat_map(messages) {
        let prepared = PreparedMessage::new(message.clone());
        assert_eq!(prepared.len(), message.len());
        assert_eq!(prepared.is_empty(), message.is_empty());
        assert_eq!(prepared.is_text(), message.is_text());
        for (role, version) in all() {
            if !message.is_text() && !version.features().binary {
                continue;
            }
            let mut plain = connect(role, version, config.clone(), now);
            let mut shared = connect(role, version, config.clone(), now);
            for _ in 0..2 {
                plain.send(message.clone()).unwrap();
                shared.send_prepared(&prepared).unwrap();
            }
            plain.send("more").unwrap();
            shared.send_prepared(&"more".into()).unwrap();
            assert_eq!(shared.buffered_amount(), plain.buffered_amount());
            let same = written(&mut plain) == written(&mut shared);
            assert!(same, "{version} {role:?}, {} bytes", message.len());
        }
    }
}

/// Proves that a large prepared message is not copied for a connection that does not mask: every
/// one of them writes from the same memory. Each masking client writes from memory of its own, as
/// each frame needs a fresh mask (R-F7).
#[test]
fn a_large_prepared_message_is_shared() {
    let now = Instant::now();
    let text = "x".repeat(100_000);
    let prepared = PreparedMessage::new(&text);
    let mut places = Vec::new();
    for (role, version) in all().chain(all()) {
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        connection.send_prepared(&prepared).unwrap();
        let outgoing = connection.outgoing();
        let mut slices = [IoSlice::new(b""); 4];
        let count = outgoing.chunks_vectored(&mut slices);
        let total: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        assert_eq!(total, outgoing.len(), "all of it in one gather write");
        let longest = slices[..count]
            .iter()
            .max_by_key(|slice| slice.len())
            .unwrap();
        let end = longest.as_ptr_range().end;
        let masks = (role, version) == (Role::Client, Version::Rfc6455);
        match masks {
            true => assert!(!longest.ends_with(b"xxxx"), "it is masked"),
            false => places.push(end),
        }
    }
    assert_eq!(places.len(), 10);
    places.dedup();
    assert_eq!(
        places.len(),
        1,
        "the payload is the same memory, with its header or without"
    );
}

/// Proves that a prepared message is refused as a plain one is: by a full queue, by a connection
/// that is closing, and by a draft if it is binary.
#[test]
fn a_prepared_message_is_refused_as_a_plain_one() {
    let now = Instant::now();
    let prepared = PreparedMessage::new("text");
    for (role, version) in all() {
        let config = ConnectionConfig::new().send_queue_limit(1);
        let mut connection = connect(role, version, config, now);
        connection.send_prepared(&prepared).unwrap();
        let buffered = connection.buffered_amount();
        let full = Err(SendError::QueueFull { buffered, limit: 1 });
        assert_eq!(connection.send_prepared(&prepared), full);
        assert_eq!(connection.send("text"), full);
        connection.close(now, None, CloseReason::EMPTY);
        assert_eq!(connection.send_prepared(&prepared), Err(SendError::Closed));
        if !version.features().binary {
            let mut connection = connect(role, version, ConnectionConfig::new(), now);
            let refused = connection.send_prepared(&PreparedMessage::new(b"binary"));
            assert_eq!(refused, connection.send(b"binary"));
            assert!(matches!(refused, Err(SendError::Unsupported { .. })));
        }
    }
}
