//! How long a closing connection waits: for an answer, and for the end of the stream.

use std::time::{Duration, Instant};

use ws_proto::{CloseReason, ConnectionConfig, Version};

use super::peer::{assert_close_written, peer_closes, text_to};
use ws_testing::connections::{all, connect, seconds, told, written};

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
            connection.close(start, None, CloseReason::EMPTY);
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
        connection.close(start, None, CloseReason::EMPTY);
        assert_eq!(connection.poll_timeout(), None);
        connection.handle_timeout(start + seconds(1_000_000));
        assert_eq!(
            (told(&mut connection, start), connection.is_finished()),
            (vec![], false)
        );

        let config = ConnectionConfig::new().close_timeout(Duration::ZERO);
        let mut connection = connect(role, version, config, start);
        connection.close(start, None, CloseReason::EMPTY);
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
