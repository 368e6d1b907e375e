//! Requests: what it costs to read them, and which are not accepted.

use std::time::{Duration, Instant};

use ws_proto::{Accept, HandshakeError, OriginPolicy, ServerConfig};

use crate::meter::Meter;
use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, run, sample_config, serve, status_of, with,
};

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
