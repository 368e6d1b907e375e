//! Requests that are no upgrades.

use ws_proto::{Accept, ConfigError, ServerConfig};

use crate::handshake_support::{Outcome, run};

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
