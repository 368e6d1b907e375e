//! The rules for a request, one by one: what breaks one, and what breaks none.

use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, sample_config, serve, status_of, with,
};

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
        ("X26", d75("Upgrade", "Upgrade: websocket"), 426),
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
