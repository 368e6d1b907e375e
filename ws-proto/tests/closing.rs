//! The end of a connection: PROTOCOL.md §1.5, §2.8 and §5.6, for both roles and all versions. Who
//! sends a close, who shuts down, who waits for what and how long, and what is told in the end.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use support::{Frame, all, close_frame, connect, describe, seconds, told, written};
use ws_proto::{
    CloseCause, CloseCode, Connection, ConnectionConfig, Event, ProtocolError, Role, SendError,
    State, Version,
};

fn open(role: Role, version: Version, now: Instant) -> Connection {
    connect(role, version, ConnectionConfig::new(), now)
}

/// A text message as the peer of `role` sends it.
fn text_to(role: Role, version: Version, text: &str) -> Vec<u8> {
    match version {
        Version::Draft75 | Version::Draft76 => [b"\0", text.as_bytes(), b"\xff"].concat(),
        Version::Rfc6455 => Frame::new(0x81, text).to(role),
    }
}

/// Lets the peer of `role` close: by a frame, in draft-75 by the end of its stream.
fn peer_closes(connection: &mut Connection, now: Instant) {
    match connection.version() {
        Version::Draft75 => connection.handle_eof(now),
        Version::Draft76 => connection.handle_read(now, b"\xff\0"),
        Version::Rfc6455 => {
            let close = close_frame(1001, "bye").to(connection.role());
            connection.handle_read(now, &close);
        }
    }
}

/// The frames of RFC 6455 in `bytes`, unmasked: first byte and payload. They must be whole.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first_byte, second_byte, rest @ ..] = bytes {
        let (len, rest) = match second_byte & 0x7f {
            126 => {
                let (len, rest) = rest.split_first_chunk().expect("a whole header");
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk().expect("a whole header");
                (usize::try_from(u64::from_be_bytes(*len)).unwrap(), rest)
            }
            len => (usize::from(len), rest),
        };
        let (key, rest) = match second_byte & 0x80 {
            0 => ([0; 4], rest),
            _ => rest
                .split_first_chunk()
                .map(|(key, rest)| (*key, rest))
                .expect("a whole header"),
        };
        let (payload, rest) = rest.split_at(len);
        let payload = payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect();
        frames.push((*first_byte, payload));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame was written: {bytes:x?}");
    frames
}

/// The first bytes of the drafts' frames in `bytes`. They must be whole, text or close.
fn draft_frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let Some(first) = bytes.first() {
        let len = match bytes {
            [0x00, rest @ ..] => {
                rest.iter()
                    .position(|byte| *byte == 0xff)
                    .expect("a whole text")
                    + 2
            }
            [0xff, 0x00, ..] => 2,
            bytes => panic!("not a frame: {bytes:x?}"),
        };
        frames.push(*first);
        bytes = &bytes[len..];
    }
    frames
}

/// What `role` writes in the end: nothing in draft-75, `FF 00` in draft-76, one close frame with
/// `payload` in RFC 6455.
fn assert_close_written(connection: &mut Connection, payload: &[u8], context: &str) {
    let bytes = written(connection);
    match connection.version() {
        Version::Draft75 => assert_eq!(bytes, b"", "{context}"),
        Version::Draft76 => assert_eq!(bytes, b"\xff\0", "{context}"),
        Version::Rfc6455 => assert_eq!(frames(&bytes), [(0x88, payload.to_vec())], "{context}"),
    }
}

/// §5.6, written down a second time.
fn may_arrive(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Proves the table of close codes of §5.6 for every code there is and both roles: one that may be
/// on the wire is reported and echoed, any other fails the connection with 1002 (R-X2, R-X7, R-X8).
#[test]
fn every_close_code_is_echoed_or_refused() {
    let now = Instant::now();
    for role in [Role::Server, Role::Client] {
        for code in 0..=u16::MAX {
            let mut connection = open(role, Version::Rfc6455, now);
            connection.handle_read(now, &close_frame(code, "").to(role));
            let Some(Event::Closed(closed)) = connection.poll_event(now) else {
                panic!("{code}")
            };
            let (answer, cause) = match may_arrive(code) {
                true => (code, CloseCause::Handshake),
                false => (
                    1002,
                    CloseCause::Failed(ProtocolError::InvalidCloseCode { code }),
                ),
            };
            assert_eq!(closed.code, if may_arrive(code) { code } else { 1006 });
            assert_eq!(
                (closed.cause.clone(), closed.clean),
                (cause, may_arrive(code)),
                "{code}"
            );
            assert_close_written(&mut connection, &answer.to_be_bytes(), "the answer");
        }
    }
}

/// Proves that a close without a code is answered by one without a code and told as 1005, and that
/// a reason is told but not sent back, so that an answer is never longer (R-X1, R-X2, R-X7, X19).
#[test]
fn an_answer_is_never_longer_than_the_close() {
    let longest = "é".repeat(61) + "!";
    let cases = [
        (Frame::new(0x88, ""), vec![], "closed:1005 \"\"".to_owned()),
        (
            close_frame(1000, ""),
            vec![0x03, 0xe8],
            "closed:1000 \"\"".to_owned(),
        ),
        (
            close_frame(4999, "bye"),
            vec![0x13, 0x87],
            "closed:4999 \"bye\"".to_owned(),
        ),
        (
            close_frame(1000, &longest),
            vec![0x03, 0xe8],
            format!("closed:1000 {longest:?}"),
        ),
    ];
    for (close, answer, expected) in cases {
        for role in [Role::Server, Role::Client] {
            let now = Instant::now();
            let mut connection = open(role, Version::Rfc6455, now);
            let close = Frame {
                mask: None,
                ..Frame::new(close.first_byte, &close.payload)
            };
            connection.handle_read(now, &close.to(role));
            let expected = format!("{expected} clean=true by=Peer Handshake");
            assert_eq!(told(&mut connection, now), [expected]);
            assert_close_written(&mut connection, &answer, "the answer");
        }
    }
}

/// Proves who does what when the peer closes: the answer, the account, who shuts down, who waits
/// for the end of the stream (R-X2, R-X4 to R-X7, D75-X1, D76-X2, D76-X3, D76-X6).
#[test]
fn the_peer_closes() {
    for (role, version) in all() {
        let now = Instant::now();
        let context = format!("{version} {role:?}");
        let mut connection = open(role, version, now);
        assert_eq!(connection.state(), State::Connected);
        peer_closes(&mut connection, now);
        let expected = match version {
            Version::Draft75 => "closed:1005 \"\" clean=false by=Peer Handshake",
            Version::Draft76 => "closed:1005 \"\" clean=true by=Peer Handshake",
            Version::Rfc6455 => "closed:1001 \"bye\" clean=true by=Peer Handshake",
        };
        assert_eq!(told(&mut connection, now), [expected], "{context}");
        assert_eq!(connection.send("late"), Err(SendError::Closed), "{context}");
        let answers = version != Version::Draft75;
        assert_eq!(
            connection.wants_shutdown(),
            !answers,
            "not before the answer, {context}"
        );
        assert_eq!(connection.is_finished(), !answers, "{context}");
        assert_close_written(&mut connection, &1001_u16.to_be_bytes(), &context);

        let waits_for_server = version == Version::Rfc6455 && role == Role::Client;
        assert_eq!(connection.wants_shutdown(), !waits_for_server, "{context}");
        if answers {
            assert_eq!(connection.state(), State::Closing, "{context}");
            assert!(
                !connection.is_finished() && connection.wants_read(),
                "{context}"
            );
            connection.handle_eof(now);
        }
        assert!(connection.is_finished(), "{context}");
        assert_eq!(connection.state(), State::Closed, "{context}");
        assert_eq!(told(&mut connection, now), [""; 0], "told once, {context}");
        assert_eq!(written(&mut connection), b"", "{context}");
    }
}

/// Proves who does what when this side closes and the peer answers; messages that arrive before the
/// answer are delivered, none are sent any more (R-F15, R-X4 to R-X7, D75-X1, D76-X1, D76-X5).
#[test]
fn this_side_closes() {
    for (role, version) in all() {
        let now = Instant::now();
        let context = format!("{version} {role:?}");
        let mut connection = open(role, version, now);
        connection.send("last").unwrap();
        written(&mut connection);
        connection
            .close(now, Some(CloseCode::GOING_AWAY), "bye")
            .unwrap();
        assert_eq!(connection.state(), State::Closing, "{context}");
        assert_eq!(connection.send("late"), Err(SendError::Closed), "{context}");
        let ping = connection.ping(b"late");
        assert_eq!(ping, Err(SendError::Closed), "{context}");
        assert_eq!(
            connection.wants_shutdown(),
            version == Version::Draft75,
            "{context}"
        );
        assert_close_written(&mut connection, b"\x03\xe9bye", &context);
        assert_eq!(
            connection.wants_shutdown(),
            version == Version::Draft75,
            "{context}"
        );

        connection.handle_read(now, &text_to(role, version, "crossing"));
        assert_eq!(told(&mut connection, now), ["text:crossing"], "{context}");

        peer_closes(&mut connection, now);
        let expected = match version {
            Version::Draft75 => "closed:1005 \"\" clean=false by=Local Handshake",
            Version::Draft76 => "closed:1005 \"\" clean=true by=Local Handshake",
            Version::Rfc6455 => "closed:1001 \"bye\" clean=true by=Local Handshake",
        };
        assert_eq!(told(&mut connection, now), [expected], "{context}");
        assert_eq!(
            written(&mut connection),
            b"",
            "one close is enough, {context}"
        );
        let waits_for_server = version == Version::Rfc6455 && role == Role::Client;
        assert_eq!(connection.wants_shutdown(), !waits_for_server, "{context}");
        connection.handle_eof(now);
        assert!(connection.is_finished(), "{context}");
        assert_eq!(connection.state(), State::Closed, "{context}");
        connection.close(now, Some(CloseCode::NORMAL), "").unwrap();
        assert_eq!(
            (told(&mut connection, now), written(&mut connection)),
            (vec![], vec![])
        );
    }
}

/// Proves what a close of ours looks like: code and reason where there are any, a reason alone is
/// left out, and a second close does nothing (R-X1, X19).
#[test]
fn a_close_carries_code_and_reason() {
    let cases: [(Option<CloseCode>, &str, &[u8]); 4] = [
        (None, "", b""),
        (None, "reason", b""),
        (Some(CloseCode::NORMAL), "", b"\x03\xe8"),
        (Some(CloseCode::TRY_AGAIN), "κ", b"\x03\xf5\xce\xba"),
    ];
    for (role, version) in all() {
        for (code, reason, payload) in cases {
            let now = Instant::now();
            let mut connection = open(role, version, now);
            connection.close(now, code, reason).unwrap();
            connection
                .close(now, Some(CloseCode::POLICY), "again")
                .unwrap();
            assert_close_written(&mut connection, payload, reason);
        }
    }
}

/// Proves that when both sides close at once each tells the other's code and sends nothing more
/// (R-X7, D76-X2).
#[test]
fn both_sides_close_at_once() {
    for version in Version::ALL {
        let now = Instant::now();
        let codes = [CloseCode::GOING_AWAY, CloseCode::RESTART];
        let mut server = open(Role::Server, version, now);
        let mut client = open(Role::Client, version, now);
        server.close(now, Some(codes[0]), "").unwrap();
        client.close(now, Some(codes[1]), "").unwrap();
        let (from_server, from_client) = (written(&mut server), written(&mut client));
        let told_code = |code: CloseCode| match version {
            Version::Draft75 | Version::Draft76 => 1005,
            Version::Rfc6455 => code.get(),
        };
        for (end, bytes, code) in [
            (&mut server, from_client, codes[1]),
            (&mut client, from_server, codes[0]),
        ] {
            end.handle_read(now, &bytes);
            if version == Version::Draft75 {
                assert!(bytes.is_empty() && end.wants_shutdown());
                end.handle_eof(now);
            }
            let said = told(end, now);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(
                said[0].starts_with(&format!("closed:{} ", told_code(code))),
                "{said:?}"
            );
            assert!(said[0].ends_with("by=Local Handshake"), "{said:?}");
            assert_eq!(written(end), b"");
        }
        assert!(server.wants_shutdown());
        client.handle_eof(now);
        server.handle_eof(now);
        assert!(client.is_finished() && server.is_finished());
    }
}

/// Proves that a close that is never answered ends at the close timeout, not before, unclean, with
/// what could not be written dropped (R-X10, D76-X4, D76-X5).
#[test]
fn a_close_that_is_never_answered_ends_in_time() {
    for (role, version) in all() {
        for (timeout, wait) in [(None, seconds(10)), (Some(seconds(3)), seconds(3))] {
            let start = Instant::now();
            let config = match timeout {
                None => ConnectionConfig::new(),
                Some(timeout) => ConnectionConfig::new().close_timeout(timeout),
            };
            let mut connection = connect(role, version, config, start);
            connection.send("never written").unwrap();
            connection.close(start, None, "").unwrap();
            assert_eq!(connection.poll_timeout(), Some(start + wait));
            connection.handle_timeout(start + wait - Duration::from_nanos(1));
            assert_eq!(told(&mut connection, start), [""; 0]);
            assert!(connection.buffered_amount() > 0);
            connection.handle_timeout(start + wait);
            let expected = "closed:1006 \"\" clean=false by=Local CloseTimeout";
            assert_eq!(
                told(&mut connection, start),
                [expected],
                "{version} {role:?}"
            );
            assert!(connection.is_finished() && connection.wants_shutdown());
            assert_eq!(
                (connection.buffered_amount(), connection.poll_timeout()),
                (0, None)
            );
            connection.handle_read(start + wait, &text_to(role, version, "late"));
            connection.handle_eof(start + wait);
            assert_eq!(told(&mut connection, start), [""; 0], "{version} {role:?}");
        }
    }
}

/// Proves that `None` means to wait for ever, and zero not at all.
#[test]
fn the_close_timeout_can_be_off_or_zero() {
    let start = Instant::now();
    for (role, version) in all() {
        let config = ConnectionConfig::new().close_timeout(None);
        let mut connection = connect(role, version, config, start);
        connection.close(start, None, "").unwrap();
        assert_eq!(connection.poll_timeout(), None);
        connection.handle_timeout(start + seconds(1_000_000));
        assert_eq!(
            (told(&mut connection, start), connection.is_finished()),
            (vec![], false)
        );

        let config = ConnectionConfig::new().close_timeout(Duration::ZERO);
        let mut connection = connect(role, version, config, start);
        connection.close(start, None, "").unwrap();
        connection.handle_timeout(start);
        assert!(connection.is_finished());
    }
}

/// Proves that a peer that never ends its stream after the closing handshake, or after a failure,
/// is given up at the close timeout; the account was told before and stays (X20, R-X4, R-X5).
#[test]
fn a_peer_that_never_ends_its_stream_is_given_up() {
    for (role, version) in all() {
        for fails in [false, true] {
            if version == Version::Draft75 && !fails {
                continue; // there the end of the stream is the close
            }
            let start = Instant::now();
            let config = ConnectionConfig::new().message_limit(3);
            let mut connection = connect(role, version, config, start);
            match fails {
                true => connection.handle_read(start, &text_to(role, version, "long")),
                false => peer_closes(&mut connection, start),
            }
            let said = told(&mut connection, start);
            assert_eq!((said.len(), said[0].contains("MessageTooBig")), (1, fails));
            assert_close_written(
                &mut connection,
                if fails { b"\x03\xf1" } else { b"\x03\xe9" },
                "",
            );
            // Whatever else it sends does not keep it alive.
            for second in 1..10 {
                connection.handle_read(start + seconds(second), &text_to(role, version, "x"));
                connection.handle_timeout(start + seconds(second));
                assert!(!connection.is_finished(), "{version} {role:?}");
            }
            assert_eq!(connection.poll_timeout(), Some(start + seconds(10)));
            connection.handle_timeout(start + seconds(10));
            assert!(connection.is_finished() && connection.wants_shutdown());
            assert_eq!(
                (told(&mut connection, start), written(&mut connection)),
                (vec![], vec![])
            );
        }
    }
}

/// Proves what the end of the stream and a reset mean in each phase: which code, clean or not, by
/// whom, and that both end the connection at once (R-X6, R-X7, D75-X1).
#[test]
fn a_stream_can_end_or_break_at_any_time() {
    let abnormal = |by| format!("closed:1006 \"\" clean=false by={by} Disconnected");
    for (role, version) in all() {
        let no_handshake = |by| match version {
            Version::Draft75 => format!("closed:1005 \"\" clean=false by={by} Handshake"),
            Version::Draft76 | Version::Rfc6455 => abnormal(by),
        };
        let text = text_to(role, version, "text");
        let half = &text[..text.len() - 2];
        // What happened before, what a stream that ends then means, and one that breaks.
        type Before<'a> = (
            &'a str,
            &'a dyn Fn(&mut Connection, Instant),
            Vec<String>,
            Vec<String>,
        );
        let told_before = || vec![];
        let cases: [Before<'_>; 6] = [
            (
                "open",
                &|_, _| {},
                vec![no_handshake("Peer")],
                vec![abnormal("Peer")],
            ),
            (
                "in mid-frame",
                &|connection, now| connection.handle_read(now, half),
                vec![abnormal("Peer")],
                vec![abnormal("Peer")],
            ),
            (
                "close sent",
                &|connection, now| connection.close(now, None, "").unwrap(),
                vec![no_handshake("Local")],
                vec![abnormal("Local")],
            ),
            (
                "close sent, in mid-frame",
                &|connection, now| {
                    connection.close(now, None, "").unwrap();
                    connection.handle_read(now, half);
                },
                vec![abnormal("Local")],
                vec![abnormal("Local")],
            ),
            (
                "closed",
                &|connection, now| {
                    peer_closes(connection, now);
                    told(connection, now);
                },
                told_before(),
                told_before(),
            ),
            (
                "timed out",
                &|connection, now| {
                    connection.close(now, None, "").unwrap();
                    connection.handle_timeout(now + seconds(10));
                    told(connection, now);
                },
                told_before(),
                told_before(),
            ),
        ];
        for (name, before, at_eof, at_reset) in cases {
            let context = format!("{version} {role:?}, {name}");
            let now = Instant::now();
            let mut connection = open(role, version, now);
            before(&mut connection, now);
            connection.handle_eof(now);
            assert_eq!(told(&mut connection, now), at_eof, "eof, {context}");
            written(&mut connection);
            assert!(
                connection.is_finished() && connection.wants_shutdown(),
                "eof, {context}"
            );

            let mut connection = open(role, version, now);
            before(&mut connection, now);
            connection.handle_reset(now);
            assert_eq!(told(&mut connection, now), at_reset, "reset, {context}");
            assert_eq!(connection.buffered_amount(), 0, "reset, {context}");
            assert!(connection.is_finished(), "reset, {context}");
            assert_eq!(
                connection.send("late"),
                Err(SendError::Closed),
                "reset, {context}"
            );
        }
    }
}

/// Proves that a stream that ends between two fragments ends in mid-message (R-X6).
#[test]
fn the_end_between_two_fragments_is_abnormal() {
    let now = Instant::now();
    let mut connection = open(Role::Server, Version::Rfc6455, now);
    connection.handle_read(now, &Frame::new(0x01, "half").to(Role::Server));
    connection.handle_eof(now);
    assert!(told(&mut connection, now)[0].ends_with("Disconnected"));
}

/// Proves that messages that came before the end can be taken and answered although the end is in
/// the same read, and that the close comes behind the answers (Autobahn 7.1.1; R-X2, R-X3).
#[test]
fn messages_in_one_read_with_a_close_are_answered_before_it() {
    for (role, version) in all() {
        let now = Instant::now();
        let context = format!("{version} {role:?}");
        let mut connection = open(role, version, now);
        let messages = [text_to(role, version, "one"), text_to(role, version, "two")].concat();
        connection.handle_read(now, &messages);
        peer_closes(&mut connection, now);
        assert_eq!(connection.state(), State::Closing, "{context}");
        assert!(
            !connection.wants_shutdown() && !connection.is_finished(),
            "{context}"
        );

        let mut echoed = Vec::new();
        for expected in ["one", "two"] {
            let Some(Event::Message(message)) = connection.poll_event(now) else {
                panic!("{context}: {expected} is missing")
            };
            assert_eq!(message.as_text(), Some(expected), "{context}");
            assert_eq!(connection.state(), State::Closing, "{context}");
            connection.send(message).unwrap();
            echoed.extend(written(&mut connection));
        }
        let said = told(&mut connection, now);
        assert!(
            said.len() == 1 && said[0].contains("by=Peer Handshake"),
            "{context}: {said:?}"
        );
        assert_eq!(connection.send("late"), Err(SendError::Closed), "{context}");
        if version == Version::Rfc6455 {
            let expected = [(0x81, b"one".to_vec()), (0x81, b"two".to_vec())];
            assert_eq!(frames(&echoed), expected, "{context}");
        } else {
            assert_eq!(echoed, messages, "{context}");
        }
        assert_close_written(&mut connection, &1001_u16.to_be_bytes(), &context);
    }
}

/// Proves that a close is answered no later than the close timeout, although messages before it are
/// not taken; they still can be, and the end is told behind them (R-X2, X20).
#[test]
fn a_close_is_answered_in_time_although_messages_wait() {
    for (role, version) in all() {
        let start = Instant::now();
        let context = format!("{version} {role:?}");
        let mut connection = open(role, version, start);
        connection.handle_read(start, &text_to(role, version, "waits"));
        peer_closes(&mut connection, start);
        assert_eq!(connection.buffered_amount(), 0, "{context}");
        assert_eq!(
            connection.poll_timeout(),
            Some(start + seconds(10)),
            "{context}"
        );
        connection.handle_timeout(start + seconds(10));
        assert_close_written(&mut connection, &1001_u16.to_be_bytes(), &context);
        assert_eq!(connection.send("late"), Err(SendError::Closed), "{context}");
        let said = told(&mut connection, start + seconds(11));
        assert_eq!((said.len(), &*said[0]), (2, "text:waits"), "{context}");
        assert!(said[1].starts_with("closed:"), "{context}: {said:?}");
    }
}

/// Proves that an application that closes has nothing more to say: a close that waited for it is
/// answered at once, with the peer's code (R-X2, X19).
#[test]
fn closing_answers_a_close_that_waits() {
    for (role, version) in all() {
        let now = Instant::now();
        let mut connection = open(role, version, now);
        connection.handle_read(now, &text_to(role, version, "waits"));
        peer_closes(&mut connection, now);
        connection
            .close(now, Some(CloseCode::NORMAL), "ours")
            .unwrap();
        assert_eq!(connection.send("late"), Err(SendError::Closed));
        assert_close_written(&mut connection, &1001_u16.to_be_bytes(), "the peer's code");
        let said = told(&mut connection, now);
        assert_eq!((said.len(), &*said[0]), (2, "text:waits"));
        assert!(said[1].contains("by=Peer"), "{said:?}");
    }
}

/// Proves that a reset is told behind the messages that came before it, and that they are not lost.
#[test]
fn messages_before_a_reset_are_delivered() {
    for (role, version) in all() {
        let now = Instant::now();
        let mut connection = open(role, version, now);
        connection.handle_read(now, &text_to(role, version, "one"));
        connection.handle_reset(now);
        assert_eq!(
            connection.send("late"),
            Err(SendError::Closed),
            "nobody can get it"
        );
        let said = told(&mut connection, now);
        assert_eq!((said.len(), &*said[0]), (2, "text:one"));
        assert!(said[1].ends_with("Disconnected"), "{said:?}");
        assert!(connection.is_finished());
    }
}

/// Proves that a close whose answer still waits when the stream breaks is not a clean end: the answer
/// is lost. Code and reason are told all the same (R-X6, R-X7).
#[test]
fn a_close_that_a_reset_leaves_unanswered_is_not_clean() {
    for (role, version) in all().filter(|(_, version)| *version != Version::Draft75) {
        let now = Instant::now();
        let mut connection = open(role, version, now);
        connection.handle_read(now, &text_to(role, version, "one"));
        peer_closes(&mut connection, now);
        connection.handle_reset(now);
        let said = told(&mut connection, now);
        assert_eq!(said[0], "text:one", "{version} {role:?}");
        let code_and_reason = match version {
            Version::Draft75 | Version::Draft76 => "1005 \"\"",
            Version::Rfc6455 => "1001 \"bye\"",
        };
        assert_eq!(
            said[1],
            format!("closed:{code_and_reason} clean=false by=Peer Handshake"),
            "{version} {role:?}"
        );
        assert!(connection.is_finished() && written(&mut connection).is_empty());
    }
}

/// Proves that nothing that follows the peer's close is looked at: no message, no pong, no second
/// answer, no error (R-X11, D76-X2, X19).
#[test]
fn what_follows_a_close_is_discarded() {
    for (role, version) in all().filter(|(_, version)| *version != Version::Draft75) {
        let now = Instant::now();
        let config = ConnectionConfig::new().control_events(true);
        let mut connection = connect(role, version, config, now);
        let mut bytes = match version {
            Version::Draft75 | Version::Draft76 => b"\xff\0".to_vec(),
            Version::Rfc6455 => close_frame(1000, "").to(role),
        };
        bytes.extend(text_to(role, version, "late"));
        bytes.extend(Frame::new(0x89, "late").to(role));
        bytes.extend(close_frame(1001, "again").to(role));
        bytes.extend([0xff; 100]);
        connection.handle_read(now, &bytes);
        connection.handle_read(now, &bytes);
        assert_eq!(told(&mut connection, now).len(), 1);
        assert_close_written(&mut connection, &1000_u16.to_be_bytes(), "one answer");
        connection.handle_read(now, &bytes);
        assert_eq!(
            (told(&mut connection, now), written(&mut connection)),
            (vec![], vec![])
        );
    }
}

/// Proves that after a failure the peer's close is not looked at, and that a failure after our own
/// close sends no second one (R-X9, X19).
#[test]
fn a_failure_ends_everything() {
    for role in [Role::Server, Role::Client] {
        for closes_first in [false, true] {
            let now = Instant::now();
            let mut connection = open(role, Version::Rfc6455, now);
            if closes_first {
                connection.close(now, Some(CloseCode::NORMAL), "").unwrap();
            }
            connection.handle_read(now, &Frame::new(0x83, "").to(role));
            connection.handle_read(now, &close_frame(1000, "").to(role));
            connection.close(now, Some(CloseCode::NORMAL), "").unwrap();
            assert_eq!(
                told(&mut connection, now),
                ["closed:1006 \"\" clean=false by=Local Failed(UnknownOpcode { opcode: 3 })"]
            );
            let code: u16 = if closes_first { 1000 } else { 1002 };
            assert_close_written(&mut connection, &code.to_be_bytes(), "one close");
            assert!(
                connection.wants_shutdown(),
                "who fails a connection ends it, {role:?}"
            );
        }
    }
}

/// Proves that a close stays behind what was sent before it, even when much waits and pongs go
/// ahead, and never cuts a frame that is half written (D76-X7, R-F18).
#[test]
fn a_close_comes_behind_what_was_sent_before() {
    for (role, version) in all() {
        let now = Instant::now();
        let config = ConnectionConfig::new().send_queue_limit(None);
        let mut connection = connect(role, version, config, now);
        let large = "x".repeat(200_000);
        for _ in 0..3 {
            connection.send(&*large).unwrap();
        }
        let mut bytes = Vec::new();
        let taken = bytes::Buf::copy_to_bytes(connection.outgoing(), 1000);
        bytes.extend(taken);
        if version == Version::Rfc6455 {
            connection.handle_read(now, &Frame::new(0x89, "ping").to(role));
        }
        connection.close(now, None, "").unwrap();
        bytes.extend(written(&mut connection));
        let text = [b"\0", large.as_bytes(), b"\xff"].concat();
        match version {
            Version::Draft75 => assert!(bytes == text.repeat(3)),
            Version::Draft76 => assert!(bytes == [&*text.repeat(3), b"\xff\0"].concat()),
            Version::Rfc6455 => {
                let order: Vec<u8> = frames(&bytes).iter().map(|(first, _)| *first).collect();
                assert_eq!(order, [0x81, 0x8a, 0x81, 0x81, 0x88], "{role:?}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Text,
    Garbage(Vec<u8>),
    PeerClose,
    Send,
    Ping,
    Close,
    Poll,
    Write,
    Pass(u64),
    Eof,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Text),
        1 => proptest::collection::vec(any::<u8>(), 1..4).prop_map(Step::Garbage),
        2 => Just(Step::PeerClose),
        3 => Just(Step::Send),
        1 => Just(Step::Ping),
        2 => Just(Step::Close),
        3 => Just(Step::Poll),
        2 => Just(Step::Write),
        2 => (1_u64..25).prop_map(Step::Pass),
        1 => Just(Step::Eof),
        1 => Just(Step::Reset),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves for any order of events: the states only go on, at most one close is sent and nothing
    /// behind it, the end is told once and last, a finished connection stays finished, and with time
    /// every connection that began to close is finished (R-F15, R-X6, X19, X20).
    #[test]
    fn whatever_happens_the_end_comes_once(steps in steps()) {
        for (role, version) in all() {
            let mut now = Instant::now();
            let mut connection = open(role, version, now);
            let (mut sent, mut said) = (Vec::new(), Vec::new());
            let (mut was_closing, mut was_finished, mut stream_ended) = (false, false, false);
            for step in &steps {
                match step {
                    Step::Text if !stream_ended => {
                        connection.handle_read(now, &text_to(role, version, "text"));
                    }
                    Step::Garbage(bytes) if !stream_ended => connection.handle_read(now, bytes),
                    Step::PeerClose if !stream_ended => {
                        peer_closes(&mut connection, now);
                        stream_ended = version == Version::Draft75;
                    }
                    Step::Text | Step::Garbage(_) | Step::PeerClose => {}
                    Step::Send => {
                        let refused = connection.send("text").is_err();
                        prop_assert!(refused || !was_finished);
                    }
                    Step::Ping => drop(connection.ping(b"ping")),
                    Step::Close => connection.close(now, Some(CloseCode::NORMAL), "").unwrap(),
                    Step::Poll => said.extend(connection.poll_event(now)),
                    Step::Write => sent.extend(written(&mut connection)),
                    Step::Pass(count) => {
                        now += seconds(*count);
                        connection.handle_timeout(now);
                    }
                    Step::Eof => {
                        connection.handle_eof(now);
                        stream_ended = true;
                    }
                    Step::Reset => {
                        connection.handle_reset(now);
                        stream_ended = true;
                    }
                }
                let is_closing = connection.state() != State::Connected;
                prop_assert!(is_closing || !was_closing, "{version} {role:?} opened again");
                prop_assert!(connection.is_finished() || !was_finished, "{version} {role:?}");
                was_closing = is_closing;
                was_finished = connection.is_finished();
                prop_assert_eq!(connection.state() == State::Closed, was_finished);
            }
            connection.close(now, None, "").unwrap();
            for _ in 0..3 {
                said.extend(support::events(&mut connection, now));
                sent.extend(written(&mut connection));
                now += seconds(10);
                connection.handle_timeout(now);
            }
            prop_assert!(connection.is_finished(), "{version} {role:?} never ends");
            prop_assert_eq!(connection.poll_timeout(), None);
            let ends = said.iter().filter(|event| matches!(event, Event::Closed(_))).count();
            let last = said.last().map(describe).unwrap_or_default();
            prop_assert!(ends == 1 && last.starts_with("closed:"), "{:?}", said);
            let opcodes: Vec<u8> = match version {
                Version::Draft75 | Version::Draft76 => draft_frames(&sent),
                Version::Rfc6455 => frames(&sent).iter().map(|(first, _)| *first).collect(),
            };
            let is_close = |first: &u8| matches!(first, 0x88 | 0xff);
            let first_close = opcodes.iter().position(is_close).unwrap_or(opcodes.len());
            prop_assert!(first_close + 1 >= opcodes.len(), "{version} {role:?} {opcodes:x?}");
            prop_assert!(version != Version::Draft75 || first_close == opcodes.len());
        }
    }
}
