//! Messages in fragments: received as they arrive, sent as they are made (RFC 6455 §5.4).

use std::time::Instant;

use proptest::prelude::*;
use ws_proto::{
    CloseCode, CloseReason, Connection, ConnectionConfig, Event, Fragment, Message, Role,
    SendError, Version,
};
use ws_testing::connections::{Frame, all, connect, told, written};

fn fragments(connection: &mut Connection, now: Instant) -> Vec<Fragment> {
    let event = |event| match event {
        Event::Message(message) => Fragment::from(message),
        Event::Fragment(fragment) => fragment,
        other => panic!("{other:?}"),
    };
    ws_testing::connections::events(connection, now)
        .into_iter()
        .map(event)
        .collect()
}

/// Puts fragments together again; panics if their flags are wrong.
fn join(fragments: &[Fragment]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    for fragment in fragments {
        assert_eq!(fragment.first, !open, "{fragments:?}");
        if fragment.first {
            messages.push(Vec::new());
        }
        messages
            .last_mut()
            .unwrap()
            .extend(fragment.content.as_bytes());
        open = !fragment.last;
    }
    assert!(!open, "{fragments:?}");
    messages
}

fn receiving() -> ConnectionConfig {
    ConnectionConfig::new()
        .receive_fragments(true)
        .message_limit(None)
        .fragment_limit(None)
}

proptest! {
    /// Proves that fragments of texts in any frames and any chopping add up to the texts, split
    /// between characters only (R-F16), in every version and role.
    #[test]
    fn fragments_add_up_to_the_messages(
        texts in prop::collection::vec("[a-zκλ€😀]{0,40}", 1..5),
        cuts in prop::collection::vec(0_usize..8, 1..20),
        step in 1_usize..40,
    ) {
        for (role, version) in all() {
            let now = Instant::now();
            let mut connection = connect(role, version, receiving(), now);
            let mut wire = Vec::new();
            for text in &texts {
                wire.extend(match version {
                    Version::Rfc6455 => framed(text.as_bytes(), &cuts, role),
                    _ => [b"\0", text.as_bytes(), b"\xff"].concat(),
                });
            }
            let mut received = Vec::new();
            for part in wire.chunks(step) {
                connection.handle_read(now, part);
                received.extend(fragments(&mut connection, now));
            }
            prop_assert!(received.iter().all(|fragment| fragment.content.is_text()));
            let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            prop_assert_eq!(join(&received), texts);
        }
    }
}

/// Splits a text into frames of the given lengths, the last as long as it gets.
fn framed(text: &[u8], cuts: &[usize], role: Role) -> Vec<u8> {
    let (mut wire, mut rest, mut first_byte) = (Vec::new(), text, 0x01);
    for cut in cuts {
        let (part, others) = rest.split_at((*cut).min(rest.len()));
        wire.extend(Frame::new(first_byte, part).to(role));
        (rest, first_byte) = (others, 0x00);
    }
    wire.extend(Frame::new(first_byte | 0x80, rest).to(role));
    wire
}

/// Proves that a message far over what may wait is received in bounded memory, and that its text is
/// still checked (R-U3) and its length limited if there is a limit (R-F17).
#[test]
fn a_long_message_is_received_in_parts() {
    let now = Instant::now();
    let config = receiving().receive_queue_limit(10_000);
    let mut connection = connect(Role::Client, Version::Rfc6455, config, now);
    let wire = Frame::new(0x82, vec![7; 1 << 20]).bytes();
    let (mut received, mut most) = (Vec::new(), 0);
    for part in wire.chunks(4096) {
        connection.handle_read(now, part);
        most = most.max(connection.queued_len());
        received.extend(fragments(&mut connection, now));
    }
    assert_eq!(join(&received), [vec![7; 1 << 20]]);
    assert!(most < 10_000, "{most} bytes waited");

    let mut connection = connect(Role::Client, Version::Rfc6455, receiving(), now);
    connection.handle_read(now, b"\x01\x04good\x80\x05a\xc0");
    let told = told(&mut connection, now);
    assert!(told.last().unwrap().contains("InvalidUtf8"), "{told:?}");

    let config = receiving().message_limit(10);
    let mut connection = connect(Role::Client, Version::Rfc6455, config, now);
    connection.handle_read(now, &Frame::new(0x01, "12345678").bytes());
    connection.handle_read(now, &Frame::new(0x80, "901").bytes());
    let events = ws_testing::connections::events(&mut connection, now);
    let Some(Event::Closed(closed)) = events.last() else {
        panic!("{events:?}")
    };
    assert!(closed.to_string().contains("message_limit"), "{closed}");
}

/// Proves that a message sent in parts is one message on the wire: fragments in RFC 6455, one frame
/// in the drafts, with control frames in between where there are any (R-F9).
#[test]
fn parts_are_sent_as_one_message() {
    let now = Instant::now();
    let mut rfc6455 = connect(Role::Server, Version::Rfc6455, ConnectionConfig::new(), now);
    rfc6455.send_fragment("Hel", false).unwrap();
    rfc6455.ping(b"!").unwrap();
    rfc6455.send_fragment("lo", false).unwrap();
    rfc6455.send_fragment("", true).unwrap();
    rfc6455.send("next").unwrap();
    let frames = [
        (0x01, "Hel"),
        (0x89, "!"),
        (0x00, "lo"),
        (0x80, ""),
        (0x81, "next"),
    ];
    let expected = frames
        .map(|(first_byte, text)| Frame::new(first_byte, text).bytes())
        .concat();
    assert_eq!(written(&mut rfc6455), expected);

    for version in [Version::Draft75, Version::Draft76] {
        let mut draft = connect(Role::Server, version, ConnectionConfig::new(), now);
        draft.send_fragment("Hel", false).unwrap();
        assert_eq!(written(&mut draft), b"\0Hel");
        draft.send_fragment("lo", true).unwrap();
        draft.send_fragment("alone", true).unwrap();
        assert_eq!(written(&mut draft), b"lo\xff\0alone\xff");
    }
}

/// Proves that nothing gets into the middle of a message that is being sent (R-F12), and that all its
/// parts are of one type.
#[test]
fn nothing_gets_between_the_parts() {
    let now = Instant::now();
    let mut connection = connect(Role::Server, Version::Rfc6455, ConnectionConfig::new(), now);
    connection.send_fragment("text", false).unwrap();
    assert!(connection.is_message_open());
    assert_eq!(connection.send("other"), Err(SendError::MessageOpen));
    let prepared = ws_proto::PreparedMessage::new("other");
    assert_eq!(
        connection.send_prepared(&prepared),
        Err(SendError::MessageOpen)
    );
    let binary = Message::from(b"binary");
    assert_eq!(
        connection.send_fragment(binary, true),
        Err(SendError::MessageOpen)
    );
    connection.send_fragment("", true).unwrap();
    assert!(!connection.is_message_open());
    connection.send("other").unwrap();
}

/// Proves that a close in the middle of a message is sent where it may be, and left out where it
/// would be taken for text (D76-X7), so that a half message is never taken for a whole one.
#[test]
fn a_close_in_the_middle_of_a_message_does_not_complete_it() {
    let now = Instant::now();
    for (version, expected) in [
        (Version::Rfc6455, &b"\x01\x02ab\x88\x02\x03\xe8"[..]),
        (Version::Draft76, b"\0ab"),
    ] {
        let mut connection = connect(Role::Server, version, ConnectionConfig::new(), now);
        connection.send_fragment("ab", false).unwrap();
        connection.close(now, Some(CloseCode::NORMAL), CloseReason::EMPTY);
        assert_eq!(written(&mut connection), expected, "{version}");
        assert_eq!(connection.send_fragment("c", true), Err(SendError::Closed));
        connection.handle_eof(now);
        assert!(!connection.closed().unwrap().clean, "{version}");
    }
}

/// Proves that once nothing can be sent any more that is what a part of any type is told (R-F15),
/// as `send` does.
#[test]
fn a_part_of_another_type_is_refused_as_closed_after_the_close() {
    let now = Instant::now();
    for (role, version) in all() {
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        connection.send_fragment("text", false).unwrap();
        connection.close(now, None, CloseReason::EMPTY);
        for content in [Message::from("text"), Message::from(b"binary")] {
            let refused = connection.send_fragment(content, true);
            assert_eq!(refused, Err(SendError::Closed), "{version} {role:?}");
        }
    }
}
