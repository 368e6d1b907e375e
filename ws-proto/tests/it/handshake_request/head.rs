//! What is too large to be a head, and what is none.

use ws_proto::{HandshakeError, ServerConfig};

use ws_testing::handshake::{Outcome, RFC6455, serve, status_of};

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

/// Who sees the line in a log knows what to mend.
#[test]
fn a_known_protocol_is_named() {
    for (seen, name) in [
        (&b"\x16"[..], "TLS"),
        (b"\r\n\r", "PROXY protocol"),
        (b"PROXY ", "PROXY protocol"),
        (b"PRI * HTTP/2", "it is HTTP/2"),
        (b"<", "Flash"),
        (b"\0", "head"),
    ] {
        let seen = seen.to_vec();
        let error = HandshakeError::NotHttp { seen }.to_string();
        assert!(error.contains(name), "{error}");
        assert!(error.ends_with("head") == (name == "head"), "{error}");
    }
}

/// Protocols whose first line is like one of HTTP are named as soon as the empty line is there, in any portions, and
/// nothing of that line is kept that could be an address.
#[test]
fn a_protocol_with_lines_is_named_at_the_empty_line() {
    for (bytes, seen) in [
        (
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            &b"PRI * HTTP/2"[..],
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PROXY ",
        ),
        (b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n", b"PROXY "),
    ] {
        let (outcome, answer) = serve(&ServerConfig::new(), bytes);
        let seen = seen.to_vec();
        assert_eq!(outcome, Outcome::Failed(HandshakeError::NotHttp { seen }));
        assert_eq!(status_of(&answer).0, 400);
    }
    // A method of that name in a request of HTTP/1 is a method.
    let request = b"PROXY / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (outcome, _) = serve(&ServerConfig::new(), request);
    assert!(!matches!(
        outcome,
        Outcome::Failed(HandshakeError::NotHttp { .. })
    ));
}

/// PROTOCOL.md §3.1-9: what is no HTTP is refused at its first impossible byte.
#[test]
fn what_is_not_http_is_refused_at_once() {
    for (bytes, seen) in [
        (&b"<policy-file-request/>\0"[..], &b"<"[..]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16"),
        (b"\r\n\r\n", b"\r\n\r"),
        (b"\n\n", b"\n"),
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
