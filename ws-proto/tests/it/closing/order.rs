//! What goes out before a close of ours, and what counts no more behind the end.

use std::time::Instant;

use ws_proto::{CloseCode, CloseReason, ConnectionConfig, Role, Version};

use super::peer::{assert_close_written, frames, open, text_to};
use ws_testing::connections::{Frame, all, close_frame, connect, told, written};

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
                connection.close(now, Some(CloseCode::NORMAL), CloseReason::EMPTY);
            }
            connection.handle_read(now, &Frame::new(0x83, "").to(role));
            connection.handle_read(now, &close_frame(1000, "").to(role));
            connection.close(now, Some(CloseCode::NORMAL), CloseReason::EMPTY);
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
        let taken = bytes::Buf::copy_to_bytes(&mut connection.outgoing(), 1000);
        bytes.extend(taken);
        if version == Version::Rfc6455 {
            connection.handle_read(now, &Frame::new(0x89, "ping").to(role));
        }
        connection.close(now, None, CloseReason::EMPTY);
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
