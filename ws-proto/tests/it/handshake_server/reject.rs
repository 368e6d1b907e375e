//! The answers by which an application rejects.

use std::time::Instant;

use http::StatusCode;
use ws_proto::{Accept, ConfigError, Rejection, ServerConfig, ServerHandshake, State};

use ws_testing::handshake::{RFC6455, drain, upgrade};

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
