//! Round trips: which ping a pong answers, and how long that took (RFC 6455 §5.5.2, §5.5.3, R-F14).

use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::hooks::{self, PingId, RoundTrip};
use ws_proto::{CloseReason, Connection, ConnectionConfig, Role, SendError, Version};
use ws_testing::connections::{Frame, all, connect, seconds, told, written};

fn server(config: ConnectionConfig, now: Instant) -> Connection {
    connect(Role::Server, Version::Rfc6455, config, now)
}

/// A server with the defaults.
fn plain(now: Instant) -> Connection {
    server(ConnectionConfig::new(), now)
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn read_pong(connection: &mut Connection, now: Instant, payload: &[u8]) {
    connection.handle_read(now, &Frame::new(0x8a, payload).to(Role::Server));
}

/// Begins a round trip and writes its ping. Returns the payload of the ping.
fn begin(connection: &mut Connection, now: Instant) -> (PingId, Vec<u8>) {
    let id = hooks::begin_round_trip(connection, now).unwrap();
    let bytes = written(connection);
    let [0x89, 4, payload @ ..] = &*bytes else {
        panic!("no ping: {bytes:?}");
    };
    (id, payload.to_vec())
}

fn take(connection: &mut Connection, id: PingId) -> RoundTrip {
    hooks::take_round_trip(connection, id)
}

/// Proves that the time from a ping of the keepalive to its pong is measured, and that there is no latency before.
#[test]
fn a_ping_of_the_keepalive_is_measured() {
    let start = Instant::now();
    let mut connection = plain(start);
    assert_eq!(connection.latency(), None);
    connection.handle_timeout(start + seconds(20));
    let ping = written(&mut connection);
    assert_eq!(connection.latency(), None);
    let at = start + seconds(20) + Duration::from_micros(1234);
    read_pong(&mut connection, at, &ping[2..]);
    assert_eq!(connection.latency(), Some(Duration::from_micros(1234)));
    // The next one is measured, too.
    let deadline = connection.poll_timeout().unwrap();
    connection.handle_timeout(deadline);
    let ping = written(&mut connection);
    read_pong(&mut connection, deadline + ms(7), &ping[2..]);
    assert_eq!(connection.latency(), Some(ms(7)));
}

/// Proves that a pong is that of the ping with its payload, in any order; that one which names a later ping answers
/// the pings before it; and that a ping without a time is not measured.
#[test]
fn a_pong_answers_the_pings_before_it() {
    let start = Instant::now();
    let mut connection = plain(start);
    connection.ping(b"untimed").unwrap();
    for (at, payload) in [(0, b"a"), (10, b"b"), (20, b"c"), (30, b"d")] {
        connection.ping_at(start + ms(at), payload).unwrap();
    }
    drop(written(&mut connection));
    read_pong(&mut connection, start + ms(40), b"untimed");
    assert_eq!(connection.latency(), None);
    read_pong(&mut connection, start + ms(45), b"a");
    assert_eq!(connection.latency(), Some(ms(45)));
    read_pong(&mut connection, start + ms(50), b"c");
    assert_eq!(connection.latency(), Some(ms(30)));
    // Answered already, by the pong of the one behind it.
    read_pong(&mut connection, start + ms(55), b"b");
    read_pong(&mut connection, start + ms(55), b"c");
    assert_eq!(connection.latency(), Some(ms(30)));
    read_pong(&mut connection, start + ms(60), b"d");
    assert_eq!(connection.latency(), Some(ms(30)));
    read_pong(&mut connection, start + ms(99), b"d");
    assert_eq!(connection.latency(), Some(ms(30)));
}

/// Proves that of pings with the same payload the first pong answers the first.
#[test]
fn pings_with_one_payload_are_answered_in_order() {
    let start = Instant::now();
    let mut connection = plain(start);
    connection.ping_at(start, b"").unwrap();
    connection.ping_at(start + ms(10), b"").unwrap();
    drop(written(&mut connection));
    read_pong(&mut connection, start + ms(15), b"");
    assert_eq!(connection.latency(), Some(ms(15)));
    read_pong(&mut connection, start + ms(30), b"");
    assert_eq!(connection.latency(), Some(ms(20)));
}

/// Proves that a pong that nobody asked for changes nothing (R-F14): none that names no ping, nor one that comes before
/// the ping that it names was taken to be written.
#[test]
fn an_unsolicited_pong_changes_nothing() {
    let start = Instant::now();
    let mut connection = plain(start);
    let id = hooks::begin_round_trip(&mut connection, start).unwrap();
    let settled = hooks::round_trips_settled(&connection);
    for payload in [&b""[..], b"x", &[0, 0, 0, 1], &[7; 125]] {
        read_pong(&mut connection, start + ms(1), payload);
    }
    assert_eq!(connection.latency(), None);
    assert_eq!(take(&mut connection, id), RoundTrip::Waiting);
    assert_eq!(hooks::round_trips_settled(&connection), settled);
    let _writing = connection.take_outgoing(usize::MAX);
    for payload in [&b""[..], b"x", &[0, 0, 0, 2]] {
        read_pong(&mut connection, start + ms(2), payload);
    }
    assert_eq!(take(&mut connection, id), RoundTrip::Waiting);
    // It may have been written, though nobody has said so yet.
    read_pong(&mut connection, start + ms(3), &[0, 0, 0, 1]);
    assert_eq!(take(&mut connection, id), RoundTrip::Answered(ms(3)));
    assert_eq!(told(&mut connection, start), [""; 0]);
}

/// Proves that a ping which waits behind data is not answered by the pong of a later one that went ahead of it.
#[test]
fn a_ping_that_was_overtaken_waits_for_its_own_pong() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().send_queue_limit(None), start);
    connection.send(vec![0; 10_000]).unwrap();
    let first = hooks::begin_round_trip(&mut connection, start).unwrap();
    connection.send(vec![0; 100_000]).unwrap();
    connection.outgoing().advance(1);
    // Goes to the next boundary, in front of the first.
    let second = hooks::begin_round_trip(&mut connection, start + ms(1)).unwrap();
    connection.outgoing().advance(10_004 + 6 - 1);
    read_pong(&mut connection, start + ms(5), &[0, 0, 0, 2]);
    assert_eq!(take(&mut connection, second), RoundTrip::Answered(ms(4)));
    assert_eq!(take(&mut connection, first), RoundTrip::Waiting);
    // Not written yet, so this answers something else.
    read_pong(&mut connection, start + ms(6), &[0, 0, 0, 1]);
    assert_eq!(take(&mut connection, first), RoundTrip::Waiting);
    connection.outgoing().advance(6);
    read_pong(&mut connection, start + ms(7), &[0, 0, 0, 1]);
    assert_eq!(take(&mut connection, first), RoundTrip::Answered(ms(7)));
}

/// Proves that several wait at a time, each for its own time, and that a result stays until it is taken, once.
#[test]
fn several_round_trips_are_measured_at_a_time() {
    let start = Instant::now();
    let mut connection = plain(start);
    let (first, _) = begin(&mut connection, start);
    let (second, payload) = begin(&mut connection, start + ms(10));
    let (third, last) = begin(&mut connection, start + ms(20));
    let before = hooks::round_trips_settled(&connection);
    read_pong(&mut connection, start + ms(50), &payload);
    assert_ne!(hooks::round_trips_settled(&connection), before);
    assert_eq!(take(&mut connection, third), RoundTrip::Waiting);
    read_pong(&mut connection, start + ms(60), &last);
    assert_eq!(take(&mut connection, third), RoundTrip::Answered(ms(40)));
    assert_eq!(take(&mut connection, first), RoundTrip::Answered(ms(50)));
    assert_eq!(take(&mut connection, second), RoundTrip::Answered(ms(40)));
    assert_eq!(take(&mut connection, first), RoundTrip::Closed);
    assert_eq!(connection.latency(), Some(ms(40)));
}

/// Proves that our own pings get payloads that no other ping on its way has, whatever an application chose.
#[test]
fn a_payload_of_an_application_does_not_collide() {
    let start = Instant::now();
    let mut connection = plain(start);
    for number in [2_u32, 3, 4] {
        let payload = number.to_be_bytes();
        connection.ping_at(start, &payload).unwrap();
    }
    drop(written(&mut connection));
    let (id, payload) = begin(&mut connection, start + ms(1));
    assert_eq!(payload, [0, 0, 0, 5]);
    read_pong(&mut connection, start + ms(2), &[0, 0, 0, 4]);
    assert_eq!(take(&mut connection, id), RoundTrip::Waiting);
    read_pong(&mut connection, start + ms(3), &payload);
    assert_eq!(take(&mut connection, id), RoundTrip::Answered(ms(2)));
}

/// Proves that a wait ends after the `pong_timeout`, that the connection goes on if anything else arrives, and that a
/// late pong answers nobody.
#[test]
fn a_round_trip_times_out() {
    let start = Instant::now();
    let config = ConnectionConfig::new()
        .keepalive_interval(None)
        .pong_timeout(seconds(3));
    let mut connection = server(config, start);
    assert_eq!(connection.poll_timeout(), None);
    let (first, payload) = begin(&mut connection, start);
    let (second, _) = begin(&mut connection, start + seconds(1));
    assert_eq!(connection.poll_timeout(), Some(start + seconds(3)));
    connection.handle_timeout(start + seconds(3));
    let timed_out = RoundTrip::TimedOut { waited: seconds(3) };
    assert_eq!(take(&mut connection, first), timed_out);
    assert_eq!(take(&mut connection, second), RoundTrip::Waiting);
    assert_eq!(connection.poll_timeout(), Some(start + seconds(4)));
    read_pong(&mut connection, start + seconds(3), &payload);
    assert_eq!(connection.latency(), None);
    connection.handle_timeout(start + seconds(4));
    assert_eq!(take(&mut connection, second), timed_out);
    assert_eq!(connection.poll_timeout(), None);
    assert!(connection.is_writable());
}

/// Proves that a wait which is forgotten has no deadline, and that its pong is measured all the same.
#[test]
fn a_round_trip_can_be_forgotten() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().keepalive_interval(None), start);
    let (id, payload) = begin(&mut connection, start);
    hooks::forget_round_trip(&mut connection, id);
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!(take(&mut connection, id), RoundTrip::Closed);
    read_pong(&mut connection, start + ms(5), &payload);
    assert_eq!(connection.latency(), Some(ms(5)));
    // One whose result was there already.
    let (id, payload) = begin(&mut connection, start);
    read_pong(&mut connection, start + ms(6), &payload);
    hooks::forget_round_trip(&mut connection, id);
    assert_eq!(take(&mut connection, id), RoundTrip::Closed);
}

/// Proves that a wait ends with the connection, however that ends, and that none begins afterwards; what was answered
/// before stays.
#[test]
fn a_round_trip_ends_with_the_connection() {
    type End = fn(&mut Connection, Instant);
    let ends: [End; 5] = [
        |connection, now| connection.close(now, None, CloseReason::EMPTY),
        |connection, now| {
            // The peer's close waits behind a message that nobody has taken.
            connection.handle_read(now, &Frame::new(0x82, "x").to(Role::Server));
            connection.handle_read(now, &Frame::new(0x88, "").to(Role::Server));
        },
        |connection, now| connection.handle_read(now, &[0xff, 0xff]),
        Connection::handle_eof,
        Connection::handle_reset,
    ];
    for end in ends {
        let start = Instant::now();
        let mut connection = plain(start);
        let (answered, payload) = begin(&mut connection, start);
        read_pong(&mut connection, start + ms(1), &payload);
        let (waiting, payload) = begin(&mut connection, start);
        end(&mut connection, start + ms(2));
        assert_eq!(take(&mut connection, waiting), RoundTrip::Closed);
        assert_eq!(take(&mut connection, answered), RoundTrip::Answered(ms(1)));
        let refused = hooks::begin_round_trip(&mut connection, start);
        assert_eq!(refused, Err(SendError::Closed));
        read_pong(&mut connection, start + ms(9), &payload);
        assert_eq!(connection.latency(), Some(ms(1)));
        assert_eq!(hooks::round_trips_settled(&connection), 0);
    }
}

/// Proves that the drafts have no latency, and that a ping with a time is refused like one without.
#[test]
fn the_drafts_have_no_latency() {
    for (role, version) in all().filter(|(_, version)| *version != Version::Rfc6455) {
        let start = Instant::now();
        let mut connection = connect(role, version, ConnectionConfig::new(), start);
        let refused = connection.ping_at(start, b"").unwrap_err();
        assert_eq!(Err(refused.clone()), connection.ping(b""));
        assert_eq!(
            hooks::begin_round_trip(&mut connection, start),
            Err(refused)
        );
        assert_eq!(connection.latency(), None);
    }
}

/// Proves that a peer which never answers makes nothing grow: at most 64 pings are remembered, of which those stay that
/// somebody waits for; and that a ping is as measured as before once the peer answers.
#[test]
fn pings_without_a_pong_are_limited() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().keepalive_interval(None), start);
    let (awaited, _) = begin(&mut connection, start);
    for number in 0..200_u8 {
        connection.ping_at(start, &[number]).unwrap();
        drop(written(&mut connection));
    }
    // The oldest were forgotten, and the newest were not.
    read_pong(&mut connection, start + ms(1), &[100]);
    assert_eq!(connection.latency(), None);
    assert_eq!(take(&mut connection, awaited), RoundTrip::Waiting);
    read_pong(&mut connection, start + ms(2), &[199]);
    assert_eq!(connection.latency(), Some(ms(2)));
    assert_eq!(
        take(&mut connection, awaited),
        RoundTrip::Answered(ms(2)),
        "it went out before"
    );

    let waits: Vec<_> = (0..64).map(|_| begin(&mut connection, start)).collect();
    let limit = 64;
    let refused = hooks::begin_round_trip(&mut connection, start);
    assert_eq!(refused, Err(SendError::TooManyPings { limit }));
    // Not remembered, and sent all the same.
    connection.ping_at(start, b"one more").unwrap();
    assert_eq!(written(&mut connection).len(), 2 + 8);
    let (id, payload) = &waits[63];
    read_pong(&mut connection, start + ms(3), payload);
    assert_eq!(take(&mut connection, *id), RoundTrip::Answered(ms(3)));
    // The results that nobody takes count, too.
    assert!(hooks::begin_round_trip(&mut connection, start).is_ok());
    assert!(hooks::begin_round_trip(&mut connection, start).is_err());
}

/// Proves that a pong is an event like before, measured or not, with the payload that the ping had.
#[test]
fn pongs_are_still_events() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().control_events(true), start);
    let (_, payload) = begin(&mut connection, start);
    connection.handle_read(start, &Frame::new(0x81, "one").to(Role::Server));
    read_pong(&mut connection, start, &payload);
    read_pong(&mut connection, start, b"unsolicited");
    assert_eq!(
        told(&mut connection, start),
        ["text:one", "pong:\\x00\\x00\\x00\\x01", "pong:unsolicited"]
    );
}

/// Proves that time which goes backwards is no time, and that no time is too long.
#[test]
fn any_time_can_be_told() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().keepalive_interval(None), start);
    connection.ping_at(start + seconds(5), b"a").unwrap();
    drop(written(&mut connection));
    read_pong(&mut connection, start + seconds(4), b"a");
    assert_eq!(connection.latency(), Some(Duration::ZERO));
    connection.ping_at(start, b"a").unwrap();
    drop(written(&mut connection));
    read_pong(&mut connection, start + seconds(1_000_000), b"a");
    assert!(connection.latency() > Some(seconds(3600)));
}
