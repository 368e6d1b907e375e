//! Requests for a WebSocket in HTTP/2 (RFC 8441), which an HTTP server has read.

use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};
use ws_proto::{
    Accept, ConfigError, Event, HandshakeEvent, HostPolicy, Message, OriginPolicy, Rejection,
    Request, ServerConfig, ServerHandshake, State, Version,
};

use ws_testing::handshake::{sample_config, upgrade};

/// The headers of a request that breaks no rule.
const LINES: [(&str, &str); 2] = [
    ("sec-websocket-version", "13"),
    ("origin", "http://example.com"),
];

/// Makes the head of an extended CONNECT.
fn connect(uri: &str, lines: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::builder();
    builder = builder
        .method(Method::CONNECT)
        .version(http::Version::HTTP_2);
    builder = builder.uri(uri);
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

/// The same lines with one replaced, or without it if there is no value.
fn with<'a>(name: &'a str, values: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let kept = LINES.into_iter().filter(|(seen, _)| *seen != name);
    kept.chain(values.iter().map(|value| (name, *value)))
        .collect()
}

fn begin(config: &ServerConfig, parts: &Parts) -> ServerHandshake {
    ServerHandshake::from_connect(config, parts, Instant::now())
}

/// The status of a refusal, with the versions that it lists.
fn refusal(config: &ServerConfig, parts: &Parts) -> (u16, Option<String>) {
    let mut handshake = begin(config, parts);
    let event = handshake.poll_event();
    assert!(
        matches!(event, Some(HandshakeEvent::Failed(_))),
        "{event:?}"
    );
    let response = handshake.response().expect("an answer");
    assert!(handshake.is_finished() && handshake.outgoing().is_empty());
    let value = |name| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!((value("connection"), value("upgrade")), (None, None));
    let versions = value("sec-websocket-version").map(str::to_owned);
    (response.status().as_u16(), versions)
}

/// H2-S4, H2-S7, H2-R1: the authority is the host, the answer is a 200 without a proof or a body, and the stream then
/// carries frames.
#[test]
fn a_connect_is_accepted_with_200() {
    let mut lines = with("sec-websocket-protocol", &["superchat, chat"]);
    // It is ignored, even a malformed one.
    lines.push(("sec-websocket-key", "1"));
    let parts = connect("https://example.com:8443/chat?a=b", &lines);
    let config = sample_config().origins(OriginPolicy::Any);
    let mut handshake = begin(&config, &parts);
    assert_eq!(handshake.state(), State::Handshaking);
    let request = upgrade(&mut handshake);
    assert_eq!(
        (request.version(), request.version_number()),
        (Version::Rfc6455, Some(13))
    );
    assert_eq!(request.host(), "example.com:8443");
    assert_eq!(request.head().header("Host"), Some("example.com:8443"));
    assert_eq!(request.head().target(), "/chat?a=b");
    assert_eq!(request.head().method(), Method::CONNECT);
    let accept = Accept::new().subprotocol("chat".parse::<ws_proto::Subprotocol>().unwrap());
    let accept = accept.header("Set-Cookie", "a=b").unwrap();
    handshake.accept(accept).unwrap();
    let response = handshake.response().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut names: Vec<_> = response
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["sec-websocket-protocol", "set-cookie"]);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(response.body().is_empty());
    assert!(
        handshake.outgoing().is_empty(),
        "the head does not go out twice"
    );
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    let now = Instant::now();
    let mut connection = handshake.into_connection(now);
    connection.handle_read(now, &[0x81, 0x82, 1, 2, 3, 4, b'H' ^ 1, b'i' ^ 2]);
    let message = Event::Message(Message::from("Hi"));
    assert_eq!(connection.poll_event(now), Some(message));
}

/// H2-S4 to H2-S10, H2-R2: each rule has its status; what is about the version lists the only one there is.
#[test]
fn a_connect_that_breaks_a_rule_is_refused() {
    let lists = |status: u16| (status, Some("13".to_owned()));
    let none = |status: u16| (status, None);
    let uri = "https://example.com/chat";
    for (name, uri, lines, expected) in [
        ("H2-S4 none", "/chat", LINES.to_vec(), none(400)),
        (
            "H2-S4 bad",
            "https://a:b@example.com/",
            LINES.to_vec(),
            none(400),
        ),
        ("H2-S4 other", uri, with("host", &["b.example"]), none(400)),
        (
            "H2-S4 two",
            uri,
            with("host", &["example.com", "example.com"]),
            none(400),
        ),
        ("H2-S5", uri, with("connection", &["upgrade"]), none(400)),
        ("H2-S5", uri, with("upgrade", &["websocket"]), none(400)),
        (
            "H2-S5",
            uri,
            with("transfer-encoding", &["chunked"]),
            none(400),
        ),
        (
            "H2-S6 none",
            uri,
            with("sec-websocket-version", &[]),
            lists(400),
        ),
        (
            "H2-S6 two",
            uri,
            with("sec-websocket-version", &["13", "13"]),
            lists(400),
        ),
        (
            "H2-S6 list",
            uri,
            with("sec-websocket-version", &["13, 8"]),
            lists(400),
        ),
        (
            "H2-S6 8",
            uri,
            with("sec-websocket-version", &["8"]),
            lists(400),
        ),
        (
            "H2-S6 7",
            uri,
            with("sec-websocket-version", &["7"]),
            lists(400),
        ),
        (
            "H2-S6 14",
            uri,
            with("sec-websocket-version", &["14"]),
            lists(400),
        ),
        ("H2-S8", uri, with("content-length", &["0"]), none(400)),
        (
            "H2-S9 origin",
            uri,
            with("origin", &["http://evil.example"]),
            none(403),
        ),
        (
            "H2-S9 two",
            uri,
            with("origin", &["http://example.com"; 2]),
            none(400),
        ),
        (
            "H2-S9 names",
            uri,
            with("sec-websocket-protocol", &["a, a"]),
            none(400),
        ),
        (
            "H2-S9 ext",
            uri,
            with("sec-websocket-extensions", &["a; ="]),
            none(400),
        ),
        ("X6", "https://b.example/", LINES.to_vec(), none(421)),
    ] {
        let config = ServerConfig::new()
            .hosts(HostPolicy::list(["example.com"]).unwrap())
            .origins(OriginPolicy::list(["http://example.com"]).unwrap());
        let mut handshake = begin(&config, &connect("https://example.com/chat", &LINES));
        upgrade(&mut handshake);
        assert_eq!(refusal(&config, &connect(uri, &lines)), expected, "{name}");
    }
    let drafts = ServerConfig::new().versions(Version::Draft76);
    assert_eq!(refusal(&drafts, &connect("https://a/", &LINES)), none(400));
}

/// H2-S4: a `Host` beside the authority may repeat it, and the same host is one under TLS, too (X4).
#[test]
fn the_authority_is_the_host() {
    let config = ServerConfig::new()
        .origins(OriginPolicy::SameHost)
        .secure(true);
    for (origin, is_allowed) in [("https://Example.com", true), ("https://b.example", false)] {
        let mut lines = with("origin", &[origin]);
        lines.push(("host", "EXAMPLE.com"));
        let mut handshake = begin(&config, &connect("https://example.com/", &lines));
        let event = handshake.poll_event();
        let is_upgrade = matches!(event, Some(HandshakeEvent::Request(Request::Upgrade(_))));
        assert_eq!(is_upgrade, is_allowed, "{event:?}");
    }
}

/// H2-S11: the lines of a cookie are one for the application, which is as secret as each of them.
#[test]
fn the_cookies_of_a_connect_are_one_line() {
    let mut lines = with("cookie", &["theme=dark", "session=4f2a"]);
    lines.push(("x-other", "a"));
    let mut parts = connect("https://example.com/", &lines);
    let mut secret = http::HeaderValue::from_static("a=b");
    secret.set_sensitive(true);
    parts.headers.append("cookie", secret);
    let mut handshake = begin(&ServerConfig::new(), &parts);
    let request = upgrade(&mut handshake);
    let headers = request.head().headers();
    let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["theme=dark; session=4f2a; a=b"]);
    assert!(cookies[0].is_sensitive());
    assert_eq!(headers["x-other"], "a");
}

/// H2-S12: more header lines than the option allows are refused with 431. The lines of a cookie are one.
#[test]
fn the_header_limit_holds_for_a_connect() {
    let config = ServerConfig::new().header_limit(4_usize);
    let cookies = with("cookie", &["a=b"; 50]);
    for (more, is_allowed) in [(1, true), (2, false)] {
        let lines = [&cookies[..], &vec![("x-a", "1"); more]].concat();
        let parts = connect("https://example.com/", &lines);
        if is_allowed {
            upgrade(&mut begin(&config, &parts));
        } else {
            assert_eq!(refusal(&config, &parts), (431, None));
        }
    }
}

/// H2-R2: no 2xx rejects, because it accepts; a 426 becomes a 400 that lists the version.
#[test]
fn a_rejection_is_one_for_http_2() {
    let parts = connect("https://example.com/chat", &LINES);
    for (status, expected) in [
        (200, None),
        (204, None),
        (299, None),
        (101, None),
        (600, None),
    ]
    .into_iter()
    .chain([
        (300, Some(300)),
        (403, Some(403)),
        (426, Some(400)),
        (599, Some(599)),
    ]) {
        let mut handshake = begin(&ServerConfig::new(), &parts);
        upgrade(&mut handshake);
        let rejection = Rejection::new(StatusCode::from_u16(status).unwrap()).body("no\n");
        let rejected = handshake.reject(rejection);
        let Some(expected) = expected else {
            assert_eq!(rejected, Err(ConfigError::InvalidStatus { status }));
            assert_eq!(handshake.state(), State::Handshaking, "it is still pending");
            continue;
        };
        rejected.unwrap();
        let response = handshake.response().unwrap();
        assert_eq!(response.status().as_u16(), expected);
        assert_eq!(response.body(), "no\n");
        let lists = response.headers().contains_key("sec-websocket-version");
        assert_eq!(lists, status == 426);
        for name in ["connection", "upgrade"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
    }
}

/// H2-S9: what the checks make of a header is what they make of it in HTTP/1.1.
#[test]
fn a_connect_is_checked_like_an_upgrade() {
    let values = [
        "",
        ",",
        "a",
        "a, b",
        "a,,b",
        "a a",
        "a; b=c",
        "a; b=\"c,d\"",
        "\"",
        "null",
        "http://example.com",
    ];
    let names = [
        "origin",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-origin",
    ];
    let config = sample_config().subprotocols(["b".parse().unwrap()]);
    for name in names {
        for pair in values
            .iter()
            .flat_map(|first| values.map(|second| [*first, second]))
        {
            for lines in [&pair[..1], &pair[..]] {
                let lines = with(name, lines);
                let mut upgraded = connect("/chat", &lines);
                upgraded.method = Method::GET;
                upgraded.version = http::Version::HTTP_11;
                for (name, value) in [
                    ("host", "a.example"),
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ] {
                    upgraded.headers.insert(name, value.parse().unwrap());
                }
                let now = Instant::now();
                let mut old = ServerHandshake::from_request(&config, &upgraded, now);
                let mut new = begin(&config, &connect("http://a.example/chat", &lines));
                let mut answers = [&mut old, &mut new].map(|handshake| {
                    if let Some(HandshakeEvent::Request(_)) = handshake.poll_event() {
                        handshake.accept(Accept::new()).unwrap();
                    }
                    handshake.response().unwrap()
                });
                if answers[1].status() == StatusCode::OK {
                    *answers[1].status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                }
                let answers = answers.map(|answer| {
                    let chosen = answer.headers().get("sec-websocket-protocol").cloned();
                    (answer.status(), chosen, answer.into_body())
                });
                assert_eq!(answers[0], answers[1], "{lines:?}");
            }
        }
    }
}

/// H2-S0: where it is allowed, the preface of HTTP/2 is no head, at any chopping, and its bytes are kept; the first byte that
/// differs makes it one.
#[test]
fn a_preface_is_told_apart() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0";
    for read_len in [1, 3, 18, 24, 25, 100] {
        let now = Instant::now();
        let mut handshake = ServerHandshake::new(&ServerConfig::new(), now);
        handshake.allow_http2();
        for read in preface.chunks(read_len) {
            assert!(handshake.wants_read() || handshake.state() == State::Handshaking);
            handshake.handle_read(now, read);
        }
        let event = handshake.poll_event();
        assert!(
            matches!(event, Some(HandshakeEvent::Request(Request::Http2))),
            "{event:?}"
        );
        assert_eq!(
            (handshake.poll_timeout(), handshake.wants_read()),
            (None, false)
        );
        assert!(handshake.reject(Rejection::default()).is_err());
        assert_eq!(handshake.into_received(), &preface[..]);
    }
    for (allows, bytes, status) in [
        (false, "PRI * HTTP/2.0\r\n\r\n", Some(400)),
        (true, "PRI * HTTP/2.0\r\n\r\nST", Some(400)),
        (true, "PRI / HTTP/2.0\r\n\r\n", Some(400)),
        (true, "PRI * HTTP/2.0\r\n\r\n", None),
        (true, "GET / HTTP/1.1\r\n\r\n", None),
    ] {
        let now = Instant::now();
        let mut handshake = ServerHandshake::new(&ServerConfig::new(), now);
        if allows {
            handshake.allow_http2();
        }
        handshake.handle_read(now, bytes.as_bytes());
        let seen = match handshake.poll_event() {
            Some(HandshakeEvent::Failed(error)) => error.status(),
            _ => None,
        };
        assert_eq!(seen.map(|status| status.as_u16()), status, "{bytes:?}");
    }
}
