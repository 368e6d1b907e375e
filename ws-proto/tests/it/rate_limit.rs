//! The limit of what a peer may send in a second (X18): what is counted, that it makes a peer wait or closes, and that
//! the chopping of reads changes neither.

use std::time::{Duration, Instant};

use ws_proto::{
    CloseCause, ConfigError, Connection, ConnectionConfig, Event, Initiator, ProtocolError, Rate,
    RateExcess, RateLimit, Role, State, Version,
};

use ws_testing::connections::{Frame, all, connect, describe, events, written};

const SECOND: Duration = Duration::from_secs(1);

fn limited(limit: RateLimit) -> ConnectionConfig {
    ConnectionConfig::new()
        .receive_rate_limit(limit)
        .control_events(true)
}

fn server(limit: RateLimit, now: Instant) -> Connection {
    connect(Role::Server, Version::Rfc6455, limited(limit), now)
}

fn text(content: &str) -> Vec<u8> {
    Frame::new(0x81, content.as_bytes()).to(Role::Server)
}

fn ping() -> Vec<u8> {
    Frame::new(0x89, b"p").to(Role::Server)
}

/// Hands bytes in as a driver does: the rest once the connection wants it, with the timer in between. Returns the
/// events with the time at which each came.
fn paced(connection: &mut Connection, start: Instant, bytes: &[u8]) -> Vec<(Duration, String)> {
    let (mut now, mut rest, mut seen) = (start, bytes, Vec::new());
    for _ in 0..1000 {
        if connection.wants_read() && !rest.is_empty() {
            let taken = connection.handle_read_some(now, rest);
            assert!(taken > 0, "it wants to read, so it takes something");
            rest = &rest[taken..];
        } else if rest.is_empty() {
            return seen;
        } else {
            now = now.max(connection.poll_timeout().expect("a wait has an end"));
            connection.handle_timeout(now);
        }
        for event in events(connection, now) {
            seen.push((now - start, describe(&event)));
        }
    }
    panic!("it does not come to an end: {connection:?}")
}

/// A burst is delivered at once, and the rest at the rate; nothing is lost, in any version and for both roles.
#[test]
fn a_peer_that_sends_too_much_waits() {
    for (role, version) in all() {
        let now = Instant::now();
        let limit = RateLimit::new().messages(Rate::per_second(4).burst(2));
        let mut connection = connect(role, version, limited(limit), now);
        let message = match version {
            Version::Rfc6455 => Frame::new(0x81, b"a").to(role),
            Version::Draft75 | Version::Draft76 => b"\0a\xff".to_vec(),
        };
        let seen = paced(&mut connection, now, &message.repeat(6));
        let quarters: Vec<_> = seen.iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(quarters, [0, 0, 250, 500, 750, 1000], "{role:?} {version}");
        assert!(seen.iter().all(|(_, event)| event == "text:a"), "{seen:?}");
        // What comes after a rest finds a full bucket.
        let later = now + 10 * SECOND;
        connection.handle_timeout(later);
        let seen = paced(&mut connection, later, &message.repeat(2));
        assert!(seen.iter().all(|(at, _)| at.is_zero()), "{seen:?}");
    }
}

/// Nothing but a deadline ends the wait, and it ends once: no caller spins.
#[test]
fn a_wait_has_one_deadline_and_no_other_work() {
    let now = Instant::now();
    let limit = RateLimit::new().messages(Rate::per_second(1).burst(1));
    let mut connection = server(limit, now);
    let two = text("a").repeat(2);
    let taken = connection.handle_read_some(now, &two);
    assert_eq!(taken, two.len() / 2);
    assert!(!connection.wants_read());
    assert_eq!(connection.poll_timeout(), Some(now + SECOND));
    // A caller that hands in more all the same gets it back.
    assert_eq!(connection.handle_read_some(now, &two[taken..]), 0);
    connection.handle_timeout(now + SECOND / 2);
    assert!(!connection.wants_read());
    connection.handle_timeout(now + SECOND);
    assert!(connection.wants_read());
    assert!(connection.poll_timeout() > Some(now + SECOND));
}

/// A message that is longer than the burst passes, and is paid for afterwards: it neither fails nor waits for ever.
#[test]
fn a_message_longer_than_the_burst_takes_the_bucket_below_zero() {
    let now = Instant::now();
    let limit = RateLimit::new().bytes(Rate::per_second(100).burst(10));
    let mut connection = server(limit, now);
    let bytes = [text(&"x".repeat(110)), text("y")].concat();
    let seen = paced(&mut connection, now, &bytes);
    let times: Vec<_> = seen.iter().map(|(at, _)| at.as_millis()).collect();
    // 100 bytes of debt and the token for the next one.
    assert_eq!(times, [0, 1010]);
}

/// With [`RateExcess::Close`] the first message beyond the burst fails the connection with 1008, and what came before
/// it is delivered. The error names the option.
#[test]
fn what_is_too_much_closes_with_1008() {
    let now = Instant::now();
    let limit = RateLimit::new()
        .messages(Rate::per_second(5).burst(3))
        .excess(RateExcess::Close);
    let config = limited(limit).close_reasons(true);
    let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
    connection.handle_read(now, &text("a").repeat(9));
    let seen = events(&mut connection, now);
    assert_eq!(seen.len(), 4, "{seen:?}");
    let Some(Event::Closed(closed)) = seen.last() else {
        panic!("{seen:?}")
    };
    let error = ProtocolError::RateLimited {
        counted: "messages and control frames",
        per_second: 5,
        burst: 3,
    };
    assert_eq!(closed.by, Initiator::Local);
    assert_eq!(closed.cause, CloseCause::Failed(error.clone()));
    assert_eq!(
        error.to_string(),
        "more messages and control frames arrived than the rate limit allows: 5 a second, and 3 at once \
         (option receive_rate_limit)"
    );
    let sent = written(&mut connection);
    assert_eq!(sent[2..4], 1008_u16.to_be_bytes());
    assert_eq!(sent[4..], error.to_string().as_bytes()[..]);
}

/// A flood of pings (X18) is met like one of messages: with a wait, or with 1008.
#[test]
fn a_flood_of_pings_is_limited() {
    let now = Instant::now();
    let rate = RateLimit::new().messages(Rate::per_second(10).burst(5));
    let mut waits = server(rate, now);
    let seen = paced(&mut waits, now, &ping().repeat(15));
    assert_eq!(seen.last().map(|(at, _)| *at), Some(SECOND));
    assert_eq!(waits.pings_received(), 15);

    let mut closes = server(rate.excess(RateExcess::Close), now);
    closes.handle_read(now, &ping().repeat(15));
    assert_eq!(closes.pings_received(), 5);
    assert_eq!(closes.state(), State::Closing);
    // Pongs that nobody asked for are the same flood.
    let mut closes = server(rate.excess(RateExcess::Close), now);
    closes.handle_read(
        now,
        &Frame::new(0x8a, Vec::new()).to(Role::Server).repeat(6),
    );
    assert_eq!(closes.state(), State::Closing);
}

/// The answers to our pings and a close are free: a peer must send them.
#[test]
fn what_a_peer_has_to_send_is_free() {
    let now = Instant::now();
    let limit = RateLimit::new()
        .messages(Rate::per_second(1).burst(1))
        .excess(RateExcess::Close);
    let mut connection = server(limit, now);
    connection.handle_read(now, &text("a"));
    for _ in 0..3 {
        connection.ping(b"x").unwrap();
        drop(written(&mut connection));
        connection.handle_read(now, &Frame::new(0x8a, b"x").to(Role::Server));
    }
    assert_eq!(connection.state(), State::Connected);
    connection.handle_read(
        now,
        &Frame::new(0x88, 1000_u16.to_be_bytes()).to(Role::Server),
    );
    let seen = events(&mut connection, now);
    let Some(Event::Closed(closed)) = seen.last() else {
        panic!("{seen:?}")
    };
    assert_eq!((closed.code, closed.clean), (1000, true));
}

/// While the limit keeps us from reading, the silence of the peer proves nothing: the keepalive does not fail the
/// connection. Once we read again, it does.
#[test]
fn a_wait_excuses_silence() {
    let start = Instant::now();
    let limit = RateLimit::new().bytes(Rate::per_second(1).burst(1));
    let config = limited(limit)
        .keepalive_interval(2 * SECOND)
        .pong_timeout(SECOND);
    let mut connection = connect(Role::Server, Version::Rfc6455, config, start);
    assert!(connection.handle_read_some(start, &text(&"x".repeat(60))) > 0);
    drop(events(&mut connection, start));
    let mut resumed = None;
    for _ in 0..200 {
        drop(written(&mut connection));
        let Some(now) = connection.poll_timeout() else {
            break;
        };
        connection.handle_timeout(now);
        if connection.wants_read() && resumed.is_none() {
            resumed = Some(now - start);
            assert_eq!(connection.state(), State::Connected);
        }
        if connection.state() != State::Connected {
            let waited = now - start;
            assert_eq!(resumed, Some(60 * SECOND));
            assert!(waited > 60 * SECOND && waited <= 62 * SECOND, "{waited:?}");
            return;
        }
    }
    panic!("a peer that is gone is found: {connection:?}");
}

/// A close of ours ends the limit: the peer's answer is read at once.
#[test]
fn our_close_ends_the_wait() {
    let now = Instant::now();
    let limit = RateLimit::new().messages(Rate::per_second(1).burst(1));
    let mut connection = server(limit, now);
    assert!(connection.handle_read_some(now, &text("a")) > 0);
    assert!(!connection.wants_read());
    connection.close(now, None, ws_proto::CloseReason::EMPTY);
    assert!(connection.wants_read());
}

/// A message in fragments counts once, and its bytes as they are given out. Both policies wait within such a message.
#[test]
fn fragments_count_as_one_message() {
    for excess in [RateExcess::Wait, RateExcess::Close] {
        let now = Instant::now();
        let limit = RateLimit::new()
            .messages(Rate::per_second(1).burst(2))
            .bytes(Rate::per_second(10).burst(10))
            .excess(excess);
        let config = limited(limit).receive_fragments(true).message_limit(None);
        let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
        let frame = |first_byte| Frame::new(first_byte, vec![b'x'; 10]).to(Role::Server);
        let bytes = [frame(0x02), frame(0x00), frame(0x00), frame(0x80)].concat();
        let seen = paced(&mut connection, now, &bytes);
        let times: Vec<_> = seen.iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(times, [0, 100, 1100, 2100], "{excess:?}: {seen:?}");
        assert_eq!(connection.messages_received(), 1);
    }
}

/// A compressed message counts what comes out of it.
#[cfg(feature = "deflate")]
#[test]
fn a_compressed_message_counts_what_comes_out() {
    use ws_proto::Deflate;

    let now = Instant::now();
    let options = Deflate::new();
    let mut offer = http::HeaderMap::new();
    offer.insert("sec-websocket-extensions", options.offer().parse().unwrap());
    let limit = RateLimit::new().bytes(Rate::per_second(1000).burst(1000));
    let mut connection = server(limit, now).with_deflate(&options.accept(&offer).unwrap());
    let deflated = ws_testing::zlib::Deflater::new(15, true).compress(&[b'x'; 50_000]);
    assert!(deflated.len() < 500);
    let taken = connection.handle_read_some(now, &Frame::new(0xc2, deflated).to(Role::Server));
    assert!(taken > 0);
    assert_eq!(events(&mut connection, now).len(), 1);
    let waits = connection.poll_timeout().unwrap() - now;
    assert!(!connection.wants_read());
    // The keepalive is earlier than the end of this wait.
    assert_eq!(waits, Duration::from_secs(20));
    connection.handle_timeout(now + 49 * SECOND);
    assert!(!connection.wants_read());
    connection.handle_timeout(now + 50 * SECOND);
    assert!(connection.wants_read());
}

/// A compressed message of which nothing comes out counts what arrived, because it is work all the same; in one frame, and
/// given out in parts.
#[cfg(feature = "deflate")]
#[test]
fn a_compressed_message_counts_what_arrived_if_that_is_more() {
    use ws_proto::Deflate;

    for in_parts in [false, true] {
        let now = Instant::now();
        let options = Deflate::new();
        let mut offer = http::HeaderMap::new();
        offer.insert("sec-websocket-extensions", options.offer().parse().unwrap());
        let limit = RateLimit::new().bytes(Rate::per_second(1000).burst(1000));
        let config = limited(limit).receive_fragments(in_parts);
        let connection = connect(Role::Server, Version::Rfc6455, config, now);
        let mut connection = connection.with_deflate(&options.accept(&offer).unwrap());
        // Empty stored blocks (RFC 1951 §3.2.4); the bytes that end the message complete the last one.
        let blocks = [[0, 0, 0, 0xff, 0xff].repeat(1000), vec![0]].concat();
        let message = Frame::new(0xc2, blocks).to(Role::Server);
        assert_eq!(connection.handle_read_some(now, &message), message.len());
        drop(events(&mut connection, now));
        assert!(!connection.wants_read(), "{in_parts}");
        connection.handle_timeout(now + 4 * SECOND);
        assert!(!connection.wants_read(), "{in_parts}");
        connection.handle_timeout(now + 5 * SECOND);
        assert!(connection.wants_read(), "{in_parts}");
    }
}

/// The waits of the limit do not excuse a message that does not go on: a peer could make one in each `message_timeout`, by
/// pings, and would be held for ever.
#[test]
fn a_wait_excuses_no_unfinished_message() {
    for limit in [
        RateLimit::new().messages(Rate::per_second(1)),
        RateLimit::new().messages(Rate::per_second(20).burst(100)),
        RateLimit::new().bytes(Rate::per_second(1)),
    ] {
        for period in [1, 7, 20, 59] {
            let start = Instant::now();
            let config = limited(limit).keepalive_interval(None);
            let mut connection = connect(Role::Server, Version::Rfc6455, config, start);
            connection.handle_read(start, &Frame::new(0x01, b"begun").to(Role::Server));
            let mut second = 0;
            while connection.closed().is_none() {
                let now = start + second * SECOND;
                if second % period == 0 && connection.wants_read() {
                    connection.handle_read_some(now, &ping().repeat(101));
                }
                drop(events(&mut connection, now));
                written(&mut connection);
                if connection.poll_timeout().is_some_and(|end| end <= now) {
                    connection.handle_timeout(now);
                }
                second += 1;
                assert!(second < 1000, "{limit:?}, a ping each {period} s");
            }
            let cause = connection.closed().unwrap().cause.clone();
            let is_stalled = matches!(
                cause,
                CloseCause::Failed(ProtocolError::MessageStalled { .. })
            );
            // Two laps, and the longest wait between them.
            assert!(
                is_stalled && second <= 60 + 101 + 60,
                "{cause:?} after {second} s"
            );
        }
    }
}

/// A message whose beginning arrived before a wait has its time behind it.
#[test]
fn a_wait_gives_an_unfinished_message_its_time_again() {
    let start = Instant::now();
    let limit = RateLimit::new().bytes(Rate::per_second(1).burst(1));
    let config = limited(limit).keepalive_interval(None);
    let mut connection = connect(Role::Server, Version::Rfc6455, config, start);
    connection.handle_read(start, &Frame::new(0x01, b"begun").to(Role::Server));
    let debt = Frame::new(0x89, [b'p'; 100]).to(Role::Server);
    connection.handle_read_some(start, &debt);
    for second in 0..159 {
        let now = start + second * SECOND;
        drop(events(&mut connection, now));
        written(&mut connection);
        if connection.poll_timeout().is_some_and(|end| end <= now) {
            connection.handle_timeout(now);
        }
        assert_eq!(connection.closed(), None, "{second} s");
    }
    let now = start + 159 * SECOND;
    connection.handle_read(now, &Frame::new(0x80, b" and done").to(Role::Server));
    let seen: Vec<_> = events(&mut connection, now).iter().map(describe).collect();
    assert_eq!(seen, ["text:begun and done"]);
}

/// A message that is too much fails where it begins, whatever else is wrong with it, and however it arrives.
#[test]
fn a_message_is_judged_where_it_begins() {
    for fragments in [false, true] {
        for len in [1, 2, 6, 7, 8, 1000] {
            let now = Instant::now();
            let limit = RateLimit::new()
                .messages(Rate::per_second(1).burst(1))
                .excess(RateExcess::Close);
            let config = limited(limit)
                .receive_fragments(fragments)
                .message_limit(Some(10));
            let invalid = Frame::new(0x81, b"abc\xff").to(Role::Server);
            let too_big = Frame::new(0x81, vec![b'x'; 20]).to(Role::Server);
            for second in [invalid, too_big] {
                let mut connection = connect(Role::Server, Version::Rfc6455, config.clone(), now);
                connection.handle_read(now, &text("one"));
                for part in second.chunks(len) {
                    connection.handle_read(now, part);
                }
                let seen = events(&mut connection, now);
                assert_eq!(seen.len(), 2, "{seen:?}");
                let end = describe_end(&seen[1]);
                assert!(end.contains("RateLimited"), "{end}");
            }
        }
    }
}

/// At one time, the same bytes give the same events and answers in any portions, for both policies.
#[test]
fn chopping_changes_nothing() {
    let bytes = [
        text("one"),
        ping(),
        text(&"é".repeat(300)),
        Frame::new(0x01, b"ha").to(Role::Server),
        ping(),
        Frame::new(0x80, b"lf").to(Role::Server),
        text("two").repeat(4),
        ping().repeat(3),
    ]
    .concat();
    for burst in 1..14 {
        for excess in [RateExcess::Wait, RateExcess::Close] {
            let limit = RateLimit::new()
                .messages(Rate::per_second(1).burst(burst))
                .bytes(Rate::per_second(5).burst(burst * 60))
                .excess(excess);
            let run = |len: usize| {
                let now = Instant::now();
                let mut connection = server(limit, now);
                let mut seen = Vec::new();
                let mut sent = Vec::new();
                for part in bytes.chunks(len) {
                    connection.handle_read(now, part);
                    seen.extend(events(&mut connection, now).iter().map(describe_end));
                    sent.extend(written(&mut connection));
                }
                (seen, sent)
            };
            let whole = run(bytes.len());
            for len in [1, 2, 3, 5, 7, 64] {
                assert_eq!(run(len), whole, "{burst} {excess:?} in parts of {len}");
            }
        }
    }
}

fn describe_end(event: &Event) -> String {
    match event {
        Event::Closed(closed) => format!("{:?}", closed.cause),
        event => describe(event),
    }
}

/// A limit that no peer could meet, or that limits nothing, is refused by name.
#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let option = "receive_rate_limit";
    let zero = ConfigError::ZeroRate { option };
    let check = |limit| ConnectionConfig::new().receive_rate_limit(limit).check();
    let limit = RateLimit::new();
    assert_eq!(
        check(limit.messages(Rate::per_second(0))),
        Err(zero.clone())
    );
    assert_eq!(check(limit.bytes(Rate::per_second(1).burst(0))), Err(zero));
    let unused = check(limit).unwrap_err();
    assert!(matches!(
        unused,
        ConfigError::Unused {
            option: "receive_rate_limit",
            ..
        }
    ));
    assert_eq!(check(limit.bytes(Rate::per_second(1))), Ok(()));
}
