//! RFC 6455 frames: PROTOCOL.md §5.4 to §5.7, rule by rule and vector by vector.

use std::time::Instant;

use ws_proto::{CloseReason, Connection, ConnectionConfig, Role, SendError, Version};
use ws_testing::connections::{Frame, close_frame, connect, told, written};

const VERSION: Version = Version::Rfc6455;

fn server() -> Connection {
    connect(
        Role::Server,
        VERSION,
        ConnectionConfig::new(),
        Instant::now(),
    )
}

fn client() -> Connection {
    connect(
        Role::Client,
        VERSION,
        ConnectionConfig::new(),
        Instant::now(),
    )
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// Proves that each good vector of §5.7 gives exactly the messages it stands for.
#[test]
fn good_vectors_are_understood() {
    let to_client = [
        ("81 05 48 65 6c 6c 6f", vec!["text:Hello"]),
        ("01 03 48 65 6c 80 02 6c 6f", vec!["text:Hello"]),
        ("81 00", vec!["text:"]),
        ("82 00", vec!["binary:"]),
        ("01 00 00 00 80 00", vec!["text:"]),
        ("01 02 ce ba 89 01 70 80 01 61", vec!["text:κa"]),
        ("01 01 ce 80 01 ba", vec!["text:κ"]),
    ];
    for (bytes, expected) in to_client {
        let (mut connection, now) = (client(), Instant::now());
        connection.handle_read(now, &hex(bytes));
        assert_eq!(told(&mut connection, now), expected, "{bytes}");
    }
    let to_server = [
        ("81 85 37 fa 21 3d 7f 9f 4d 51 58", vec!["text:Hello"]),
        ("81 83 76 15 99 3a 10 7a f6", vec!["text:foo"]),
        (
            "81 83 01 e1 c9 2a 67 8e a6 81 83 5d de d6 42 3f bf a4",
            vec!["text:foo", "text:bar"],
        ),
        ("8a 85 37 fa 21 3d 7f 9f 4d 51 58", vec![]),
    ];
    for (bytes, expected) in to_server {
        let (mut connection, now) = (server(), Instant::now());
        connection.handle_read(now, &hex(bytes));
        assert_eq!(told(&mut connection, now), expected, "{bytes}");
    }
}

/// Proves that messages at every border of the length forms arrive whole, in both directions (R-F5).
#[test]
fn lengths_at_the_borders_of_their_forms_arrive() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        let now = Instant::now();
        let text = "x".repeat(len);
        for role in [Role::Server, Role::Client] {
            let mut connection = connect(role, VERSION, ConnectionConfig::new(), now);
            connection.handle_read(now, &Frame::new(0x81, &text).to(role));
            assert!(
                told(&mut connection, now) == [format!("text:{text}")],
                "{len} to {role:?}"
            );
            connection.send(&*text).unwrap();
            let mask = (role == Role::Client).then_some([1, 2, 3, 4]);
            let expected = Frame {
                first_byte: 0x81,
                mask,
                payload: text.clone().into_bytes(),
            };
            assert!(
                written(&mut connection) == expected.bytes(),
                "{len} from {role:?}"
            );
        }
    }
}

/// Proves that each bad frame fails the connection with the right code, and that nothing after it is
/// looked at (R-F1 to R-F10, R-U1, R-X1, R-X8, R-X9).
#[test]
fn bad_frames_fail_the_connection() {
    let hello = || Frame::new(0x81, "Hello");
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("R-F2 masked to a client", hello().masked().bytes(), 1002),
        ("R-F3 rsv1", hex("c1 00"), 1002),
        ("R-F3 rsv2", hex("a1 00"), 1002),
        ("R-F3 rsv3", hex("91 00"), 1002),
        ("R-F4 opcode 3", hex("83 00"), 1002),
        ("R-F4 opcode 7", hex("87 00"), 1002),
        ("R-F4 opcode b", hex("8b 00"), 1002),
        ("R-F4 opcode f", hex("8f 00"), 1002),
        ("R-F5 top bit", hex("82 7f 80 00 00 00 00 00 00 00"), 1002),
        ("R-F6 125 in 16 bits", hex("81 7e 00 7d"), 1002),
        (
            "R-F6 65535 in 64 bits",
            hex("82 7f 00 00 00 00 00 00 ff ff"),
            1002,
        ),
        ("R-F8 fragmented ping", hex("09 00"), 1002),
        ("R-F8 fragmented close", hex("08 00"), 1002),
        ("R-F8 ping of 126", hex("89 7e 00 7e"), 1002),
        ("R-F8 close of 64 bits", hex("88 7f"), 1002),
        ("R-F10 stray continuation", hex("80 00"), 1002),
        ("R-F10 text in text", hex("01 01 61 01 01 62"), 1002),
        ("R-F12 binary in text", hex("01 01 61 82 01 62"), 1002),
        ("R-F17 too big", hex("82 7f 00 00 00 00 00 10 00 01"), 1009),
        ("R-U1 at fin", hex("01 02 ce ba 80 01 e1"), 1007),
        ("R-U4 above 10ffff", hex("81 04 f4 90 80 80"), 1007),
        ("R-U4 surrogate", hex("81 03 ed a0 80"), 1007),
        ("R-U4 overlong", hex("81 02 c0 af"), 1007),
        ("R-U3 in mid-frame", hex("81 7e 01 00 61 f4 90"), 1007),
        ("R-U3 in mid-message", hex("01 03 61 ed a0"), 1007),
        ("R-X1 close of 1 byte", hex("88 01 03"), 1002),
        ("R-X8 1005 on the wire", hex("88 02 03 ed"), 1002),
        ("R-U2 bad reason", hex("88 04 03 e8 c0 af"), 1007),
    ];
    for (name, bytes, code) in cases {
        let (mut connection, now) = (client(), Instant::now());
        connection.handle_read(now, &bytes);
        connection.handle_read(now, &hello().bytes());
        let told = told(&mut connection, now);
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].starts_with("closed:1006"), "{name}: {told:?}");
        assert!(told[0].contains("Failed"), "{name}: {told:?}");
        let mask = Some([1, 2, 3, 4]);
        let expected = Frame {
            mask,
            ..close_frame(code, "")
        };
        assert_eq!(written(&mut connection), expected.bytes(), "{name}");
        assert!(connection.wants_shutdown(), "{name}");
        assert_eq!(connection.send("more"), Err(SendError::Closed), "{name}");
    }
}

/// Proves that a server refuses an unmasked frame (R-F1).
#[test]
fn a_server_refuses_an_unmasked_frame() {
    let (mut connection, now) = (server(), Instant::now());
    connection.handle_read(now, &Frame::new(0x81, "Hello").bytes());
    assert!(told(&mut connection, now)[0].contains("Masking"));
    assert_eq!(written(&mut connection), close_frame(1002, "").bytes());
}

/// Proves that messages before a bad frame can be answered before the connection fails.
#[test]
fn what_came_before_a_bad_frame_can_be_answered() {
    let (mut connection, now) = (server(), Instant::now());
    connection.handle_read(now, &Frame::new(0x81, "one").to(Role::Server));
    connection.handle_read(now, &Frame::new(0xf1, "two").to(Role::Server));
    assert_eq!(
        connection
            .poll_event(now)
            .map(|event| ws_testing::connections::describe(&event))
            .unwrap(),
        "text:one"
    );
    connection.send("one").unwrap();
    assert!(told(&mut connection, now)[0].contains("ReservedBits"));
    let expected = [
        Frame::new(0x81, "one").bytes(),
        close_frame(1002, "").bytes(),
    ]
    .concat();
    assert_eq!(written(&mut connection), expected);
}

/// Proves that pings are answered in order, with their payload, in the middle of a message too
/// (R-F9, R-F13), and that a pong nobody asked for is ignored (R-F14).
#[test]
fn pings_are_answered() {
    for role in [Role::Server, Role::Client] {
        let now = Instant::now();
        let mut connection = connect(role, VERSION, ConnectionConfig::new(), now);
        let frames = [
            Frame::new(0x01, "Hel"),
            Frame::new(0x89, "one"),
            Frame::new(0x8a, "stray"),
            Frame::new(0x89, [0; 125]),
            Frame::new(0x80, "lo"),
        ];
        for frame in frames {
            connection.handle_read(now, &frame.to(role));
        }
        let mask = |key| (role == Role::Client).then_some(key);
        let first = Frame {
            mask: mask([1, 2, 3, 4]),
            ..Frame::new(0x8a, "one")
        };
        let second = Frame {
            mask: mask([5, 6, 7, 8]),
            ..Frame::new(0x8a, [0; 125])
        };
        assert_eq!(
            written(&mut connection),
            [first.bytes(), second.bytes()].concat()
        );
        assert_eq!(told(&mut connection, now), ["text:Hello"]);
    }
}

/// Proves that a ping is answered after our close, as the peer's has not arrived yet (R-F13), and not
/// after that (R-X11).
#[test]
fn pings_are_answered_until_a_close_arrives() {
    let (mut connection, now) = (server(), Instant::now());
    connection.close(now, None, CloseReason::EMPTY);
    written(&mut connection);
    connection.handle_read(now, &Frame::new(0x89, "1").to(Role::Server));
    assert_eq!(written(&mut connection), Frame::new(0x8a, "1").bytes());
    connection.handle_read(now, &Frame::new(0x88, "").to(Role::Server));
    connection.handle_read(now, &Frame::new(0x89, "2").to(Role::Server));
    assert_eq!(written(&mut connection), b"");
}

/// Proves that pongs for a peer that does not read are bounded (X18).
#[test]
fn a_flood_of_pings_is_bounded() {
    let (mut connection, now) = (server(), Instant::now());
    let ping = Frame::new(0x89, [b'p'; 125]).to(Role::Server);
    for _ in 0..100_000 {
        connection.handle_read(now, &ping);
    }
    assert!(
        connection.buffered_amount() < 32 << 10,
        "{} bytes wait",
        connection.buffered_amount()
    );
    assert!(!written(&mut connection).is_empty());
    connection.handle_read(now, &ping);
    assert_eq!(
        written(&mut connection),
        Frame::new(0x8a, [b'p'; 125]).bytes(),
        "answers go on"
    );
}

/// Proves that the limits of a message hold for the sum of its fragments, for their number, and for
/// a frame, each with the option that sets it (R-F17, X14, X17).
#[test]
fn limits_hold_and_say_which_option_sets_them() {
    let config = || {
        ConnectionConfig::new()
            .message_limit(10)
            .fragment_limit(3)
            .frame_limit(8)
    };
    let cases: Vec<(Vec<Frame>, &str, &str)> = vec![
        (
            vec![Frame::new(0x01, "12345678"), Frame::new(0x80, "90")],
            "text:1234567890",
            "",
        ),
        (
            vec![Frame::new(0x01, "12345678"), Frame::new(0x80, "901")],
            "11 bytes",
            "message_limit",
        ),
        (
            vec![Frame::new(0x82, "123456789")],
            "9 bytes",
            "frame_limit",
        ),
        (
            vec![
                Frame::new(0x01, ""),
                Frame::new(0, ""),
                Frame::new(0, ""),
                Frame::new(0, ""),
            ],
            "more than 3 fragments",
            "fragment_limit",
        ),
    ];
    for (frames, text, option) in cases {
        let now = Instant::now();
        let mut connection = connect(Role::Server, VERSION, config(), now);
        for frame in frames {
            connection.handle_read(now, &frame.to(Role::Server));
        }
        let events = ws_testing::connections::events(&mut connection, now);
        let said = match &events[..] {
            [ws_proto::Event::Closed(closed)] => closed.to_string(),
            [event] => ws_testing::connections::describe(event),
            events => panic!("{events:?}"),
        };
        assert!(said.contains(text) && said.contains(option), "{said}");
    }
}

/// Proves that the limit of the send queue is kept, that control frames are exempt from it, and that
/// taken bytes count until they are written.
#[test]
fn the_send_queue_is_bounded() {
    let now = Instant::now();
    let config = ConnectionConfig::new().send_queue_limit(1000);
    let mut connection = connect(Role::Server, VERSION, config, now);
    connection.send("x".repeat(998)).unwrap();
    assert_eq!(connection.buffered_amount(), 1002);
    let full = Err(SendError::QueueFull {
        buffered: 1002,
        limit: 1000,
    });
    assert_eq!(connection.send("more"), full);
    let taken = connection.take_outgoing(usize::MAX);
    assert_eq!(connection.send("more"), full, "taken is not written");
    connection.ping(b"still").unwrap();
    connection.handle_written(taken.len());
    connection.send("more").unwrap();
    let expected = [
        Frame::new(0x89, "still").bytes(),
        Frame::new(0x81, "more").bytes(),
    ]
    .concat();
    assert_eq!(written(&mut connection), expected);
}

/// Proves that `None` means unlimited and zero means zero.
#[test]
fn none_is_unlimited_and_zero_is_zero() {
    let now = Instant::now();
    let config = ConnectionConfig::new().message_limit(0).send_queue_limit(0);
    let mut connection = connect(Role::Client, VERSION, config, now);
    assert!(connection.send("").is_err());
    connection.handle_read(now, &hex("81 00"));
    assert_eq!(told(&mut connection, now), ["text:"]);
    connection.handle_read(now, &hex("81 01 61"));
    assert!(told(&mut connection, now)[0].contains("MessageTooBig"));

    let config = ConnectionConfig::new()
        .message_limit(None)
        .send_queue_limit(None);
    let mut connection = connect(Role::Client, VERSION, config.receive_queue_limit(None), now);
    for _ in 0..3 {
        connection.send(vec![0; 4 << 20]).unwrap();
        connection.handle_read(now, &Frame::new(0x82, vec![0; 4 << 20]).bytes());
    }
    assert!(connection.wants_read());
    assert_eq!(
        ws_testing::connections::events(&mut connection, now).len(),
        3
    );
}

/// Proves that reading is asked to stop while the application does not take what came, and asked
/// for again once it did.
#[test]
fn reading_stops_at_the_receive_queue_limit() {
    let now = Instant::now();
    let config = ConnectionConfig::new().receive_queue_limit(1000);
    let mut connection = connect(Role::Client, VERSION, config, now);
    connection.handle_read(now, &Frame::new(0x82, [0; 500]).bytes());
    assert!(connection.wants_read());
    connection.handle_read(now, &Frame::new(0x82, [0; 500]).bytes());
    assert!(!connection.wants_read());
    connection.poll_event(now).unwrap();
    assert!(connection.wants_read());
}

/// Proves that a ping or a close that does not fit a control frame is refused and harms nothing.
#[test]
fn what_does_not_fit_a_control_frame_is_refused() {
    let (mut connection, now) = (server(), Instant::now());
    assert_eq!(
        connection.ping(&[0; 126]),
        Err(SendError::ControlTooLong {
            len: 126,
            limit: 125
        })
    );
    let reason = "r".repeat(124);
    let code = Some(ws_proto::CloseCode::NORMAL);
    let refused = CloseReason::new(&reason).map_err(SendError::from);
    assert_eq!(
        refused,
        Err(SendError::ControlTooLong {
            len: 124,
            limit: 123
        })
    );
    connection.send("still open").unwrap();
    connection.close(now, code, CloseReason::new(&reason[1..]).unwrap());
    assert!(written(&mut connection).ends_with(&reason.as_bytes()[1..]));
}
