//! The answers that accept, byte for byte.

use std::time::Instant;

use ws_proto::{Accept, HandshakeEvent, ServerConfig, ServerHandshake, State, Version};

use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, drain, run, sample_config, serve, subprotocols, upgrade,
    with,
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
