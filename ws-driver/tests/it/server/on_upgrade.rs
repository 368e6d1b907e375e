//! How an application decides an upgrade, and how long it may take.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ws_driver::Upgrade;

use super::page::PLAIN;
use ws_testing::sim::peer::RFC6455;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// What `on_upgrade` finds out reaches the handler, and its headers and subprotocol reach the peer.
#[test]
fn on_upgrade_accepts_with_headers_a_subprotocol_and_an_extension() {
    #[derive(Clone)]
    struct User(String);

    Sim::run(async |sim| {
        let clock = sim.clone();
        let server = Server::builder()
            .subprotocols(["first", "second"])
            .on_upgrade(move |upgrade: Upgrade| {
                let clock = clock.clone();
                async move {
                    clock.sleep(seconds(1)).await;
                    assert_eq!(upgrade.path(), "/chat");
                    assert_eq!(upgrade.subprotocol(), Some("first"));
                    let user = upgrade.header("cookie").unwrap().to_owned();
                    let answer = upgrade.accept().header("Set-Cookie", "seen=1");
                    answer.subprotocol("second").extension(User(user))
                }
            });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |connection| async move {
            let User(user) = connection.extensions().get().unwrap();
            let subprotocol = connection.subprotocol().unwrap();
            let path = connection.request().unwrap().path();
            let greeting = format!("{user} {subprotocol} {path}");
            connection.send(greeting).await.unwrap();
            pending().await
        });
        let request = RFC6455.replace(
            "Origin",
            "Cookie: ann\r\nSec-WebSocket-Protocol: second, first\r\nOrigin",
        );
        let mut peer = Peer::connect(&sim, server.local_addr());
        assert_eq!(peer.ask(request).await, b"");
        sim.sleep(seconds(1)).await;
        let answer = String::from_utf8_lossy(&peer.read()).into_owned();
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: second\r\n"));
        assert!(answer.contains("\r\nSet-Cookie: seen=1\r\n"), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\n\u{fffd}\u{10}ann second /chat"),
            "{answer:?}"
        );
    });
}

/// What `on_upgrade` hands over once is the handler's, also if it cannot be cloned or shared; it is there once, by its
/// type, and beside what can be cloned. A second one of the same type replaces the first.
#[test]
fn on_upgrade_hands_over_what_cannot_be_cloned() {
    use std::sync::mpsc::{Receiver, channel};

    Sim::run(async |sim| {
        let server = Server::builder().on_upgrade(|upgrade: Upgrade| async move {
            let (sender, receiver) = channel::<String>();
            sender.send("from on_upgrade".to_owned()).unwrap();
            let answer = upgrade.accept().extension(7_u8).extension_once(1_u16);
            answer.extension_once(receiver).extension_once(2_u16)
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| async move {
            let receiver = connection.take_extension::<Receiver<String>>();
            let text = receiver.unwrap().recv().unwrap();
            assert!(connection.take_extension::<Receiver<String>>().is_none());
            assert_eq!(connection.take_extension(), Some(2_u16));
            assert_eq!(connection.take_extension::<u16>(), None);
            // Given by `extension`, and left there.
            assert_eq!(connection.take_extension::<u8>(), None);
            assert_eq!(connection.extensions().get(), Some(&7_u8));
            connection.send(text).await.unwrap();
            pending().await
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        let answer = peer.ask(RFC6455).await;
        assert!(answer.ends_with(b"\r\n\r\n\x81\x0ffrom on_upgrade"));
    });
}

/// What was to be handed over is dropped if nobody takes it: with the connection, or at once if the request is rejected.
#[test]
fn what_nobody_takes_is_dropped() {
    Sim::run(async |sim| {
        for accepts in [true, false] {
            let held = Arc::new(());
            let hold = Arc::clone(&held);
            let server = Server::builder().on_upgrade(move |upgrade: Upgrade| {
                let hold = Arc::clone(&hold);
                async move {
                    let answer = if accepts {
                        upgrade.accept()
                    } else {
                        upgrade.reject(403)
                    };
                    answer.extension_once(hold)
                }
            });
            let server = server.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(RFC6455).await;
            assert_eq!(Arc::strong_count(&held), 2 + usize::from(accepts));
            drop(peer);
            sim.settle().await;
            assert_eq!(Arc::strong_count(&held), 2);
        }
    });
}

/// A connection keeps the request as it came, unless the server forgets its headers: then `on_upgrade` still sees them, and
/// the connection has method and target.
#[test]
fn a_connection_keeps_the_headers_of_its_request_unless_told_not_to() {
    for (keeps, expected) in [
        (true, "GET /chat?room=1 Some(\"a=b\") 7"),
        (false, "GET /chat?room=1 None 0"),
    ] {
        for has_hook in [false, true] {
            Sim::run(async |sim| {
                let mut server = Server::builder().keep_request_headers(keeps);
                if has_hook {
                    server = server.on_upgrade(|upgrade: Upgrade| async move {
                        assert_eq!(upgrade.header("cookie"), Some("a=b"));
                        upgrade.accept()
                    });
                }
                let server = server.bind(ANY).await.unwrap();
                serve(&sim, &server, |connection| async move {
                    let head = connection.request().unwrap();
                    let (method, target) = (head.method(), head.target());
                    let (cookie, lines) = (head.header("Cookie"), head.headers().len());
                    let kept = format!("{method} {target} {cookie:?} {lines}");
                    connection.send(kept).await.unwrap();
                    pending().await
                });
                let request = RFC6455.replace("Origin", "Cookie: a=b\r\nOrigin");
                let answer = Peer::connect(&sim, server.local_addr()).ask(request).await;
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(answer.ends_with(expected), "{answer:?}");
            });
        }
    }
}

/// A rejection has the status, headers and body that `on_upgrade` gave it; no handler is called. An
/// answer that cannot be sent makes it a 500.
#[test]
fn on_upgrade_rejects_with_status_headers_and_body() {
    Sim::run(async |sim| {
        let server = Server::builder().on_upgrade(|upgrade: Upgrade| async move {
            match upgrade.path() {
                "/moved" => upgrade.reject(302).header("Location", "/there"),
                "/odd" => upgrade.accept().header("Connection", "close"),
                "/unoffered" => upgrade.accept().subprotocol("unoffered"),
                _ => upgrade.reject(403).body("no entry\n"),
            }
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |_| async { panic!("a handler was called") });
        for (path, starts, contains) in [
            ("/", "HTTP/1.1 403 Forbidden\r\n", "\r\n\r\nno entry\n"),
            (
                "/moved",
                "HTTP/1.1 302 Found\r\n",
                "\r\nLocation: /there\r\n",
            ),
            ("/odd", "HTTP/1.1 500 Internal Server Error\r\n", ""),
            ("/unoffered", "HTTP/1.1 500 Internal Server Error\r\n", ""),
        ] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            let answer = peer.ask(RFC6455.replace("/chat?room=1", path)).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(starts), "{answer}");
            assert!(answer.contains(contains), "{answer}");
            assert!(peer.has_ended());
        }
        assert_eq!(server.clients().len(), 0);
    });
}

/// The handshake deadline holds for `on_upgrade`, too: the peer gets an answer, and the future is
/// dropped.
#[test]
fn an_on_upgrade_that_takes_too_long_ends_with_the_handshake_deadline() {
    Sim::run(async |sim| {
        let held = Arc::new(());
        let hold = Arc::clone(&held);
        let server = Server::builder().on_upgrade(move |upgrade: Upgrade| {
            let hold = Arc::clone(&hold);
            async move {
                pending::<()>().await;
                drop(hold);
                upgrade.accept()
            }
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        for before in [None, Some(PLAIN)] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            if let Some(before) = before {
                peer.ask(before).await;
            }
            assert_eq!(peer.ask(RFC6455).await, b"");
            assert_eq!(Arc::strong_count(&held), 3);
            sim.sleep(Duration::from_millis(9999)).await;
            assert_eq!(peer.read(), b"");
            sim.sleep(Duration::from_millis(1)).await;
            let answer = peer.read();
            assert!(
                answer.starts_with(b"HTTP/1.1 503 Service Unavailable\r\n"),
                "{} after {before:?}",
                answer.escape_ascii()
            );
            assert_eq!(Arc::strong_count(&held), 2);
            assert!(peer.has_ended());
        }
    });
}

/// A peer that goes while `on_upgrade` decides ends the wait: the future is dropped.
#[test]
fn a_peer_that_goes_while_on_upgrade_decides_is_let_go() {
    Sim::run(async |sim| {
        let server =
            Server::builder()
                .handshake_timeout(None)
                .on_upgrade(|upgrade: Upgrade| async move {
                    pending::<()>().await;
                    upgrade.accept()
                });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(RFC6455).await;
        assert_eq!(sim.live_tasks(), 2);
        drop(peer);
        sim.settle().await;
        assert_eq!(sim.live_tasks(), 1);
    });
}
