//! The client's opening handshake: its requests, byte for byte, and its course.

use std::time::{Duration, Instant};

use ws_proto::{
    ClientConfig, ClientHandshake, ConfigError, Event, HandshakeError, HandshakeEvent, Host,
    Message, Origin, State, Version,
};
use ws_testing::handshake::{
    ACCEPT_LINE, Fixed, Seeded, URL, answer, client, drain, offering, rfc6455_answer,
};

fn origin() -> Option<Origin> {
    Some("http://Example.com".parse().unwrap())
}

/// R-C3 to R-C5: the request of RFC 6455.
#[test]
fn an_rfc6455_request_is_what_the_standard_says() {
    let config = offering(ClientConfig::new().origin(origin()), &["chat", "superchat"]);
    let config = config
        .header("Cookie", "a=b")
        .unwrap()
        .header("X-A", "c")
        .unwrap();
    let url = "wss://Example.com:443?a=b".parse().unwrap();
    let randomness = Box::new(Fixed(b"the sample nonce"));
    let mut handshake = ClientHandshake::new(&url, &config, randomness, Instant::now()).unwrap();
    assert_eq!(
        String::from_utf8(drain(handshake.outgoing())).unwrap(),
        "GET /?a=b HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
         Cookie: a=b\r\nX-A: c\r\n\r\n"
    );
    assert_eq!(handshake.state(), State::Handshaking);
    assert!(handshake.response_head().is_none());
}

/// R-C3, R-C15, R-C16: user and password of the URL become a header, unless the options have it, and a zone is not sent;
/// the option `host` names the server, without the port that the scheme implies. In every version.
#[test]
fn a_request_names_the_user_and_the_server() {
    let host = |text: &str| ClientConfig::new().host(text.parse::<Host>().unwrap());
    let explicit = ClientConfig::new().header("authorization", "Bearer a");
    let basic = Some("Authorization: Basic dTpw");
    for (url, config, sent_host, authorization) in [
        ("ws://a:81/", ClientConfig::new(), "a:81", None),
        ("ws://u:p@a:81/", ClientConfig::new(), "a:81", basic),
        (
            "ws://u:p@a/",
            explicit.unwrap(),
            "a",
            Some("authorization: Bearer a"),
        ),
        (
            "ws://[fe80::1%25eth0]/",
            ClientConfig::new(),
            "[fe80::1]",
            None,
        ),
        (
            "wss://u:p@[fe80::1%253]:444",
            ClientConfig::new(),
            "[fe80::1]:444",
            basic,
        ),
        (
            "ws://127.0.0.1:9000/",
            host("Example.com"),
            "example.com",
            None,
        ),
        (
            "wss://127.0.0.1/",
            host("example.com:443"),
            "example.com",
            None,
        ),
        (
            "ws://u:p@127.0.0.1/",
            host("example.com:443"),
            "example.com:443",
            basic,
        ),
    ] {
        for version in Version::ALL {
            let config = config.clone().version(version);
            let (parsed, randomness) = (url.parse().unwrap(), Box::new(Seeded(0)));
            let mut handshake =
                ClientHandshake::new(&parsed, &config, randomness, Instant::now()).unwrap();
            let request = String::from_utf8_lossy(&drain(handshake.outgoing())).into_owned();
            let (head, _) = request.split_once("\r\n\r\n").unwrap();
            let values = |name: &str| -> Vec<_> {
                let name = format!("{name}: ");
                let is_it = |line: &&str| line.to_ascii_lowercase().starts_with(&name);
                head.lines().filter(is_it).collect()
            };
            assert_eq!(
                values("host"),
                [format!("Host: {sent_host}")],
                "{url}: {head}"
            );
            assert_eq!(
                values("authorization").first().copied(),
                authorization,
                "{url}: {head}"
            );
            assert!(values("authorization").len() < 2, "{url}: {head}");
            let scheme = if parsed.is_secure() { "https" } else { "http" };
            match version {
                Version::Draft75 | Version::Draft76 => {
                    assert_eq!(
                        values("origin"),
                        [format!("Origin: {scheme}://{sent_host}")]
                    );
                }
                Version::Rfc6455 => assert_eq!(values("origin"), [""; 0]),
            }
        }
    }
}

/// R-C3: in the drafts, in which a server repeats the `Host` in its answer, a client that sets it expects that.
#[test]
fn a_draft_answers_for_the_host_that_was_set() {
    for (host, location, opens) in [
        (None, "ws://127.0.0.1:9000/demo", true),
        (Some("example.com"), "ws://example.com/demo", true),
        (Some("example.com"), "ws://127.0.0.1:9000/demo", false),
    ] {
        let config = ClientConfig::new().version(Version::Draft75);
        let config = config.host(host.map(|host| host.parse::<Host>().unwrap()));
        let url = "ws://u:p@127.0.0.1:9000/demo".parse().unwrap();
        let randomness = Box::new(Seeded(0));
        let mut handshake =
            ClientHandshake::new(&url, &config, randomness, Instant::now()).unwrap();
        let origin = format!("http://{}", host.unwrap_or("127.0.0.1:9000"));
        let answer = format!(
            "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
             Connection: Upgrade\r\nWebSocket-Origin: {origin}\r\n\
             WebSocket-Location: {location}\r\n\r\n"
        );
        handshake.handle_read(Instant::now(), answer.as_bytes());
        let event = handshake.poll_event();
        let is_open = matches!(event, Some(HandshakeEvent::Open));
        assert_eq!(is_open, opens, "{event:?}");
    }
}

/// D75-C1, D75-C2: the request of PROTOCOL.md §1.3, and the origin that a client falls back to.
#[test]
fn a_draft75_request_is_byte_for_byte_that_of_the_draft() {
    let config = ClientConfig::new().version(Version::Draft75);
    for (url, config, expected) in [
        (
            URL,
            offering(config.clone().origin(origin()), &["sample"]),
            "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Host: example.com\r\nOrigin: http://example.com\r\nWebSocket-Protocol: sample\r\n\r\n",
        ),
        (
            "wss://a:8443",
            config.header("Cookie", "a=b").unwrap(),
            "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a:8443\r\n\
             Origin: https://a:8443\r\nCookie: a=b\r\n\r\n",
        ),
    ] {
        let (url, randomness) = (url.parse().unwrap(), Box::new(Seeded(0)));
        let mut handshake =
            ClientHandshake::new(&url, &config, randomness, Instant::now()).unwrap();
        assert_eq!(
            String::from_utf8(drain(handshake.outgoing())).unwrap(),
            expected
        );
    }
}

/// Draft-76 §4.1: the fields of the request, and the form of both keys for many seeds.
#[test]
fn a_draft76_request_has_two_keys_and_eight_bytes() {
    let config = offering(ClientConfig::new().version(Version::Draft76), &["sample"]);
    let mut lens = Vec::new();
    for seed in 0..500 {
        let (url, randomness) = (URL.parse().unwrap(), Box::new(Seeded(seed)));
        let mut handshake =
            ClientHandshake::new(&url, &config, randomness, Instant::now()).unwrap();
        let request = drain(handshake.outgoing());
        let end = request
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap()
            + 4;
        assert_eq!(request.len(), end + 8);
        let head = String::from_utf8(request[..end].to_vec()).unwrap();
        let start = "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
            Host: example.com\r\nOrigin: http://example.com\r\nSec-WebSocket-Protocol: sample\r\n\
            Sec-WebSocket-Key1: ";
        let keys = head
            .strip_prefix(start)
            .unwrap()
            .strip_suffix("\r\n\r\n")
            .unwrap();
        let (key1, key2) = keys.split_once("\r\nSec-WebSocket-Key2: ").unwrap();
        for key in [key1, key2] {
            let spaces = key.matches(' ').count();
            let digits: String = key.chars().filter(char::is_ascii_digit).collect();
            let noise = key.len() - spaces - digits.len();
            assert!(
                (1..=12).contains(&spaces) && (1..=12).contains(&noise),
                "{key}"
            );
            assert_eq!(key.trim(), key, "no space is first or last");
            let product: u64 = digits.parse().unwrap();
            let spaces = u64::try_from(spaces).unwrap();
            assert!(
                product % spaces == 0 && product <= u64::from(u32::MAX),
                "{key}"
            );
            lens.push(key.len());
        }
    }
    lens.sort_unstable();
    lens.dedup();
    assert!(lens.len() > 10, "keys differ");
}

/// D75-R8: a server may answer before it reads; the request still goes out, by the connection.
#[test]
fn an_answer_may_come_before_the_request_is_written() {
    let now = Instant::now();
    let config = ClientConfig::new().version(Version::Draft75);
    let randomness = Box::new(Seeded(1));
    let mut handshake =
        ClientHandshake::new(&"ws://a/".parse().unwrap(), &config, randomness, now).unwrap();
    handshake.handle_read(
        now,
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
          Connection: Upgrade\r\nWebSocket-Origin: http://a\r\nWebSocket-Location: ws://a/\r\n\r\n\
          \x00early\xff\x00more",
    );
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    let mut connection = handshake.into_connection(now);
    assert_eq!(connection.version(), Version::Draft75);
    assert_eq!(
        connection.poll_event(now),
        Some(Event::Message(Message::from("early")))
    );
    assert_eq!(connection.poll_event(now), None);
    connection.send("hi").unwrap();
    let written = drain(connection.outgoing());
    assert!(written.starts_with(b"GET / HTTP/1.1\r\n") && written.ends_with(b"\r\n\r\n\x00hi\xff"));
}

/// R-C6, X2: an open RFC 6455 client masks with the randomness it was given.
#[test]
fn the_connection_of_a_client_masks() {
    let text =
        rfc6455_answer(&["Upgrade: websocket\r\nConnection: Upgrade\r\n", ACCEPT_LINE].concat());
    let (handshake, outcome) = answer(&ClientConfig::new(), &text);
    assert_eq!(outcome, Some(Ok(())));
    let mut connection = handshake.into_connection(Instant::now());
    connection.send("Hello").unwrap();
    let written = drain(connection.outgoing());
    assert_eq!(
        (written.len(), written[1]),
        (11, 0x85),
        "the mask bit is set"
    );
    let (key, payload) = written[2..].split_at(4);
    let unmasked: Vec<u8> = payload
        .iter()
        .zip(key)
        .map(|(byte, key)| byte ^ key)
        .collect();
    assert_eq!(unmasked, b"Hell");
    assert_eq!(payload[4] ^ key[0], b'o');
}

/// X11, X12: the deadline and the limits hold for a client, too.
#[test]
fn a_client_does_not_wait_or_read_for_ever() {
    let now = Instant::now();
    let wait = Duration::from_secs(10);
    let mut handshake = client(&ClientConfig::new());
    handshake.handle_read(now, b"HTTP/1.1 101");
    let deadline = handshake.poll_timeout().unwrap();
    handshake.handle_timeout(deadline - Duration::from_millis(1));
    assert!(handshake.poll_event().is_none());
    handshake.handle_timeout(deadline);
    let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
        panic!()
    };
    assert_eq!(
        error,
        HandshakeError::Timeout {
            state: State::Handshaking,
            waited: wait
        }
    );
    assert!(handshake.is_finished() && handshake.poll_timeout().is_none());
    handshake.handle_read(now, b"\r\n");
    handshake.handle_eof();
    assert!(
        handshake.poll_event().is_none(),
        "a failed handshake stays failed"
    );

    let long = format!("HTTP/1.1 101 {}\r\n\r\n", "x".repeat(20_000));
    let (_, outcome) = answer(&ClientConfig::new(), &long);
    assert_eq!(
        outcome,
        Some(Err(HandshakeError::HeadTooLarge { limit: 16_384 }))
    );
    let config = ClientConfig::new().header_limit(1).head_limit(100);
    let (_, outcome) = answer(&config, "HTTP/1.1 101 x\r\nA: b\r\nC: d\r\n\r\n");
    assert_eq!(
        outcome,
        Some(Err(HandshakeError::TooManyHeaders { limit: 1 }))
    );

    let mut handshake = client(&ClientConfig::new().handshake_timeout(None));
    assert_eq!(handshake.poll_timeout(), None, "None means never");
    handshake.handle_eof();
    assert!(matches!(
        handshake.poll_event(),
        Some(HandshakeEvent::Failed(HandshakeError::Empty))
    ));
}

/// R-C5, X8: options that would make a malformed request are refused before anything is sent.
#[test]
fn options_that_cannot_be_sent_are_refused() {
    let start = |config: &ClientConfig| {
        let randomness = Box::new(Seeded(1));
        ClientHandshake::new(&URL.parse().unwrap(), config, randomness, Instant::now()).map(drop)
    };
    let name = || "Sec-WebSocket-Protocol".to_owned();
    let problem = "a subprotocol is offered twice";
    assert_eq!(
        start(&offering(ClientConfig::new(), &["a", "b", "a"])),
        Err(ConfigError::InvalidHeader {
            name: name(),
            problem
        })
    );
    for version in [Version::Draft75, Version::Draft76] {
        let config = ClientConfig::new().version(version);
        let problem = "a draft can offer one subprotocol";
        assert_eq!(
            start(&offering(config, &["a", "b"])),
            Err(ConfigError::InvalidHeader {
                name: name(),
                problem
            })
        );
    }
    for (name, value) in [
        ("X-A", "b\r\nX-Injected: c"),
        ("X-A\r\nX-Injected", "c"),
        ("Host", "evil"),
        ("Sec-WebSocket-Key1", "1 1"),
        ("Content-Length", "9"),
    ] {
        let result = ClientConfig::new().header(name, value);
        assert!(
            matches!(result, Err(ConfigError::InvalidHeader { .. })),
            "{name:?}"
        );
    }
}
