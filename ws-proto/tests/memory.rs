//! Memory follows the bytes that arrived: what a peer declares, splits or floods costs it as much as
//! it costs us. Each case is described by the cause of a family of advisories; a counting allocator
//! is the judge, so they are one test: nothing else may run beside them.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::alloc::System;
use std::time::Instant;

use bytes::Buf;
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};
use support::{Frame, all, connect, events, told, written};
use ws_proto::{Connection, ConnectionConfig, Event, Role, SendError, Version};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What one connection may hold beside what it has received.
const LITTLE: usize = 4 << 10;

fn live(stats: Stats) -> usize {
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Proves all that follows, one after the other.
#[test]
fn memory_follows_the_bytes_that_arrive() {
    let cases: [(&str, fn()); 9] = [
        (
            "a_declared_length_allocates_nothing",
            a_declared_length_allocates_nothing,
        ),
        (
            "a_skipped_frame_costs_nothing",
            a_skipped_frame_costs_nothing,
        ),
        (
            "a_message_without_an_end_is_refused_at_the_limit",
            a_message_without_an_end_is_refused_at_the_limit,
        ),
        (
            "small_fragments_cost_what_they_carry",
            small_fragments_cost_what_they_carry,
        ),
        (
            "a_flood_of_empty_fragments_ends_at_the_fragment_limit",
            a_flood_of_empty_fragments_ends_at_the_fragment_limit,
        ),
        (
            "text_byte_by_byte_is_held_at_most_twice",
            text_byte_by_byte_is_held_at_most_twice,
        ),
        (
            "an_idle_connection_holds_no_buffer",
            an_idle_connection_holds_no_buffer,
        ),
        (
            "a_peer_that_never_reads_is_bounded",
            a_peer_that_never_reads_is_bounded,
        ),
        ("a_ping_flood_is_bounded", a_ping_flood_is_bounded),
    ];
    for (name, case) in cases {
        println!("{name}");
        case();
    }
}

/// What was allocated since a point in time.
struct Since(Stats);

impl Since {
    fn now() -> Self {
        Self(HEAP.stats())
    }

    /// Bytes that are held now and were not held then.
    fn held(&self) -> usize {
        live(HEAP.stats()).saturating_sub(live(self.0))
    }

    /// Bytes that were allocated in between, freed or not: no less than the peak.
    fn allocated(&self) -> usize {
        HEAP.stats().bytes_allocated - self.0.bytes_allocated
    }

    /// How often memory was moved to grow.
    fn reallocations(&self) -> usize {
        HEAP.stats().reallocations - self.0.reallocations
    }
}

/// A config with no limit at all.
fn unlimited() -> ConnectionConfig {
    ConnectionConfig::new()
        .message_limit(None)
        .fragment_limit(None)
        .frame_limit(None)
        .send_queue_limit(None)
        .receive_queue_limit(None)
}

/// The header of a frame to `role` that declares `len` bytes.
fn header(role: Role, first_byte: u8, len: u64) -> Vec<u8> {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    let mut bytes = vec![first_byte];
    match len {
        0..=125 => bytes.push(mask_bit | u8::try_from(len).unwrap()),
        126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    if role == Role::Server {
        bytes.extend([1, 2, 3, 4]);
    }
    bytes
}

/// Allocation by declared length, and length overflow (RUSTSEC-2022-0035, CVE-2020-27813,
/// CVE-2026-1528, CVE-2026-19204, PYSEC-2026-4395): proves for every opcode, alone and behind a
/// partial message, with and without limits, that a header allocates nothing to speak of, and that
/// the first bytes of the payload do not either (X14).
fn a_declared_length_allocates_nothing() {
    let now = Instant::now();
    let lens = [
        0,
        125,
        126,
        65_535,
        65_536,
        1 << 31,
        1 << 62,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX,
    ];
    let partial = Frame::new(0x01, "partial");
    let partial_to = |role| Frame::new(0x01, &partial.payload).to(role);
    let mut most = 0;
    for role in [Role::Server, Role::Client] {
        for config in [ConnectionConfig::new(), unlimited()] {
            for first_byte in 0..=u8::MAX {
                for len in lens {
                    for begun in [false, true] {
                        let mut connection = connect(role, Version::Rfc6455, config.clone(), now);
                        if begun {
                            connection.handle_read(now, &partial_to(role));
                        }
                        let header = header(role, first_byte, len);
                        let since = Since::now();
                        connection.handle_read(now, &header);
                        connection.handle_read(now, &[b'a'; 100]);
                        most = most.max(since.allocated());
                    }
                }
            }
        }
    }
    assert!(
        most < LITTLE,
        "{most} bytes were allocated for a header and 100 bytes"
    );
}

/// The same for the drafts, whose lengths are skipped (CVE-2026-54466, CVE-2026-54463): proves that
/// a skipped frame costs nothing, however long it says it is and however much of it comes.
fn a_skipped_frame_costs_nothing() {
    let now = Instant::now();
    let lengths: [&[u8]; 4] = [
        b"\x8f\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x80",
        b"\xff\xff",
    ];
    for version in [Version::Draft75, Version::Draft76] {
        for frame_type in [0x01, 0x7f, 0x80, 0xfe, 0xff] {
            for length in lengths {
                let mut connection = connect(Role::Client, version, unlimited(), now);
                let part = vec![b'x'; 64 << 10];
                let since = Since::now();
                connection.handle_read(now, &[frame_type]);
                if frame_type >= 0x80 {
                    connection.handle_read(now, length);
                }
                for _ in 0..16 {
                    connection.handle_read(now, &part);
                }
                assert!(
                    since.allocated() < LITTLE,
                    "{version} {frame_type:x} {length:x?}"
                );
            }
        }
    }
}

/// No cap over fragments (CVE-2014-0193, GHSA-pf94-94m9-536p, CVE-2026-9675, CVE-2026-63495): proves
/// that a message without an end is refused at the limit, that no more than twice the limit is held
/// on the way, and nothing afterwards (R-F17, X17).
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
            let since = Since::now();
            connection.handle_read(now, &first);
            let mut received = len;
            while connection.poll_event(now).is_none() {
                connection.handle_read(now, &next);
                received += len;
                assert!(
                    since.held() <= 2 * LIMIT + LITTLE,
                    "{version} {}",
                    since.held()
                );
                assert!(received <= LIMIT + len, "{version} {role:?} is not refused");
            }
            assert!(received > LIMIT, "{version} {role:?} is refused too early");
        }
    }
}

/// Overhead for each fragment or read (CVE-2026-48779, CVE-2026-62389, CVE-2026-12151,
/// CVE-2026-123817, CVE-2026-54274): proves that 100 000 fragments, empty or of one byte, in whole
/// reads or byte by byte, cost no more memory than twice what they carry, and no more than a few
/// moves of it (X17).
fn small_fragments_cost_what_they_carry() {
    const COUNT: usize = 100_000;
    let now = Instant::now();
    for (role, first_byte) in [(Role::Server, 0x01), (Role::Client, 0x02)] {
        for (payload, step) in [("", 1000), ("x", 1), ("x", 1000), ("x", usize::MAX)] {
            let first = Frame::new(first_byte, "").to(role);
            let next = Frame::new(0x00, payload).to(role).repeat(100);
            let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
            let since = Since::now();
            connection.handle_read(now, &first);
            for round in 1..=COUNT / 100 {
                for part in next.chunks(step) {
                    connection.handle_read(now, part);
                }
                let carried = round * 100 * payload.len();
                assert!(
                    since.held() <= 2 * carried + LITTLE,
                    "{} bytes",
                    since.held()
                );
            }
            let moves = since.reallocations();
            assert!(moves < 64, "{payload:?} in steps of {step}: {moves} moves");
            connection.handle_read(now, &Frame::new(0x80, "").to(role));
            let said = events(&mut connection, now);
            let [Event::Message(message)] = &said[..] else {
                panic!("{said:?}")
            };
            assert_eq!(message.len(), COUNT * payload.len());
        }
    }
}

/// The same with the default limits: proves that the fragment limit is what ends it (X17).
fn a_flood_of_empty_fragments_ends_at_the_fragment_limit() {
    let now = Instant::now();
    let mut connection = connect(Role::Server, Version::Rfc6455, ConnectionConfig::new(), now);
    let since = Since::now();
    connection.handle_read(now, &Frame::new(0x01, "").to(Role::Server));
    connection.handle_read(now, &Frame::new(0x00, "").to(Role::Server).repeat(100_000));
    assert!(since.held() < LITTLE);
    assert!(told(&mut connection, now)[0].contains("TooManyFragments { limit: 4096 }"));
}

/// Per-byte overhead: proves that text that comes byte by byte is held at most twice, in every
/// version, up to its limit, and that the message itself holds at most an eighth more than its
/// length.
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
        let since = Since::now();
        for (index, byte) in frame.iter().enumerate() {
            connection.handle_read(now, std::slice::from_ref(byte));
            if index % 1000 == 0 {
                let held = since.held();
                assert!(
                    held <= 2 * index.min(LIMIT) + LITTLE,
                    "{version} {role:?}: {held} bytes"
                );
            }
        }
        assert!(
            since.reallocations() < 64,
            "{} moves",
            since.reallocations()
        );
        assert!(
            since.held() <= LIMIT / 8 * 9 + LITTLE,
            "{version}: {} bytes",
            since.held()
        );
        let said = events(&mut connection, now);
        let [Event::Message(message)] = &said[..] else {
            panic!("{version} {role:?}")
        };
        assert_eq!(message.as_text(), Some(&*text));
    }
}

/// Moves what waits from one connection to the other, and takes what arrives.
fn exchange(from: &mut Connection, to: &mut Connection, now: Instant) {
    let bytes = written(from);
    for part in bytes.chunks(10_000) {
        to.handle_read(now, part);
        events(to, now);
    }
}

/// Idle memory (tungstenite#480): proves that a connection that was busy with all kinds of traffic
/// holds as little afterwards as a fresh one, and that this is little.
fn an_idle_connection_holds_no_buffer() {
    const COUNT: usize = 8;
    let now = Instant::now();
    for version in Version::ALL {
        let since = Since::now();
        let mut pairs: Vec<(Connection, Connection)> = (0..COUNT)
            .map(|_| {
                let server = connect(Role::Server, version, unlimited(), now);
                (server, connect(Role::Client, version, unlimited(), now))
            })
            .collect();
        let fresh = since.held();
        let each = fresh / (2 * COUNT);
        assert!(
            each < 1 << 10,
            "{version}: a fresh connection takes {each} bytes"
        );
        for (server, client) in &mut pairs {
            for len in [0, 10, 1000, 5000, 100_000] {
                for count in [1, 30] {
                    for _ in 0..count {
                        server.send("x".repeat(len)).unwrap();
                        client.send("x".repeat(len)).unwrap();
                        if version.features().ping {
                            server.ping(b"ping").unwrap();
                        }
                    }
                    exchange(server, client, now);
                    exchange(client, server, now);
                }
            }
            if version.features().fragments {
                let mut split = Frame::new(0x01, "x".repeat(3000)).to(Role::Server);
                split.extend(Frame::new(0x80, "x".repeat(3000)).to(Role::Server));
                for part in split.chunks(100) {
                    server.handle_read(now, part);
                }
                events(server, now);
            }
            // A split control frame, and one frame that is taken out to be written.
            server.send("x".repeat(10_000)).unwrap();
            let taken = server.take_outgoing(usize::MAX);
            server.handle_written(taken.remaining());
            drop(taken);
            assert_eq!((server.buffered_amount(), client.buffered_amount()), (0, 0));
        }
        let more = since.held().saturating_sub(fresh) / (2 * COUNT);
        assert!(
            more < 512,
            "{version}: {more} bytes are kept when there is nothing to do"
        );
    }
}

/// Outgoing buffer (RUSTSEC-2020-0043): proves that a peer that never reads costs no more than the
/// limit of the send queue, one message, and the room that a growing buffer keeps.
fn a_peer_that_never_reads_is_bounded() {
    const LIMIT: usize = 256 << 10;
    let now = Instant::now();
    for (role, version) in all() {
        for len in [0, 10, 1000, 5000, 300_000] {
            let mut connection = connect(role, version, ConnectionConfig::new(), now);
            let since = Since::now();
            let mut count = 0;
            while connection.send("x".repeat(len)).is_ok() {
                count += 1;
                assert!(count <= LIMIT, "{version} {role:?} {len}: no end");
            }
            let refused = connection.send("x".repeat(len));
            assert!(matches!(
                refused,
                Err(SendError::QueueFull { limit: LIMIT, .. })
            ));
            assert!(connection.buffered_amount() <= LIMIT + len + 14);
            let held = since.held();
            assert!(
                held <= 2 * LIMIT + len + (64 << 10),
                "{version} {role:?} {len}: {held} bytes"
            );
        }
    }
}

/// Ping flood (X18): proves that 100 000 pings from a peer that does not read cost a bounded amount,
/// whether their pongs wait in line or go ahead of data, and that the memory goes when they do.
fn a_ping_flood_is_bounded() {
    let now = Instant::now();
    for waiting in [0, 200_000] {
        for len in [0, 1, 125] {
            let mut connection = connect(Role::Server, Version::Rfc6455, unlimited(), now);
            if waiting > 0 {
                connection.send(vec![0; waiting]).unwrap();
            }
            let pings = Frame::new(0x89, vec![b'p'; len])
                .to(Role::Server)
                .repeat(1000);
            let since = Since::now();
            for _ in 0..100 {
                connection.handle_read(now, &pings);
            }
            let held = since.held();
            assert!(
                held < 1 << 20,
                "{held} bytes for pings of {len} behind {waiting}"
            );
            assert!(connection.buffered_amount() <= waiting + 10 + (16 << 10) + 127);
            written(&mut connection);
            assert!(since.held() < LITTLE, "{} bytes are kept", since.held());
        }
    }
}
