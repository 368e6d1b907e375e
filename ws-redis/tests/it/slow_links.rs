//! A way to the engine that takes few bytes a second: nothing that only takes long breaks the link.

use std::time::Instant;

use ws_driver::{ClusterConfig, Server};
use ws_redis::Redis;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::log;
use crate::nodes::{Member, SECOND, node, node_with, settle};
use crate::proxy::{Mode, Proxy};
use ws_testing::log_reader::LogReader;

/// A message that is on its way for longer than an engine may stand still arrives, once, and so does what is behind it.
async fn a_long_message_arrives<R: Host>() {
    let engine = Engine::start();
    let proxy = Proxy::to(engine.port);
    proxy.set(Mode::Slow(800_000));
    let nodes: [Server<R>; 2] = [node(&proxy.url()).await, node(&engine.url()).await];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let topic = nodes[0].cluster().topic("room");
    let padding = "x".repeat((1 << 20) - 100);
    assert_eq!(topic.broadcast(format!("1 1 {padding}")).remote, Ok(()));
    for number in 2..=20 {
        assert_eq!(topic.broadcast(format!("1 {number}")).remote, Ok(()));
    }
    R::sleep(SECOND * 6).await;
    assert_eq!(member.numbers(1), (1..=20).collect::<Vec<_>>());
    let counters = nodes[0].cluster().counters();
    assert_eq!((counters.connects, counters.published), (1, 20));
    assert_eq!(nodes[1].cluster().counters().duplicates, 0);
}

/// Clients of a dead node come to another one at the same moment, and all get what they missed, over a link that carries no
/// more than one copy of it in the time; the link stays, and who only listens loses nothing.
async fn many_who_come_back_are_served<R: Host>() {
    let engine = Engine::start();
    let proxy = Proxy::to(engine.port);
    proxy.set(Mode::Slow(4_000_000));
    let nodes = [
        log::node::<R>(&proxy.url()).await,
        log::node(&engine.url()).await,
    ];
    settle(&nodes).await;
    let room = nodes[1].cluster().topic("room");
    let mut first = None;
    for number in 0..600 {
        let text = format!("{number} {}", "x".repeat(4000));
        let position = room.append(text).await.unwrap();
        first.get_or_insert(position);
    }
    let first = first.unwrap();
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut reader = LogReader::at(first);
        assert!(reader.connect::<R>(nodes[0].local_addr()).await);
        readers.push(reader);
    }
    let begin = Instant::now();
    while readers.iter().any(|reader| reader.resumed().is_empty()) {
        assert!(begin.elapsed() < SECOND * 30, "some are not back");
        R::sleep(SECOND / 5).await;
    }
    room.append("last").await.unwrap();
    R::sleep(SECOND * 2).await;
    for reader in &readers {
        assert!(
            reader.resumed().contains("replayed: 599"),
            "{}",
            reader.resumed()
        );
        assert_eq!(reader.texts().len(), 600);
    }
    assert_eq!(nodes[0].cluster().counters().connects, 1);
}

/// Presence that takes long to store is stored, and messages go on meanwhile.
async fn long_presence_is_stored<R: Host>() {
    let engine = Engine::start();
    let proxy = Proxy::to(engine.port);
    proxy.set(Mode::Slow(800_000));
    let redis = Redis::new(&proxy.url()).unwrap();
    let nodes = [
        node_with::<R>(redis, ClusterConfig::new()).await,
        node(&engine.url()).await,
    ];
    let mut members = Vec::new();
    for _ in 0..800 {
        members.push(Member::open(&nodes[0], "room").await);
    }
    let there = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    for sender in nodes[0].clients().iter() {
        sender.track("room", "x".repeat(1000)).unwrap();
    }
    for number in 1..=10 {
        nodes[0]
            .cluster()
            .topic("room")
            .broadcast(format!("1 {number}"));
        R::sleep(SECOND).await;
    }
    let listing = nodes[1].cluster().topic("room").presence().await.unwrap();
    assert_eq!(listing.len(), 800);
    assert_eq!(there.numbers(1).len(), 10);
    assert_eq!(nodes[0].cluster().counters().connects, 1);
}

on_each_runtime! {
    a_long_message_arrives;
    long_presence_is_stored;
    many_who_come_back_are_served;
}
