//! What each kind of frame, block and head costs that a peer can send, for each byte that it sends. The tests count, so
//! that a loaded machine changes nothing; the times are printed on request, in a release build:
//!
//! ```sh
//! cargo test --release -p ws-proto --features deflate --test it cost -- --ignored --nocapture
//! ```

mod blocks;
mod kinds;

use std::time::{Duration, Instant};

use crate::meter::Meter;
use bytes::Buf;
use http::HeaderMap;
use kinds::{Kind, Target};
use ws_proto::{
    Connection, ConnectionConfig, Deflate, Role, ServerConfig, ServerHandshake, Version,
};
use ws_testing::connections::{connect, events};

/// As a driver reads.
const READ_LEN: usize = 64 << 10;

/// What a kind cost.
struct Cost {
    sent: usize,
    allocations: u64,
    allocated: usize,
    time: Duration,
}

/// The CPU time of this thread, where Linux tells it; elsewhere, zero.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// A server with the defaults but for what would end the kinds that go on for long.
fn server(version: Version, window: &[u8], now: Instant) -> Connection {
    let config = ConnectionConfig::new()
        .fragment_limit(None)
        .message_limit(64 << 20)
        .skip_unknown_frames(true);
    let mut connection = connect(Role::Server, version, config, now);
    if version == Version::Rfc6455 {
        let mut offer = HeaderMap::new();
        let options = Deflate::new().server_no_context_takeover(false);
        offer.insert("sec-websocket-extensions", options.offer().parse().unwrap());
        connection = connection.with_deflate(&options.accept(&offer).unwrap());
        if !window.is_empty() {
            let filled = ws_testing::zlib::Deflater::new(15, true).compress(window);
            let frame = ws_testing::connections::Frame::new(0xc2, filled).to(Role::Server);
            connection.handle_read(now, &frame);
            drop(events(&mut connection, now));
        }
    }
    connection
}

/// Sends about `len` bytes of a kind, and takes what comes of it as a driver does.
fn cost(kind: &Kind, len: usize) -> Cost {
    let now = Instant::now();
    let mut meter = Meter::default();
    let bytes = kind.bytes(len);
    let time = match kind.target {
        Target::Connection(version, window) => {
            let mut connection = server(version, &vec![7; window], now);
            let mut workspace = ws_proto::Workspace::new();
            let start = cpu_time();
            for read in bytes.chunks(READ_LEN) {
                meter.run(|| {
                    connection.attach_streams(&mut workspace);
                    connection.handle_read(now, read);
                    while connection.poll_event(now).is_some() {}
                    let mut outgoing = connection.outgoing();
                    outgoing.advance(outgoing.remaining());
                    connection.detach_streams(&mut workspace);
                });
            }
            let time = cpu_time() - start;
            assert_eq!(connection.closed(), None, "{}", kind.name);
            time
        }
        Target::Handshake(read_len) => {
            let config = ServerConfig::new();
            let start = cpu_time();
            for head in bytes.chunks(kind.unit.len()) {
                meter.run(|| {
                    let mut handshake = ServerHandshake::new(&config, now);
                    for read in head.chunks(read_len) {
                        handshake.handle_read(now, read);
                    }
                    drop(handshake.poll_event());
                });
            }
            cpu_time() - start
        }
    };
    Cost {
        sent: bytes.len(),
        allocations: meter.count(),
        allocated: meter.total(),
        time,
    }
}

/// X21 and its kind: no frame, block or head makes more allocations, or larger ones, than its bytes account for. A
/// window of 32 KiB that is filled changes neither.
#[test]
fn nothing_allocates_out_of_proportion() {
    let kinds = kinds::all();
    let wrong: Vec<_> = kinds.iter().filter_map(out_of_proportion).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn out_of_proportion(kind: &Kind) -> Option<String> {
    let cost = cost(kind, 256 << 10);
    let sent = u64::try_from(cost.sent).unwrap();
    let seen = (cost.allocations * 1024 / sent, cost.allocated / cost.sent);
    let allowed = (kind.allocations_per_kib, kind.allocated_per_byte);
    let is_wrong = seen.0 > allowed.0 || seen.1 > allowed.1;
    is_wrong.then(|| {
        format!(
            "{}: {seen:?} are allocations for 1 KiB and bytes allocated for each that was sent; {allowed:?} are allowed",
            kind.name
        )
    })
}

/// Prints the table of docs/cost.md.
#[test]
#[ignore = "it measures time, which means something in a release build on a quiet machine"]
fn print_the_table() {
    println!("| what is sent, again and again | ns a byte | allocations for 1 KiB |");
    println!("|---|--:|--:|");
    for kind in kinds::all() {
        let (mut time, mut sent, mut allocations) = (Duration::ZERO, 0, 0);
        // The kernel counts in milliseconds.
        while time < Duration::from_millis(200) && sent < 64 << 20 {
            let cost = cost(&kind, 1 << 20);
            time += cost.time;
            sent += cost.sent;
            allocations += cost.allocations;
        }
        let (nanos, len) = (time.as_nanos(), u128::try_from(sent).unwrap());
        let tenths = nanos * 10 / len;
        let per_kib = allocations * 1024 / u64::try_from(sent).unwrap();
        println!(
            "| {} | {}.{} | {per_kib} |",
            kind.name,
            tenths / 10,
            tenths % 10
        );
    }
}
