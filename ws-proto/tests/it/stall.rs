//! Stalled writing: a connection on which bytes wait that the transport does not take is failed in time,
//! whatever arrives meanwhile. Time is an argument, so minutes pass at once.

use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{
    CloseCause, CloseReason, Connection, ConnectionConfig, Event, ProtocolError, Role, SendError,
    State, Version,
};
use ws_testing::connections::{Frame, all, connect, events, seconds, told, written};

const NEVER: Option<Duration> = None;

/// No ping, so that the stall is all that is timed.
fn config() -> ConnectionConfig {
    ConnectionConfig::new().keepalive_interval(NEVER)
}

/// What a peer may send at any time: a message.
fn sign_of_life(role: Role, version: Version) -> Vec<u8> {
    match version {
        Version::Rfc6455 => Frame::new(0x81, "here").to(role),
        Version::Draft75 | Version::Draft76 => b"\0here\xff".to_vec(),
    }
}

/// Lets time pass in steps of a second, in which the peer sends; tells when the connection was failed, and
/// how. Each step tells the time if a deadline has come, as a driver does, and takes what has arrived.
fn time_of_stall(
    connection: &mut Connection,
    start: Instant,
    most: u64,
    mut each_second: impl FnMut(&mut Connection, u64),
) -> Option<(u64, ProtocolError)> {
    let sign = sign_of_life(connection.role(), connection.version());
    for second in 0..=most {
        let now = start + seconds(second);
        each_second(connection, second);
        connection.handle_read(now, &sign);
        for event in events(connection, now) {
            assert!(matches!(event, Event::Message(_)), "{event:?}");
        }
        if connection
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            connection.handle_timeout(now);
        }
        if let Some(closed) = connection.closed() {
            let CloseCause::Failed(error) = closed.cause.clone() else {
                panic!("{closed:?}");
            };
            return Some((second, error));
        }
    }
    None
}

/// Proves that a peer that sends all the time and takes nothing is failed after 60 s with the defaults, in
/// every version and both roles; that it is told 1011 or what the version has, if it should take it; and
/// that it is not waited for.
#[test]
fn a_peer_that_sends_and_never_reads_is_gone_after_the_stall_timeout() {
    for (role, version) in all() {
        let start = Instant::now();
        let mut connection = connect(role, version, ConnectionConfig::new(), start);
        connection.send("x").unwrap();
        let waiting = connection.buffered_amount();
        let stall = time_of_stall(&mut connection, start, 100, |_, _| {});
        let (waited, buffered) = (seconds(60), waiting);
        let error = ProtocolError::WriteStalled { waited, buffered };
        assert_eq!(
            error.to_string(),
            format!(
                "{waiting} bytes wait to be written, and the transport took none for 60s (option stall_timeout)"
            )
        );
        assert_eq!(stall, Some((60, error)), "{role:?} {version}");

        let now = start + seconds(60);
        assert_eq!(connection.send("y"), Err(SendError::Closed));
        assert_eq!(connection.state(), State::Closing);
        let told = told(&mut connection, now);
        assert_eq!(told.len(), 1, "it is told once: {told:?}");
        assert!(told[0].contains("by=Local Failed(WriteStalled"), "{told:?}");
        let close_len = match (version, role) {
            (Version::Draft75, _) => 0,
            (Version::Draft76, _) => 2,
            (Version::Rfc6455, Role::Server) => 4,
            (Version::Rfc6455, Role::Client) => 8,
        };
        assert_eq!(connection.buffered_amount(), waiting + close_len);
        assert!(!connection.is_finished());
        assert_eq!(connection.poll_timeout(), Some(now), "no wait");
        connection.handle_timeout(now);
        assert!(connection.is_finished());
        assert_eq!(connection.poll_timeout(), None);
        assert_eq!(ws_testing::connections::told(&mut connection, now), [""; 0]);
    }
}

/// Proves that bytes that were taken to be written, and were not, wait as well.
#[test]
fn bytes_in_flight_wait_too() {
    for (role, version) in all() {
        let start = Instant::now();
        let mut connection = connect(role, version, config(), start);
        connection.send("x").unwrap();
        let taken = connection.take_outgoing(usize::MAX);
        assert!(connection.outgoing().is_empty());
        let stall = time_of_stall(&mut connection, start, 100, |_, _| {});
        assert_eq!(stall.map(|(second, _)| second), Some(60));
        drop(taken);
    }
}

/// Proves that one byte in each timeout is enough, whether it is written in place or was taken; and that
/// once it stops, the stall is found within one and a half times the timeout, and not before once.
#[test]
fn a_peer_that_drains_slowly_is_safe_until_it_stops() {
    for in_place in [true, false] {
        for (role, version) in all() {
            for pause in [1, 29, 31, 59] {
                let start = Instant::now();
                let mut connection = connect(role, version, config(), start);
                connection.send("x".repeat(5000)).unwrap();
                let _taken = (!in_place).then(|| connection.take_outgoing(usize::MAX));
                let last = 10 * pause;
                let stall = time_of_stall(&mut connection, start, 1000, |connection, second| {
                    if second % pause == 0 && second <= last {
                        match in_place {
                            true => connection.outgoing().advance(1),
                            false => connection.handle_written(1),
                        }
                    }
                });
                let (second, _) = stall.expect("it stopped");
                let waited = second - last;
                assert!(
                    (60..=90).contains(&waited),
                    "{waited} s, {pause}, {in_place}"
                );
            }
        }
    }
}

/// Proves that a wait begins when bytes wait, not before: what was written in full counts for nothing,
/// and a connection that writes all that it has comes to no deadline.
#[test]
fn only_waiting_bytes_are_timed() {
    for (role, version) in all() {
        let start = Instant::now();
        let mut connection = connect(role, version, config(), start);
        let stall = time_of_stall(&mut connection, start, 1000, |connection, _| {
            connection.send("x").unwrap();
            assert!(!written(connection).is_empty());
            assert_eq!(connection.poll_timeout(), None);
        });
        assert_eq!(stall, None);

        // Some waited once, and left in time; more comes much later.
        connection.send("x").unwrap();
        let later = start + seconds(1001);
        assert!(connection.poll_timeout().unwrap() <= later, "it is due");
        connection.handle_timeout(later);
        assert_eq!(connection.poll_timeout(), Some(later + seconds(30)));
        assert!(!written(&mut connection).is_empty());
        connection.handle_timeout(later + seconds(30));
        assert_eq!(connection.poll_timeout(), None, "the watch is over");
        connection.send("x").unwrap();
        let stall = time_of_stall(&mut connection, later + seconds(100), 100, |_, _| {});
        assert_eq!(stall.map(|(second, _)| second), Some(60));
    }
}

/// Proves that bytes that come when others have just left are new ones: a queue that is never seen empty
/// is not stalled.
#[test]
fn a_queue_that_is_full_whenever_looked_at_is_not_stalled() {
    let start = Instant::now();
    let mut connection = connect(Role::Server, Version::Rfc6455, config(), start);
    let stall = time_of_stall(&mut connection, start, 1000, |connection, _| {
        let _ = written(connection);
        connection.send("x").unwrap();
    });
    assert_eq!(stall, None);
}

/// Proves what the option means: `None` is never, and so is an end that no clock reaches, without
/// deadlines that have passed; zero is at once.
#[test]
fn the_stall_timeout_can_be_set_and_turned_off() {
    for (role, version) in all() {
        for off in [NEVER, Some(Duration::MAX)] {
            let start = Instant::now();
            let mut connection = connect(role, version, config().stall_timeout(off), start);
            connection.send("x").unwrap();
            connection.handle_timeout(start);
            assert_eq!(connection.poll_timeout(), None);
            let stall = time_of_stall(&mut connection, start, 1000, |_, _| {});
            assert_eq!(stall, None);
        }
        for (timeout, expected) in [(0, 0), (1, 1), (7, 7)] {
            let start = Instant::now();
            let config = config().stall_timeout(Some(seconds(timeout)));
            let mut connection = connect(role, version, config, start);
            connection.handle_timeout(start);
            assert_eq!(connection.state(), State::Connected, "nothing waits");
            connection.send("x").unwrap();
            let stall = time_of_stall(&mut connection, start, 100, |_, _| {});
            assert_eq!(stall.map(|(second, _)| second), Some(expected));
        }
    }
}

/// Proves that the end does not wait for the application to take what came before it, as that may wait
/// for room to send; what came before is still there to be taken.
#[test]
fn a_stall_ends_a_connection_whose_messages_nobody_takes() {
    for (role, version) in all() {
        let start = Instant::now();
        let config = config().close_timeout(NEVER);
        let mut connection = connect(role, version, config, start);
        connection.handle_read(start, &sign_of_life(role, version));
        connection.send("x").unwrap();
        connection.handle_timeout(start);
        connection.handle_timeout(start + seconds(60));
        assert!(!connection.is_writable());
        connection.handle_timeout(start + seconds(60));
        assert!(connection.is_finished());
        let told = told(&mut connection, start + seconds(60));
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], "text:here");
        assert!(told[1].contains("WriteStalled"));
    }
}

/// Proves that from a close on the close timeout bounds the wait, and nothing else: a close that cannot be
/// written ends as one that is not answered, once, and no timer is left.
#[test]
fn a_close_that_cannot_be_written_has_the_close_timeout() {
    for (role, version) in all() {
        for watched in [true, false] {
            for close_timeout in [10, 500] {
                let start = Instant::now();
                let config = config().close_timeout(Some(seconds(close_timeout)));
                let mut connection = connect(role, version, config, start);
                connection.send("x").unwrap();
                if watched {
                    connection.handle_timeout(start);
                }
                let closed = start + seconds(59);
                connection.close(closed, None, CloseReason::EMPTY);
                let end = closed + seconds(close_timeout);
                assert_eq!(connection.poll_timeout(), Some(end));
                connection.handle_timeout(end - seconds(1));
                assert_eq!(told(&mut connection, end), [""; 0]);
                connection.handle_timeout(end);
                let told = told(&mut connection, end);
                assert_eq!(told.len(), 1);
                assert!(told[0].contains("CloseTimeout"), "{told:?}");
                assert!(connection.is_finished());
                assert_eq!(connection.poll_timeout(), None);
            }
        }
    }
}

/// Proves that the same holds when the peer ends the connection, also behind messages that nobody takes.
#[test]
fn a_peer_that_ends_a_stalled_connection_has_the_close_timeout() {
    for (role, version) in all() {
        let start = Instant::now();
        let mut connection = connect(role, version, config(), start);
        connection.handle_read(start, &sign_of_life(role, version));
        connection.send("x").unwrap();
        connection.handle_timeout(start);
        connection.handle_eof(start + seconds(5));
        assert_eq!(connection.poll_timeout(), Some(start + seconds(15)));
        for second in [15, 25, 100] {
            connection.handle_timeout(start + seconds(second));
        }
        assert!(connection.is_finished());
        let told = told(&mut connection, start);
        assert_eq!(told.len(), 2);
        assert!(!told[1].contains("Stalled"), "{told:?}");
        assert_eq!(connection.poll_timeout(), None);
    }
}

/// Proves that a driver that comes late does no harm: what left before it came counts, and a stall that is
/// found late is one.
#[test]
fn time_may_be_told_late() {
    let start = Instant::now();
    let mut connection = connect(Role::Server, Version::Draft76, config(), start);
    connection.send("x".repeat(100)).unwrap();
    connection.handle_timeout(start);
    connection.outgoing().advance(1);
    connection.handle_timeout(start + seconds(10_000));
    assert_eq!(connection.state(), State::Connected);
    connection.handle_timeout(start + seconds(20_000));
    assert_eq!(connection.state(), State::Closing);
}
