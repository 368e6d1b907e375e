//! Other people on an engine that works: operators that kill connections and pause clients, applications that publish under
//! the same prefix, and messages that are too long for somebody.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use ws_driver::{ClusterHealth, Server};
use ws_redis::Redis;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, node, serve, settle};
use crate::trial::Trial;

/// One of the two connections of each node is killed, and then the other one, under load.
async fn a_connection_that_is_killed_costs_what_is_counted<R: Host>() {
    let engine = Engine::start();
    let url = engine.url();
    let mut trial = Trial::<R>::new([&url, &url, &url]).await;
    for _ in 0..3 {
        for kind in ["pubsub", "normal"] {
            let killed = engine.ask(&format!("CLIENT KILL TYPE {kind}")).unwrap();
            assert!(killed.starts_with(":3"), "{kind}: {killed}");
            trial.run(700, SECOND / 2).await;
            settle(&trial.nodes).await;
        }
    }
    trial.check().await;
    for node in &trial.nodes {
        let counters = node.cluster().counters();
        assert_eq!(counters.connects, 7, "{counters:?}");
    }
}

/// An engine that does not answer, on purpose, has lost nothing when it goes on. If only writes are paused, and so PUBLISH,
/// links come back at once and break again; what is in doubt shows that. When the pause ends, a node may be between two links.
async fn a_pause_of_all_clients_loses_nothing<R: Host>() {
    // A run in which the machine stood still says nothing, because links broke at other times than the pauses. Another one has to.
    for _ in 0..3 {
        let (_engine, mut trial) = paused_trial::<R>().await;
        let missed = trial.check().await;
        if !trial.has_stalled() {
            let nodes = trial.nodes.iter().map(|node| node.cluster().counters());
            assert_eq!(missed, 0, "{:?}", nodes.collect::<Vec<_>>());
            return;
        }
    }
    panic!("the machine stands still again and again");
}

async fn paused_trial<R: Host>() -> (Engine, Trial<R>) {
    let engine = Engine::start();
    let url = engine.url();
    let mut trial = Trial::<R>::new([&url, &url, &url]).await;
    for (kind, millis) in [
        ("ALL", 3000),
        ("WRITE", 1900),
        ("WRITE", 2400),
        ("WRITE", 3000),
    ] {
        trial.run(700, SECOND / 2).await;
        let before = trial.nodes[0].cluster().counters();
        let paused = engine
            .ask(&format!("CLIENT PAUSE {millis} {kind}"))
            .unwrap();
        assert!(paused.starts_with("+OK"), "{paused}");
        trial.run(700, SECOND * 2).await;
        let counters = trial.nodes[0].cluster().counters();
        assert!(counters.in_doubt > before.in_doubt, "{kind}: {counters:?}");
        let is_paused = millis > 2000;
        assert!(
            !is_paused || counters.queued_bytes > 30_000,
            "{kind}: {counters:?}"
        );
        trial.run(700, SECOND * 2).await;
        settle(&trial.nodes).await;
    }
    (engine, trial)
}

/// A node whose messages do not get through for seconds is not up for most of that time: only writes are paused, so each new
/// link comes up and breaks at its first batch.
async fn a_link_that_publishes_nothing_is_not_up<R: Host>() {
    let engine = Engine::start();
    let nodes: [Server<R>; 1] = [node(&engine.url()).await];
    settle(&nodes).await;
    let mut publisher = Publisher::new(nodes[0].cluster(), "room", 1);
    assert!(
        engine
            .ask("CLIENT PAUSE 6000 WRITE")
            .unwrap()
            .starts_with("+OK")
    );
    publisher.publish();
    // The wait for an answer, and some more.
    R::sleep(SECOND * 3 / 2).await;
    let mut ups = 0;
    for _ in 0..80 {
        ups += u32::from(nodes[0].cluster().health() == ClusterHealth::Up);
        R::sleep(SECOND / 20).await;
    }
    assert!(ups < 20, "it was up {ups} times of 80");
    settle(&nodes).await;
    assert_eq!(nodes[0].cluster().counters().published, 1);
}

/// What a node cannot hand on at the other end is refused at once: all nodes have the same `message_limit`, so a message
/// beyond it would reach the members on one node alone.
async fn a_message_beyond_the_limit_of_nodes_is_refused_at_once<R: Host>() {
    let engine = Engine::start();
    let nodes: [Server<R>; 2] = [node(&engine.url()).await, node(&engine.url()).await];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let topic = nodes[0].cluster().topic("room");
    let text = format!("1 1 {}", "x".repeat(2 << 20));
    let remote = topic.broadcast(text).remote;
    settle(&nodes).await;
    let has_arrived = !member.numbers(1).is_empty();
    assert_eq!(remote.is_ok(), has_arrived, "{remote:?}");
}

/// What another application publishes under the prefix, at any rate, is counted and reaches nobody; the cluster's own
/// messages are not disturbed, and one that is published again by somebody is a duplicate.
async fn another_application_under_the_prefix_is_counted<R: Host>() {
    let engine = Engine::start();
    let nodes: [Server<R>; 2] = [node(&engine.url()).await, node(&engine.url()).await];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let mut eavesdropper = TcpStream::connect((Ipv4Addr::LOCALHOST, engine.port)).unwrap();
    eavesdropper.set_read_timeout(Some(SECOND)).unwrap();
    eavesdropper.write_all(b"SUBSCRIBE ws:t:room\r\n").unwrap();
    let mut answer = [0; 4096];
    assert!(eavesdropper.read(&mut answer).unwrap() > 0);

    let mut publisher = Publisher::new(nodes[0].cluster(), "room", 1);
    publisher.publish();
    settle(&nodes).await;
    let len = eavesdropper.read(&mut answer).unwrap();
    // `*3 message CHANNEL $LEN ENVELOPE`; the envelope ends with the text of the publisher and a line end.
    let text = b"1 1 xxx";
    let place = answer[..len].windows(text.len()).position(|it| it == text);
    let envelope = &answer[place.unwrap() - 28..len - 2];

    let foreign: &[u8] = br#"{"event":"created","id":7}"#;
    for number in 0..2000 {
        engine.publish(
            "ws:t:room",
            if number % 2 == 0 { foreign } else { envelope },
        );
        if number % 100 == 0 {
            publisher.publish();
        }
    }
    settle(&nodes).await;
    let counters = nodes[1].cluster().counters();
    assert_eq!((counters.malformed, counters.duplicates), (1000, 1000));
    assert_eq!((counters.received, counters.missed), (21, 0));
    assert_eq!(member.numbers(1), (1..=21).collect::<Vec<_>>());
    assert_eq!(counters.connects, 1);
    // Its own message that comes again is no news to a node.
    assert_eq!(nodes[0].cluster().counters().malformed, 0);
}

/// Messages of megabytes arrive; those that are too long for a node, its queue or its engine are counted.
async fn long_messages_arrive_or_are_counted<R: Host>() {
    let engine = Engine::start();
    let long = || {
        let redis = Redis::new(&engine.url()).unwrap();
        let builder = Server::<R>::builder().backplane(redis);
        serve(builder.message_limit(4 << 20))
    };
    let nodes = [long().await, long().await];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let topic = nodes[0].cluster().topic("room");
    for number in 1..=20 {
        let text = format!("1 {number} {}", "x".repeat(3 << 20));
        assert_eq!(topic.broadcast(text).remote, Ok(()));
        settle_quickly(&nodes).await;
    }
    let too_long = topic.broadcast("x".repeat(5 << 20));
    assert!(too_long.remote.is_err(), "{too_long:?}");
    assert_eq!(nodes[0].cluster().counters().dropped, 1);
    settle(&nodes).await;
    let counters = nodes[1].cluster().counters();
    assert_eq!((counters.received, counters.missed), (20, 0));
    assert_eq!(member.numbers(1), (1..=20).collect::<Vec<_>>());

    // Beyond what the node hands on.
    engine.publish("ws:t:room", &vec![b'x'; 20 << 20]);
    settle(&nodes).await;
    let counters = nodes[1].cluster().counters();
    assert_eq!((counters.malformed, counters.connects), (1, 1));
    // And beyond what the engine keeps for a subscriber, 32 MiB: it cuts the link, unless the socket takes it in time.
    engine.publish("ws:t:room", &vec![b'x'; 40 << 20]);
    R::sleep(SECOND / 2).await;
    settle(&nodes).await;
    let counters = nodes[1].cluster().counters();
    assert_eq!(counters.malformed + counters.connects, 3, "{counters:?}");
    topic.broadcast("1 21 x");
    settle(&nodes).await;
    assert_eq!(member.numbers(1).last(), Some(&21));
    assert_eq!(member.closed(), None);
}

/// Waits until nothing waits.
async fn settle_quickly<R: Host>(nodes: &[Server<R>]) {
    for _ in 0..1000 {
        let waiting = nodes.iter().map(|node| {
            let counters = node.cluster().counters();
            counters.queued_bytes + counters.inbound_bytes
        });
        if waiting.sum::<usize>() < 400 {
            return;
        }
        R::sleep(SECOND / 100).await;
    }
    panic!("{:?}", nodes[0].cluster().counters());
}

on_each_runtime! {
    a_link_that_publishes_nothing_is_not_up;
    a_message_beyond_the_limit_of_nodes_is_refused_at_once;
    a_connection_that_is_killed_costs_what_is_counted;
    a_pause_of_all_clients_loses_nothing;
    another_application_under_the_prefix_is_counted;
    long_messages_arrive_or_are_counted;
}
