//! Engines that refuse a part of what a node asks for.

use ws_driver::{ClusterConfig, ClusterHealth, Server};
use ws_redis::Redis;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, down, node, node_with, settle};

/// A command that the engine does not have is a link that is down, and the reason names the command.
async fn a_command_that_is_not_there_is_named<R: Host>() {
    for (command, words) in [
        ("HELLO", "HELLO"),
        ("SUBSCRIBE", "SUBSCRIBE"),
        ("PUBSUB", "PUBSUB"),
    ] {
        let engine = Engine::with_options(&["--rename-command", command, ""]);
        let node: Server<R> = node(&engine.url()).await;
        let why = down(&node).await;
        assert!(why.contains(words), "{command}: {why}");
    }
}

/// Without PUBLISH nothing is lost silently: every message is counted as dropped, and members here have it.
async fn what_may_not_be_published_is_dropped_and_counted<R: Host>() {
    let engine = Engine::with_options(&["--rename-command", "PUBLISH", ""]);
    let node: Server<R> = node(&engine.url()).await;
    let member = Member::open(&node, "room").await;
    let mut publisher = Publisher::new(node.cluster(), "room", 1);
    (0..1000).for_each(|_| publisher.publish());
    R::sleep(SECOND).await;
    let counters = node.cluster().counters();
    assert_eq!((counters.published, counters.dropped), (0, 1000));
    assert!(counters.queued_bytes < 200, "{counters:?}");
    assert_eq!(member.numbers(1).len(), 1000);
    // Its questions to itself do not come back.
    down(&node).await;
}

/// An engine without memory for data publishes all the same.
async fn an_engine_without_memory_for_data_carries_messages<R: Host>() {
    let engine =
        Engine::with_options(&["--maxmemory", "500kb", "--maxmemory-policy", "noeviction"]);
    assert!(engine.ask("SET key value").unwrap().starts_with("-OOM"));
    let nodes: [Server<R>; 2] = [node(&engine.url()).await, node(&engine.url()).await];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let mut publisher = Publisher::new(nodes[0].cluster(), "room", 1);
    (0..2000).for_each(|_| publisher.publish());
    settle(&nodes).await;
    assert_eq!(member.numbers(1).len(), 2000);
    for node in &nodes {
        let counters = node.cluster().counters();
        assert_eq!((counters.dropped, counters.missed), (0, 0));
        assert_eq!(counters.connects, 1);
    }
}

/// An engine that has as many clients as it takes is down for the next node, until one of them leaves.
async fn an_engine_with_too_many_clients_is_down<R: Host>() {
    let engine = Engine::with_options(&["--maxclients", "3"]);
    let nodes: [Server<R>; 1] = [node(&engine.url()).await];
    settle(&nodes).await;
    let late: [Server<R>; 1] = [node(&engine.url()).await];
    let why = down(&late[0]).await;
    assert!(!why.is_empty(), "{why}");
    assert_eq!(nodes[0].cluster().health(), ClusterHealth::Up);
    let [node] = nodes;
    node.shutdown(SECOND).await;
    settle(&late).await;
}

/// A user that loses its password is down, and the reason has no secret; with it the node comes back by itself.
async fn a_user_that_is_taken_away_is_down_until_it_is_back<R: Host>() {
    let engine = Engine::start();
    let user = "ACL SETUSER ws on >hunter2 resetchannels &ws:* +@all";
    assert!(engine.ask(user).unwrap().starts_with("+OK"));
    let url = format!("redis://ws:hunter2@127.0.0.1:{}", engine.port);
    let config = ClusterConfig::new();
    let nodes: [Server<R>; 1] = [node_with(Redis::new(&url).unwrap(), config).await];
    settle(&nodes).await;
    let mut publisher = Publisher::new(nodes[0].cluster(), "room", 1);
    assert!(engine.ask("ACL DELUSER ws").unwrap().starts_with(":1"));
    let why = down(&nodes[0]).await;
    assert!(!why.contains("hunter"), "{why}");
    (0..100).for_each(|_| publisher.publish());
    R::sleep(SECOND).await;
    let why = down(&nodes[0]).await;
    assert!(
        why.contains("WRONGPASS") && !why.contains("hunter"),
        "{why}"
    );
    assert!(engine.ask(user).unwrap().starts_with("+OK"));
    settle(&nodes).await;
    let counters = nodes[0].cluster().counters();
    assert_eq!((counters.published, counters.dropped), (100, 0));
}

/// A node whose messages the engine refuses, all of them, says so: the reason names the command and what the engine said.
async fn a_refusal_of_all_messages_is_said<R: Host>() {
    let engine = Engine::with_options(&["--rename-command", "PUBLISH", ""]);
    let node: Server<R> = node(&engine.url()).await;
    R::sleep(SECOND).await;
    let mut publisher = Publisher::new(node.cluster(), "room", 1);
    (0..10).for_each(|_| publisher.publish());
    let why = down(&node).await;
    assert!(why.contains("PUBLISH"), "{why}");
}

/// If the engine refuses some messages of a batch, those are dropped and the others published: what other nodes have
/// received is not counted as dropped.
async fn of_a_batch_only_what_was_refused_is_dropped<R: Host>() {
    let engine = Engine::start();
    let user = "ACL SETUSER ws on >secret resetchannels &ws:all &ws:n:* &ws:t:open +@all";
    assert!(engine.ask(user).unwrap().starts_with("+OK"));
    let url = format!("redis://ws:secret@127.0.0.1:{}", engine.port);
    let config = ClusterConfig::new();
    let nodes = [
        node_with::<R>(Redis::new(&url).unwrap(), config).await,
        node(&engine.url()).await,
    ];
    let member = Member::open(&nodes[1], "open").await;
    settle(&nodes).await;
    let mut open = Publisher::new(nodes[0].cluster(), "open", 1);
    let mut secret = Publisher::new(nodes[0].cluster(), "secret", 2);
    for _ in 0..200 {
        open.publish();
        secret.publish();
    }
    settle(&nodes).await;
    assert_eq!(member.numbers(1).len(), 200);
    let counters = nodes[0].cluster().counters();
    assert_eq!((counters.published, counters.dropped), (200, 200));
}

/// A topic that the engine does not let a node subscribe to costs its own members messages of other nodes, and nobody else
/// anything. Who waits for it is told.
async fn a_topic_that_is_refused_costs_nobody_else<R: Host>() {
    let engine = Engine::start();
    let user = "ACL SETUSER ws on >secret resetchannels &ws:all &ws:n:* &ws:t:room ~ws:* +@all";
    assert!(engine.ask(user).unwrap().starts_with("+OK"));
    let url = format!("redis://ws:secret@127.0.0.1:{}", engine.port);
    let nodes: [Server<R>; 2] = [node(&url).await, node(&engine.url()).await];
    let member = Member::open(&nodes[0], "room").await;
    settle(&nodes).await;
    let address = nodes[0].local_addr();
    let url = format!("ws://{address}/admin");
    let mut stranger = ws_driver::connect::<R>(&url).await.unwrap();
    let told = stranger.recv().await.unwrap();
    let told = told.as_text().unwrap().to_owned();
    assert!(
        told.contains("Refused") && told.contains("NOPERM"),
        "{told}"
    );
    let mut publisher = Publisher::new(nodes[1].cluster(), "room", 1);
    for _ in 0..10 {
        publisher.publish();
        R::sleep(SECOND / 5).await;
    }
    settle(&nodes).await;
    assert_eq!(member.numbers(1).len(), 10);
    assert_eq!(nodes[0].cluster().counters().connects, 1);
}

on_each_runtime! {
    a_topic_that_is_refused_costs_nobody_else;
    a_refusal_of_all_messages_is_said;
    of_a_batch_only_what_was_refused_is_dropped;
    a_command_that_is_not_there_is_named;
    what_may_not_be_published_is_dropped_and_counted;
    an_engine_without_memory_for_data_carries_messages;
    an_engine_with_too_many_clients_is_down;
    a_user_that_is_taken_away_is_down_until_it_is_back;
}
