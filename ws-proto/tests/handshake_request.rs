//! What a server checks in a request, in which order, and with which status it refuses.

mod handshake_support;

use std::time::Instant;

use handshake_support::{
    DRAFT75, DRAFT76, Outcome, RFC6455, sample_config, serve, status_of, upgrade, with,
};
use ws_proto::{
    HandshakeError, HandshakeEvent, OriginPolicy, ServerConfig, ServerHandshake, Version, Versions,
};

fn with_headers(headers: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         {headers}\r\n12345678"
    )
}

/// PROTOCOL.md §4: every row, with every version on and with each of them off.
#[test]
fn the_version_is_chosen_as_the_table_says() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const K1: &str = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n";
    const K2: &str = "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
    const D0: &str = "Sec-WebSocket-Draft: 0\r\n";
    const ORIGIN: &str = "Origin: http://a\r\n";
    let v = |value: &str| format!("Sec-WebSocket-Version: {value}\r\n");
    let d = |value: &str| format!("Sec-WebSocket-Draft: {value}\r\n");
    let (rfc, draft76, draft75) = (
        Ok(Version::Rfc6455),
        Ok(Version::Draft76),
        Ok(Version::Draft75),
    );
    // The row, the headers, what becomes of it, and the version that must be on for that; without
    // that version it is 426.
    let rows: Vec<(u8, String, Result<Version, u16>)> = vec![
        (1, [&v("13"), KEY].concat(), rfc),
        (1, [&v("13"), KEY, K1, K2, &d("9"), ORIGIN].concat(), rfc),
        (1, v("13"), Err(400)),
        (1, [&v("13"), K1, K2, ORIGIN].concat(), Err(400)),
        (2, [&v("8"), KEY].concat(), rfc),
        (2, [&v("7"), KEY].concat(), rfc),
        (2, v("7"), Err(400)),
        (3, [&v("0"), KEY].concat(), Err(426)),
        (3, [&v("9"), KEY].concat(), Err(426)),
        (3, [&v("12"), KEY].concat(), Err(426)),
        (3, [&v("14"), KEY].concat(), Err(426)),
        (3, [&v("255"), KEY, K1, K2, ORIGIN].concat(), Err(426)),
        (4, [&v("13"), &v("13"), KEY].concat(), Err(400)),
        (4, [&v("13"), &v("8"), KEY].concat(), Err(400)),
        (4, [&v(""), KEY].concat(), Err(400)),
        (4, [&v("013"), KEY].concat(), Err(400)),
        (4, [&v("256"), KEY].concat(), Err(400)),
        (4, [&v("13, 8"), KEY].concat(), Err(400)),
        (4, [&v("thirteen"), KEY].concat(), Err(400)),
        (5, KEY.to_owned(), Err(400)),
        (5, [KEY, K1, K2, ORIGIN].concat(), Err(400)),
        (6, [K1, K2, ORIGIN].concat(), draft76),
        (6, [K2, ORIGIN, D0, K1].concat(), draft76),
        (7, [K1, K2, ORIGIN, &d("1")].concat(), Err(400)),
        (7, [K1, K2, ORIGIN, &d("2")].concat(), Err(400)),
        (7, [K1, K2, ORIGIN, &d("3")].concat(), Err(400)),
        (7, [K1, K2, ORIGIN, D0, D0].concat(), Err(400)),
        (8, [K1, ORIGIN].concat(), Err(400)),
        (8, [K2, ORIGIN].concat(), Err(400)),
        (8, [K1, K1, K2, ORIGIN].concat(), Err(400)),
        (8, [K1, K2, K2, ORIGIN].concat(), Err(400)),
        (8, [K1, K1, ORIGIN].concat(), Err(400)),
        (9, ORIGIN.to_owned(), draft75),
        (9, String::new(), Err(426)),
        (10, [D0, ORIGIN].concat(), Err(400)),
        (10, d("1"), Err(400)),
    ];
    for (row, headers, expected) in rows {
        for off in [
            None,
            Some(Version::Draft75),
            Some(Version::Draft76),
            Some(Version::Rfc6455),
        ] {
            let versions: Versions = Versions::ALL.iter().filter(|on| Some(*on) != off).collect();
            let config = ServerConfig::new().versions(versions);
            let (outcome, answer) = serve(&config, with_headers(&headers).as_bytes());
            let case = format!("row {row} without {off:?}: {headers:?} got {outcome:?}");
            let is_number = |number: &str| headers.contains(&format!("Version: {number}\r\n"));
            let speaks_6455 = ["13", "8", "7"].into_iter().any(is_number);
            let expected = match expected {
                Ok(version) if off == Some(version) => Err(426),
                Err(400) if row <= 2 && speaks_6455 && off == Some(Version::Rfc6455) => Err(426),
                other => other,
            };
            let list = Some("13, 8, 7").filter(|_| off != Some(Version::Rfc6455));
            match expected {
                Ok(version) => {
                    assert_eq!(
                        (outcome, status_of(&answer).0),
                        (Outcome::Open, 101),
                        "{case}"
                    );
                    let digest = (version == Version::Draft76).then_some(16);
                    let behind_head = answer.split_once("\r\n\r\n").unwrap().1;
                    assert_eq!(digest.is_some(), !behind_head.is_empty(), "{case}");
                }
                Err(status) => {
                    // A missing key is no question of the version.
                    let list = list.filter(|_| row > 2 || status == 426);
                    assert_eq!(status_of(&answer), (status, list), "{case}");
                }
            }
        }
    }
}

/// R-H1: a HEAD request is refused by a head alone, whatever it is refused for (RFC 9110 §9.3.2).
#[test]
fn a_refused_head_request_gets_no_body() {
    for (request, status) in [
        (RFC6455.replace("GET", "HEAD"), 405),
        (with(RFC6455, "Host", "").replace("GET", "HEAD"), 400),
    ] {
        let (_, answer) = serve(&ServerConfig::new(), request.as_bytes());
        assert_eq!(status_of(&answer).0, status);
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nContent-Length: "), "{head}");
        assert_eq!(rest, "");
    }
}

/// The checks of PROTOCOL.md §5.1 and §1.2 and X13: one request per rule and version.
#[test]
fn a_request_that_breaks_a_rule_is_refused() {
    let rfc = |name: &str, lines: &str| with(RFC6455, name, lines);
    let d75 = |name: &str, lines: &str| with(DRAFT75, name, lines);
    let d76 = |name: &str, lines: &str| with(DRAFT76, name, lines) + "12345678";
    let cases: Vec<(&str, String, u16)> = vec![
        ("R-H1", RFC6455.replace("GET", "POST"), 405),
        ("Q5", DRAFT75.replace("GET", "POST"), 405),
        ("Q5", DRAFT76.replace("GET", "HEAD"), 405),
        ("R-H1 case", RFC6455.replace("GET", "get"), 405),
        ("R-H2", RFC6455.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("Q6", DRAFT75.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("R-H2", RFC6455.replace("HTTP/1.1", "HTTP/2.0"), 400),
        ("R-H3", RFC6455.replace("/chat", "*"), 400),
        ("R-H3", RFC6455.replace("/chat", "chat"), 400),
        ("R-H3", RFC6455.replace("/chat", "ftp://a/"), 400),
        ("R-H3", RFC6455.replace("/chat", "http://u@a/"), 400),
        ("R-H3", RFC6455.replace("/chat", "/a#b"), 400),
        ("R-H3", RFC6455.replace("/chat", "/\u{e9}"), 400),
        (
            "D75-S1",
            DRAFT75.replace("/demo", "http://example.com/demo"),
            400,
        ),
        (
            "D76-S9",
            DRAFT76.replace("/demo", "http://example.com/demo") + "12345678",
            400,
        ),
        ("R-H4", rfc("Host", ""), 400),
        ("R-H4", rfc("Host", "Host: a\r\nHost: a"), 400),
        ("D76-S4", d76("Host", ""), 400),
        ("X9", d75("Host", "Host: example.com:0x50"), 400),
        ("X9", d76("Host", "Host: example.com:0"), 400),
        ("X9", d76("Host", "Host: example.com/evil"), 400),
        ("X9", rfc("Host", "Host: a b"), 400),
        ("R-H6", rfc("Connection", ""), 400),
        ("R-H6", rfc("Connection", "Connection: keep-alive"), 400),
        ("D75-S3", d75("Connection", "Connection: close"), 400),
        ("D76-S3", d76("Connection", "Connection: upgraded"), 400),
        ("R-H7", rfc("Sec-WebSocket-Key", ""), 400),
        (
            "R-H7",
            rfc(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=",
            ),
            400,
        ),
        (
            "R-H7 empty",
            rfc("Sec-WebSocket-Key", "Sec-WebSocket-Key: "),
            400,
        ),
        (
            "X13",
            rfc(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ),
            400,
        ),
        (
            "X13",
            rfc("Origin", "Origin: http://a\r\nOrigin: http://a"),
            400,
        ),
        (
            "X13",
            d75("Origin", "Origin: http://a\r\nOrigin: http://b"),
            400,
        ),
        ("X7 empty", d75("Origin", "Origin: "), 400),
        ("X7 tab", d75("Origin", "Origin: http://a\tb"), 400),
        ("X7 not ASCII", d76("Origin", "Origin: http://\u{e9}"), 400),
        ("Q9", d76("Origin", ""), 400),
        (
            "R-H11",
            rfc("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: a, a"),
            400,
        ),
        (
            "R-H11",
            rfc("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: a,,b"),
            400,
        ),
        (
            "R-H11",
            rfc("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: "),
            400,
        ),
        (
            "R-H11",
            rfc("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: a b"),
            400,
        ),
        (
            "R-H11",
            rfc("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: \u{e9}"),
            400,
        ),
        (
            "R-H11 lines",
            rfc(
                "Sec-WebSocket-Protocol",
                "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a",
            ),
            400,
        ),
        ("R-H12", rfc("X", "Sec-WebSocket-Extensions: a;;b"), 400),
        ("R-H12 empty", rfc("X", "Sec-WebSocket-Extensions: "), 400),
        (
            "R-H12 lines",
            rfc(
                "X",
                "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b;c=\"",
            ),
            400,
        ),
        (
            "Q19",
            d75("WebSocket-Protocol", "WebSocket-Protocol: other"),
            400,
        ),
        (
            "Q19",
            d75("WebSocket-Protocol", "WebSocket-Protocol: "),
            400,
        ),
        (
            "Q19",
            d75("WebSocket-Protocol", "WebSocket-Protocol: sample, other"),
            400,
        ),
        (
            "Q19 tab",
            d75("WebSocket-Protocol", "WebSocket-Protocol: sam\tple"),
            400,
        ),
        (
            "Q19 twice",
            d75(
                "WebSocket-Protocol",
                "WebSocket-Protocol: sample\r\nWebSocket-Protocol: sample",
            ),
            400,
        ),
        (
            "D76-S6",
            d76("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: Sample"),
            400,
        ),
        ("X13 body", rfc("X", "Content-Length: 1"), 400),
        ("X13 body", rfc("X", "Content-Length: 8"), 400),
        ("X13 body", rfc("X", "Content-Length: +0"), 400),
        (
            "X13 body",
            rfc("X", "Content-Length: 0\r\nContent-Length: 0"),
            400,
        ),
        ("X13 body", rfc("X", "Transfer-Encoding: chunked"), 400),
        ("X13 body", d75("X", "Content-Length: 8"), 400),
        ("X13 body", d76("X", "Content-Length: 9"), 400),
        ("X13 body", d76("X", "Transfer-Encoding: identity"), 400),
        ("X7 bare CR", rfc("X", "X: a\rb"), 400),
        ("X7 bare LF", rfc("X", "X: a\nb"), 400),
        ("X7 NUL", rfc("X", "X: a\0b"), 400),
        ("X7 obs-fold", rfc("X", "X: a\r\n b"), 400),
        ("D75-S4 no colon", d75("X", "nonsense"), 400),
        ("name with a space", rfc("X", "X : a"), 400),
        ("empty name", rfc("X", ": a"), 400),
    ];
    for (rule, request, status) in cases {
        let (outcome, answer) = serve(&sample_config(), request.as_bytes());
        let Outcome::Failed(error) = &outcome else {
            panic!("{rule}: {request:?}: {outcome:?}")
        };
        assert_eq!(status_of(&answer).0, status, "{rule}: {request:?}");
        assert_eq!(
            error.status().map(|status| status.as_u16()),
            Some(status),
            "{rule}"
        );
        assert_eq!(
            answer.contains("\r\nAllow: GET\r\n"),
            status == 405,
            "{rule}"
        );
    }
}

/// R-H9, R-H13, Q7, Q8, D76-S1 and others: what must not be refused.
#[test]
fn a_request_may_differ_in_what_no_rule_fixes() {
    let rfc = |name: &str, lines: &str| with(RFC6455, name, lines);
    let d75 = |name: &str, lines: &str| with(DRAFT75, name, lines);
    let d76 = |name: &str, lines: &str| with(DRAFT76, name, lines) + "12345678";
    for (rule, request) in [
        (
            "R-H3",
            RFC6455.replace("/chat", "http://server.example.com/chat"),
        ),
        ("R-H3", RFC6455.replace("/chat", "/chat?a=b;c=%00")),
        ("R-H5", rfc("Upgrade", "Upgrade: h2c, WEBSOCKET")),
        ("R-H6", rfc("Connection", "Connection: keep-alive, uPgRaDe")),
        (
            "R-H6",
            rfc(
                "Connection",
                "Connection: keep-alive\r\nConnection: Upgrade",
            ),
        ),
        ("Q8", d75("Connection", "Connection: keep-alive, Upgrade")),
        ("Q8", d76("Connection", "Connection: keep-alive, UPGRADE")),
        ("Q7", d75("Upgrade", "Upgrade: websocket")),
        ("Q7", d76("Upgrade", "Upgrade: WEBSOCKET")),
        (
            "R-H7",
            rfc(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==",
            ),
        ),
        ("R-H9", rfc("Origin", "")),
        ("R-H11", rfc("Sec-WebSocket-Protocol", "")),
        (
            "R-H11",
            rfc(
                "Sec-WebSocket-Protocol",
                "Sec-WebSocket-Protocol: a ,b\r\nSec-WebSocket-Protocol: c",
            ),
        ),
        (
            "R-H12",
            rfc(
                "X",
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            ),
        ),
        (
            "R-H13",
            rfc("X", "X-Anything: \u{e9}\r\nCookie: a=b\r\nCookie: c=d"),
        ),
        ("X13", rfc("X", "Content-Length: 0")),
        ("X13", d76("X", "Content-Length: 8")),
        ("X13", d76("X", "Content-Length: 0")),
        ("D75-R4", d75("WebSocket-Protocol", "")),
        ("D75-R4", d75("X", "Sec-WebSocket-Protocol: ignored here")),
        (
            "D76-S1",
            d76(
                "Sec-WebSocket-Key2",
                "sEc-wEbsOcKeT-kEy2: 12998 5 Y3 1  .P00",
            ),
        ),
        ("null origin", d75("Origin", "Origin: null")),
        ("odd origin", d76("Origin", "Origin: file://")),
    ] {
        let (outcome, answer) = serve(&sample_config(), request.as_bytes());
        assert_eq!(
            (outcome, status_of(&answer).0),
            (Outcome::Open, 101),
            "{rule}: {request:?}"
        );
        assert!(
            !answer.contains("Content-Length") && !answer.contains("Transfer"),
            "R-R7"
        );
        assert!(!answer.contains("Extensions"), "R-R6: {answer}");
    }
}

/// PROTOCOL.md §5.1: of several faults the first one in the order of checks is answered.
#[test]
fn the_checks_are_made_in_a_fixed_order() {
    // Each step repairs the fault that the one before was refused for.
    let mut request = "POST chat HTTP/1.0\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n\
        Sec-WebSocket-Key: bad\r\nOrigin: http://evil\r\nContent-Length: 5\r\n\
        Sec-WebSocket-Protocol: a,a\r\nSec-WebSocket-Extensions: ;\r\n\r\n"
        .to_owned();
    let config = ServerConfig::new().origins(OriginPolicy::list(["http://good"]).unwrap());
    let steps: [(&str, &str, &str); 10] = [
        (
            "HTTP/1.0 cannot upgrade; HTTP/1.1 can",
            "HTTP/1.0",
            "HTTP/1.1",
        ),
        (
            "header Host is missing",
            "Upgrade: w",
            "Host: a\r\nUpgrade: w",
        ),
        (
            "header Connection is missing",
            "Upgrade: w",
            "Connection: upgrade\r\nUpgrade: w",
        ),
        ("method POST in an upgrade; GET is allowed", "POST", "GET"),
        (
            "Sec-WebSocket-Version 99 is not spoken; rfc6455 has 13, 8 and 7, and \
             draft75,draft76,rfc6455 is enabled (option versions)",
            "99",
            "13",
        ),
        (
            "an upgrade with a body; none is allowed",
            "Content-Length: 5\r\n",
            "",
        ),
        (
            "header Sec-WebSocket-Key: it is not base64 of 16 bytes",
            "bad",
            "dGhlIHNhbXBsZSBub25jZQ==",
        ),
        (
            "origin \"http://evil\" is not allowed (option origins)",
            "http://evil",
            "http://good",
        ),
        (
            "request target \"chat\": it must begin with a slash",
            " chat",
            " /chat",
        ),
        (
            "header Sec-WebSocket-Protocol with value \"a,a\": a subprotocol is offered twice",
            "a,a",
            "a,b",
        ),
    ];
    for (problem, fault, repaired) in steps {
        let (outcome, _) = serve(&config, request.as_bytes());
        let Outcome::Failed(error) = outcome else {
            panic!("{request}: {outcome:?}")
        };
        assert_eq!(error.to_string(), problem);
        request = request.replacen(fault, repaired, 1);
    }
    let (outcome, _) = serve(&config, request.as_bytes());
    assert_eq!(
        outcome,
        Outcome::Failed(HandshakeError::InvalidHeader {
            name: "Sec-WebSocket-Extensions",
            value: ";".to_owned(),
            problem: "an extension has no name",
        })
    );
}

/// R-H10, X4, X5: an origin off the list gets 403 in every version and is never echoed.
#[test]
fn an_origin_that_is_not_allowed_gets_403() {
    let config = sample_config().origins(OriginPolicy::list(["http://other.example"]).unwrap());
    for request in [RFC6455, DRAFT75, DRAFT76] {
        let (outcome, answer) = serve(&config, request.as_bytes());
        let origin = "http://example.com".to_owned();
        assert_eq!(
            outcome,
            Outcome::Failed(HandshakeError::OriginRefused { origin })
        );
        assert_eq!(
            answer,
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\nForbidden\n"
        );
    }
    let same = sample_config().origins(OriginPolicy::SameHost);
    assert_eq!(serve(&same, DRAFT75.as_bytes()).0, Outcome::Open);
    assert_eq!(status_of(&serve(&same, RFC6455.as_bytes()).1).0, 403);
    assert_eq!(
        serve(&config, with(RFC6455, "Origin", "").as_bytes()).0,
        Outcome::Open,
        "R-H9"
    );
}

/// PROTOCOL.md §4: versions 8 and 7 name the origin in a header of their own.
#[test]
fn version_8_and_7_have_an_origin_header_of_their_own() {
    let config = ServerConfig::new().origins(OriginPolicy::list(["http://good"]).unwrap());
    for (number, origins, seen) in [
        (8, "Sec-WebSocket-Origin: http://good", Some("http://good")),
        (7, "Sec-WebSocket-Origin: http://good", Some("http://good")),
        (8, "Origin: http://good", Some("http://good")),
        (
            8,
            "Sec-WebSocket-Origin: http://good\r\nOrigin: http://evil",
            Some("http://good"),
        ),
        (8, "Sec-WebSocket-Origin: http://evil", None),
        (8, "Origin: http://evil", None),
        (
            8,
            "Sec-WebSocket-Origin: http://evil\r\nOrigin: http://good",
            None,
        ),
        (
            13,
            "Sec-WebSocket-Origin: http://good\r\nOrigin: http://evil",
            None,
        ),
    ] {
        let request = with(RFC6455, "Origin", origins);
        let version = format!("Sec-WebSocket-Version: {number}");
        let request = with(&request, "Sec-WebSocket-Version", &version);
        let mut handshake = ServerHandshake::new(&config, Instant::now());
        handshake.handle_read(Instant::now(), request.as_bytes());
        match seen {
            Some(seen) => {
                let request = upgrade(&mut handshake);
                assert_eq!(request.origin(), Some(seen));
                assert_eq!(request.version_number(), Some(number));
                assert_eq!(request.version(), Version::Rfc6455);
            }
            None => assert!(
                matches!(
                    handshake.poll_event(),
                    Some(HandshakeEvent::Failed(HandshakeError::OriginRefused { .. }))
                ),
                "{number} {origins}"
            ),
        }
    }
}

/// X27: answers reflect nothing of the request, unless the server is told to.
#[test]
fn reasons_are_revealed_only_on_demand() {
    let request = with(RFC6455, "Host", "Host: <script>");
    let (_, answer) = serve(&ServerConfig::new(), request.as_bytes());
    assert!(answer.ends_with("\r\n\r\nBad Request\n"), "{answer}");
    assert!(!answer.contains("script"));
    let (outcome, answer) = serve(
        &ServerConfig::new().reveal_reasons(true),
        request.as_bytes(),
    );
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}")
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("{error}\n"));
    assert!(
        head.contains(&format!("\r\nContent-Length: {}", body.len())),
        "{head}"
    );
}

/// X12: the limits of a head, exactly.
#[test]
fn a_head_over_a_limit_gets_431() {
    let len = RFC6455.len();
    let at_limit = ServerConfig::new().head_limit(len);
    assert_eq!(serve(&at_limit, RFC6455.as_bytes()).0, Outcome::Open);
    let below = ServerConfig::new().head_limit(len - 1);
    let (outcome, answer) = serve(&below, RFC6455.as_bytes());
    assert_eq!(
        outcome,
        Outcome::Failed(HandshakeError::HeadTooLarge { limit: len - 1 })
    );
    assert_eq!(status_of(&answer).0, 431);

    let lines = RFC6455.matches("\r\n").count() - 2;
    let at_limit = ServerConfig::new().header_limit(lines);
    assert_eq!(serve(&at_limit, RFC6455.as_bytes()).0, Outcome::Open);
    let (outcome, answer) = serve(
        &ServerConfig::new().header_limit(lines - 1),
        RFC6455.as_bytes(),
    );
    assert_eq!(
        outcome,
        Outcome::Failed(HandshakeError::TooManyHeaders { limit: lines - 1 })
    );
    assert_eq!(status_of(&answer).0, 431);

    let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(20_000));
    let (outcome, _) = serve(&ServerConfig::new(), endless.as_bytes());
    assert_eq!(
        outcome,
        Outcome::Failed(HandshakeError::HeadTooLarge { limit: 16_384 })
    );
}

/// PROTOCOL.md §3.1-9: what is no HTTP is refused at its first impossible byte.
#[test]
fn what_is_not_http_is_refused_at_once() {
    for (bytes, seen) in [
        (&b"<policy-file-request/>\0"[..], &b"<"[..]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16"),
        (b"\r\n\r\n", b"\r"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", b"SSH-2.0-OpenSSH_9.9\r"),
        (b"\0\0\0\0", b"\0"),
        (b"HELO\r\n", b"HELO\r"),
    ] {
        for read in [&bytes[..seen.len()], bytes] {
            let (outcome, answer) = serve(&ServerConfig::new(), read);
            let seen = seen.to_vec();
            assert_eq!(outcome, Outcome::Failed(HandshakeError::NotHttp { seen }));
            assert_eq!(status_of(&answer).0, 400);
        }
    }
}
