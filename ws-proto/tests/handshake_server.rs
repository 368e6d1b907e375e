//! The server's side of the opening handshake: its answers, its events, and how it ends.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod handshake_support;

use std::time::{Duration, Instant};

use handshake_support::{
    DRAFT75, DRAFT76, Outcome, RFC6455, drain, run, sample_config, serve, status_of, subprotocols,
    upgrade, with,
};
use http::StatusCode;
use ws_proto::{
    Accept, ConfigError, Event, HandshakeError, HandshakeEvent, Message, ReasonPhrase, Rejection,
    Request, ServerConfig, ServerHandshake, State, Subprotocol, Version,
};

/// R-R1 to R-R8: the exchange of RFC 6455 §1.3, byte for byte.
#[test]
fn an_rfc6455_request_is_answered_with_the_hash_of_its_key() {
    let config = ServerConfig::new().subprotocols(subprotocols(&["chat"]));
    let mut handshake = ServerHandshake::new(&config, Instant::now());
    assert_eq!(handshake.state(), State::Unknown);
    handshake.handle_read(Instant::now(), RFC6455.as_bytes());
    assert_eq!(handshake.state(), State::Handshaking);
    let request = upgrade(&mut handshake);
    assert_eq!(
        (request.version(), request.version_number()),
        (Version::Rfc6455, Some(13))
    );
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Some("http://example.com"));
    assert_eq!(
        request.subprotocols().collect::<Vec<_>>(),
        ["chat", "superchat"]
    );
    assert_eq!(request.subprotocol(), Some("chat"));
    assert_eq!(request.head().target(), "/chat");
    assert_eq!(request.into_head().header("connection"), Some("Upgrade"));
    handshake.accept(Accept::new()).unwrap();
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    assert_eq!(handshake.state(), State::Connected);
    assert_eq!(
        String::from_utf8(drain(handshake.outgoing())).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
}

/// D75-R1 to D75-R4: the exchange of PROTOCOL.md §1.3, byte for byte.
#[test]
fn a_draft75_request_is_answered_byte_for_byte() {
    let (outcome, answer) = serve(&sample_config(), DRAFT75.as_bytes());
    assert_eq!(outcome, Outcome::Open);
    assert_eq!(
        answer,
        "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
         Connection: Upgrade\r\nWebSocket-Origin: http://example.com\r\n\
         WebSocket-Location: ws://example.com/demo\r\nWebSocket-Protocol: sample\r\n\r\n"
    );
    assert_eq!((DRAFT75.len(), answer.len()), (138, 196));
    assert_eq!(&answer[85..103], "WebSocket-Origin: ");
}

/// D75-R2, D75-R3, Q16 to Q18: what is echoed, and the scheme of the location.
#[test]
fn the_location_of_a_draft_is_host_and_target_as_they_were_sent() {
    for (host, target, secure, location) in [
        (
            "example.com:8081",
            "/demo",
            false,
            "ws://example.com:8081/demo",
        ),
        ("example.com", "/demo", true, "wss://example.com/demo"),
        (
            "example.com:8081",
            "/demo",
            true,
            "wss://example.com:8081/demo",
        ),
        (
            "example.com",
            "/demo?e=mc2",
            false,
            "ws://example.com/demo?e=mc2",
        ),
        ("example.com:80", "/", false, "ws://example.com:80/"),
        ("[::1]:9", "/", false, "ws://[::1]:9/"),
    ] {
        for (request, prefix) in [(DRAFT75, ""), (DRAFT76, "Sec-")] {
            let request = with(request, "Host", &format!("Host: {host}"));
            let request = request.replace("/demo", target) + "12345678";
            let (outcome, answer) = serve(&sample_config().secure(secure), request.as_bytes());
            assert_eq!(outcome, Outcome::Open, "{request}");
            let line = format!("\r\n{prefix}WebSocket-Location: {location}\r\n");
            assert!(answer.contains(&line), "{line} in {answer}");
        }
    }
}

/// PROTOCOL.md §4: close code 1004 is taken from a peer of version 7 or 8, from no other.
#[test]
fn a_version_7_peer_may_close_with_1004() {
    let close_1004 = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xec];
    for (number, code) in [(7, 1004), (8, 1004), (13, 1006)] {
        let version = format!("Sec-WebSocket-Version: {number}");
        let request = with(RFC6455, "Sec-WebSocket-Version", &version);
        let reads: [&[u8]; 2] = [request.as_bytes(), &close_1004];
        let (handshake, outcome, _) = run(&ServerConfig::new(), &reads, &Accept::new());
        assert_eq!(outcome, Outcome::Open);
        let mut connection = handshake.into_connection(Instant::now());
        connection.handle_eof(Instant::now());
        let event = connection.poll_event(Instant::now());
        let Some(Event::Closed(closed)) = event else {
            panic!("{number}: {event:?}")
        };
        assert_eq!(closed.code, code, "version {number}");
    }
}

/// R-R5: the server's order decides, and the application can decide otherwise.
#[test]
fn the_subprotocol_is_chosen_among_what_was_offered() {
    let name = |name: &str| Some(name.parse::<Subprotocol>().unwrap());
    let policy = ServerConfig::new().subprotocols(subprotocols(&["x", "superchat", "chat"]));
    for (config, accept, expected) in [
        (&policy, Accept::new(), Ok(Some("superchat"))),
        (
            &policy,
            Accept::new().subprotocol(name("chat")),
            Ok(Some("chat")),
        ),
        (&policy, Accept::new().subprotocol(None), Ok(None)),
        (&policy, Accept::new().subprotocol(name("x")), Err(())),
        (&ServerConfig::new(), Accept::new(), Ok(None)),
        (
            &ServerConfig::new(),
            Accept::new().subprotocol(name("chat")),
            Ok(Some("chat")),
        ),
        (&sample_config(), Accept::new(), Ok(None)),
    ] {
        let mut handshake = ServerHandshake::new(config, Instant::now());
        handshake.handle_read(Instant::now(), RFC6455.as_bytes());
        upgrade(&mut handshake);
        let result = handshake.accept(accept.clone());
        let Ok(expected) = expected else {
            let name = "Sec-WebSocket-Protocol".to_owned();
            let problem = "the client did not offer this subprotocol";
            assert_eq!(result, Err(ConfigError::InvalidHeader { name, problem }));
            assert_eq!(handshake.state(), State::Handshaking, "it is still pending");
            handshake.accept(Accept::new()).unwrap();
            continue;
        };
        assert_eq!(result, Ok(()));
        let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
        let sent = answer
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(sent, expected, "{accept:?}");
    }
}

/// D75-R4, D76-R4: a client of a draft would fail without its subprotocol, so it gets 400.
#[test]
fn a_draft_cannot_be_accepted_without_the_subprotocol_it_asked_for() {
    let sample = "sample".parse::<Subprotocol>().unwrap();
    for request in [DRAFT75, DRAFT76] {
        let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
        handshake.handle_read(Instant::now(), request.as_bytes());
        assert_eq!(
            upgrade(&mut handshake).subprotocols().collect::<Vec<_>>(),
            ["sample"]
        );
        handshake.accept(Accept::new()).unwrap();
        let offered = "sample".to_owned();
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!()
        };
        assert_eq!(error, HandshakeError::SubprotocolRefused { offered });
        let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
        assert_eq!(status_of(&answer).0, 400);

        // A server that has subprotocols does not ask the application.
        let config = ServerConfig::new().subprotocols(subprotocols(&["other"]));
        let mut handshake = ServerHandshake::new(&config, Instant::now());
        handshake.handle_read(Instant::now(), request.as_bytes());
        let event = handshake.poll_event();
        assert!(
            matches!(event, Some(HandshakeEvent::Failed(_))),
            "{event:?}"
        );

        let accept = Accept::new().subprotocol(sample.clone());
        let request = request.to_owned() + "12345678";
        let reads = [request.as_bytes()];
        let (_, outcome, written) = run(&ServerConfig::new(), &reads, &accept);
        assert_eq!(outcome, Outcome::Open);
        assert!(String::from_utf8_lossy(&written).contains("WebSocket-Protocol: sample\r\n"));
    }
}

/// D75-R1: headers of the application come behind the fixed lines.
#[test]
fn an_application_can_add_headers_to_a_101() {
    let accept = Accept::new().header("Set-Cookie", "a=1").unwrap();
    let accept = accept.header("Set-Cookie", "b=2").unwrap();
    let (_, outcome, written) = run(&sample_config(), &[DRAFT75.as_bytes()], &accept);
    assert_eq!(outcome, Outcome::Open);
    assert!(written.ends_with(
        b"\r\nWebSocket-Protocol: sample\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    ));
}

/// R-H14: an application rejects with what it likes, and the stream is closed.
#[test]
fn an_application_can_reject() {
    let status = |code| StatusCode::from_u16(code).unwrap();
    let rejection = |code| Rejection::new(status(code));
    for (rejection, expected) in [
        (
            Rejection::default(),
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\nForbidden\n",
        ),
        (
            rejection(401)
                .header("WWW-Authenticate", "Basic")
                .unwrap()
                .body("no"),
            "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\
             WWW-Authenticate: Basic\r\n\r\nno",
        ),
        (
            rejection(307)
                .header("Content-Type", "text/html")
                .unwrap()
                .body("<p>"),
            "HTTP/1.1 307 Temporary Redirect\r\nConnection: close\r\nContent-Length: 3\r\n\
             Content-Type: text/html\r\n\r\n<p>",
        ),
        (
            rejection(204).body("x"),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        ),
        (
            rejection(426).body(""),
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
             Sec-WebSocket-Version: 13, 8, 7\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 0\r\n\r\n",
        ),
        (
            rejection(599).body(""),
            "HTTP/1.1 599 Rejected\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
        handshake.handle_read(Instant::now(), RFC6455.as_bytes());
        upgrade(&mut handshake);
        for code in [100, 101, 600] {
            let refused = Err(ConfigError::InvalidStatus { status: code });
            assert_eq!(handshake.reject(Rejection::new(status(code))), refused);
        }
        handshake.reject(rejection).unwrap();
        assert_eq!(handshake.state(), State::Closed);
        assert!(!handshake.is_finished(), "the answer is not written yet");
        assert_eq!(
            String::from_utf8(drain(handshake.outgoing())).unwrap(),
            expected
        );
        assert!(handshake.is_finished());
        assert!(handshake.poll_event().is_none());
        assert_eq!(
            handshake.accept(Accept::new()),
            Err(ConfigError::NotPending)
        );
        assert_eq!(
            handshake.reject(Rejection::default()),
            Err(ConfigError::NotPending)
        );
    }
}

/// R-H5: a request without `Upgrade: websocket` goes to an HTTP server, every byte of it.
#[test]
fn a_plain_request_is_handed_on_untouched() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket/13\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ] {
        let reads: [&[u8]; 2] = [request.as_bytes(), b"more"];
        let (mut handshake, outcome, written) = run(&ServerConfig::new(), &reads, &Accept::new());
        assert_eq!((outcome, written), (Outcome::Http, vec![]), "{request:?}");
        assert!(!handshake.wants_read(), "the rest is for the HTTP server");
        assert_eq!(handshake.poll_timeout(), None);
        assert_eq!(
            handshake.accept(Accept::new()),
            Err(ConfigError::NotPending)
        );
        handshake.handle_eof();
        assert!(handshake.poll_event().is_none());
        assert_eq!(
            handshake.into_received(),
            [request.as_bytes(), b"more"].concat()
        );
    }
}

/// X11: one deadline for the whole handshake; 408 before the head is complete.
#[test]
fn a_handshake_that_takes_too_long_fails() {
    let start = Instant::now();
    let wait = Duration::from_secs(10);
    let cases: [(&[u8], State, Option<u16>); 4] = [
        (b"", State::Unknown, Some(408)),
        (b"GET / HT", State::Opening, Some(408)),
        (RFC6455.as_bytes(), State::Handshaking, Some(503)),
        (DRAFT76.as_bytes(), State::Waiting, None),
    ];
    for (bytes, state, status) in cases {
        let mut handshake = ServerHandshake::new(&sample_config(), start);
        for byte in bytes {
            handshake.handle_read(start + wait / 2, &[*byte]);
        }
        if state == State::Waiting {
            upgrade(&mut handshake);
            handshake.accept(Accept::new()).unwrap();
            drain(handshake.outgoing());
        } else if state == State::Handshaking {
            upgrade(&mut handshake);
        }
        assert_eq!(
            handshake.poll_timeout(),
            Some(start + wait),
            "bytes do not move it"
        );
        handshake.handle_timeout(start + wait - Duration::from_millis(1));
        assert!(
            handshake.poll_event().is_none(),
            "nothing happens before the deadline"
        );
        handshake.handle_timeout(start + wait);
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!()
        };
        assert_eq!(
            error,
            HandshakeError::Timeout {
                state,
                waited: wait
            }
        );
        assert_eq!(handshake.is_finished(), status.is_none());
        if let Some(status) = status {
            let deadline = handshake.poll_timeout();
            assert_eq!(
                deadline,
                Some(start + 2 * wait),
                "writing the answer is bounded, too"
            );
            let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
            assert_eq!(status_of(&answer).0, status);
        }
    }
}

/// An answer that the client does not read does not keep the stream for ever.
#[test]
fn a_refusal_that_is_not_read_is_given_up() {
    let start = Instant::now();
    let config = ServerConfig::new().handshake_timeout(Duration::from_secs(3));
    let mut handshake = ServerHandshake::new(&config, start);
    handshake.handle_read(start, b"\0");
    assert!(matches!(
        handshake.poll_event(),
        Some(HandshakeEvent::Failed(_))
    ));
    let deadline = handshake.poll_timeout().unwrap();
    assert_eq!(deadline, start + Duration::from_secs(3));
    handshake.handle_timeout(deadline);
    assert!(handshake.is_finished() && handshake.poll_event().is_none());
    assert_eq!(handshake.poll_timeout(), None);

    let config = ServerConfig::new().handshake_timeout(None);
    assert_eq!(
        ServerHandshake::new(&config, start).poll_timeout(),
        None,
        "None means never"
    );
}

/// The end of the stream before the handshake is done has no answer; an empty stream has a cause
/// of its own.
#[test]
fn the_end_of_the_stream_fails_a_handshake_quietly() {
    for (bytes, state) in [
        ("", State::Unknown),
        ("GET / HTTP/1.1\r\n", State::Opening),
        (RFC6455, State::Handshaking),
        (DRAFT76, State::Waiting),
    ] {
        let mut handshake = ServerHandshake::new(&sample_config(), Instant::now());
        handshake.handle_read(Instant::now(), bytes.as_bytes());
        if bytes == DRAFT76 {
            upgrade(&mut handshake);
            handshake.accept(Accept::new()).unwrap();
            drain(handshake.outgoing());
            handshake.handle_read(Instant::now(), b"1234567");
        } else if bytes == RFC6455 {
            upgrade(&mut handshake);
        }
        assert_eq!(handshake.state(), state);
        handshake.handle_eof();
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!()
        };
        let expected = match bytes {
            "" => HandshakeError::Empty,
            _ => HandshakeError::Disconnected { state },
        };
        assert_eq!((error.status(), error), (None, expected));
        assert!(handshake.is_finished(), "nothing is to be written");
        assert_eq!(
            handshake.accept(Accept::new()),
            Err(ConfigError::NotPending)
        );
        handshake.handle_read(Instant::now(), RFC6455.as_bytes());
        handshake.handle_eof();
        assert!(
            handshake.poll_event().is_none(),
            "a failed handshake stays failed"
        );
    }
}

/// R-H16, Q4: frames behind the head wait for the connection, within a bound (X25).
#[test]
fn early_frames_are_kept_for_the_connection() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let cases: [(&str, &[u8]); 2] = [(RFC6455, &hello), (DRAFT75, b"\x00Hello\xff")];
    for (request, frame) in cases {
        let bytes = [request.as_bytes(), frame].concat();
        let (mut handshake, outcome, _) = run(&sample_config(), &[&bytes], &Accept::new());
        assert_eq!(outcome, Outcome::Open);
        handshake.handle_read(Instant::now(), frame);
        let mut connection = handshake.into_connection(Instant::now());
        for _ in 0..2 {
            let event = connection.poll_event(Instant::now());
            assert_eq!(event, Some(Event::Message(Message::from("Hello"))));
        }
        assert_eq!(connection.poll_event(Instant::now()), None);
    }

    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), RFC6455.as_bytes());
    handshake.handle_read(Instant::now(), &[0; 4095]);
    assert!(
        handshake.wants_read(),
        "the end of the stream must be noticed"
    );
    handshake.handle_read(Instant::now(), &[0; 1]);
    assert!(!handshake.wants_read());
}

/// What was not written before the handshake ends is written by the connection.
#[test]
fn the_connection_writes_what_the_handshake_left() {
    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), RFC6455.as_bytes());
    upgrade(&mut handshake);
    handshake.accept(Accept::new()).unwrap();
    let mut connection = handshake.into_connection(Instant::now());
    assert_eq!(connection.version(), Version::Rfc6455);
    connection.send("Hello").unwrap();
    let written = drain(connection.outgoing());
    assert!(written.starts_with(b"HTTP/1.1 101 "));
    assert!(written.ends_with(b"=\r\n\r\n\x81\x05Hello"));
}

#[test]
#[should_panic(expected = "a connection is made of a handshake in state opening")]
fn a_connection_cannot_be_made_of_a_handshake_that_is_not_done() {
    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), b"GET");
    handshake.into_connection(Instant::now());
}

/// Makes a ready-made request of bytes, as an HTTP server would.
fn parts(request: &str) -> http::request::Parts {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let mut builder = http::Request::builder().method(words.next().unwrap());
    builder = builder.uri(words.next().unwrap());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        builder = builder.header(name, value.trim());
    }
    builder.body(()).unwrap().into_parts().0
}

/// Writes a response down as an HTTP server would that keeps names in capital letters.
fn written(response: &http::Response<bytes::Bytes>) -> String {
    let reason = response.extensions().get::<ReasonPhrase>().unwrap();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", response.status().as_u16());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    text + "\r\n" + &String::from_utf8_lossy(response.body())
}

/// A ready-made request gets the same answer as the same request on a stream.
#[test]
fn a_ready_made_request_is_answered_like_bytes() {
    let requests = [
        RFC6455.to_owned(),
        DRAFT75.to_owned(),
        DRAFT76.to_owned(),
        RFC6455.replace("GET", "POST"),
        RFC6455.replace("/chat", "/chat?a=b"),
        with(RFC6455, "Sec-WebSocket-Version", "Sec-WebSocket-Version: 9"),
        with(RFC6455, "Sec-WebSocket-Version", ""),
        with(RFC6455, "Sec-WebSocket-Key", "Sec-WebSocket-Key: 1"),
        with(DRAFT75, "Host", "Host: a:0"),
        with(DRAFT75, "Origin", ""),
        with(
            DRAFT76,
            "Sec-WebSocket-Key1",
            "Sec-WebSocket-Key1: 4@146546xW%0l15",
        ),
    ];
    for request in requests {
        let now = Instant::now();
        let (_, on_stream) = serve(&sample_config(), request.as_bytes());
        let mut handshake = ServerHandshake::from_request(&sample_config(), &parts(&request), now);
        let event = handshake.poll_event();
        if let Some(HandshakeEvent::Request(_)) = event {
            assert!(handshake.response().is_none(), "nothing is decided yet");
            handshake.accept(Accept::new()).unwrap();
        } else {
            assert!(
                matches!(event, Some(HandshakeEvent::Failed(_))),
                "{event:?}"
            );
            assert!(!handshake.is_finished(), "the response is not taken yet");
        }
        let response = handshake.response().expect("an answer");
        let lower = |text: &str| text.to_ascii_lowercase();
        assert_eq!(lower(&written(&response)), lower(&on_stream));
        assert!(handshake.response().is_none(), "it is taken once");
        assert!(
            handshake.outgoing().is_empty(),
            "the head does not go out twice"
        );
    }
    let plain = parts("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut handshake = ServerHandshake::from_request(&sample_config(), &plain, Instant::now());
    assert!(matches!(
        handshake.poll_event(),
        Some(HandshakeEvent::Request(Request::Http))
    ));
}

/// Q1 with an HTTP server in front: the response goes first, the 16 bytes follow key3.
#[test]
fn a_ready_made_draft76_request_still_waits_for_key3() {
    let now = Instant::now();
    let mut handshake = ServerHandshake::from_request(&sample_config(), &parts(DRAFT76), now);
    upgrade(&mut handshake);
    handshake.accept(Accept::new()).unwrap();
    assert_eq!(handshake.state(), State::Waiting);
    let response = handshake.response().unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let reason = response.extensions().get::<ReasonPhrase>().unwrap();
    assert_eq!(reason.as_str(), "WebSocket Protocol Handshake");
    let names: Vec<_> = response
        .headers()
        .keys()
        .take(2)
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["upgrade", "connection"]);
    handshake.handle_read(now, b"^n:ds[4U\x00Hi\xff");
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    assert_eq!(drain(handshake.outgoing()), b"8jKS'y:G*Co,Wxa-");
    let mut connection = handshake.into_connection(now);
    assert_eq!(
        connection.poll_event(now),
        Some(Event::Message(Message::from("Hi")))
    );
}
