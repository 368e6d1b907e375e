//! What arrives all at once after an outage closes no client that takes what it gets, and one that does not take it meets
//! the policy and delays nobody for long.

use std::time::Duration;

use bytes::Bytes;
use ws_driver::{Channel, ClusterConfig};
use ws_testing::sim::{Peer, Rng, Sim, seconds};

use super::engine::Engine;
use super::{Member, node, node_with};

/// The request of a peer whose handler joins the topic, and that reads nothing.
const UPGRADE: &[u8] =
    b"GET /room HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/// B4: 3 MiB at once for clients whose send queues hold 256 KiB.
#[test]
fn catching_up_closes_no_healthy_client() {
    Sim::run(async |sim| {
        let engine = Engine::new(Rng::new(1));
        let config = ClusterConfig::new().queue_limit(16 << 20);
        let one = node_with(&sim, engine.clone(), config).await;
        let two = node(&sim, engine.clone()).await;
        let members = [
            Member::open(&sim, &two, "room").await,
            Member::open(&sim, &two, "room").await,
        ];
        sim.sleep(seconds(2)).await;
        engine.cut(|_| true);
        let text = "x".repeat(1024);
        for _ in 0..3000 {
            assert_eq!(
                one.cluster().topic("room").broadcast(text.clone()).remote,
                Ok(())
            );
        }
        sim.sleep(seconds(60)).await;
        for member in &members {
            assert_eq!(member.take().len(), 3000);
        }
        let counters = two.cluster().counters();
        assert_eq!((counters.received, counters.missed), (3000, 0));
        assert_eq!(two.counters().slow_closes, 0);
    });
}

/// A client that reads nothing is closed by the policy, and members beside it, and other topics, get all in time.
#[test]
fn a_client_that_reads_nothing_is_closed_and_delays_nobody_for_long() {
    Sim::run(async |sim| {
        let engine = Engine::new(Rng::new(3));
        let one = node(&sim, engine.clone()).await;
        let two = node(&sim, engine.clone()).await;
        sim.narrow(4096);
        let mut slow = Peer::connect(&sim, two.local_addr());
        slow.write(UPGRADE).await;
        sim.sleep(seconds(2)).await;
        let member = Member::open(&sim, &two, "room").await;
        let other = Member::open(&sim, &two, "other").await;
        assert_eq!(two.clients().topic("room").len(), 2);
        let text = "x".repeat(1024);
        let begin = sim.now();
        for _ in 0..1000 {
            one.cluster().topic("room").broadcast(text.clone());
        }
        one.cluster().topic("other").broadcast("quick");
        let mut took = None;
        while sim.now() < begin + seconds(10) {
            sim.sleep(Duration::from_millis(10)).await;
            if took.is_none() && !other.take().is_empty() {
                took = Some(sim.now() - begin);
            }
        }
        assert!(took.is_some_and(|took| took < seconds(1)), "{took:?}");
        assert_eq!(member.take().len(), 1000);
        assert_eq!(two.counters().slow_closes, 1);
        // Until its stream ends it is a member.
        sim.sleep(seconds(30)).await;
        assert_eq!(two.clients().topic("room").len(), 1);
    });
}

/// What arrives and cannot be handed on yet is bounded: the node stops reading, the engine keeps the rest, and nothing is
/// lost.
#[test]
fn what_has_arrived_is_bounded() {
    Sim::run(async |sim| {
        let engine = Engine::new(Rng::new(4));
        let config = ClusterConfig::new().queue_limit(16 << 20);
        let one = node_with(&sim, engine.clone(), config).await;
        let two = node(&sim, engine.clone()).await;
        sim.narrow(4096);
        let mut slow = Peer::connect(&sim, two.local_addr());
        slow.write(UPGRADE).await;
        sim.sleep(seconds(2)).await;
        let (mut most, text) = (0, "x".repeat(64 << 10));
        for _ in 0..100 {
            one.cluster().topic("room").broadcast(text.clone());
        }
        // The worker waits for the one member, which takes nothing.
        for _ in 0..40 {
            sim.sleep(Duration::from_millis(5)).await;
            most = most.max(two.cluster().counters().inbound_bytes);
        }
        assert!(most > 800 << 10 && most <= (1 << 20) + (65 << 10), "{most}");
        assert!(two.cluster().counters().paused > 0);
        sim.sleep(seconds(10)).await;
        let counters = two.cluster().counters();
        assert_eq!(
            (counters.received, counters.missed, counters.inbound_bytes),
            (100, 0, 0)
        );
    });
}

/// B10: whatever strangers put on a channel is counted, and does nothing else.
#[test]
fn garbage_is_counted_and_harmless() {
    Sim::run_seeded(5, async |sim| {
        let engine = Engine::new(Rng::new(5));
        let one = node(&sim, engine.clone()).await;
        let two = node(&sim, engine.clone()).await;
        let member = Member::open(&sim, &two, "room").await;
        sim.sleep(seconds(2)).await;
        let mut rng = Rng::new(6);
        let room = Channel::Topic("room".into());
        for _ in 0..1000 {
            let bytes: Vec<_> = (0..rng.below(80))
                .map(|_| rng.next().to_le_bytes()[0])
                .collect();
            engine.inject(&room, &bytes);
        }
        // Well-formed, but not UTF-8, and one beyond the message limit.
        let envelope = |node: u8, payload: &[u8]| {
            let mut bytes = vec![1, 1, 0, 0, node, 0, 0, 0, 0, 0, 0, 9];
            bytes.extend([1, 0, 0, 0, 0, 0, 0, 0].repeat(2));
            bytes.extend(payload);
            Bytes::from(bytes)
        };
        engine.inject(&room, &envelope(1, b"\xff"));
        engine.inject(&room, &envelope(2, &vec![b'x'; (1 << 20) + 1]));
        sim.sleep(seconds(2)).await;
        assert_eq!(two.cluster().counters().malformed, 1002);
        assert_eq!(member.take(), [""; 0]);
        engine.inject(&room, &envelope(3, "κ".as_bytes()));
        one.cluster().topic("room").broadcast("hi");
        sim.sleep(seconds(2)).await;
        assert_eq!(member.take(), ["κ", "hi"]);
    });
}
