//! What a client tells of an answer that is no 101 (R-C7): the status, the headers, the beginning of the
//! body, or where a redirect points to.

use std::time::Instant;

use http::StatusCode;
use ws_proto::{ClientConfig, HandshakeError, HandshakeEvent, Version};
use ws_testing::handshake::client;

/// What makes a client give an answer up that is not complete.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Nothing has to.
    Open,
    Eof,
    Timeout,
}

/// Gives an answer to a client in pieces of a length; returns why it failed.
fn refused(config: &ClientConfig, answer: &str, piece: usize, end: End) -> Option<HandshakeError> {
    let mut handshake = client(config);
    for piece in answer.as_bytes().chunks(piece) {
        handshake.handle_read(Instant::now(), piece);
    }
    let outcome = handshake.poll_event();
    let deadline = handshake.poll_timeout();
    match end {
        End::Open => {}
        End::Eof => handshake.handle_eof(),
        End::Timeout => handshake.handle_timeout(deadline?),
    }
    match outcome.or_else(|| handshake.poll_event()) {
        Some(HandshakeEvent::Failed(error)) => {
            assert!(handshake.is_finished() && !handshake.wants_read());
            Some(error)
        }
        Some(other) => panic!("unexpected event {other:?}"),
        None => None,
    }
}

/// R-C7, RFC 9112 §6.3: head and body of a refusal, up to the limit, however they are chopped; a body that
/// does not end is given up with what came of it.
#[test]
fn a_refusal_is_told_with_its_body() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for version in Version::ALL {
        let config = ClientConfig::new().version(version).response_body_limit(20);
        for (rest, end, body, is_whole) in [
            // Without a length nothing is waited for.
            ("\r\n", End::Open, "", true),
            ("\r\nno length", End::Open, "", true),
            ("Content-Length: 0\r\n\r\n", End::Open, "", true),
            ("Content-Length: 5\r\n\r\nhello", End::Open, "hello", true),
            (
                "Content-Length: 5\r\n\r\nhello and more",
                End::Open,
                "hello",
                true,
            ),
            (
                "Content-Length: 20\r\n\r\n01234567890123456789",
                End::Open,
                "01234567890123456789",
                true,
            ),
            (
                "Content-Length: 21\r\n\r\n012345678901234567890",
                End::Open,
                "01234567890123456789",
                false,
            ),
            (
                "Content-Length: 99999999999999\r\n\r\n012345678901234567890",
                End::Open,
                "01234567890123456789",
                false,
            ),
            ("Content-Length: nonsense\r\n\r\nhello", End::Open, "", true),
            ("Content-Length: 9\r\n\r\nhello", End::Eof, "hello", false),
            (
                "Content-Length: 9\r\n\r\nhello",
                End::Timeout,
                "hello",
                false,
            ),
            (
                &format!("{chunked}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
                End::Open,
                "hello",
                true,
            ),
            (
                &format!("{chunked}3\r\nhel\r\n2\r\nl"),
                End::Eof,
                "hell",
                false,
            ),
            (
                &format!("{chunked}3\r\nhel\r\n2\r\nl"),
                End::Timeout,
                "hell",
                false,
            ),
            (
                &format!("{chunked}ff\r\n012345678901234567890"),
                End::Open,
                "0123456789012345",
                false,
            ),
        ] {
            let answer = format!("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n{rest}");
            for piece in [1, 2, 7, 1000] {
                let error = refused(&config, &answer, piece, end);
                let Some(HandshakeError::Status { status, response }) = error else {
                    panic!("{rest:?} in pieces of {piece}: {error:?}");
                };
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                assert_eq!(response.header("www-authenticate"), Some("Basic"));
                let seen = String::from_utf8_lossy(response.body());
                assert_eq!(
                    (&*seen, response.is_whole()),
                    (body, is_whole),
                    "{rest:?}, {piece}"
                );
            }
            if end != End::Open {
                assert_eq!(refused(&config, &answer, 1000, End::Open), None, "{rest:?}");
            }
        }
    }
}

/// A body that is text is shown in the error, its beginning at least, with nothing in it that could
/// forge a line of a log.
#[test]
fn an_error_shows_what_was_said() {
    let config = ClientConfig::new();
    let long = format!("a\nb{}", "x".repeat(1000));
    for (body, says) in [
        ("", "403 Forbidden; 101 was expected"),
        (
            "no entry\r\n",
            "403 Forbidden; 101 was expected; it said \"no entry\"",
        ),
        (&long, &format!("it said \"a\\nb{}\"…", "x".repeat(197))),
    ] {
        let len = body.len();
        let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {len}\r\n\r\n{body}");
        let text = refused(&config, &answer, 100, End::Open)
            .unwrap()
            .to_string();
        assert!(text.ends_with(says), "{text}");
    }
}

/// A redirect is an error of its own that names where it points to, and is not waited for; a status of the
/// same class that is none, or one without a location, is a refusal like others.
#[test]
fn a_redirect_names_its_location() {
    let config = ClientConfig::new();
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} Moved\r\nContent-Length: 5\r\n");
        let answer = format!("{head}Location: wss://elsewhere.example/a\r\n\r\n");
        let error = refused(&config, &answer, 1, End::Open).unwrap();
        let text = error.to_string();
        let status = StatusCode::from_u16(status).unwrap();
        let location = "wss://elsewhere.example/a".into();
        assert_eq!(error, HandshakeError::Redirect { status, location });
        assert!(text.contains("\"wss://elsewhere.example/a\""), "{text}");
        let answer = format!("{head}\r\nhello");
        let error = refused(&config, &answer, 1, End::Open).unwrap();
        assert!(matches!(error, HandshakeError::Status { .. }), "{error:?}");
    }
    let answer = "HTTP/1.1 304 Not Modified\r\nLocation: /a\r\nContent-Length: 5\r\n\r\n";
    let error = refused(&config, answer, 1, End::Open).unwrap();
    assert!(matches!(error, HandshakeError::Status { .. }), "{error:?}");
}
