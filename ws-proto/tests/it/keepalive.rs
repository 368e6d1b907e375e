//! Keepalive: a silent peer is pinged, a dead one is found. Time is an argument, so hours pass at
//! once.

use std::time::{Duration, Instant};

use ws_proto::{CloseReason, Connection, ConnectionConfig, Randomness, Role, State, Version};
use ws_testing::connections::{Frame, close_frame, connect, seconds, told, written};

const VERSION: Version = Version::Rfc6455;

/// A server that has all the time there is to write, and for a message to come; what becomes of that is in `stall.rs`
/// and `unfinished.rs`.
fn server(config: ConnectionConfig, now: Instant) -> Connection {
    let off: Option<Duration> = None;
    let config = config.stall_timeout(off).message_timeout(off);
    connect(Role::Server, VERSION, config, now)
}

/// A ping of the keepalive: its payload is its number.
fn ping(number: u32) -> Vec<u8> {
    Frame::new(0x89, number.to_be_bytes()).bytes()
}

/// Goes to the next deadline and past it; returns it.
fn pass(connection: &mut Connection) -> Instant {
    let deadline = connection.poll_timeout().expect("a deadline is set");
    connection.handle_timeout(deadline);
    deadline
}

/// Proves that a peer that vanished is found 40 s after its last byte with the defaults: a ping
/// after 20 s, the end after 20 s more, told to the peer as 1011; and that the stream is given up
/// when the close timeout has passed, too.
#[test]
fn a_vanished_peer_is_gone_after_forty_seconds() {
    for role in [Role::Server, Role::Client] {
        let start = Instant::now();
        let mut connection = connect(role, VERSION, ConnectionConfig::new(), start);
        let mask = |key| (role == Role::Client).then_some(key);

        assert_eq!(pass(&mut connection), start + seconds(20));
        let ping = Frame {
            mask: mask([1, 2, 3, 4]),
            ..Frame::new(0x89, [0, 0, 0, 1])
        };
        assert_eq!(written(&mut connection), ping.bytes());
        assert_eq!(connection.state(), State::Connected);

        let gone = pass(&mut connection);
        assert_eq!(gone, start + seconds(40));
        assert_eq!(
            told(&mut connection, gone),
            ["closed:1006 \"\" clean=false by=Local Failed(PongTimeout { waited: 20s })"]
        );
        let close = Frame {
            mask: mask([5, 6, 7, 8]),
            ..close_frame(1011, "")
        };
        assert_eq!(written(&mut connection), close.bytes());
        assert!(connection.wants_shutdown() && !connection.is_finished());

        // Who is dead is not waited for.
        assert_eq!(pass(&mut connection), start + seconds(40));
        assert!(connection.is_finished());
        assert_eq!(connection.poll_timeout(), None);
    }
}

/// Proves that any byte is a sign of life, not only a pong: after each one the silence is counted
/// anew, before a ping and after it.
#[test]
fn any_byte_is_a_sign_of_life() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new(), start);
    let message = Frame::new(0x82, [0; 100]).to(Role::Server);
    let mut now = start;
    // One byte of a long frame every 15 s: no ping is due.
    for byte in &message[..50] {
        now += seconds(15);
        connection.handle_timeout(now);
        connection.handle_read(now, std::slice::from_ref(byte));
        assert_eq!(written(&mut connection), b"", "nobody is pinged who talks");
    }
    // One byte 19 s after each ping: no pong is missed.
    for (number, byte) in (1..).zip(&message[50..80]) {
        let pinged = now + seconds(20);
        connection.handle_timeout(pinged);
        assert_eq!(written(&mut connection), ping(number));
        now = pinged + seconds(19);
        connection.handle_timeout(now);
        connection.handle_read(now, std::slice::from_ref(byte));
    }
    connection.handle_timeout(now + seconds(19));
    assert_eq!(written(&mut connection), b"");
    assert_eq!(told(&mut connection, now), [""; 0]);
    assert_eq!(connection.state(), State::Connected);
}

/// Proves that a read of nothing proves no life.
#[test]
fn an_empty_read_is_no_sign_of_life() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new(), start);
    connection.handle_read(start + seconds(19), b"");
    connection.handle_timeout(start + seconds(20));
    assert_eq!(written(&mut connection), ping(1));
    connection.handle_read(start + seconds(39), b"");
    connection.handle_timeout(start + seconds(40));
    assert!(told(&mut connection, start + seconds(40))[0].contains("PongTimeout"));
}

/// Proves that pinging goes on for as long as the peer answers, and that one lost answer ends it.
#[test]
fn pinging_goes_on_while_the_peer_answers() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new(), start);
    let mut now = start;
    for number in 1..=1000_u32 {
        let pinged = pass(&mut connection);
        assert_eq!(pinged, now + seconds(20));
        assert_eq!(written(&mut connection), ping(number));
        now = pinged + seconds(1);
        let pong = Frame::new(0x8a, number.to_be_bytes());
        connection.handle_read(now, &pong.to(Role::Server));
    }
    assert_eq!(pass(&mut connection), now + seconds(20));
    assert_eq!(pass(&mut connection), now + seconds(40));
    assert!(told(&mut connection, now)[0].contains("PongTimeout"));
}

/// Proves what each option means when it is `None` or something else.
#[test]
fn waits_can_be_set_and_turned_off() {
    let off: Option<Duration> = None;
    let start = Instant::now();

    let mut connection = server(ConnectionConfig::new().keepalive_interval(off), start);
    assert_eq!(connection.poll_timeout(), None);
    connection.handle_timeout(start + seconds(1_000_000));
    assert_eq!(written(&mut connection), b"");

    // Pings go on, as something between us and the peer may need them, but nothing is expected.
    let mut connection = server(ConnectionConfig::new().pong_timeout(off), start);
    for count in 1..=10_u32 {
        assert_eq!(pass(&mut connection), start + seconds(20) * count);
        assert_eq!(written(&mut connection), ping(count));
    }
    assert_eq!(connection.state(), State::Connected);

    let config = ConnectionConfig::new()
        .keepalive_interval(seconds(3))
        .pong_timeout(seconds(5));
    let mut connection = server(config, start);
    assert_eq!(pass(&mut connection), start + seconds(3));
    assert_eq!(pass(&mut connection), start + seconds(8));
    assert!(told(&mut connection, start)[0].contains("PongTimeout { waited: 5s }"));
}

/// Proves that waits of zero cannot keep a call: one call does at most one of each thing.
#[test]
fn waits_of_zero_end() {
    let start = Instant::now();
    let off: Option<Duration> = None;
    let config = ConnectionConfig::new()
        .keepalive_interval(Duration::ZERO)
        .pong_timeout(off);
    let mut connection = server(config, start);
    connection.handle_timeout(start);
    assert_eq!(written(&mut connection), ping(1));

    let config = ConnectionConfig::new().keepalive_interval(Duration::ZERO);
    let mut connection = server(config.pong_timeout(Duration::ZERO), start);
    connection.handle_timeout(start);
    assert!(told(&mut connection, start)[0].contains("PongTimeout"));
}

/// Proves that the drafts, which have no ping, have no deadline while they are open.
#[test]
fn the_drafts_are_not_pinged() {
    for version in [Version::Draft75, Version::Draft76] {
        for role in [Role::Server, Role::Client] {
            let start = Instant::now();
            let mut connection = connect(role, version, ConnectionConfig::new(), start);
            connection.handle_read(start, b"\0Hello\xff");
            assert_eq!(connection.poll_timeout(), None);
            connection.handle_timeout(start + seconds(1_000_000));
            assert_eq!(told(&mut connection, start), ["text:Hello"]);
            assert_eq!(written(&mut connection), b"");
        }
    }
}

/// Proves that a call before the deadline does nothing, and a late one what is due.
#[test]
fn time_may_be_told_early_or_late() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new(), start);
    connection.handle_timeout(start + seconds(20) - Duration::from_nanos(1));
    assert_eq!(written(&mut connection), b"");
    connection.handle_timeout(start + seconds(1000));
    assert_eq!(
        written(&mut connection),
        ping(1),
        "one ping, and its pong is awaited from now on"
    );
    connection.handle_timeout(start + seconds(1020) - Duration::from_nanos(1));
    assert_eq!(connection.state(), State::Connected);
    connection.handle_timeout(start + seconds(1020));
    assert_eq!(connection.state(), State::Closing);
}

/// Proves that keepalive ends when the closing handshake begins: what is awaited then is the peer's
/// close.
#[test]
fn a_closing_connection_is_not_pinged() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().close_timeout(seconds(1000)), start);
    connection.close(start + seconds(5), None, CloseReason::EMPTY);
    assert_eq!(written(&mut connection), hex_close());
    assert_eq!(connection.poll_timeout(), Some(start + seconds(1005)));
    connection.handle_timeout(start + seconds(500));
    assert_eq!(written(&mut connection), b"");

    let mut connection = server(ConnectionConfig::new().close_timeout(seconds(1000)), start);
    connection.handle_timeout(start + seconds(20));
    assert_eq!(written(&mut connection), ping(1));
    connection.handle_read(start + seconds(30), &Frame::new(0x88, "").to(Role::Server));
    assert_eq!(told(&mut connection, start).len(), 1);
    assert_eq!(connection.poll_timeout(), Some(start + seconds(1030)));
    connection.handle_timeout(start + seconds(500));
    assert_eq!(written(&mut connection), hex_close());
}

fn hex_close() -> Vec<u8> {
    Frame::new(0x88, "").bytes()
}

/// Proves that a peer is not blamed for what this side does not read: while the receive queue is
/// full nothing is read, so no pong can arrive. Once reading goes on, silence counts again.
#[test]
fn a_peer_is_not_failed_while_nothing_is_read() {
    let start = Instant::now();
    let mut connection = server(ConnectionConfig::new().receive_queue_limit(100), start);
    connection.handle_read(start, &Frame::new(0x82, [0; 100]).to(Role::Server));
    assert!(!connection.wants_read());
    let mut now = pass(&mut connection);
    assert_eq!(written(&mut connection), ping(1));
    for _ in 0..100 {
        now = pass(&mut connection);
    }
    assert!(now >= start + seconds(1000));
    assert_eq!(connection.state(), State::Connected);
    assert_eq!(
        written(&mut connection),
        b"",
        "once is enough while it is not read"
    );

    assert_eq!(told(&mut connection, now).len(), 1);
    assert!(connection.wants_read());
    assert_eq!(pass(&mut connection), now + seconds(20));
    assert_eq!(
        connection.state(),
        State::Connected,
        "its pong may be among what can be read now"
    );
    assert_eq!(pass(&mut connection), now + seconds(40));
    assert!(told(&mut connection, now)[0].contains("PongTimeout"));
}

/// Proves that a transport that takes nothing is no better because nothing is read: the application may
/// wait for room to send, and would for ever. One that takes a little is excused.
#[test]
fn a_transport_that_takes_nothing_is_failed_although_nothing_is_read() {
    for written in [0, 1] {
        let start = Instant::now();
        let mut connection = server(ConnectionConfig::new().receive_queue_limit(100), start);
        connection.handle_read(start, &Frame::new(0x82, [0; 100]).to(Role::Server));
        assert!(!connection.wants_read());
        assert_eq!(pass(&mut connection), start + seconds(20));
        let _taken = connection.take_outgoing(usize::MAX);
        connection.handle_written(written);
        assert_eq!(pass(&mut connection), start + seconds(40));
        let is_excused = written > 0;
        assert_eq!(connection.state() == State::Connected, is_excused);
        if is_excused {
            assert_eq!(pass(&mut connection), start + seconds(60));
        }
        let told = told(&mut connection, start);
        assert!(told[1].contains("PongTimeout"), "{told:?}");
    }
}

/// Proves that a wait of zero for the pong is one: it is over when the ping is queued, and does not run
/// out again and again while nothing is read.
#[test]
fn a_pong_timeout_of_zero_fails_a_silent_peer_at_once() {
    for reads in [true, false] {
        let start = Instant::now();
        let config = ConnectionConfig::new()
            .receive_queue_limit(if reads { 1000 } else { 100 })
            .pong_timeout(Some(seconds(0)));
        let mut connection = server(config, start);
        connection.handle_read(start, &Frame::new(0x82, [0; 100]).to(Role::Server));
        assert_eq!(connection.wants_read(), reads);
        assert_eq!(pass(&mut connection), start + seconds(20));
        assert!(told(&mut connection, start)[1].contains("PongTimeout"));
    }
}

/// Proves that a peer that slowly drains a full transport is not taken for dead, as the ping waits
/// behind what it drains; and that it is once it stops.
#[test]
fn a_peer_that_drains_slowly_is_alive() {
    let mut now = Instant::now();
    let config = ConnectionConfig::new().send_queue_limit(None);
    let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
    connection.send(vec![0; 1 << 20]).unwrap();
    let _taken = connection.take_outgoing(usize::MAX);
    for _ in 0..10 {
        now += seconds(20);
        connection.handle_timeout(now);
        assert_eq!(told(&mut connection, now), [""; 0]);
        connection.handle_written(1000);
    }
    for _ in 0..2 {
        now += seconds(20);
        connection.handle_timeout(now);
    }
    assert!(told(&mut connection, now)[0].contains("PongTimeout"));
}

/// Random enough to spread timers, and the same in every run.
struct Drawn(u32);

impl Randomness for Drawn {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// Proves that the pings of 1,500 connections that one broadcast aligned are spread over 5 s with the defaults, time
/// after time: no second has more than 400 of them, nor any quarter of one more than 110. Without
/// `spread_keepalive` all would be in one moment.
#[test]
fn pings_that_one_event_aligned_are_spread() {
    const COUNT: usize = 1500;
    let start = Instant::now();
    let mut drawn = Drawn(1);
    let mut connections: Vec<_> = (0..COUNT)
        .map(|_| {
            let mut connection = server(ConnectionConfig::new(), start);
            connection.spread_keepalive(&mut drawn);
            connection
        })
        .collect();
    let answer = Frame::new(0x81, "heard").to(Role::Server);
    let pong = Frame::new(0x8a, "").to(Role::Server);
    let quarter = Duration::from_millis(250);
    for broadcast_at in [0, 70, 170] {
        let broadcast_at = start + seconds(broadcast_at);
        for connection in &mut connections {
            connection.handle_timeout(broadcast_at);
            drop(written(connection));
            connection.handle_read(broadcast_at, &answer);
        }
        // Three rounds, in each of which every peer answers at once.
        for round in 1..=3 {
            let mut pinged_at: Vec<_> = connections
                .iter_mut()
                .map(|connection| {
                    let mut at = broadcast_at;
                    while !written(connection).starts_with(&[0x89, 4]) {
                        at = pass(connection);
                    }
                    connection.handle_read(at, &pong);
                    at - broadcast_at
                })
                .collect();
            pinged_at.sort();
            let (first, last) = (pinged_at[0], pinged_at[COUNT - 1]);
            assert!(first >= seconds(15) * round && last <= seconds(20) * round);
            assert!(
                last - first > Duration::from_millis(4500),
                "{first:?} {last:?}"
            );
            let most_within = |wait: Duration| {
                let from = |at: &Duration| {
                    pinged_at
                        .iter()
                        .filter(|other| (*at..*at + wait).contains(*other))
                        .count()
                };
                pinged_at.iter().map(from).max().unwrap()
            };
            assert!(most_within(seconds(1)) < 400, "{}", most_within(seconds(1)));
            assert!(most_within(quarter) < 110, "{}", most_within(quarter));
        }
        for connection in &mut connections {
            drop(told(connection, broadcast_at));
        }
    }
}

/// Proves that the interval is never longer than the option says, nor shorter than three quarters of it, whatever is drawn
/// and whatever the option is; and that a draft has no ping to spread.
#[test]
fn what_is_drawn_takes_off_a_quarter_at_most() {
    struct Always(u8);
    impl Randomness for Always {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }
    let start = Instant::now();
    for interval in [
        Duration::ZERO,
        Duration::from_nanos(5),
        seconds(20),
        seconds(1 << 30),
    ] {
        for drawn in [0, 1, 128, 255] {
            let config = ConnectionConfig::new().keepalive_interval(interval);
            let mut connection = server(config, start);
            connection.spread_keepalive(&mut Always(drawn));
            let wait = connection.poll_timeout().unwrap() - start;
            assert!(wait <= interval && wait >= interval / 4 * 3, "{wait:?}");
        }
    }
    let config = ConnectionConfig::new();
    let mut connection = connect(Role::Server, Version::Draft76, config, start);
    connection.spread_keepalive(&mut Always(255));
    assert_eq!(connection.poll_timeout(), None);
}
