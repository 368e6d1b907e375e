//! Pings and pongs that wait to be written (RFC 6455 §5.5.2, §5.5.3, X18).

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{ConfigError, Connection, ConnectionConfig, Role, SendError, Version};

use ws_testing::connections::{Frame, connect, seconds, told, written};

/// What may wait of control frames: the limit, the one that passed it, and a ping of the keepalive.
const MOST: usize = (16 << 10) + 127 + 6;

fn server(config: ConnectionConfig, now: Instant) -> Connection {
    connect(Role::Server, Version::Rfc6455, config, now)
}

fn ping() -> Vec<u8> {
    Frame::new(0x89, "").to(Role::Server)
}

/// A server in the midst of a large message.
fn half_written(len: usize, now: Instant) -> Connection {
    let mut connection = server(ConnectionConfig::new(), now);
    connection.send(vec![7; len]).unwrap();
    connection.outgoing().advance(100);
    connection
}

/// Proves that one more pong that overtakes costs the same however many there are: they lie behind each
/// other, in one place, so there is nothing to look through and nothing to move.
#[test]
fn pongs_that_overtake_lie_together() {
    let now = Instant::now();
    let mut connection = half_written(128 << 10, now);
    let count_slices = |connection: &mut Connection| {
        let mut slices = [IoSlice::new(b""); 64];
        connection.outgoing().chunks_vectored(&mut slices)
    };
    let before = count_slices(&mut connection);
    for _ in 0..5000 {
        connection.handle_read(now, &ping());
        assert!(count_slices(&mut connection) <= before + 1);
    }
}

/// Proves that data that leaves makes no room for pongs, byte by byte of a message that is half written.
#[test]
fn data_that_leaves_makes_no_room_for_pongs() {
    let now = Instant::now();
    let mut connection = half_written(128 << 10, now);
    while connection.outgoing().chunk().len() > 2 {
        connection.handle_read(now, &ping());
        connection.outgoing().advance(2);
        let data = connection.outgoing().chunk().len();
        assert!(connection.buffered_amount() - data <= MOST);
    }
    let refused = connection.ping(b"").unwrap_err();
    assert!(matches!(refused, SendError::ControlQueueFull { .. }));
    // They leave, and there is room again.
    connection.outgoing().advance(4);
    connection.ping(b"").unwrap();
}

/// Proves that pongs which a writer has taken count until it says that they are written.
#[test]
fn pongs_that_are_taken_count_until_they_are_written() {
    let now = Instant::now();
    for waiting in [0, 100_000] {
        let mut connection = server(ConnectionConfig::new(), now);
        if waiting > 0 {
            connection.send(vec![0; waiting]).unwrap();
        }
        let ping = Frame::new(0x89, "aa").to(Role::Server);
        let mut taken = Vec::new();
        for _ in 0..20_000 {
            connection.handle_read(now, &ping);
            taken.push(connection.take_outgoing(usize::MAX).remaining());
            assert!(connection.buffered_amount() <= waiting + 10 + MOST);
        }
        assert!(connection.pong(b"").is_err());
        for count in taken {
            connection.handle_written(count);
        }
        assert_eq!(connection.buffered_amount(), 0);
        connection.handle_read(now, &ping);
        assert_eq!(written(&mut connection), b"\x8a\x02aa");
    }
}

/// Proves that no ping is added while one is not written, whatever waits run out; that there is a deadline
/// ahead each time; and that one that is written makes room for the next.
#[test]
fn no_ping_is_added_while_one_is_unwritten() {
    let start = Instant::now();
    let intervals = [Duration::ZERO, Duration::from_nanos(1), seconds(1)];
    let timeouts = [None, Some(Duration::MAX)];
    for (interval, timeout) in intervals.into_iter().flat_map(|i| timeouts.map(|t| (i, t))) {
        for takes in [false, true] {
            let config = ConnectionConfig::new()
                .keepalive_interval(interval)
                .pong_timeout(timeout)
                .stall_timeout(None);
            let mut connection = server(config, start);
            let mut now = start;
            for call in 0..1000 {
                let deadline = connection.poll_timeout().unwrap();
                assert!(call == 0 || deadline > now, "time goes on");
                now = deadline;
                connection.handle_timeout(now);
                if takes {
                    let _ = connection.take_outgoing(usize::MAX);
                }
                assert_eq!(connection.buffered_amount(), 6);
                assert_eq!(connection.pings_sent(), 1);
            }
            drop(written(&mut connection));
            connection.handle_written(usize::MAX);
            connection.handle_timeout(connection.poll_timeout().unwrap());
            assert_eq!(connection.pings_sent(), 2);
        }
    }
}

/// Proves that a ping which waits behind data counts as unwritten, though pongs overtake it, and that a
/// peer that takes nothing is found all the same.
#[test]
fn a_ping_that_is_overtaken_is_still_unwritten() {
    let start = Instant::now();
    let config = ConnectionConfig::new()
        .keepalive_interval(seconds(1))
        .pong_timeout(None)
        .stall_timeout(None)
        .send_queue_limit(None);
    let mut connection = server(config, start);
    connection.send(vec![0; 10_000]).unwrap();
    connection.handle_timeout(start + seconds(1));
    connection.send(vec![0; 100_000]).unwrap();
    connection.outgoing().advance(1);
    for _ in 0..10 {
        connection.handle_read(start + seconds(1), &ping());
    }
    // All up to the place where it would be had nothing gone ahead of it.
    connection.outgoing().advance(10_004 + 6 - 1);
    connection.handle_timeout(start + seconds(2));
    assert_eq!(connection.pings_sent(), 1);
    connection.outgoing().advance(20);
    connection.handle_timeout(start + seconds(3));
    assert_eq!(connection.pings_sent(), 2);

    let config = ConnectionConfig::new().stall_timeout(None);
    let mut connection = server(config, start);
    connection.ping(b"ours").unwrap();
    connection.handle_timeout(start + seconds(20));
    connection.handle_timeout(start + seconds(40));
    assert!(told(&mut connection, start)[0].contains("PongTimeout { waited: 20s }"));
}

/// Proves that the error of a ping says what is full, and names no option that could not help.
#[test]
fn the_error_of_a_ping_says_what_is_full() {
    let mut connection = server(
        ConnectionConfig::new().send_queue_limit(None),
        Instant::now(),
    );
    let error = (0..1000).find_map(|_| connection.ping(&[0; 125]).err());
    let error = error.expect("the limit is 16 KiB").to_string();
    assert!(
        error.contains("16384") && error.contains("16510 bytes of pings"),
        "{error}"
    );
    assert!(!error.contains("send_queue_limit"), "{error}");
}

/// Proves that a wait of zero, which no peer can keep, is refused where options are checked.
#[test]
fn waits_of_zero_are_refused() {
    let zero = Duration::ZERO;
    let cases = [
        (
            ConnectionConfig::new().keepalive_interval(zero),
            "keepalive_interval",
        ),
        (ConnectionConfig::new().pong_timeout(zero), "pong_timeout"),
        (ConnectionConfig::new().stall_timeout(zero), "stall_timeout"),
        (
            ConnectionConfig::new().message_timeout(zero),
            "message_timeout",
        ),
    ];
    for (config, option) in cases {
        assert_eq!(config.check(), Err(ConfigError::ZeroWait { option }));
    }
    assert_eq!(ConnectionConfig::new().close_timeout(zero).check(), Ok(()));
}
