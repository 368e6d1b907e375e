//! The order of the checks.

use ws_proto::{HandshakeError, OriginPolicy, ServerConfig};

use ws_testing::handshake::{Outcome, serve};

/// PROTOCOL.md §5.1: of several faults the first one in the order of checks is answered.
#[test]
fn the_checks_are_made_in_a_fixed_order() {
    // Each step repairs the fault that the one before was refused for.
    let mut request = "POST chat HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n\
        Sec-WebSocket-Key: bad\r\nOrigin: http://evil\r\nContent-Length: 5\r\n\
        Sec-WebSocket-Protocol: a,a\r\nSec-WebSocket-Extensions: ;\r\n\r\n"
        .to_owned();
    let config = ServerConfig::new().origins(OriginPolicy::list(["http://good"]).unwrap());
    let steps: [(&str, &str, &str); 9] = [
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
            "Sec-WebSocket-Version 99 is not supported; rfc6455 has 13, 8 and 7, and \
             draft75,draft76,rfc6455 is enabled (option versions)",
            "99",
            "13",
        ),
        (
            "the upgrade request has a body; it must not have one",
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
            "header Sec-WebSocket-Protocol with value \"… (3 bytes)\": a subprotocol is offered twice",
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
            value: ";".into(),
            problem: "an extension has no name",
        })
    );
}
