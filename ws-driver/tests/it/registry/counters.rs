//! The counters of a server.

use std::time::Duration;

use ws_driver::ws_proto::Version;
use ws_driver::{RejectionCounts, Sender};

use ws_testing::sim::peer::{RFC6455, close, frames, masked, ping, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// The server's numbers are the sums of its connections', those that have ended included; every
/// connection that was opened is open or has ended in one of the classes.
#[test]
fn counters_add_up() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let mut senders = Vec::new();
        let mut ends: Vec<(Peer, &[u8])> = Vec::new();
        let unmasked = b"\x81\x01x";
        let endings = [
            close(1000),
            close(4000),
            unmasked.to_vec(),
            close(1009),
            vec![],
        ];
        for (index, ending) in endings.iter().enumerate() {
            let mut peer = Peer::open(&sim, addr).await;
            for number in 0..=index {
                peer.ask(text("x".repeat(100 * number))).await;
            }
            ends.push((peer, ending));
        }
        let mut peer_76 = Peer::open_76(&sim, addr).await;
        peer_76.ask(b"\0draft\xff").await;
        let peer_75 = Peer::open_75(&sim, addr).await;
        for refused in [
            RFC6455.replace(": 13", ": 99"),
            "nonsense\r\n\r\n".to_owned(),
        ] {
            let mut peer = Peer::connect(&sim, addr);
            assert!(peer.ask(refused).await.starts_with(b"HTTP/1.1 4"));
        }
        senders.extend(server.clients().iter());
        assert_eq!(server.broadcast(b"12345678"), 5);

        let sum = |of: fn(&Sender) -> u64| senders.iter().map(of).sum::<u64>();
        let check = || {
            let counters = server.counters();
            let opened = counters.open.total() + counters.closes.total();
            assert_eq!((counters.opened.total(), opened), (7, 7));
            assert_eq!(counters.opened.of(Version::Rfc6455), 5);
            assert_eq!(counters.opened.of(Version::Draft76), 1);
            assert_eq!(counters.opened.of(Version::Draft75), 1);
            assert_eq!(counters.rejected, 2);
            let RejectionCounts {
                version, malformed, ..
            } = counters.rejections;
            assert_eq!((version, malformed), (1, 1));
            let by_code = counters.closes.codes().map(|(_, count)| count);
            assert_eq!(by_code.sum::<u64>(), counters.closes.total());
            assert_eq!(counters.panics, 0);
            assert_eq!(counters.messages_received, 1 + 2 + 3 + 4 + 5 + 1);
            assert_eq!(counters.bytes_received, 100 * (1 + 3 + 6 + 10) + 5);
            assert_eq!(counters.messages_sent, counters.messages_received + 5);
            assert_eq!(counters.bytes_sent, counters.bytes_received + 5 * 8);
            assert_eq!(
                counters.messages_received,
                sum(|it| it.counters().messages_received)
            );
            assert_eq!(
                counters.bytes_received,
                sum(|it| it.counters().bytes_received)
            );
            assert_eq!(
                counters.messages_sent,
                sum(|it| it.counters().messages_sent)
            );
            assert_eq!(counters.bytes_sent, sum(|it| it.counters().bytes_sent));
            counters
        };
        let counters = check();
        assert_eq!(counters.open.total(), 7);
        assert_eq!(
            counters.buffered_amount,
            5 * 10,
            "the broadcast is not written yet"
        );
        sim.settle().await;
        assert_eq!(check().buffered_amount, 0);
        for (mut peer, ending) in ends {
            peer.write(ending).await;
            sim.settle().await;
        }
        sim.sleep(seconds(1)).await;
        let counters = check();
        assert_eq!(counters.open.total(), 2);
        assert_eq!(counters.open.of(Version::Rfc6455), 0);
        assert_eq!(counters.closes.normal, 1, "1000");
        assert_eq!(counters.closes.application, 1, "4000");
        assert_eq!(counters.closes.protocol, 2, "the unmasked frame and 1009");
        assert_eq!(counters.closes.abnormal, 1, "the end without a close");
        peer_76.ask(b"\xff\0").await;
        drop((peer_75, peer_76));
        sim.sleep(seconds(1)).await;
        let counters = check();
        assert_eq!(counters.open.total(), 0);
        assert_eq!(counters.closes.normal, 3, "the drafts have no codes");
    });
}

/// Pings are counted: the peer's, those of the application, and those of the keepalive.
#[test]
fn pings_are_counted() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        peer.ask([ping(b"1"), ping(b"2")].concat()).await;
        sender.ping(b"3").unwrap();
        assert!(sender.ping(&[0; 126]).is_err());
        sim.sleep(seconds(21)).await;
        let pings = frames(&peer.read()).into_iter().filter(|it| it.0 == 0x89);
        assert_eq!(pings.count(), 2, "of the application and the keepalive");
        let counters = sender.counters();
        assert_eq!((counters.pings_sent, counters.pings_received), (2, 2));
        assert_eq!((counters.messages_sent, counters.messages_received), (0, 0));
    });
}

/// Messages are counted when they arrive: once, also if the handler takes them after the end, or never.
#[test]
fn what_arrived_is_counted_whoever_takes_it() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let clock = sim.clone();
        serve(&sim, &server, move |mut connection| {
            let clock = clock.clone();
            async move {
                clock.sleep(seconds(5)).await;
                connection.recv().await;
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        peer.ask(text("12345").repeat(3)).await;
        peer.ask(masked(0x81, b"")).await;
        peer.link().reset();
        for wait in [0, 6] {
            sim.sleep(seconds(wait) + Duration::from_millis(1)).await;
            let counters = server.counters();
            assert_eq!((counters.open.total(), counters.closes.abnormal), (0, 1));
            assert_eq!(
                (counters.messages_received, counters.bytes_received),
                (4, 15)
            );
            assert_eq!(sender.counters().messages_received, 4);
        }
    });
}
