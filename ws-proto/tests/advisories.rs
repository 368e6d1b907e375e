//! What went wrong in other WebSocket libraries, one test for each cause: of a family of advisories it
//! is named after the first. A test holds the invariant, not the one exploit. [`TABLE`] has all
//! causes: those that this crate answers for, those that ws-driver does, and those that cannot be
//! here yet.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy spares tests, but not their helpers"
)]

mod handshake_support;
mod meter;
mod support;

use std::time::{Duration, Instant};

use handshake_support::{
    DRAFT75, DRAFT76, Outcome, RFC6455, client, rfc6455_answer, run, sample_config, serve,
    status_of, with,
};
use meter::Meter;
use proptest::prelude::*;
use support::{Counting, Frame, all, connect, events, told, written};
use ws_proto::{
    Accept, ClientConfig, Connection, ConnectionConfig, HandshakeError, OriginPolicy, Role,
    ServerConfig, Version,
};

/// Where a cause is answered for.
enum Held {
    /// By tests in this file.
    Here(&'static [&'static str]),
    /// By tests in ws-driver's file of the same name.
    Driver(&'static [&'static str]),
    /// By tests in `tests/deflate/advisories.rs`, where the feature is on.
    Deflate(&'static [&'static str]),
    /// By cases of ws-driver's `src/conformance/tls.rs`, which every adapter runs.
    Tls(&'static [&'static str]),
    /// Nowhere, as there is nothing yet that could go wrong.
    NotYet(&'static str),
}

const TABLE: [(&str, Held); 24] = [
    (
        "allocation by declared length, length overflow",
        Held::Here(&["rustsec_2022_0035_what_a_header_declares_is_not_allocated"]),
    ),
    (
        "no cap over fragments",
        Held::Here(&["cve_2014_0193_a_message_in_fragments_is_capped"]),
    ),
    (
        "overhead of each fragment or chunk",
        Held::Here(&["cve_2026_48779_fragments_cost_what_they_carry"]),
    ),
    (
        "decompression",
        Held::Deflate(&["cve_2018_1000518_a_bomb_is_not_inflated"]),
    ),
    (
        "bad extension parameters",
        Held::Deflate(&[
            "cve_2026_2229_no_parameter_breaks_the_compressor",
            "cve_2020_7662_an_offer_is_read_in_one_pass",
        ]),
    ),
    (
        "bits of extensions that were not negotiated",
        Held::Here(&["pysec_2026_3547_no_extension_is_agreed_to_and_no_reserved_bit_passes"]),
    ),
    (
        "cost of parsing a handshake",
        Held::Here(&["cve_2023_43669_a_head_is_looked_at_once_and_limited"]),
    ),
    (
        "legacy drafts: lengths",
        Held::Here(&["cve_2026_54466_a_length_of_a_draft_has_an_end"]),
    ),
    (
        "legacy drafts: upgrades without their headers",
        Held::Here(&["cve_2026_59898_a_draft_is_not_spoken_without_its_headers"]),
    ),
    (
        "HTTP fall-through: pipelining",
        Held::Driver(&["cve_2026_100658_pipelined_requests_are_not_read_ahead"]),
    ),
    (
        "HTTP fall-through: smuggling",
        Held::Driver(&["rustsec_2021_0081_bytes_belong_to_one_request"]),
    ),
    (
        "HTTP fall-through: HTTP/2 frames",
        Held::NotYet("HTTP/2 is not spoken"),
    ),
    (
        "outgoing buffer",
        Held::Driver(&["rustsec_2020_0043_a_peer_that_never_reads_is_bounded"]),
    ),
    (
        "origins",
        Held::Here(&["ghsa_p8f7_22gq_m7j9_an_origin_is_compared_whole"]),
    ),
    (
        "randomness of masks: how they are used",
        Held::Here(&["ghsa_w67g_5rqw_f597_each_frame_has_fresh_random_bytes_as_its_mask"]),
    ),
    (
        "randomness of masks: where they come from",
        Held::Driver(&["ghsa_w67g_5rqw_f597_masks_do_not_repeat"]),
    ),
    (
        "memory disclosure, memory safety",
        Held::Here(&["cve_2016_10518_what_is_sent_is_what_was_given"]),
    ),
    (
        "memory safety: the topics",
        Held::Driver(&["osv_2020_1695_topics_do_what_a_simple_model_does"]),
    ),
    (
        "control frames",
        Held::Here(&["cve_2026_15711_control_frames_are_short_whole_and_bounded"]),
    ),
    (
        "identity in TLS",
        Held::Tls(&["who_is_not_trusted_is_refused"]),
    ),
    (
        "timing of comparisons",
        Held::NotYet("no secret is compared: there is no helper for authentication"),
    ),
    (
        "as many of something as a peer wants",
        Held::Driver(&["cve_2026_56811_topics_of_a_connection_are_limited"]),
    ),
    (
        "generous defaults",
        Held::Here(&["cve_2016_10542_every_default_is_limited"]),
    ),
    (
        "panics that the network can cause, old dependencies",
        Held::Driver(&[
            "cve_2022_41940_a_reset_ends_one_connection_only",
            "rustsec_2026_0007_dependencies_have_floors",
        ]),
    ),
];

/// Proves that every cause has its tests, and no test is missing in the table.
#[test]
fn the_table_is_complete() {
    let here = include_str!("advisories.rs");
    let driver = include_str!("../../ws-driver/tests/advisories.rs");
    let deflate = include_str!("deflate/advisories.rs");
    let tls = include_str!("../../ws-driver/src/conformance/tls.rs");
    let mut named = 0;
    for (cause, held) in TABLE {
        let (names, file) = match held {
            Held::Here(names) => (names, here),
            Held::Driver(names) => (names, driver),
            Held::Deflate(names) => (names, deflate),
            Held::Tls(names) => {
                for name in names {
                    let case = format!("\npub async fn {name}<");
                    assert_eq!(tls.matches(&case).count(), 1, "{cause}: {name}");
                }
                continue;
            }
            Held::NotYet(why) => {
                assert!(!why.is_empty(), "{cause}");
                continue;
            }
        };
        for name in names {
            let test = format!("#[test]\nfn {name}() {{\n    // ");
            assert_eq!(file.matches(&test).count(), 1, "{cause}: {name}");
            named += 1;
        }
    }
    let files = [here, driver, deflate];
    let tests: usize = files
        .map(|file| file.matches("\n#[test]\n").count())
        .iter()
        .sum();
    assert_eq!(tests, named + 1, "all but this one are in the table");
}

const LITTLE: usize = 4 << 10;

fn unlimited() -> ConnectionConfig {
    ConnectionConfig::new()
        .message_limit(None)
        .fragment_limit(None)
        .receive_queue_limit(None)
}

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

#[test]
fn pysec_2026_3547_no_extension_is_agreed_to_and_no_reserved_bit_passes() {
    // A client that took RSV1 though nothing was negotiated; undici, ws, websocket-extensions: crashes
    // and endless matching on parameters. Here no offer is answered, however it looks, reading it
    // takes no longer than it is, and no reserved bit passes in any frame.
    let now = Instant::now();
    for offer in [
        "permessage-deflate; server_max_window_bits=99999999999999999999",
        "permessage-deflate; client_max_window_bits; a=\"\\\"\", x-webkit-deflate-frame",
        "a; b=\"",
        ",,;;==",
        &format!("a; b=\"{}", "\\\"".repeat(7000)),
        &"a;b=c,".repeat(2500),
    ] {
        let head = with(RFC6455, "X", &format!("Sec-WebSocket-Extensions: {offer}"));
        let begun = Instant::now();
        let (_, answer) = serve(&ServerConfig::new(), head.as_bytes());
        assert!(begun.elapsed() < Duration::from_secs(5), "{offer:.40}");
        assert!(!answer.to_lowercase().contains("extensions"), "{answer}");
        assert!([101, 400].contains(&status_of(&answer).0), "{answer}");
    }
    let lines = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut handshake = client(&ClientConfig::new());
    let answer = rfc6455_answer(&(handshake_support::ACCEPT_LINE.to_owned() + lines));
    handshake.handle_read(now, answer.as_bytes());
    assert!(handshake.is_finished(), "what was not offered is refused");
    for first_byte in (0..=u8::MAX).filter(|byte| byte & 0x70 != 0) {
        for role in [Role::Server, Role::Client] {
            for begun in [false, true] {
                let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
                if begun {
                    connection.handle_read(now, &Frame::new(0x01, "a").to(role));
                }
                connection.handle_read(now, &Frame::new(first_byte, "a").to(role));
                let said = told(&mut connection, now);
                assert!(said[0].contains("ReservedBits"), "{first_byte:x}: {said:?}");
            }
        }
    }
}

#[test]
fn cve_2023_43669_a_head_is_looked_at_once_and_limited() {
    // tungstenite parsed the whole head again for each read; ws broke at many headers and matched a
    // header in quadratic time; faye took headers without an end. Here a head of 64 KiB that comes
    // byte by byte costs time and memory in proportion (again for each byte would be 2^31 steps),
    // and there are limits, which are answered with 431.
    let config = ServerConfig::new()
        .head_limit(64_usize << 10)
        .header_limit(10_000_usize);
    let names = "Sec-WebSocket-Protocol: a\r\nX: ";
    for (line, count) in [("A: b\r\n", 9000), (names, 1), ("A: b, \t ,c\r\n", 5000)] {
        let padding = "a ,".repeat(if count == 1 { 20_000 } else { 1 });
        let head = with(RFC6455, "X", &(line.repeat(count) + "Z: " + &padding));
        let reads: Vec<_> = head.as_bytes().chunks(1).collect();
        let (begun, mut meter) = (Instant::now(), Meter::default());
        let (_, outcome, _) = meter.run(|| run(&config, &reads, &Accept::new()));
        assert!(matches!(outcome, Outcome::Open | Outcome::Failed(_)));
        assert!(begun.elapsed() < Duration::from_secs(10), "{line:?}");
        // A line of six bytes becomes an entry in a table of headers, and one in a list of equal ones.
        let ratio = meter.total() / head.len();
        println!("bytes allocated for each byte of a head, {line:?}: {ratio}");
        assert!(ratio < 160, "{meter:?}");
    }
    for (lines, is_long) in [("A: b\r\n".repeat(101), false), ("a".repeat(16_385), true)] {
        let head = format!("GET / HTTP/1.1\r\nX: {lines}");
        let (outcome, answer) = serve(&ServerConfig::new(), head.as_bytes());
        assert_eq!(status_of(&answer).0, 431);
        let expected = match is_long {
            true => HandshakeError::HeadTooLarge { limit: 16 << 10 },
            false => HandshakeError::TooManyHeaders { limit: 100 },
        };
        assert_eq!(outcome, Outcome::Failed(expected));
    }
}

#[test]
fn cve_2026_54466_a_length_of_a_draft_has_an_end() {
    // faye's drivers for node and Ruby read length bytes for ever, and summed them up without a bound.
    // Here the tenth is refused, and what a length says is within the message limit.
    let now = Instant::now();
    for version in [Version::Draft75, Version::Draft76] {
        for (role, byte) in [
            (Role::Server, 0x80),
            (Role::Server, 0xff),
            (Role::Client, 0x80),
            (Role::Client, 0xff),
        ] {
            let config = ConnectionConfig::new().skip_unknown_frames(true);
            let mut connection = connect(role, version, config, now);
            let mut meter = Meter::default();
            for (count, part) in [&[0x80][..], &[byte; 9]].concat().chunks(1).enumerate() {
                assert!(!connection.has_events(), "refused after {count}");
                meter.run(|| connection.handle_read(now, part));
            }
            meter.run(|| connection.handle_read(now, &[byte]));
            let said = told(&mut connection, now);
            assert!(said[0].contains("LengthOverflow"), "{said:?}");
            assert!(meter.peak() < LITTLE);
            let config = ConnectionConfig::new().skip_unknown_frames(true);
            let mut connection = connect(role, version, config, now);
            connection.handle_read(now, b"\x80\xff\xff\xff\xff\x7f");
            assert!(told(&mut connection, now)[0].contains("MessageTooBig"));
        }
    }
}

#[test]
fn cve_2026_59898_a_draft_is_not_spoken_without_its_headers() {
    // Netty's handshakers of old versions did not look at Connection and Upgrade, so that a proxy saw a
    // plain request where the server began to speak WebSocket. Here no version is spoken without
    // both, in whatever way they are not there.
    for (head, key3) in [(DRAFT75, ""), (DRAFT76, "^n:ds[4U"), (RFC6455, "")] {
        let config = match head {
            RFC6455 => ServerConfig::new(),
            _ => sample_config(),
        };
        let whole = head.to_owned() + key3;
        assert_eq!(serve(&config, whole.as_bytes()).0, Outcome::Open, "{head}");
        for (name, line) in [
            ("Connection", ""),
            ("Connection", "Connection: close"),
            ("Connection", "Connection: xUpgrade"),
            ("Connection", "X-Connection: Upgrade"),
            ("Upgrade", ""),
            ("Upgrade", "Upgrade: WebSocketX"),
            ("Upgrade", "Upgrade: h2c"),
            ("Upgrade", "X-Upgrade: WebSocket"),
        ] {
            let request = with(head, name, line) + key3;
            let (outcome, answer) = serve(&config, request.as_bytes());
            assert_ne!(outcome, Outcome::Open, "{request}");
            assert_ne!(status_of(&answer).0, 101, "{request}");
        }
    }
}

#[test]
fn ghsa_p8f7_22gq_m7j9_an_origin_is_compared_whole() {
    // Phoenix, Spring and others matched a part of an origin, or none by default. Here any origin is
    // allowed until a policy is set, which the page of the option says; with one, scheme, host and
    // port are compared, and what is not an origin is not one.
    let list = OriginPolicy::list(["https://example.com", "http://a.example:8080"]).unwrap();
    for (policy, origin, allowed) in [
        (&list, "https://example.com", true),
        (&list, "https://example.com:443", true),
        (&list, "HTTPS://EXAMPLE.COM", true),
        (&list, "http://a.example:8080", true),
        (&list, "http://example.com", false),
        (&list, "https://example.com:8443", false),
        (&list, "https://evil-example.com", false),
        (&list, "https://example.com.evil", false),
        (&list, "https://sub.example.com", false),
        (&list, "https://example.com@evil", false),
        (&list, "https://example.com/", false),
        (&list, "https://example.com https://evil", false),
        (&list, "https://ex\u{e4}mple.com", false),
        (&list, "https://127.0.0.1", false),
        (&list, "null", false),
        (&list, "*", false),
        (&list, "", false),
        (&OriginPolicy::SameHost, "http://server.example.com", true),
        (&OriginPolicy::SameHost, "http://example.com", false),
        (&OriginPolicy::SameHost, "null", false),
    ] {
        let config = ServerConfig::new().origins(policy.clone());
        let head = with(RFC6455, "Origin", &format!("Origin: {origin}"));
        let (outcome, answer) = serve(&config, head.as_bytes());
        assert_eq!(outcome == Outcome::Open, allowed, "{origin}: {outcome:?}");
        assert_eq!(status_of(&answer).0 == 101, allowed, "{origin}: {answer}");
    }
}

#[test]
fn ghsa_w67g_5rqw_f597_each_frame_has_fresh_random_bytes_as_its_mask() {
    // gorilla took masks from a generator that can be foreseen. Here they are the next bytes of the
    // source that was handed in, as they are, and none is used twice (RFC 6455 §10.3).
    let now = Instant::now();
    let masks = Box::<Counting>::default();
    let mut connection = Connection::client(Version::Rfc6455, ConnectionConfig::new(), now, masks);
    for index in 0..50_u8 {
        match index % 3 {
            0 => connection.send("").unwrap(),
            1 => connection.ping(b"").unwrap(),
            _ => connection.pong(b"").unwrap(),
        }
        let first = 4 * index;
        let key = [first + 1, first + 2, first + 3, first + 4];
        assert_eq!(written(&mut connection)[2..], key, "frame {index}");
    }
}

#[test]
fn cve_2016_10518_what_is_sent_is_what_was_given() {
    // ws sent memory that nobody had written for ping(number) and close(typed array); others, in
    // languages with pointers, read and wrote beyond their buffers. Here a payload is bytes, what is
    // sent is those and their header, and no crate of ours has unsafe code.
    let now = Instant::now();
    for len in [0, 1, 38, 39, 125] {
        let payload: Vec<u8> = (0..len).collect();
        let mut connection = connect(Role::Server, Version::Rfc6455, unlimited(), now);
        connection.ping(&payload).unwrap();
        assert_eq!(written(&mut connection), [&[0x89, len], &*payload].concat());
        connection.handle_read(now, &Frame::new(0x89, &payload).to(Role::Server));
        assert_eq!(written(&mut connection), [&[0x8a, len], &*payload].concat());
        connection.send(&payload[..]).unwrap();
        assert_eq!(written(&mut connection), [&[0x82, len], &*payload].concat());
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for member in [
        "ws-proto",
        "ws-driver",
        "ws-tokio",
        "ws-smol",
        "ws-async-std",
    ] {
        let manifest = read(&format!("{member}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member}");
    }
}

#[test]
fn cve_2026_15711_control_frames_are_short_whole_and_bounded() {
    // libsoup took control frames of any length. Here one of more than 125 bytes, or in fragments, is
    // refused by its header, and what answers a flood of pings is bounded (R-F7, R-F8, X18).
    let now = Instant::now();
    for (role, opcode) in (8..16).flat_map(|o| [(Role::Server, o), (Role::Client, o)]) {
        for frame in [
            Frame::new(0x80 | opcode, [0; 126]),
            Frame::new(0x80 | opcode, [0; 65_536]),
            Frame::new(opcode, []),
        ] {
            let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
            let (mut meter, frame) = (Meter::default(), frame.to(role));
            meter.run(|| connection.handle_read(now, &frame[..2]));
            assert!(meter.peak() < LITTLE);
            assert_eq!(events(&mut connection, now).len(), 1);
        }
    }
    let flood = Frame::new(0x89, [0; 125]).to(Role::Server).repeat(1000);
    let mut connection = connect(Role::Server, Version::Rfc6455, unlimited(), now);
    let mut meter = Meter::default();
    for _ in 0..100 {
        meter.run(|| connection.handle_read(now, &flood));
    }
    assert!(meter.peak() < 64 << 10, "{meter:?}");
    assert!(connection.buffered_amount() <= (16 << 10) + 127);
}

#[test]
fn cve_2016_10542_every_default_is_limited() {
    // ws and axum-core had no limit of what they took, or one of 100 MiB, unless one was set. Here
    // every limit has a value by default that is written down, and holds.
    let defaults = format!("{:?} {:?}", ServerConfig::new(), ClientConfig::new());
    for limit in ["message_limit: Some(1048576)", "fragment_limit: Some(4096)"] {
        assert_eq!(defaults.matches(limit).count(), 2, "{defaults}");
    }
    for queue in [
        "send_queue_limit: Some(262144)",
        "receive_queue_limit: Some(262144)",
    ] {
        assert_eq!(defaults.matches(queue).count(), 2, "{defaults}");
    }
    for wait in [
        "head_limit: 16384",
        "header_limit: 100",
        "handshake_timeout: Some(10s)",
    ] {
        assert_eq!(defaults.matches(wait).count(), 2, "{defaults}");
    }
    // Lengths of frames are the one thing without a limit, as the message has one. Compression is off.
    let off = defaults.matches("deflate: None").count();
    assert_eq!(off, if cfg!(feature = "deflate") { 2 } else { 0 });
    assert_eq!(defaults.matches("None").count() - off, 3, "{defaults}");
    let now = Instant::now();
    for (role, version) in all() {
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        let message = match version {
            Version::Rfc6455 => Frame::new(0x82, vec![0; (1 << 20) + 1]).to(role),
            _ => [b"\0", &*vec![b'a'; (1 << 20) + 1], b"\xff"].concat(),
        };
        connection.handle_read(now, &message);
        assert!(told(&mut connection, now)[0].contains("limit: 1048576"));
    }
}

proptest! {
    /// CVE-2020-36049, CVE-2023-32695 (socket.io-parser): bytes from the network ended the process.
    /// Proves that none do, in a handshake and behind one, of either side.
    #[test]
    fn no_bytes_make_a_machine_panic(noise in prop::collection::vec(any::<u8>(), 0..300), step in 1..50_usize) {
        let now = Instant::now();
        for head in ["", RFC6455, DRAFT75, DRAFT76, "HTTP/1.1 101 x\r\n", "GET / HTTP/1.1\r\n"] {
            let wire = [head.as_bytes(), &noise].concat();
            let reads: Vec<_> = wire.chunks(step).collect();
            let (mut handshake, outcome, _) = run(&sample_config(), &reads, &Accept::new());
            if outcome == Outcome::Open {
                let early = handshake.take_early();
                let mut connection = handshake.into_connection(now);
                connection.handle_read(now, &early);
                events(&mut connection, now);
            }
            let mut handshake = client(&ClientConfig::new());
            wire.chunks(step).for_each(|part| handshake.handle_read(now, part));
        }
    }
}
