//! The list of hosts, on the port and through another HTTP server.

use ws_testing::sim::peer::{DRAFT76, OK_6455, RFC6455};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

/// X6: DNS rebinding. A host that is not on the list is refused and counted, in each version.
#[test]
fn a_host_that_is_not_ours_is_refused() {
    Sim::run(async |sim| {
        let server = Server::builder().hosts(["server.example.com"]);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        for request in [RFC6455, DRAFT76] {
            let (head, _) = request.split_once("Host: ").unwrap();
            let (_, rest) = request
                .split_once("Host: ")
                .unwrap()
                .1
                .split_once("\r\n")
                .unwrap();
            let request = format!("{head}Host: rebound.example\r\n{rest}");
            let mut peer = Peer::connect(&sim, server.local_addr());
            let answer = peer.ask(request).await;
            assert!(
                answer.starts_with(b"HTTP/1.1 421 "),
                "{}",
                answer.escape_ascii()
            );
        }
        let mut peer = Peer::connect(&sim, server.local_addr());
        assert_eq!(peer.ask(RFC6455).await, OK_6455.as_bytes());
        let rejections = server.counters().rejections;
        assert_eq!((rejections.host, rejections.total()), (2, 2));
    });
}

/// The same of a request that another HTTP server read.
#[cfg(feature = "upgrade")]
#[test]
fn a_host_that_is_not_ours_is_refused_through_another_server() {
    Sim::run(async |_| {
        let server = Server::builder().hosts(["server.example.com"]);
        let server = server.build().unwrap();
        // Without the other server's upgrade none of them opens; what is asked of us is which are refused.
        for (host, status) in [("rebound.example", 421), ("server.example.com", 500)] {
            let mut request = http::Request::builder()
                .header("Host", host)
                .header("Upgrade", "websocket")
                .header("Connection", "Upgrade")
                .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header("Sec-WebSocket-Version", "13")
                .body(http_body_util::Empty::<bytes::Bytes>::new())
                .unwrap();
            let response = server.handle_request(&mut request, None, echo).await;
            assert_eq!(response.status(), status, "{host}");
        }
        assert_eq!(server.counters().rejections.host, 1);
    });
}

/// An entry that can never match makes `bind` fail.
#[test]
fn a_malformed_host_makes_bind_fail() {
    Sim::run(async |_| {
        let error = Server::builder().hosts(["*.example.com"]).bind(ANY).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("*.example.com") && error.contains("option hosts"),
            "{error}"
        );
    });
}
