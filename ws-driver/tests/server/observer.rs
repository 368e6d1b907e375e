//! What an observer is told, and when.

use ws_driver::Upgrade;

use crate::log::Log;
use crate::support::peer::{ACCEPT_76, DRAFT76, KEY3, RFC6455, close, text};
use crate::support::{ANY, Peer, Server, Sim, echo, serve};

/// An observer is told of everything that happens to a connection, in order, in each version.
#[test]
fn an_observer_sees_the_life_of_a_connection() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder().observer(log.clone());
        let server = server.bind(ANY).await.unwrap();
        assert_eq!(log.take(), ["listening 127.0.0.1"]);
        serve(&sim, &server, echo);

        let mut peer = Peer::open(&sim, server.local_addr()).await;
        assert_eq!(
            log.take(),
            [
                "stream ?",
                "unknown -> opening",
                "opening -> handshaking",
                "handshaking -> connected",
                "connection rfc6455",
            ]
        );
        peer.ask(text("hi")).await;
        assert_eq!(log.take(), [""; 0]);
        peer.ask(close(4000)).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!(
            log.take(),
            [
                "connected -> closing",
                "closing -> closed",
                "close rfc6455: 4000, closed by the peer",
            ]
        );

        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(DRAFT76).await;
        assert_eq!(
            log.take(),
            [
                "stream ?",
                "unknown -> opening",
                "opening -> handshaking",
                "handshaking -> waiting"
            ]
        );
        assert_eq!(peer.ask(KEY3).await, ACCEPT_76);
        assert_eq!(log.take(), ["waiting -> connected", "connection draft76"]);
        peer.link().reset();
        sim.settle().await;
        assert_eq!(
            log.take(),
            [
                "connected -> closed",
                "close draft76: 1006, the stream ended without a close",
            ]
        );

        let peer = Peer::open_75(&sim, server.local_addr()).await;
        drop(peer);
        sim.settle().await;
        let lines = log.take();
        assert_eq!(lines[4], "connection draft75");
        assert_eq!(
            lines.last().unwrap(),
            "close draft75: 1005, closed by the peer"
        );
    });
}

/// A refused upgrade is told once, with its reason, and then as closed; it never was a connection.
#[test]
fn an_observer_sees_a_rejection_and_then_a_close() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder()
            .observer(log.clone())
            .on_upgrade(|upgrade: Upgrade| async move { upgrade.reject(401) });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        log.take();
        for (request, reason) in [
            (
                RFC6455.to_owned(),
                "rejected rfc6455: on_upgrade answered 401 Unauthorized",
            ),
            (
                RFC6455.replace("Version: 13", "Version: 12"),
                "rejected ?: ",
            ),
        ] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(request).await;
            assert!(peer.has_ended());
            drop(peer);
            sim.settle().await;
            let lines = log.take();
            assert_eq!(lines[0], "stream ?");
            let told = lines.iter().filter(|line| line.starts_with("rejected "));
            assert_eq!(told.count(), 1);
            assert!(
                lines.iter().any(|line| line.starts_with(reason)),
                "{lines:?}"
            );
            let [.., state, close] = &lines[..] else {
                panic!("{lines:?}")
            };
            assert!(state.ends_with(" -> closed"), "{lines:?}");
            assert!(
                close.starts_with("close ") && close.contains("rejected"),
                "{lines:?}"
            );
        }
    });
}
