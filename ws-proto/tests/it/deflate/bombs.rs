//! Memory, where messages are compressed: the limit counts what comes out, and what is held follows it,
//! not what a few bytes could become. A counting allocator is the judge.

use std::time::Instant;

use ws_proto::{CloseCause, CloseCode, ConnectionConfig, Deflate, Event, ProtocolError, Role};

use super::peer::{self, Deflater};
use super::{eager, open};
use crate::meter::Meter;
use ws_testing::connections::{Frame, events};

/// What one connection may hold beside what came out: an inflater, twice the window it remembers, and
/// change.
const FLOOR: usize = (48 << 10) + 2 * (32 << 10) + (8 << 10);

/// Zeros, compressed about 1000 to 1.
fn bomb(len: usize) -> Vec<u8> {
    Deflater::new(15, true).compress(&vec![0; len])
}

/// In one frame, and in fragments of a few bytes.
fn deliveries(payload: &[u8]) -> [Vec<u8>; 2] {
    let mut fragments = Vec::new();
    let count = payload.chunks(7).len();
    for (i, part) in payload.chunks(7).enumerate() {
        let opcode = if i == 0 { 0x42 } else { 0x00 };
        let fin = if i + 1 == count { 0x80 } else { 0 };
        fragments.extend(Frame::new(fin | opcode, part).to(Role::Server));
    }
    [peer::message(false, payload).to(Role::Server), fragments]
}

/// Trap 6, X21: a bomb ends at the limit with 1009, and what was ever held is within twice the limit,
/// however it arrives; the fragments of a bomb count together.
#[test]
fn a_bomb_ends_at_the_limit() {
    let now = Instant::now();
    let payload = bomb(64 << 20);
    assert!(payload.len() < 70_000);
    for limit in [0, 1, 1000, 100 << 10, 1 << 20] {
        for bytes in deliveries(&payload) {
            for portion in [bytes.len(), 1000] {
                let mut meter = Meter::default();
                let config = ConnectionConfig::new()
                    .message_limit(limit)
                    .fragment_limit(None);
                let mut connection = meter.run(|| open(Role::Server, &eager(), config, now));
                for portion in bytes.chunks(portion) {
                    meter.run(|| connection.handle_read(now, portion));
                }
                let closed = connection.closed().unwrap();
                let len = u64::try_from(limit).unwrap() + 1;
                let too_big = ProtocolError::MessageTooBig { len, limit };
                assert_eq!(closed.cause, CloseCause::Failed(too_big));
                assert!(
                    meter.peak() <= 3 * limit + FLOOR,
                    "{limit}: {} bytes",
                    meter.peak()
                );
                assert!(meter.held() <= 8 << 10, "{limit}: {} bytes", meter.held());
            }
        }
    }
}

/// Proves that many small bombs in one read are not inflated ahead: reading stops at the
/// `receive_queue_limit`, as it does for plain messages.
#[test]
fn many_bombs_wait_until_the_first_are_taken() {
    let now = Instant::now();
    let message = peer::message(false, &bomb(100 << 10)).to(Role::Server);
    let bytes = message.repeat(500);
    let mut meter = Meter::default();
    let mut connection = meter.run(|| open(Role::Server, &eager(), ConnectionConfig::new(), now));
    let (mut rest, mut count) = (&*bytes, 0);
    while !rest.is_empty() {
        let taken = meter.run(|| connection.handle_read_some(now, rest));
        assert!(taken > 0, "there is room");
        rest = &rest[taken..];
        assert!(connection.queued_len() <= (256 << 10) + (101 << 10));
        count += meter.run(|| events(&mut connection, now).len());
    }
    assert_eq!(count, 500);
    assert!(meter.peak() <= 1 << 20, "{} bytes", meter.peak());
}

/// Proves that a message without a limit can be received in bounded memory, part by part, even if it is
/// a bomb that comes in one read.
#[test]
fn a_bomb_without_a_limit_is_given_out_in_parts() {
    let now = Instant::now();
    let bytes = peer::message(false, &bomb(64 << 20)).to(Role::Server);
    let config = ConnectionConfig::new()
        .message_limit(None)
        .receive_fragments(true);
    let mut meter = Meter::default();
    let mut connection = meter.run(|| open(Role::Server, &eager(), config, now));
    let (mut rest, mut len) = (&*bytes, 0);
    while !rest.is_empty() {
        let taken = meter.run(|| connection.handle_read_some(now, rest));
        assert!(taken > 0, "there is room");
        rest = &rest[taken..];
        for event in meter.run(|| events(&mut connection, now)) {
            let Event::Fragment(part) = event else {
                panic!("{event:?}");
            };
            len += part.content.len();
            meter.run(|| drop(part));
        }
    }
    assert_eq!(len, 64 << 20);
    assert!(meter.peak() <= 3 << 20, "{} bytes", meter.peak());
}

/// Proves that input that nothing comes out of costs no memory: empty blocks, final and others.
#[test]
fn blocks_without_content_cost_no_memory() {
    let now = Instant::now();
    for blocks in [b"\x00\x00\x00\xff\xff".as_slice(), b"\x03\x00"] {
        let payload = blocks.repeat((1 << 20) / blocks.len());
        let mut meter = Meter::default();
        // More final blocks than fragments fail the connection otherwise.
        let config = ConnectionConfig::new().fragment_limit(None);
        let mut connection = meter.run(|| open(Role::Server, &eager(), config, now));
        let bytes = Frame::new(0x42, payload).to(Role::Server);
        meter.run(|| {
            bytes
                .chunks(4096)
                .for_each(|part| connection.handle_read(now, part))
        });
        assert_eq!(connection.closed(), None);
        assert!(meter.peak() <= FLOOR, "{} bytes", meter.peak());
    }
}

/// Why a server ended that received this after a window of 32 KiB had been filled.
fn failure_behind_a_window(config: ConnectionConfig, parts: &[&[u8]]) -> Option<ProtocolError> {
    let now = Instant::now();
    let mut connection = open(Role::Server, &eager(), config, now);
    let window = Deflater::new(15, true).compress(&super::noise(32 << 10, 1));
    connection.handle_read(now, &peer::message(false, &window).to(Role::Server));
    drop(events(&mut connection, now));
    assert_eq!(connection.messages_received(), 1);
    parts
        .iter()
        .for_each(|part| connection.handle_read(now, part));
    drop(events(&mut connection, now));
    match &connection.closed()?.cause {
        CloseCause::Failed(error) => Some(error.clone()),
        other => panic!("{other:?}"),
    }
}

/// X21: final blocks count as fragments do, so a message of blocks that make no output ends with 1009.
#[test]
fn more_final_blocks_than_fragments_fail_with_1009() {
    for (limit, count, fails) in [(4096, 4096, false), (4096, 4097, true), (1, 2, true)] {
        for unit in [b"\x03\x00".as_slice(), b"\x01\x00\x00\xff\xff"] {
            let frame = peer::message(false, &unit.repeat(count)).to(Role::Server);
            let config = ConnectionConfig::new().fragment_limit(limit);
            let error = failure_behind_a_window(config, &[&frame]);
            let expected = ProtocolError::TooManyFinalBlocks { limit };
            assert_eq!(error, fails.then_some(expected), "{count} of {limit}");
        }
    }
    let error = ProtocolError::TooManyFinalBlocks { limit: 4096 };
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);
    assert_eq!(
        error.to_string(),
        "compressed message in more than 4096 final blocks (option fragment_limit)"
    );
}

/// X21: a compressed message that is longer than any within the limit needs to be is refused by its header, whatever
/// comes out of it, and its frames count together.
#[test]
fn more_compressed_bytes_than_the_limit_needs_fail_with_1009() {
    let limit = (2 << 20) + (128 << 10);
    let endless = {
        let mut header = vec![0xc2, 0xff];
        header.extend((1_u64 << 40).to_be_bytes());
        header.extend([0; 4]);
        header
    };
    let expected = |len| Some(ProtocolError::CompressedTooBig { len, limit });
    let config = ConnectionConfig::new;
    assert_eq!(
        failure_behind_a_window(config(), &[&endless]),
        expected(1 << 40)
    );

    let blocks = b"\x00\x00\x00\xff\xff".repeat(limit / 5);
    let rest = limit - blocks.len();
    let first = Frame::new(0x42, &blocks).to(Role::Server);
    let fits = Frame::new(0x00, vec![0; rest]).to(Role::Server);
    assert_eq!(failure_behind_a_window(config(), &[&first, &fits]), None);
    let is_over = Frame::new(0x00, vec![0; rest + 1]).to(Role::Server);
    let error = failure_behind_a_window(config(), &[&first, &is_over]);
    let len = u64::try_from(limit).unwrap() + 1;
    assert_eq!(error, expected(len));
    let error = error.unwrap();
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);
    assert_eq!(
        error.to_string(),
        "message of at least 2228225 compressed bytes; 2228224 are allowed \
         (twice the option message_limit, plus 128 KiB)"
    );
    // Without a limit for what comes out there is none for what goes in.
    let unlimited = config().message_limit(None);
    assert_eq!(failure_behind_a_window(unlimited, &[&endless]), None);
}

/// Proves what a connection holds at rest, in bytes, for each of the terms; the table of
/// docs/compression.md has these figures:
/// `cargo test -p ws-proto --features deflate --test it at_rest -- --nocapture`.
#[test]
fn a_connection_at_rest_holds_what_its_terms_demand() {
    let now = Instant::now();
    let kept = |bits: u8| {
        let options = eager().server_max_window_bits(bits).unwrap();
        options
            .client_max_window_bits(bits)
            .unwrap()
            .server_no_context_takeover(false)
    };
    let none = eager().client_no_context_takeover(true);
    let cases: [(&str, Deflate, usize); 9] = [
        ("no context at all", none, 1 << 10),
        ("the defaults", Deflate::new(), 33 << 10),
        (
            "client's window of 12 bits",
            Deflate::new().client_max_window_bits(12).unwrap(),
            5 << 10,
        ),
        (
            "client's window of 10 bits",
            Deflate::new().client_max_window_bits(10).unwrap(),
            2 << 10,
        ),
        (
            "client's window of 9 bits",
            Deflate::new().client_max_window_bits(9).unwrap(),
            2 << 10,
        ),
        ("both contexts, 15 bits", kept(15), 405 << 10),
        ("both contexts, 12 bits", kept(12), 264 << 10),
        ("both contexts, 10 bits", kept(10), 249 << 10),
        ("both contexts, 9 bits", kept(9), 247 << 10),
    ];
    // What a connection holds without compression.
    let base = {
        let mut meter = Meter::default();
        let config = ConnectionConfig::new();
        let version = ws_proto::Version::Rfc6455;
        let plain = meter.run(|| super::connect(Role::Server, version, config, now));
        let held = meter.held();
        drop(plain);
        held
    };
    for (name, options, bound) in cases {
        let mut meter = Meter::default();
        let config = ConnectionConfig::new().send_queue_limit(None);
        let mut server = meter.run(|| open(Role::Server, &options, config.clone(), now));
        let fresh = meter.held() - base;
        let mut client = open(Role::Client, &options, config, now);
        for i in 0..20 {
            client.send(super::prose(5000, i)).unwrap();
            let bytes = ws_testing::connections::written(&mut client);
            meter.run(|| {
                server.handle_read(now, &bytes);
                drop(events(&mut server, now));
                server.send(super::prose(5000, i)).unwrap();
                drop(ws_testing::connections::written(&mut server));
            });
        }
        let used = meter.held() - base;
        assert!(
            fresh <= 160,
            "{name}: {fresh} bytes before the first message"
        );
        assert!(used <= bound, "{name}: {used} bytes");
        // Behind two idle waits of the compressor, and of the keepalive.
        let later = now + std::time::Duration::from_secs(20);
        meter.run(|| server.handle_timeout(later));
        meter.run(|| server.handle_read(later, &Frame::new(0x8a, b"").to(Role::Server)));
        meter.run(|| server.handle_timeout(later + std::time::Duration::from_secs(20)));
        let idle = meter.held() - base;
        println!(
            "| {name} | {fresh} | {used} | {idle} | {} |",
            meter.peak() - base
        );
        assert!(idle <= (33 << 10) + 600, "{name}: {idle} bytes");
    }
}
