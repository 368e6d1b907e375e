//! What a handshake hands to its connection.

use std::time::Instant;

use ws_proto::{Accept, Event, Message, ServerConfig, ServerHandshake, Version};

use ws_testing::handshake::{DRAFT75, Outcome, RFC6455, drain, run, sample_config, upgrade, with};

/// PROTOCOL.md §4: close code 1004 is taken from a peer of version 7 or 8, from no other.
#[test]
fn a_version_7_peer_may_close_with_1004() {
    let close_1004 = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xec];
    for (number, code) in [(7, 1004), (8, 1004), (13, 1006)] {
        let version = format!("Sec-WebSocket-Version: {number}");
        let request = with(RFC6455, "Sec-WebSocket-Version", &version);
        let reads: [&[u8]; 2] = [request.as_bytes(), &close_1004];
        let (handshake, outcome, _) = run(&ServerConfig::new(), &reads, &Accept::new());
        assert_eq!(outcome, Outcome::Open);
        let mut connection = handshake.into_connection(Instant::now());
        connection.handle_eof(Instant::now());
        let event = connection.poll_event(Instant::now());
        let Some(Event::Closed(closed)) = event else {
            panic!("{number}: {event:?}")
        };
        assert_eq!(closed.code, code, "version {number}");
    }
}

/// R-H16, Q4: frames behind the head wait for the connection, within a bound (X25).
#[test]
fn early_frames_are_kept_for_the_connection() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let cases: [(&str, &[u8]); 2] = [(RFC6455, &hello), (DRAFT75, b"\x00Hello\xff")];
    for (request, frame) in cases {
        let bytes = [request.as_bytes(), frame].concat();
        let (mut handshake, outcome, _) = run(&sample_config(), &[&bytes], &Accept::new());
        assert_eq!(outcome, Outcome::Open);
        handshake.handle_read(Instant::now(), frame);
        let mut connection = handshake.into_connection(Instant::now());
        for _ in 0..2 {
            let event = connection.poll_event(Instant::now());
            assert_eq!(event, Some(Event::Message(Message::from("Hello"))));
        }
        assert_eq!(connection.poll_event(Instant::now()), None);
    }

    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), RFC6455.as_bytes());
    handshake.handle_read(Instant::now(), &[0; 4095]);
    assert!(
        handshake.wants_read(),
        "the end of the stream must be noticed"
    );
    handshake.handle_read(Instant::now(), &[0; 1]);
    assert!(!handshake.wants_read());
}

/// What was not written before the handshake ends is written by the connection.
#[test]
fn the_connection_writes_what_the_handshake_left() {
    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), RFC6455.as_bytes());
    upgrade(&mut handshake);
    handshake.accept(Accept::new()).unwrap();
    let mut connection = handshake.into_connection(Instant::now());
    assert_eq!(connection.version(), Version::Rfc6455);
    connection.send("Hello").unwrap();
    let written = drain(connection.outgoing());
    assert!(written.starts_with(b"HTTP/1.1 101 "));
    assert!(written.ends_with(b"=\r\n\r\n\x81\x05Hello"));
}

#[test]
#[should_panic(expected = "cannot make a connection from a handshake in state opening")]
fn a_connection_cannot_be_made_of_a_handshake_that_is_not_done() {
    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), b"GET");
    handshake.into_connection(Instant::now());
}
