//! What waits to be written, and what a connection at rest holds.

use std::time::Instant;

use bytes::Buf;
use ws_proto::{Connection, ConnectionConfig, Role, SendError, Version};

use super::{LITTLE, unlimited};
use crate::meter::Meter;
use ws_testing::connections::{Frame, all, connect, events, written};

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
#[test]
fn an_idle_connection_holds_no_buffer() {
    const COUNT: usize = 8;
    let now = Instant::now();
    for version in Version::ALL {
        let mut meter = Meter::default();
        let open = || {
            let server = connect(Role::Server, version, unlimited(), now);
            (server, connect(Role::Client, version, unlimited(), now))
        };
        let mut pairs: Vec<_> = meter.run(|| (0..COUNT).map(|_| open()).collect());
        let fresh = meter.held();
        let each = fresh / (2 * COUNT);
        assert!(
            each < 1 << 10,
            "{version}: a fresh connection takes {each} bytes"
        );
        meter.run(|| {
            pairs
                .iter_mut()
                .for_each(|(server, client)| be_busy(server, client, now))
        });
        let more = meter.held().saturating_sub(fresh) / (2 * COUNT);
        println!("{version}: {each} bytes each when fresh, {more} more after traffic");
        assert!(
            more < 512,
            "{version}: {more} bytes are kept when there is nothing to do"
        );
    }
}

/// Exchanges all kinds of traffic.
fn be_busy(server: &mut Connection, client: &mut Connection, now: Instant) {
    for len in [0, 10, 1000, 5000, 100_000] {
        for count in [1, 30] {
            for _ in 0..count {
                server.send("x".repeat(len)).unwrap();
                client.send("x".repeat(len)).unwrap();
                if server.version().features().ping {
                    server.ping(b"ping").unwrap();
                }
            }
            exchange(server, client, now);
            exchange(client, server, now);
        }
    }
    if server.version().features().fragments {
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

/// Outgoing buffer (RUSTSEC-2020-0043): proves that a peer that never reads costs no more than the
/// limit of the send queue, one message, and the room that a growing buffer keeps.
#[test]
fn a_peer_that_never_reads_is_bounded() {
    const LIMIT: usize = 256 << 10;
    let now = Instant::now();
    for (role, version) in all() {
        for len in [0, 10, 1000, 5000, 300_000] {
            let mut connection = connect(role, version, ConnectionConfig::new(), now);
            let mut meter = Meter::default();
            let mut count = 0;
            while meter.run(|| connection.send("x".repeat(len))).is_ok() {
                count += 1;
                assert!(count <= LIMIT, "{version} {role:?} {len}: no end");
            }
            let refused = connection.send("x".repeat(len));
            assert!(matches!(
                refused,
                Err(SendError::QueueFull { limit: LIMIT, .. })
            ));
            assert!(connection.buffered_amount() <= LIMIT + len + 14);
            let held = meter.held();
            meter.print(&format!(
                "{version} {role:?}, never read, messages of {len}"
            ));
            assert!(
                held <= 2 * LIMIT + len + (64 << 10),
                "{version} {role:?} {len}: {held} bytes"
            );
        }
    }
}

/// Ping flood (X18): proves that 100 000 pings from a peer that does not read cost a bounded amount,
/// whether their pongs wait in line or go ahead of data, and that the memory goes when they do.
#[test]
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
            let mut meter = Meter::default();
            for _ in 0..100 {
                meter.run(|| connection.handle_read(now, &pings));
            }
            let held = meter.held();
            meter.print(&format!("100000 pings of {len} behind {waiting}"));
            assert!(
                held < 1 << 20,
                "{held} bytes for pings of {len} behind {waiting}"
            );
            assert!(connection.buffered_amount() <= waiting + 10 + (16 << 10) + 127);
            // What waited before was not counted, so that it is taken out elsewhere.
            meter.run(|| drop(written(&mut connection)));
            assert!(meter.held() < LITTLE, "{} bytes are kept", meter.held());
        }
    }
}

/// A send queue at its limit, as that of a peer which reads too slowly, holds little more than the bytes in it, whatever their
/// lengths: memory that grows by doubling must not stay half empty.
#[test]
fn a_full_queue_holds_little_more_than_its_bytes() {
    const LIMIT: usize = 256 << 10;
    let now = Instant::now();
    for version in Version::ALL {
        for len in [10, 100, 1000, 3000, 4090] {
            let config = ConnectionConfig::new().send_queue_limit(Some(LIMIT));
            let mut server = connect(Role::Server, version, config, now);
            let text = "x".repeat(len);
            let mut meter = Meter::default();
            meter.run(|| while server.send(text.as_str()).is_ok() {});
            let held = meter.held();
            assert!(
                held <= LIMIT + LIMIT / 4,
                "{version}, {len} bytes: {held} bytes for {}",
                server.buffered_amount()
            );
        }
    }
}
