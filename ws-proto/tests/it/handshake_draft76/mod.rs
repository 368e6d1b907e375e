//! The challenge of draft-76: keys, key3 and the 16 bytes that answer them.

mod vectors;

use std::time::Instant;

use ws_proto::{
    Accept, Event, HandshakeError, HandshakeEvent, Message, ServerConfig, ServerHandshake, State,
    Version,
};
use ws_testing::handshake::{DRAFT76, Outcome, drain, run, serve, upgrade, with};

fn config() -> ServerConfig {
    ServerConfig::new().subprotocols(vec!["sample".parse().unwrap()])
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
    text.as_bytes()
        .chunks(2)
        .map(|pair| 16 * digit(&pair[0]) + digit(&pair[1]))
        .collect()
}

fn request(key1: &[u8], key2: &[u8]) -> Vec<u8> {
    let head = b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
        Upgrade: WebSocket\r\nOrigin: http://example.com\r\n";
    let parts: [&[u8]; 6] = [
        head,
        b"Sec-WebSocket-Key1: ",
        key1,
        b"\r\nSec-WebSocket-Key2: ",
        key2,
        b"\r\n\r\n",
    ];
    parts.concat()
}

/// PROTOCOL.md §2.9: A1 to A12, D1 to D3 and K5, whole and with key3 in a read of its own.
#[test]
fn every_vector_is_answered_with_its_digest() {
    assert_eq!(vectors::ACCEPTED.len(), 16);
    for [name, key1, key2, key3, response] in vectors::ACCEPTED {
        let head = request(&from_hex(key1), &from_hex(key2));
        let key3 = from_hex(key3);
        let whole = [head.clone(), key3.clone()].concat();
        let reads: [&[&[u8]]; 2] = [&[&whole], &[&head, &key3]];
        for reads in reads {
            let (handshake, outcome, written) = run(&ServerConfig::new(), reads, &Accept::new());
            assert_eq!(outcome, Outcome::Open, "{name}");
            let digest = &written[written.len() - 16..];
            assert_eq!(digest, from_hex(response), "{name}");
            assert!(
                written[..written.len() - 16].ends_with(b"\r\n\r\n"),
                "{name}"
            );
            assert_eq!(
                handshake.into_connection(Instant::now()).version(),
                Version::Draft76
            );
        }
    }
}

/// PROTOCOL.md §2.9: R1 to R12 and the digest of misultin, which needs floor division (Q11).
#[test]
fn keys_that_hide_no_number_are_refused() {
    const GOOD: &[u8] = b"4 @1  46546xW%0l 1 5";
    let cases: [(&str, &[u8], &str); 12] = [
        ("R1", b"4@146546xW%0l15", "it has no space"),
        ("R2", b"129985Y31.P00", "it has no space"),
        (
            "R3",
            b"4 @1   46546xW%0l 1 5",
            "its number is not a multiple of its spaces",
        ),
        (
            "R4",
            b"12998  5 Y3 1  .P00",
            "its number is not a multiple of its spaces",
        ),
        (
            "R5",
            b"12998 5 Y3 1.P00",
            "its number is not a multiple of its spaces",
        ),
        ("R6", b"nospaces", "it has no digit"),
        (
            "R7",
            b"2 L785 8o% s9Sy9@V. 4<1P5",
            "its number is not a multiple of its spaces",
        ),
        ("R8", b"a b c", "it has no digit"),
        ("R9", b"", "it has no digit"),
        ("R10", b"4294967296 x", "its number is too large"),
        ("R11", b"18446744073709551618 2", "its number is too large"),
        (
            "R12",
            b"4j\t  20%  78u0 5y^\t   /7 Lw56",
            "its number is not a multiple of its spaces",
        ),
    ];
    for (rule, key, problem) in cases {
        let (first, second) = ("Sec-WebSocket-Key1", "Sec-WebSocket-Key2");
        for (name, head) in [(first, request(key, GOOD)), (second, request(GOOD, key))] {
            let (outcome, answer) =
                serve(&ServerConfig::new(), &[&head, &b"12345678"[..]].concat());
            let expected = HandshakeError::InvalidKey { name, problem };
            assert_eq!(outcome, Outcome::Failed(expected), "{rule}");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{rule}: {answer}");
        }
    }
    let misultin = request(
        b"4j\t  20%  78u0 5y^\t   /7 Lw56",
        b"296324-q\t  { -1S85  6",
    );
    let (outcome, _) = serve(&ServerConfig::new(), &misultin);
    assert!(matches!(
        outcome,
        Outcome::Failed(HandshakeError::InvalidKey { .. })
    ));
}

/// D76-R1 to D76-R4: the exchange A1, byte for byte.
#[test]
fn the_whole_exchange_is_that_of_the_draft() {
    let request = DRAFT76.to_owned() + "^n:ds[4U";
    let (outcome, answer) = serve(&config(), request.as_bytes());
    assert_eq!(outcome, Outcome::Open);
    assert_eq!(
        answer,
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Origin: http://example.com\r\n\
         Sec-WebSocket-Location: ws://example.com/demo\r\nSec-WebSocket-Protocol: sample\r\n\r\n\
         8jKS'y:G*Co,Wxa-"
    );
    assert_eq!((request.len(), answer.len()), (232, 223));
}

/// Q1: behind a proxy key3 comes only after the 101 head; the head goes out as soon as the
/// application accepts, and not before.
#[test]
fn the_head_goes_out_before_key3_arrives() {
    let now = Instant::now();
    let mut handshake = ServerHandshake::new(&config(), now);
    handshake.handle_read(now, DRAFT76.as_bytes());
    let request = upgrade(&mut handshake);
    assert_eq!(
        (request.version(), request.version_number()),
        (Version::Draft76, None)
    );
    assert_eq!(handshake.state(), State::Handshaking);
    assert!(handshake.outgoing().is_empty(), "not before it is accepted");
    handshake.accept(Accept::new()).unwrap();
    assert_eq!(handshake.state(), State::Waiting);
    assert!(drain(handshake.outgoing()).ends_with(b"\r\n\r\n"));
    assert!(handshake.wants_read() && handshake.poll_event().is_none());
    // Q2: key3 in any pieces.
    for byte in b"^n:ds[4" {
        handshake.handle_read(now, &[*byte]);
        assert!(handshake.outgoing().is_empty() && handshake.poll_event().is_none());
    }
    // Q30: open is reported when the 16 bytes are queued.
    handshake.handle_read(now, b"U");
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    assert_eq!(handshake.state(), State::Connected);
    assert_eq!(drain(handshake.outgoing()), b"8jKS'y:G*Co,Wxa-");
}

/// Q3, §3.1-4: key3 is no text, and what follows it are frames.
#[test]
fn key3_is_eight_raw_bytes_and_frames_follow() {
    let now = Instant::now();
    let key3 = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0xff, 0x00, 0x0a];
    let bytes = [DRAFT76.as_bytes(), &key3, b"\x00Hi\xff\x00"].concat();
    let (handshake, outcome, written) = run(&config(), &[&bytes], &Accept::new());
    assert_eq!(outcome, Outcome::Open);
    assert!(
        written.ends_with(&from_hex("76637aa0c281b9074241eff6545a124b")),
        "D3"
    );
    let mut connection = handshake.into_connection(now);
    assert_eq!(
        connection.poll_event(now),
        Some(Event::Message(Message::from("Hi")))
    );
    assert_eq!(connection.poll_event(now), None);
    connection.handle_read(now, b"!\xff");
    assert_eq!(
        connection.poll_event(now),
        Some(Event::Message(Message::from("!")))
    );
}

/// Q9: an origin is demanded, unless the server does without.
#[test]
fn a_missing_origin_is_refused_or_left_out() {
    let request = with(DRAFT76, "Origin", "") + "^n:ds[4U";
    let (outcome, answer) = serve(&config(), request.as_bytes());
    assert_eq!(outcome, Outcome::Failed(HandshakeError::MissingOrigin));
    assert!(answer.starts_with("HTTP/1.1 400 "));
    let (outcome, answer) = serve(&config().require_origin(false), request.as_bytes());
    assert_eq!(outcome, Outcome::Open);
    assert!(answer.ends_with("\r\n\r\n8jKS'y:G*Co,Wxa-") && !answer.contains("Origin"));
}

/// K8, Q28: once the 101 head is out, a failure has no HTTP answer.
#[test]
fn nothing_follows_a_101_head_but_the_digest() {
    let now = Instant::now();
    for by_timeout in [false, true] {
        let mut handshake = ServerHandshake::new(&config(), now);
        handshake.handle_read(now, DRAFT76.as_bytes());
        upgrade(&mut handshake);
        handshake.accept(Accept::new()).unwrap();
        let head = drain(handshake.outgoing());
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        handshake.handle_read(now, b"1234567");
        if by_timeout {
            handshake.handle_timeout(handshake.poll_timeout().unwrap());
        } else {
            handshake.handle_eof();
        }
        assert!(matches!(
            handshake.poll_event(),
            Some(HandshakeEvent::Failed(_))
        ));
        assert!(handshake.outgoing().is_empty() && handshake.is_finished());
    }
}
