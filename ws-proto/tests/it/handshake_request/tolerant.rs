//! What RFC 9110, 9112 and 3986 have a recipient take, in RFC 6455 (PROTOCOL.md §5.1, the column *Tolerant*).

use ws_proto::{OriginPolicy, ServerConfig};

use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, sample_config, serve, status_of, subprotocols, upgrade,
    with,
};

fn open(request: &str) -> String {
    let (outcome, answer) = serve(&sample_config(), request.as_bytes());
    assert_eq!(
        (outcome, status_of(&answer).0),
        (Outcome::Open, 101),
        "{request:?}"
    );
    answer
}

fn refused(request: &str) -> u16 {
    let (outcome, answer) = serve(&sample_config(), request.as_bytes());
    assert!(
        matches!(outcome, Outcome::Failed(_)),
        "{request:?}: {outcome:?}"
    );
    status_of(&answer).0
}

/// R-H12: a quoted parameter that is no token, as devices of TR-369 send it, declines the extension, not the
/// connection.
#[test]
fn an_extension_with_a_quoted_value_that_is_no_token_is_declined() {
    for value in [
        "bbf-usp-protocol; eid=\"os::00256D-0123456789\"",
        "bbf-usp-protocol; eid=\"proto::agent\"",
        "a; b=\"\", c; d=\"e, f; g=h\"",
        "a; b=\"c d\", d; e=\"\\\"\\\\\"",
    ] {
        let answer = open(&with(
            RFC6455,
            "X",
            &format!("Sec-WebSocket-Extensions: {value}"),
        ));
        assert!(!answer.contains("Extensions"), "R-R6: {answer}");
    }
    for value in [
        "a; b=\"c",
        "a; b=\"c\\\"",
        "a; b=\"c\"d",
        "a; b=c d",
        "a; b=c:d",
    ] {
        let request = with(RFC6455, "X", &format!("Sec-WebSocket-Extensions: {value}"));
        assert_eq!(refused(&request), 400, "{value}");
    }
}

/// R-H11, R-H12, R-H5, R-H6: empty elements of a list are none (RFC 9110 §5.6.1.2), so an empty header offers
/// nothing.
#[test]
fn empty_elements_of_a_list_are_none() {
    for (name, values) in [
        ("Sec-WebSocket-Protocol", &["", " ", ",", "\t,, ,"][..]),
        (
            "Sec-WebSocket-Extensions",
            &["", " ", ",", "a,", ",a", "a,,b", ", ,\ta ,"],
        ),
        ("Upgrade", &[", websocket", "websocket,", "h2c,,websocket"]),
        (
            "Connection",
            &[",upgrade", "Upgrade,", "keep-alive,, Upgrade"],
        ),
    ] {
        for value in values {
            let answer = open(&with(RFC6455, name, &format!("{name}: {value}")));
            assert!(!answer.contains("Protocol: "), "R-R5: {answer}");
        }
    }
    let config = ServerConfig::new().subprotocols(subprotocols(&["ocpp1.6"]));
    for value in ["ocpp1.6,", ",ocpp1.6", "other,, ocpp1.6"] {
        let request = with(
            RFC6455,
            "Sec-WebSocket-Protocol",
            &format!("Sec-WebSocket-Protocol: {value}"),
        );
        let (outcome, answer) = serve(&config, request.as_bytes());
        assert_eq!(outcome, Outcome::Open, "{value}");
        assert!(
            answer.contains("\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"),
            "{answer}"
        );
    }
    // The drafts have no lists there.
    let request = with(DRAFT75, "WebSocket-Protocol", "WebSocket-Protocol: sample,");
    assert_eq!(refused(&request), 400);
}

/// R-H2: HTTP/1.0 has no upgrades, so what it says of one is ignored (RFC 9110 §7.8).
#[test]
fn an_upgrade_over_http_1_0_is_a_plain_request() {
    for request in [RFC6455, DRAFT75, DRAFT76] {
        let request = request.replace("HTTP/1.1", "HTTP/1.0");
        let (outcome, answer) = serve(&sample_config(), request.as_bytes());
        assert_eq!((outcome, &*answer), (Outcome::Http, ""), "{request:?}");
    }
}

/// X26, row 9 of PROTOCOL.md §4: a client of RFC 6455 whose key and version a gateway dropped is none of
/// draft-75, which writes `Upgrade: WebSocket` and nothing else.
#[test]
fn a_client_whose_headers_were_dropped_is_not_taken_for_draft_75() {
    let base =
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\norigin: https://app.example\r\n";
    for upgrade in [
        "upgrade: websocket",
        "Upgrade: WEBSOCKET",
        "Upgrade: Websocket",
        "Upgrade: WebSocket, h2c",
        "Upgrade: WebSocket,",
        "Upgrade: WebSocket\r\nUpgrade: WebSocket",
    ] {
        let (outcome, answer) = serve(
            &ServerConfig::new(),
            format!("{base}{upgrade}\r\n\r\n").as_bytes(),
        );
        assert!(
            matches!(outcome, Outcome::Failed(_)),
            "{upgrade}: {outcome:?}"
        );
        assert_eq!(status_of(&answer), (426, Some("13, 8, 7")), "{upgrade}");
    }
    let exact = format!("{base}Upgrade: WebSocket\r\n\r\n");
    let (outcome, answer) = serve(&ServerConfig::new(), exact.as_bytes());
    assert_eq!((outcome, status_of(&answer).0), (Outcome::Open, 101));
}

/// RFC 9112 §2.2: one empty line before a request is skipped, in one piece or in two; not two, and no LF alone.
#[test]
fn an_empty_line_before_a_request_is_skipped() {
    open(&format!("\r\n{RFC6455}"));
    for before in ["\r\n\r\n", "\n", "\r", "\r\n ", " "] {
        assert_eq!(refused(&format!("{before}{RFC6455}")), 400, "{before:?}");
    }
}

/// R-H4, RFC 3986 §3.2.3: a port may be empty and have leading zeros. The drafts copy it, so they stay exact.
#[test]
fn a_port_is_what_rfc_3986_says() {
    for host in ["a:", "a:0", "a:080", "[::1]:", "[::1]:0080"] {
        let line = format!("Host: {host}");
        open(&with(RFC6455, "Host", &line));
        for draft in [DRAFT75, DRAFT76] {
            assert_eq!(
                refused(&(with(draft, "Host", &line) + "12345678")),
                400,
                "{host}"
            );
        }
    }
    for host in ["", ":80", "a:65536", "a:+80", "u@a", "a b", "[::1", "a/b"] {
        assert_eq!(
            refused(&with(RFC6455, "Host", &format!("Host: {host}"))),
            400,
            "{host}"
        );
    }
}

/// R-H3, RFC 9112 §3.2.2: the host of a target that is a whole URI goes before that of `Host`.
#[test]
fn the_host_of_a_whole_uri_goes_first() {
    let config = ServerConfig::new().origins(OriginPolicy::SameHost);
    for (target, origin, host, is_allowed) in [
        (
            "http://named.example/a",
            "http://named.example",
            "named.example",
            true,
        ),
        (
            "HTTP://Named.example:080?a",
            "http://named.example",
            "Named.example:080",
            true,
        ),
        (
            "http://named.example/a",
            "http://server.example.com",
            "",
            false,
        ),
        (
            "/a?b=http://named.example",
            "http://server.example.com",
            "server.example.com",
            true,
        ),
        (
            "/a?b=http://named.example",
            "http://named.example",
            "",
            false,
        ),
    ] {
        let request = RFC6455.replace("/chat", target);
        let request = with(&request, "Origin", &format!("Origin: {origin}"));
        let mut handshake = ws_proto::ServerHandshake::new(&config, std::time::Instant::now());
        handshake.handle_read(std::time::Instant::now(), request.as_bytes());
        match is_allowed {
            true => assert_eq!(upgrade(&mut handshake).host(), host),
            false => {
                let (outcome, answer) = serve(&config, request.as_bytes());
                assert_eq!(status_of(&answer).0, 403, "{request:?}: {outcome:?}");
            }
        }
    }
}

/// R-H9, RFC 9110 §5.5: what is no origin is one that no list has, and that nobody minds where all may connect.
#[test]
fn an_odd_origin_is_opaque() {
    let list = sample_config().origins(OriginPolicy::list(["http://example.com"]).unwrap());
    for origin in ["", "http://a\tb", "http://\u{e9}", "garbage"] {
        let request = with(RFC6455, "Origin", &format!("Origin: {origin}"));
        open(&request);
        let (_, answer) = serve(&list, request.as_bytes());
        assert_eq!(status_of(&answer).0, 403, "{origin:?}");
    }
}

/// X13, RFC 9110 §8.6: a length of zero, in any number of digits, announces no body.
#[test]
fn a_length_of_zero_is_no_body() {
    for (length, is_none) in [
        ("0", true),
        ("000", true),
        ("", false),
        ("+0", false),
        ("0x0", false),
    ] {
        let request = with(RFC6455, "X", &format!("Content-Length: {length}"));
        match is_none {
            true => drop(open(&request)),
            false => assert_eq!(refused(&request), 400, "{length}"),
        }
        let request = with(DRAFT75, "X", "Content-Length: 00");
        assert_eq!(refused(&request), 400);
    }
}
