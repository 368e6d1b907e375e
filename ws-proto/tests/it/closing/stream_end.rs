//! What it means that the stream ends or is reset, whatever happened before.

use std::time::Instant;

use ws_proto::{CloseReason, Connection, Role, SendError, Version};

use super::peer::{open, peer_closes, text_to};
use ws_testing::connections::{Frame, all, seconds, told, written};

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
                &|connection, now| connection.close(now, None, CloseReason::EMPTY),
                vec![no_handshake("Local")],
                vec![abnormal("Local")],
            ),
            (
                "close sent, in mid-frame",
                &|connection, now| {
                    connection.close(now, None, CloseReason::EMPTY);
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
                    connection.close(now, None, CloseReason::EMPTY);
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
