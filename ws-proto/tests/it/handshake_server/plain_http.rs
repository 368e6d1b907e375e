//! Requests that are no upgrades.

use http::StatusCode;
use ws_proto::{Accept, ConfigError, Rejection, ServerConfig, State};

use ws_testing::handshake::{Outcome, drain, run};

/// R-H5: a request without `Upgrade: websocket` goes to an HTTP server, every byte of it.
#[test]
fn a_plain_request_is_handed_on_untouched() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
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

/// R-H5: an embedder without an HTTP server answers a plain request by `reject`, with 426 or another status.
#[test]
fn a_plain_request_can_be_rejected() {
    for (request, body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Upgrade Required\n"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "Upgrade Required\n",
        ),
        (
            "GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n",
            "Upgrade Required\n",
        ),
    ] {
        let (mut handshake, outcome, _) =
            run(&ServerConfig::new(), &[request.as_bytes()], &Accept::new());
        assert_eq!(outcome, Outcome::Http);
        let rejection = || Rejection::new(StatusCode::UPGRADE_REQUIRED);
        let status = StatusCode::from_u16(100).unwrap();
        let refused = Err(ConfigError::InvalidStatus { status: 100 });
        assert_eq!(handshake.reject(Rejection::new(status)), refused);
        assert_eq!(handshake.state(), State::Handshaking, "it still waits");
        handshake.reject(rejection()).unwrap();
        let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
        assert_eq!(
            answer,
            format!(
                "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade, close\r\nSec-WebSocket-Version: 13, 8, 7\r\n\
                 Content-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\n\r\n{body}"
            )
        );
        assert!(handshake.is_finished() && handshake.state() == State::Closed);
        assert!(handshake.poll_event().is_none());
        assert_eq!(handshake.reject(rejection()), Err(ConfigError::NotPending));
        assert_eq!(handshake.into_received(), "", "nothing is left of it");
    }
}
