//! What is in a close frame: codes and reasons, those of the peer and ours.

use std::time::Instant;

use ws_proto::{CloseCause, CloseCode, CloseReason, Event, ProtocolError, Role, Version};

use super::peer::{assert_close_written, open};
use ws_testing::connections::{Frame, all, close_frame, told};

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
            connection.close(now, code, CloseReason::new(reason).unwrap());
            let again = CloseReason::from_static("again");
            connection.close(now, Some(CloseCode::POLICY), again);
            assert_close_written(&mut connection, payload, reason);
        }
    }
}
