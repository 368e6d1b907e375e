//! Messages that arrive in parts: never more than twice what arrived, never beyond the limits, and
//! nothing once the connection has failed.

use std::time::Instant;

use ws_proto::{CloseCause, Connection, ConnectionConfig, Event, ProtocolError, Role, Version};

use super::{LITTLE, unlimited};
use crate::meter::Meter;
use ws_testing::connections::{Frame, all, connect, events, told};

/// Something that ends a connection.
type End = fn(&mut Connection, Instant);

/// Fragments in a flood.
const COUNT: usize = 1_000_000;

/// No cap over fragments: proves that a message without an end is refused at the limit, that no more
/// than twice the limit is held on the way, and nothing afterwards although the stream is still
/// there (R-F17, X17).
#[test]
fn a_message_without_an_end_is_refused_at_the_limit() {
    const LIMIT: usize = 256 << 10;
    let now = Instant::now();
    for (role, version) in all() {
        for len in [100, 1000, 100_000] {
            let config = ConnectionConfig::new()
                .message_limit(LIMIT)
                .fragment_limit(None);
            let (first, next) = match version {
                Version::Draft75 | Version::Draft76 => {
                    ([&[0], &*vec![b'a'; len]].concat(), vec![b'a'; len])
                }
                Version::Rfc6455 => (
                    Frame::new(0x02, vec![b'a'; len]).to(role),
                    Frame::new(0x00, vec![b'a'; len]).to(role),
                ),
            };
            let mut connection = connect(role, version, config, now);
            let mut meter = Meter::default();
            meter.run(|| connection.handle_read(now, &first));
            let mut received = len;
            while !connection.has_events() {
                let held = meter.held();
                assert!(held <= 2 * LIMIT + LITTLE, "{version} {held}");
                assert!(received <= LIMIT + len, "{version} {role:?} is not refused");
                meter.run(|| connection.handle_read(now, &next));
                received += len;
            }
            assert!(received > LIMIT, "{version} {role:?} is refused too early");
            meter.print(&format!(
                "{version} {role:?}, message without an end, {len}"
            ));
            assert!(meter.peak() <= 3 * LIMIT + LITTLE);
            assert!(meter.held() < LITTLE, "{version} {role:?} keeps a part");
        }
    }
}

/// The open message goes however its connection ends: proves it for the end of the stream, a broken
/// stream, the peer's close, and an end that waits for messages that nobody takes.
#[test]
fn the_end_of_a_connection_frees_the_open_message() {
    let now = Instant::now();
    let ends: [(&str, End); 4] = [
        ("eof", |connection, now| connection.handle_eof(now)),
        ("reset", |connection, now| connection.handle_reset(now)),
        ("close", |connection, now| {
            connection.handle_read(now, &Frame::new(0x88, [3, 232]).to(Role::Server));
        }),
        ("pong timeout", |connection, _| {
            for _ in 0..2 {
                let deadline = connection.poll_timeout().unwrap();
                connection.handle_timeout(deadline);
                let ping = connection.take_outgoing(usize::MAX);
                connection.handle_written(ping.len());
            }
        }),
    ];
    for (name, end) in ends {
        for waits in [false, true] {
            let mut connection = connect(Role::Server, Version::Rfc6455, unlimited(), now);
            let mut meter = Meter::default();
            if waits {
                let message = Frame::new(0x81, "waits").to(Role::Server);
                meter.run(|| connection.handle_read(now, &message));
            }
            let part = Frame::new(0x02, vec![0; 100_000]).to(Role::Server);
            meter.run(|| connection.handle_read(now, &part));
            assert!(meter.held() >= 100_000);
            meter.run(|| end(&mut connection, now));
            assert!(meter.held() < LITTLE, "{name}: {} are kept", meter.held());
            assert!(matches!(
                events(&mut connection, now).last(),
                Some(Event::Closed(_))
            ));
        }
    }
}

/// Overhead for each fragment or read: proves that a million fragments, empty or of one byte, in
/// whole reads or byte by byte, with limits lifted, cost no more memory than twice what they carry,
/// and that what carries them is copied a few times at most; that they make one message in the end,
/// and cost nothing if the end never comes (X17).
#[test]
fn small_fragments_cost_what_they_carry() {
    let now = Instant::now();
    for (role, first_byte) in [(Role::Server, 0x01), (Role::Client, 0x02)] {
        for (payload, step) in [("", 1000), ("x", usize::MAX), ("x", 1)] {
            // Byte by byte is slow without optimisation.
            let count = if step == 1 { COUNT / 10 } else { COUNT };
            let first = Frame::new(first_byte, "").to(role);
            let next = Frame::new(0x00, payload).to(role).repeat(1000);
            let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
            let mut meter = Meter::default();
            meter.run(|| connection.handle_read(now, &first));
            for round in 1..=count / 1000 {
                for part in next.chunks(step) {
                    meter.run(|| connection.handle_read(now, part));
                }
                let carried = round * 1000 * payload.len();
                assert!(meter.held() <= 2 * carried + LITTLE, "{}", meter.held());
            }
            let carried = count * payload.len();
            meter.print(&format!("{role:?}, {count} fragments of {payload:?}"));
            assert!(meter.peak() <= 3 * carried + LITTLE);
            assert!(meter.total() <= 5 * carried + LITTLE, "{}", meter.total());
            meter.run(|| connection.handle_read(now, &Frame::new(0x80, "").to(role)));
            let said = meter.run(|| events(&mut connection, now));
            let [Event::Message(message)] = &said[..] else {
                panic!("{said:?}")
            };
            assert_eq!(message.len(), carried);
            drop(connection);
            assert!(meter.held() <= carried / 8 * 9 + LITTLE);
        }
    }
}

/// The same with the default limits: proves that the fragment limit is what ends it, long before the
/// million, and that little is held at any time (X17).
#[test]
fn a_flood_of_fragments_ends_at_the_fragment_limit() {
    let now = Instant::now();
    for role in [Role::Server, Role::Client] {
        for (payload, len) in [("", 0), ("x", 4096)] {
            let mut connection = connect(role, Version::Rfc6455, ConnectionConfig::new(), now);
            let mut meter = Meter::default();
            let first = Frame::new(0x01, "").to(role);
            let flood = Frame::new(0x00, payload).to(role).repeat(COUNT);
            meter.run(|| connection.handle_read(now, &first));
            meter.run(|| connection.handle_read(now, &flood));
            meter.print(&format!(
                "{role:?}, 1000000 fragments of {payload:?}, limits"
            ));
            assert!(meter.peak() <= 3 * len + LITTLE, "{}", meter.peak());
            assert!(meter.held() < LITTLE);
            assert!(told(&mut connection, now)[0].contains("TooManyFragments { limit: 4096 }"));
        }
    }
}

/// Per-byte overhead: proves that text that comes byte by byte is held at most twice, in every
/// version, up to its limit, that it is copied a few times at most, and that the message itself
/// holds at most an eighth more than its length.
#[test]
fn text_byte_by_byte_is_held_at_most_twice() {
    const LIMIT: usize = 100_000;
    let now = Instant::now();
    for (role, version) in all() {
        let text = "é".repeat(LIMIT / 2);
        let frame = match version {
            Version::Draft75 | Version::Draft76 => [b"\0", text.as_bytes(), b"\xff"].concat(),
            Version::Rfc6455 => Frame::new(0x81, &text).to(role),
        };
        let config = ConnectionConfig::new().message_limit(LIMIT);
        let mut connection = connect(role, version, config, now);
        let mut meter = Meter::default();
        for (index, byte) in frame.iter().enumerate() {
            meter.run(|| connection.handle_read(now, std::slice::from_ref(byte)));
            let held = meter.held();
            assert!(held <= 2 * index.min(LIMIT) + LITTLE, "{version} {held}");
        }
        assert!(meter.total() <= 6 * LIMIT, "{version}: {}", meter.total());
        assert!(meter.held() <= LIMIT / 8 * 9 + LITTLE, "{version}");
        meter.print(&format!(
            "{version} {role:?}, {LIMIT} bytes of text one by one"
        ));
        let said = events(&mut connection, now);
        let [Event::Message(message)] = &said[..] else {
            panic!("{version} {role:?}")
        };
        assert_eq!(message.as_text(), Some(&*text));
    }
}

/// Proves that a frame that is refused for what it declares leaves nothing of the message before it,
/// and says which limit it was.
#[test]
fn a_refused_frame_frees_the_message_before_it() {
    let now = Instant::now();
    let config = ConnectionConfig::new().message_limit(100_000);
    let mut connection = connect(Role::Client, Version::Rfc6455, config, now);
    let mut meter = Meter::default();
    let part = Frame::new(0x02, vec![0; 90_000]).bytes();
    meter.run(|| connection.handle_read(now, &part));
    let header = &Frame::new(0x00, vec![0; 20_000]).bytes()[..4];
    meter.run(|| connection.handle_read(now, header));
    assert!(meter.held() < LITTLE, "{} are kept", meter.held());
    assert_eq!(
        connection.closed().map(|closed| closed.cause.clone()),
        Some(CloseCause::Failed(ProtocolError::MessageTooBig {
            len: 110_000,
            limit: 100_000
        }))
    );
}
