//! Unfinished messages: one that began and does not go on ends its connection in time, whatever else arrives. Time is an
//! argument, so minutes pass at once.

use std::time::{Duration, Instant};

use ws_proto::{CloseCause, CloseCode, Connection, ConnectionConfig, ProtocolError, Role, Version};
use ws_testing::connections::{Frame, all, connect, events, seconds, written};

const VERSION: Version = Version::Rfc6455;

/// The beginning of a message, 100 bytes of content.
fn beginning(role: Role, version: Version) -> Vec<u8> {
    match version {
        Version::Rfc6455 => Frame::new(0x01, [b'a'; 100]).to(role),
        Version::Draft75 | Version::Draft76 => [&b"\0"[..], &[b'a'; 100]].concat(),
    }
}

/// Lets time pass in steps of a second; tells when the connection was failed, and why. Each step takes what happened,
/// writes, and tells the time if a deadline has come, as a driver does.
fn time_of_failure(
    connection: &mut Connection,
    start: Instant,
    most: u64,
    mut each_second: impl FnMut(&mut Connection, u64, Instant),
) -> Option<(u64, ProtocolError)> {
    for second in 0..=most {
        let now = start + seconds(second);
        each_second(connection, second, now);
        drop(events(connection, now));
        written(connection);
        let deadline = connection.poll_timeout();
        if deadline.is_some_and(|deadline| deadline <= now) {
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

/// A peer that answers each ping and sends nothing else.
fn pong(connection: &mut Connection, second: u64, now: Instant) {
    if connection.version() == VERSION && second % 10 == 0 {
        let role = connection.role();
        connection.handle_read(now, &Frame::new(0x8a, b"").to(role));
    }
}

/// Proves that a message that began and does not go on fails the connection after 60 s with the defaults, in every version
/// and both roles, while pongs come; and what the peer and the application are told.
#[test]
fn a_message_that_does_not_go_on_fails_after_the_message_timeout() {
    for (role, version) in all() {
        let start = Instant::now();
        let config = ConnectionConfig::new();
        let mut connection = connect(role, version, config, start);
        connection.handle_read(start, &beginning(role, version));
        let failure = time_of_failure(&mut connection, start, 200, pong);
        let (waited, received) = (seconds(60), 100);
        let error = ProtocolError::MessageStalled { waited, received };
        assert_eq!(failure, Some((60, error.clone())), "{role:?} {version}");
        assert_eq!(error.close_code(), CloseCode::POLICY);
        assert_eq!(
            error.to_string(),
            "a message is incomplete after 100 bytes, and fewer than 4096 of them arrived in \
             the last 60s (option message_timeout)"
        );
        let sent = written(&mut connection);
        match version {
            Version::Rfc6455 => assert_eq!(sent[0], 0x88),
            Version::Draft76 => assert_eq!(sent, b"\xff\x00"),
            Version::Draft75 => assert_eq!(sent, b""),
        }
    }
}

/// Proves the same for what a few compressed bytes hold: 1 KiB sent becomes more than 1,000 KiB held.
#[cfg(feature = "deflate")]
#[test]
fn a_compressed_message_that_does_not_go_on_fails_too() {
    let start = Instant::now();
    let options = ws_proto::Deflate::new();
    let mut offer = http::HeaderMap::new();
    offer.insert("sec-websocket-extensions", options.offer().parse().unwrap());
    let terms = options.accept(&offer).unwrap();
    let connection = connect(Role::Server, VERSION, ConnectionConfig::new(), start);
    let mut connection = connection.with_deflate(&terms);
    let bomb = ws_testing::zlib::Deflater::new(15, true).compress(&vec![0; 1 << 20]);
    assert!(bomb.len() < 1100);
    let bytes = Frame::new(0x42, &bomb).to(Role::Server);
    connection.handle_read(start, &bytes);
    let failure = time_of_failure(&mut connection, start, 200, pong);
    let received = u64::try_from(bomb.len()).unwrap();
    let waited = seconds(60);
    let error = ProtocolError::MessageStalled { waited, received };
    assert_eq!(failure, Some((60, error)));
}

/// Proves what progress is: 4 KiB in each minute keep a message alive for as long as it takes, fewer do not, and pings,
/// pongs and empty fragments are none.
#[test]
fn a_slow_message_lives_while_4_kib_of_it_come_in_a_minute() {
    let seen = |len: usize, count: usize, frame: u8| {
        let start = Instant::now();
        let config = ConnectionConfig::new().fragment_limit(None);
        let mut connection = connect(Role::Server, VERSION, config, start);
        connection.handle_read(start, &beginning(Role::Server, VERSION));
        time_of_failure(&mut connection, start, 1000, |connection, second, now| {
            if second % 10 == 5 {
                let bytes = Frame::new(frame, vec![b'a'; len]).to(Role::Server);
                (0..count).for_each(|_| connection.handle_read(now, &bytes));
            }
        })
        .map(|(second, _)| second)
    };
    assert_eq!(seen(683, 1, 0x00), None, "6 times 683 are 4098");
    assert_eq!(seen(682, 1, 0x00), Some(60), "6 times 682 are 4092");
    assert_eq!(seen(0, 100, 0x00), Some(60));
    assert_eq!(seen(125, 100, 0x89), Some(60));
    assert_eq!(seen(125, 100, 0x8a), Some(60));
}

/// Proves that a message is given its own time: one that began late in the lap of another one is not held to that
/// lap, and is failed within twice the timeout.
#[test]
fn each_message_has_its_own_time() {
    let start = Instant::now();
    let mut connection = connect(Role::Server, VERSION, ConnectionConfig::new(), start);
    connection.handle_read(start, &beginning(Role::Server, VERSION));
    let end = Frame::new(0x80, b"").to(Role::Server);
    let failure = time_of_failure(&mut connection, start, 1000, |connection, second, now| {
        pong(connection, second, now);
        // For ten minutes each message goes on into the next one: there is always one that is not whole.
        if second < 600 && second % 7 == 6 {
            connection.handle_read(now, &[&end[..], &beginning(Role::Server, VERSION)].concat());
        }
    });
    let second = failure.unwrap().0;
    // The last one began at 594 s.
    assert!((654..=714).contains(&second), "{second}");
}

/// Proves that nothing is held against a peer while it is we who do not read.
#[test]
fn a_time_in_which_nothing_is_read_does_not_count() {
    let start = Instant::now();
    let config = ConnectionConfig::new().receive_queue_limit(100);
    let mut connection = connect(Role::Server, VERSION, config, start);
    let whole = Frame::new(0x81, [b'a'; 200]).to(Role::Server);
    connection.handle_read(start, &whole);
    // What is over the limit waits as bytes, so that the message begins with the queue at its limit.
    connection.handle_read(start, &beginning(Role::Server, VERSION));
    assert!(!connection.wants_read());
    for second in 0..600 {
        let now = start + seconds(second);
        if connection
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            connection.handle_timeout(now);
        }
        written(&mut connection);
        // A peer that is not read from is not taken for dead.
        assert_eq!(connection.closed(), None, "{second} s");
    }
    let start = start + seconds(600);
    let failure = time_of_failure(&mut connection, start, 300, pong);
    assert!((60..=120).contains(&failure.unwrap().0));
}

/// Proves what is not watched: messages that are given out in parts, as nothing is held; connections without the option;
/// and those between two messages, which have no other deadline than before.
#[test]
fn what_holds_nothing_is_not_watched() {
    const NEVER: Option<Duration> = None;
    for (role, version) in all() {
        let start = Instant::now();
        for config in [
            ConnectionConfig::new().message_timeout(NEVER),
            ConnectionConfig::new().receive_fragments(true),
        ] {
            // A client of a draft mends text, so it holds a message until it is whole.
            if config != ConnectionConfig::new().message_timeout(NEVER)
                && role == Role::Client
                && version != VERSION
            {
                continue;
            }
            let mut connection = connect(role, version, config, start);
            connection.handle_read(start, &beginning(role, version));
            assert_eq!(time_of_failure(&mut connection, start, 1000, pong), None);
        }
        let config = ConnectionConfig::new().keepalive_interval(NEVER);
        let mut connection = connect(role, version, config, start);
        assert_eq!(connection.poll_timeout(), None);
        let whole = match version {
            Version::Rfc6455 => Frame::new(0x81, [b'a'; 100]).to(role),
            Version::Draft75 | Version::Draft76 => b"\0aaaa\xff".to_vec(),
        };
        connection.handle_read(start, &whole);
        assert_eq!(connection.poll_timeout(), None);
    }
}
