//! What a peer declares, splits or sends in many parts, and the memory that it costs.

use std::time::Instant;

use ws_proto::{ConnectionConfig, Role, Version};

use super::limits::{LITTLE, unlimited};
use crate::meter::Meter;
use ws_testing::connections::{Frame, all, connect, told, written};

#[test]
fn rustsec_2022_0035_what_a_header_declares_is_not_allocated() {
    // websocket (Rust), gorilla, undici, Jetty, aiohttp: a buffer of the declared length, a limit that
    // an unknown opcode went round, a sum with the partial message that overflowed. Here a header
    // allocates nothing, whatever it says and whatever came before it.
    let now = Instant::now();
    for (role, first_byte) in (0..=u8::MAX).flat_map(|b| [(Role::Server, b), (Role::Client, b)]) {
        for len in [1_u64 << 31, (1 << 63) - 8, (1 << 63) - 1, 1 << 63, u64::MAX] {
            let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
            connection.handle_read(now, &Frame::new(0x02, b"partial").to(role));
            let mut header = vec![first_byte, 127 | u8::from(role == Role::Server) << 7];
            header.extend(len.to_be_bytes());
            header.extend([b'a'; 100]);
            let mut meter = Meter::default();
            meter.run(|| connection.handle_read(now, &header));
            assert!(meter.peak() < LITTLE, "{first_byte:x} {len}: {meter:?}");
        }
    }
}

#[test]
fn cve_2014_0193_a_message_in_fragments_is_capped() {
    // Netty, Bandit, undici, libevent, http4s: the limit was one of frames, so that a message of many
    // had none. Here it is one of the message, whatever its frames are, and what was held is freed.
    let now = Instant::now();
    let limit = 50_000;
    for (role, version) in all() {
        for len in [1, 1000, 40_000] {
            let config = ConnectionConfig::new()
                .message_limit(limit)
                .fragment_limit(None);
            let mut connection = connect(role, version, config, now);
            let mut meter = Meter::default();
            for index in 0.. {
                let part = match (version, index) {
                    (Version::Rfc6455, 0) => Frame::new(0x01, "a".repeat(len)).to(role),
                    (Version::Rfc6455, _) => Frame::new(0x00, "a".repeat(len)).to(role),
                    (_, 0) => [b"\0", "a".repeat(len).as_bytes()].concat(),
                    (_, _) => "a".repeat(len).into_bytes(),
                };
                meter.run(|| connection.handle_read(now, &part));
                assert!(meter.held() <= 2 * limit + LITTLE, "{version} {meter:?}");
                assert!(index * len <= limit, "{version} {role:?}: no end");
                if connection.has_events() {
                    break;
                }
            }
            assert!(meter.held() < LITTLE, "{version} {role:?}: {meter:?}");
            let said = told(&mut connection, now);
            assert!(said[0].contains("MessageTooBig"), "{said:?}");
            let wire = written(&mut connection);
            let close = [0x88, 2 | u8::from(role == Role::Client) << 7];
            assert!(version != Version::Rfc6455 || wire.starts_with(&close));
            assert!(version != Version::Rfc6455 || role == Role::Client || wire[2..] == [3, 241]);
        }
    }
}

#[test]
fn cve_2026_48779_fragments_cost_what_they_carry() {
    // ws, undici, aiohttp, actix: an object for each fragment or chunk, tens of times what it
    // carried. Here a fragment is its bytes, and there is a limit of how many.
    let now = Instant::now();
    for (payload, step) in [("", 4096), ("x", 4096), ("x", 1)] {
        let flood = Frame::new(0x00, payload).to(Role::Server).repeat(50_000);
        for (config, ends) in [(unlimited(), false), (ConnectionConfig::new(), true)] {
            let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
            let mut meter = Meter::default();
            connection.handle_read(now, &Frame::new(0x02, "").to(Role::Server));
            for part in flood.chunks(step) {
                meter.run(|| connection.handle_read(now, part));
            }
            let carried = 50_000 * payload.len();
            assert!(meter.peak() <= 3 * carried + LITTLE, "{meter:?}");
            assert!(meter.total() <= 5 * carried + LITTLE, "{meter:?}");
            let said = told(&mut connection, now);
            assert_eq!(
                said.iter().any(|said| said.contains("TooManyFragments")),
                ends
            );
        }
    }
}
