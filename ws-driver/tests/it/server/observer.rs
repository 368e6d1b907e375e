//! What an observer is told, and when.

use std::future::pending;

use ws_driver::Upgrade;

use super::log::Log;
use super::page::{PLAIN, page};
use ws_testing::sim::peer::{ACCEPT_76, DRAFT76, KEY3, RFC6455, close, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

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

const REJECTED: &str = "the upgrade was rejected";
const NO_UPGRADE: &str = "no upgrade was asked for";

/// Whatever becomes of a stream, its end is told once, with the state that comes last, and what was asked for
/// and refused is counted: here each stage is reset, is ended, and is there when the server shuts down.
#[test]
fn every_stream_has_its_end() {
    let slow = RFC6455.replace("GET /", "GET /slow");
    // What was sent, and what a peer that goes and a server that goes make of it.
    let stages: [(&str, &str, &str); 5] = [
        ("", NO_UPGRADE, NO_UPGRADE),
        (&RFC6455[..50], REJECTED, NO_UPGRADE),
        (&slow, REJECTED, REJECTED),
        (DRAFT76, REJECTED, REJECTED),
        (PLAIN, NO_UPGRADE, NO_UPGRADE),
    ];
    for (sent, by_peer, by_server) in stages {
        has_its_end(sent, "reset", by_peer);
        has_its_end(sent, "ended", by_peer);
        has_its_end(sent, "shutdown", by_server);
    }
}

fn has_its_end(sent: &str, end: &str, expected: &str) {
    Sim::run(async |sim| {
        let log = Log::default();
        let builder = Server::builder().observer(log.clone()).on_request(page);
        let builder = builder.on_upgrade(|upgrade: Upgrade| async move {
            match upgrade.path() {
                path if path.starts_with("/slow") => pending().await,
                _ => upgrade.accept(),
            }
        });
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(sent).await;
        match end {
            "reset" => peer.link().reset(),
            "ended" => peer.end().await,
            _ => {
                server.shutdown(seconds(5)).await;
            }
        }
        sim.settle().await;
        let mut lines = log.take();
        lines.retain(|line| !line.starts_with("listening ") && !line.starts_with("shutdown "));
        let what = format!("{end} after {sent:?}: {lines:?}");
        let [stream, .., state, close] = &lines[..] else {
            panic!("{what}")
        };
        assert!(
            stream == "stream ?" && state.ends_with(" -> closed"),
            "{what}"
        );
        let is_close = |line: &String| line.starts_with("close ");
        assert!(is_close(close) && close.ends_with(expected), "{what}");
        assert_eq!(lines.iter().filter(|line| is_close(line)).count(), 1);
        let is_rejection = |line: &&String| line.starts_with("rejected ");
        let told = lines.iter().filter(is_rejection).count();
        let counters = server.counters();
        assert_eq!(told, usize::from(expected == REJECTED), "{what}");
        assert_eq!(usize::try_from(counters.rejected), Ok(told), "{what}");
        assert_eq!(counters.opening, 0, "{what}");
    });
}

/// A stream whose task is dropped, as when its runtime ends, has its end, too: in the opening handshake, and
/// open.
#[test]
fn a_stream_whose_runtime_ends_has_its_end() {
    let log = Log::default();
    let observer = log.clone();
    let server = Sim::run(async |sim| {
        let server = Server::builder().observer(observer);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        Peer::connect(&sim, server.local_addr()).ask(DRAFT76).await;
        let open = Peer::open(&sim, server.local_addr()).await;
        std::mem::forget(open);
        server
    });
    let lines = log.take();
    let told = |text: &str| lines.iter().filter(|line| line.starts_with(text)).count();
    assert_eq!((told("stream "), told("close ")), (2, 2), "{lines:?}");
    let counters = server.counters();
    assert_eq!((counters.open.total(), counters.opening), (0, 0));
    assert_eq!((counters.rejected, counters.closes.total()), (1, 1));
}
