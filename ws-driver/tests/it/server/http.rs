//! Plain HTTP on the same port, and upgrades that come later on a kept-alive stream.

use super::log::Log;
use super::page::{PLAIN, page, shown};
use ws_testing::sim::peer::{ACCEPT_76, DRAFT75, DRAFT76, KEY3, OK_6455, RFC6455, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// Plain requests are answered by `on_request`, many on one stream, and the observer is told; none of
/// them is a client.
#[test]
fn plain_requests_are_answered_one_after_another() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder().on_request(page).observer(log.clone());
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        for i in 0..3 {
            let answer = peer.ask(PLAIN.replace("page", &i.to_string())).await;
            assert_eq!(
                shown(&answer),
                format!(r"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nyou asked for /{i}")
            );
        }
        let requests = log
            .take()
            .into_iter()
            .filter(|line| line.starts_with("request"));
        assert_eq!(
            requests.collect::<Vec<_>>(),
            ["request GET /0", "request GET /1", "request GET /2"]
        );
        assert_eq!(server.clients().len(), 0);
        sim.sleep(seconds(10)).await;
        assert!(peer.has_ended(), "an idle stream is not kept for ever");
    });
}

/// Without `on_request` the answer is 426 with a body for people, and the stream stays of use.
#[test]
fn plain_requests_get_a_426_if_nobody_answers_them() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        for _ in 0..2 {
            let answer = shown(&peer.ask(PLAIN).await);
            assert!(answer.starts_with(
                r"HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\nUpgrade: websocket\r\n"
            ));
            assert!(answer.contains(r"\r\n\r\n426 Upgrade Required\n\nThis is a WebSocket server"));
        }
        let answer = peer.ask(RFC6455).await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", shown(&answer));
    });
}

/// A request for an upgrade that comes later on a stream that was kept alive is answered as if it came
/// first, in each version, byte for byte.
#[test]
fn an_upgrade_later_on_a_kept_alive_stream_works_in_every_version() {
    Sim::run(async |sim| {
        let server = Server::builder().on_request(page);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let answer_76 = r"HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: ws://example.com/demo\r\n\r\n";
        let accepted = format!("{answer_76}{}", ACCEPT_76.escape_ascii());
        let whole_76 = [DRAFT76.as_bytes(), KEY3].concat();
        let with_length = DRAFT76.replace("Origin", "Content-Length: 8\r\nOrigin");
        let with_length = [with_length.as_bytes(), KEY3].concat();
        let answer_75 = r"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nWebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n\r\n";
        let answer_6455 = OK_6455.as_bytes().escape_ascii().to_string();
        let cases: [(&str, &[u8], &[u8], String); 6] = [
            ("RFC 6455", RFC6455.as_bytes(), b"", answer_6455),
            ("draft-75", DRAFT75.as_bytes(), b"", answer_75.to_owned()),
            ("draft-76, key3 at once", &whole_76, b"", accepted.clone()),
            (
                "draft-76, key3 later",
                DRAFT76.as_bytes(),
                KEY3,
                accepted.clone(),
            ),
            (
                "draft-76, key3 declared",
                &with_length,
                b"",
                accepted.clone(),
            ),
            (
                "draft-76, key3 a second later",
                DRAFT76.as_bytes(),
                KEY3,
                accepted,
            ),
        ];
        for (name, request, then, expected) in cases {
            for is_pipelined in [false, true] {
                let mut peer = Peer::connect(&sim, server.local_addr());
                let mut answer = match is_pipelined {
                    false => {
                        peer.ask(PLAIN).await;
                        peer.ask(request).await
                    }
                    true => {
                        let both = peer.ask([PLAIN.as_bytes(), request].concat()).await;
                        let start = both.windows(13).position(|part| part == b"HTTP/1.1 101 ");
                        both[start.unwrap()..].to_vec()
                    }
                };
                if name.ends_with("a second later") {
                    sim.sleep(seconds(1)).await;
                }
                answer.extend(peer.ask(then).await);
                assert_eq!(shown(&answer), expected, "{name}");
                let (message, echo): (_, &[u8]) = match name {
                    "RFC 6455" => (text("hi"), b"\x81\x02hi"),
                    _ => (b"\0hi\xff".to_vec(), b"\0hi\xff"),
                };
                assert_eq!(peer.ask(message).await, echo, "{name}");
            }
        }
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(PLAIN).await;
        let answer = peer.ask(DRAFT75).await;
        assert_eq!(
            answer[..85].escape_ascii().to_string(),
            r"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        );
    });
}

/// An upgrade that is refused later on a kept-alive stream gets the same answer as a first one, and the
/// stream ends.
#[test]
fn an_upgrade_that_is_refused_later_ends_the_stream() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let request = RFC6455.replace("Version: 13", "Version: 12");
        let mut first = Peer::connect(&sim, server.local_addr());
        let expected = shown(&first.ask(&request).await);
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(PLAIN).await;
        assert_eq!(shown(&peer.ask(&request).await), expected);
        assert!(expected.starts_with("HTTP/1.1 426 "));
        assert!(peer.has_ended());
    });
}
