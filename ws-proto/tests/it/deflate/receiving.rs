//! What a peer must not do, and what it may, on a connection with compression.

use std::time::Instant;

use ws_proto::{
    CloseCode, Connection, ConnectionConfig, Event, Message, ProtocolError, Role, Version,
};

use super::peer::{self, Deflater};
use super::{eager, headers, noise, open, prose};
use ws_testing::connections::{Frame, connect, describe, events, told, written};

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn server(config: ConnectionConfig) -> Connection {
    let options = eager().server_no_context_takeover(false);
    open(Role::Server, &options, config, Instant::now())
}

/// Why the connection failed, and the code in the close that it sent.
fn failure(connection: &mut Connection) -> (ProtocolError, CloseCode) {
    let now = Instant::now();
    drop(events(connection, now));
    let closed = connection.closed().expect("it failed").clone();
    let ws_proto::CloseCause::Failed(error) = closed.cause else {
        panic!("{closed:?}");
    };
    let sent = peer::frames(&written(connection));
    let (first_byte, payload) = sent.last().unwrap();
    assert_eq!(*first_byte, 0x88);
    let code = CloseCode::new(u16::from_be_bytes([payload[0], payload[1]])).unwrap();
    assert_eq!(code, error.close_code());
    (error, code)
}

/// P-M1: the bit is allowed on the first frame of a data message and nowhere else, and the other two
/// bits never; without an agreement, nowhere.
#[test]
fn a_reserved_bit_passes_only_where_a_compressed_message_begins() {
    let now = Instant::now();
    for first_byte in 0..=0xff_u8 {
        let bits = first_byte & 0x70;
        let opcode = first_byte & 0x0f;
        let may_begin = matches!(opcode, 1 | 2);
        let is_known = matches!(opcode, 0..=2 | 8..=10);
        for agreed in [true, false] {
            let mut connection = match agreed {
                true => server(ConnectionConfig::new()),
                false => Connection::server(Version::Rfc6455, ConnectionConfig::new(), now),
            };
            // A fragment is open where a continuation could come.
            if opcode == 0 {
                connection.handle_read(now, &Frame::new(0x01, b"a").to(Role::Server));
            }
            let payload: &[u8] = if bits == 0x40 { HELLO } else { b"" };
            connection.handle_read(now, &Frame::new(first_byte, payload).to(Role::Server));
            let is_refused = told(&mut connection, now)
                .iter()
                .any(|event| event.contains("ReservedBits"));
            let is_allowed = bits == 0 || (bits == 0x40 && may_begin && agreed);
            assert_eq!(is_refused, !is_allowed, "{first_byte:#x}, agreed: {agreed}");
            assert!(is_known || connection.closed().is_some());
        }
    }
}

/// P-M2: a plain message is neither inflated nor remembered, and may stand between compressed ones, in
/// which a control frame may stand as well (P-M3).
#[test]
fn plain_messages_and_control_frames_may_stand_between() {
    let now = Instant::now();
    let mut connection = server(ConnectionConfig::new().control_events(true));
    for frame in [
        Frame::new(0xc1, HELLO),
        Frame::new(0x81, "plain"),
        Frame::new(0x41, b"\xf2\x00"),
        Frame::new(0x89, "ping"),
        Frame::new(0x80, b"\x11\x00\x00"),
        Frame::new(0x82, HELLO),
        Frame::new(0xc2, b"\xf2\x00\x11\x00\x00"),
    ] {
        connection.handle_read(now, &frame.to(Role::Server));
    }
    assert_eq!(
        told(&mut connection, now),
        [
            "text:Hello",
            "text:plain",
            "ping:ping",
            "text:Hello",
            &format!("binary:{}", HELLO.escape_ascii()),
            "binary:Hello",
        ]
    );
}

/// P-M11, and a message that ends in the midst of a block: it would be taken for a shorter one. A
/// connection on which that happened is over (trap 8).
#[test]
fn what_cannot_be_inflated_fails_with_1007() {
    let long = Deflater::new(15, true).compress(prose(3000, 1).as_bytes());
    let mut unstripped = HELLO.to_vec();
    unstripped.extend([0, 0, 0xff, 0xff]);
    let cases: [(&str, &[u8]); 9] = [
        ("a block of no type", b"\x07"),
        (
            "a stored block whose length does not match",
            b"\x00\x05\x00\xfa\xfe",
        ),
        (
            "a reference to before the beginning",
            b"\xf2\x00\x11\x00\x00",
        ),
        ("a Huffman block that is cut off", &long[..long.len() / 2]),
        (
            "a Huffman block without its last byte",
            &long[..long.len() - 2],
        ),
        (
            "a stored block that is cut off",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c",
        ),
        ("a header that is cut off", b"\x00\x05\x00"),
        ("a table that is cut off", &long[..4]),
        ("a trailer that was not left out", &unstripped),
    ];
    for (name, payload) in cases {
        let now = Instant::now();
        let mut connection = server(ConnectionConfig::new());
        connection.handle_read(now, &Frame::new(0xc2, payload).to(Role::Server));
        // It is refused when it ends at the latest, and nothing comes after it.
        connection.handle_read(now, &Frame::new(0xc1, HELLO).to(Role::Server));
        let (error, code) = failure(&mut connection);
        assert_eq!(error, ProtocolError::InvalidDeflate, "{name}");
        assert_eq!(code, CloseCode::INVALID_PAYLOAD);
        assert_eq!(connection.messages_received(), 0, "{name}");
    }
}

/// P-M7: where the peer said that it begins anew with each message it must, and what it sent before is
/// forgotten.
#[test]
fn nothing_is_remembered_where_the_peer_begins_anew() {
    let now = Instant::now();
    for (role, options) in [
        (Role::Server, eager().client_no_context_takeover(true)),
        (Role::Client, eager().server_no_context_takeover(true)),
    ] {
        let mut connection = open(role, &options, ConnectionConfig::new(), now);
        for payload in [HELLO, HELLO, b"\xf2\x00\x11\x00\x00"] {
            connection.handle_read(now, &Frame::new(0xc1, payload).to(role));
        }
        assert_eq!(connection.messages_received(), 2);
        assert_eq!(failure(&mut connection).0, ProtocolError::InvalidDeflate);
    }
}

/// Servers such as those of Tornado and of libwebsockets pass over the wish of a client that they begin
/// anew with each message, and do not name it in their answer: what they sent before is remembered.
#[test]
fn a_client_remembers_where_the_server_does_not_begin_anew_as_it_was_asked_to() {
    let now = Instant::now();
    let options = eager();
    assert!(options.offer().contains("server_no_context_takeover"));
    let terms = options.confirm(&headers("permessage-deflate")).unwrap();
    let config = ConnectionConfig::new();
    let connection = connect(Role::Client, Version::Rfc6455, config, now);
    let mut connection = connection.with_deflate(&terms.unwrap());
    for payload in [HELLO, b"\xf2\x00\x11\x00\x00"] {
        connection.handle_read(now, &Frame::new(0xc1, payload).to(Role::Client));
    }
    let events = events(&mut connection, now);
    let hello = Event::Message(Message::from("Hello"));
    assert_eq!(events, [hello.clone(), hello]);
}

/// P-M6: what was agreed on bounds what is remembered of earlier messages.
#[test]
fn no_more_is_remembered_than_the_window() {
    let now = Instant::now();
    for bits in [9, 10, 15] {
        let window = 1 << bits;
        let options = eager().client_max_window_bits(bits).unwrap();
        // The second message repeats the first, but for its first byte, to which zlib never refers: as
        // far back as the window reaches, or one byte further.
        for (len, fits) in [(window, true), (window + 1, false)] {
            let first = noise(1 + len, 7);
            let mut deflater = Deflater::new(15, true);
            let mut connection = open(Role::Server, &options, ConnectionConfig::new(), now);
            let messages = [&first, &first[1..200]];
            for message in messages {
                let frame = peer::message(false, &deflater.compress(message));
                connection.handle_read(now, &frame.to(Role::Server));
            }
            // zlib itself refers 262 bytes less far back than its window.
            if bits == 15 {
                assert_eq!(connection.messages_received(), 2);
                continue;
            }
            assert_eq!(
                connection.messages_received() == 2,
                fits,
                "{bits} bits, {len} bytes"
            );
        }
    }
}

/// P-M8: it is the inflated text that must be UTF-8, and it is checked as far as it has come, before the
/// message is whole.
#[test]
fn inflated_text_is_checked_as_it_comes() {
    let now = Instant::now();
    let text = [prose(2000, 3).as_bytes(), b"\xff", &noise(5000, 5)].concat();
    let compressed = Deflater::new(15, true).compress(&text);
    let mut connection = server(ConnectionConfig::new());
    let frame = Frame::new(0x41, &compressed).to(Role::Server);
    let needed = frame.iter().position(|byte| {
        connection.handle_read(now, &[*byte]);
        connection.closed().is_some()
    });
    assert!(
        needed.is_some_and(|count| count < frame.len() / 2),
        "{needed:?}"
    );
    assert_eq!(failure(&mut connection).0, ProtocolError::InvalidUtf8);

    // A character that is cut off at the end.
    let compressed = Deflater::new(15, true).compress("aé".as_bytes().split_last().unwrap().1);
    let mut connection = server(ConnectionConfig::new());
    connection.handle_read(now, &peer::message(true, &compressed).to(Role::Server));
    assert_eq!(failure(&mut connection).0, ProtocolError::InvalidUtf8);
}

/// Proves that with `receive_fragments` a compressed message is given out as it is inflated, a text
/// between characters only, and that its parts are the message.
#[test]
fn a_compressed_message_is_given_out_in_parts() {
    let now = Instant::now();
    for is_text in [true, false] {
        let payload = prose(200_000, 9);
        let compressed = Deflater::new(15, true).compress(payload.as_bytes());
        let config = ConnectionConfig::new().receive_fragments(true);
        let mut connection = server(config.receive_queue_limit(None));
        let frame = peer::message(is_text, &compressed).to(Role::Server);
        connection.handle_read(now, &frame);
        let mut parts = Vec::new();
        for event in events(&mut connection, now) {
            let Event::Fragment(part) = event else {
                panic!("{}", describe(&event));
            };
            assert_eq!(part.content.is_text(), is_text);
            assert_eq!(part.first, parts.is_empty());
            parts.push(part);
        }
        assert!(parts.len() > 10, "{}", parts.len());
        let (last, others) = parts.split_last().unwrap();
        assert!(last.last && others.iter().all(|part| !part.last));
        let joined: Vec<u8> = parts
            .iter()
            .flat_map(|part| part.content.as_bytes().to_vec())
            .collect();
        assert_eq!(joined, payload.as_bytes());
        assert_eq!(connection.bytes_received(), 200_000);
    }
}

/// Proves that the limits mean what they say: messages count inflated bytes, frames those on the wire,
/// and a message may be longer compressed than it is.
#[test]
fn limits_count_what_comes_out_and_frames_what_comes_in() {
    let now = Instant::now();
    let payload = noise(1000, 11);
    let compressed = Deflater::new(15, true).compress(&payload);
    assert!(compressed.len() > 1000);
    for (limit, is_taken) in [(1000, true), (999, false), (0, false)] {
        let mut connection = server(ConnectionConfig::new().message_limit(limit));
        connection.handle_read(now, &peer::message(false, &compressed).to(Role::Server));
        match is_taken {
            true => assert_eq!(
                events(&mut connection, now),
                [Event::Message(Message::from(payload.clone()))]
            ),
            false => {
                let (error, code) = failure(&mut connection);
                let len = u64::try_from(limit).unwrap() + 1;
                assert_eq!(error, ProtocolError::MessageTooBig { len, limit });
                assert_eq!(code, CloseCode::TOO_BIG);
            }
        }
    }
    let limit = compressed.len() - 1;
    let mut connection = server(ConnectionConfig::new().frame_limit(limit));
    connection.handle_read(now, &peer::message(false, &compressed).to(Role::Server));
    assert!(matches!(
        failure(&mut connection).0,
        ProtocolError::FrameTooBig { .. }
    ));

    let mut connection = server(ConnectionConfig::new().fragment_limit(10));
    connection.handle_read(now, &Frame::new(0x42, b"").to(Role::Server));
    for _ in 0..10 {
        connection.handle_read(now, &Frame::new(0x00, b"").to(Role::Server));
    }
    let error = failure(&mut connection).0;
    assert_eq!(error, ProtocolError::TooManyFragments { limit: 10 });
}
