//! The answer to a close while messages before it wait to be taken: it comes behind what these are
//! answered with, but not for ever.

use std::time::Instant;

use ws_proto::{CloseCode, CloseReason, Event, SendError, State, Version};

use super::peer::{assert_close_written, frames, open, peer_closes, text_to};
use ws_testing::connections::{all, seconds, told, written};

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
        connection.close(
            now,
            Some(CloseCode::NORMAL),
            CloseReason::from_static("ours"),
        );
        assert_eq!(connection.send("late"), Err(SendError::Closed));
        assert_close_written(&mut connection, &1001_u16.to_be_bytes(), "the peer's code");
        let said = told(&mut connection, now);
        assert_eq!((said.len(), &*said[0]), (2, "text:waits"));
        assert!(said[1].contains("by=Peer"), "{said:?}");
    }
}
