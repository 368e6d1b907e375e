//! Which origins are allowed, and which header names them.

use std::time::Instant;

use ws_proto::{
    HandshakeError, HandshakeEvent, OriginPolicy, ServerConfig, ServerHandshake, Version,
};

use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, sample_config, serve, status_of, upgrade, with,
};

/// R-H10, X4, X5: an origin off the list gets 403 in every version and is never echoed.
#[test]
fn an_origin_that_is_not_allowed_gets_403() {
    let config = sample_config().origins(OriginPolicy::list(["http://other.example"]).unwrap());
    for request in [RFC6455, DRAFT75, DRAFT76] {
        let (outcome, answer) = serve(&config, request.as_bytes());
        let origin = "http://example.com".to_owned();
        assert_eq!(
            outcome,
            Outcome::Failed(HandshakeError::OriginRefused {
                origin: origin.into()
            })
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
