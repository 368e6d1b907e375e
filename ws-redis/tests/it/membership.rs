//! Which nodes live, who shows itself in a topic, and messages to one connection of another node, on a real engine.

use std::time::Instant;

use ws_driver::{
    BackplaneError, ClusterConfig, ClusterHealth, ClusterId, ClusterSendError, Sent, Server,
};
use ws_redis::Redis;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, SECOND, node, node_with, settle};
use crate::proxy::{Mode, Proxy};

/// The only connection of a node.
fn id<R: Host>(server: &Server<R>) -> ClusterId {
    server.clients().iter().next().unwrap().cluster_id()
}

/// Shows the only connection of a node.
fn show<R: Host>(server: &Server<R>, name: &str) {
    let sender = server.clients().iter().next().unwrap();
    sender.track("room", name).unwrap();
}

async fn names<R: Host>(server: &Server<R>) -> Vec<String> {
    let listing = server.cluster().topic("room").presence().await.unwrap();
    let names = listing
        .iter()
        .map(|it| String::from_utf8(it.data.to_vec()).unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

async fn a_message_reaches_one_connection<R: Host>() {
    let engine = Engine::start();
    let nodes = [node::<R>(&engine.url()).await, node(&engine.url()).await];
    let here = Member::open(&nodes[0], "room").await;
    let there = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    R::sleep(SECOND * 3 / 2).await;
    let cluster = nodes[0].cluster();
    for number in 1..=100 {
        let text = format!("1 {number}");
        assert_eq!(cluster.send(id(&nodes[1]), text), Ok(Sent::Forwarded));
    }
    assert_eq!(cluster.send_wait(id(&nodes[1]), "1 101").await, Ok(()));
    assert_eq!(cluster.send(id(&nodes[0]), "1 1"), Ok(Sent::Queued));
    let gone = ClusterId {
        local: "7.70".parse().unwrap(),
        ..id(&nodes[1])
    };
    let no_client = Err(ClusterSendError::NoSuchClient { id: gone });
    assert_eq!(cluster.send_wait(gone, "1 1").await, no_client);
    R::sleep(SECOND / 5).await;
    assert_eq!(there.numbers(1), (1..=101).collect::<Vec<_>>());
    assert_eq!(here.numbers(1), [1]);
}

/// B7: the people of a node that is cut off vanish all at once, and come back with it. Those of a node that shuts down
/// vanish at once.
async fn nodes_and_their_people_come_and_go<R: Host>() {
    let engine = Engine::start();
    let proxy = Proxy::to(engine.port);
    let config = || ClusterConfig::new().node_name("web");
    let nodes = [
        node_with::<R>(Redis::new(&engine.url()).unwrap(), config()).await,
        node_with(Redis::new(&proxy.url()).unwrap(), config()).await,
        node_with(Redis::new(&engine.url()).unwrap(), config()).await,
    ];
    let mut members = Vec::new();
    for (node, name) in nodes.iter().zip(["anna", "bert", "cleo"]) {
        members.push(Member::open(node, "room").await);
        show(node, name);
    }
    settle(&nodes).await;
    // Each says of itself with its lease, that is each 5 s, how many connections it has.
    R::sleep(SECOND * 7).await;
    assert_eq!(names(&nodes[0]).await, ["anna", "bert", "cleo"]);
    let listing = nodes[0].cluster().nodes().await.unwrap();
    let described = listing
        .iter()
        .all(|node| &*node.name == "web" && node.connections == 1);
    assert!(listing.len() == 3 && described, "{listing:?}");

    proxy.set(Mode::Refuse);
    proxy.cut();
    let begin = Instant::now();
    while names(&nodes[0]).await.len() == 3 {
        assert!(begin.elapsed() <= SECOND * 16, "B7");
        R::sleep(SECOND / 4).await;
    }
    assert_eq!(names(&nodes[0]).await, ["anna", "cleo"]);
    assert_eq!(nodes[0].cluster().nodes().await.unwrap().len(), 2);
    proxy.set(Mode::Pass);
    settle(&nodes).await;
    R::sleep(SECOND * 2).await;
    assert_eq!(names(&nodes[0]).await, ["anna", "bert", "cleo"]);

    nodes[2].shutdown(SECOND).await;
    assert_eq!(names(&nodes[0]).await, ["anna", "bert"]);
    assert_eq!(nodes[0].cluster().nodes().await.unwrap().len(), 2);
    for node in &nodes {
        node.shutdown(SECOND).await;
    }
    for key in ["ws:leases", "ws:p:*"] {
        let answer = engine.ask(&format!("KEYS {key}")).unwrap();
        assert_eq!(answer, "*0\r\n", "{key}");
    }
}

/// An engine that lost everything gets it again; one that evicts a key, too.
async fn what_the_engine_forgot_is_stored_again<R: Host>() {
    let mut engine = Engine::start();
    let nodes = [node::<R>(&engine.url()).await, node(&engine.url()).await];
    let _members = [
        Member::open(&nodes[0], "room").await,
        Member::open(&nodes[1], "room").await,
    ];
    show(&nodes[1], "bert");
    settle(&nodes).await;
    R::sleep(SECOND * 2).await;
    assert_eq!(names(&nodes[0]).await, ["bert"]);
    engine.kill();
    engine.run();
    settle(&nodes).await;
    R::sleep(SECOND * 2).await;
    assert_eq!(names(&nodes[0]).await, ["bert"]);
    let node = nodes[1].cluster().node();
    for loss in [
        format!("DEL ws:p:{node}"),
        "DEL ws:leases".to_owned(),
        "FLUSHALL".to_owned(),
    ] {
        engine.ask(&loss).unwrap();
        // Until it is there again, nobody says that it is not.
        let begin = Instant::now();
        while begin.elapsed() < SECOND * 7 {
            let listing = nodes[0].cluster().topic("room").presence().await.unwrap();
            assert!(listing.len() == 1 || !listing.is_complete(), "{loss}");
            R::sleep(SECOND / 10).await;
        }
        assert_eq!(names(&nodes[0]).await, ["bert"], "{loss}");
    }
}

/// Keys of another application, or no permission for keys: the error says so, and messages go on.
async fn what_is_refused_is_told<R: Host>() {
    let engine = Engine::start();
    for key in ["ws:leases", "ws:nodes"] {
        assert_eq!(
            engine.ask(&format!("SET {key} foreign")).unwrap(),
            "+OK\r\n"
        );
    }
    let nodes = [node::<R>(&engine.url()).await, node(&engine.url()).await];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let refused = nodes[0].cluster().nodes().await.unwrap_err();
    assert!(
        matches!(&refused, BackplaneError::Refused { error } if error.contains("WRONGTYPE")),
        "{refused}"
    );
    let refused = nodes[0]
        .cluster()
        .topic("room")
        .presence()
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("WRONGTYPE"), "{refused}");
    // It is known by its sign of life, although nobody has a lease.
    R::sleep(SECOND * 3 / 2).await;
    assert_eq!(
        nodes[0].cluster().send_wait(id(&nodes[1]), "1 1").await,
        Ok(())
    );
    nodes[0].cluster().topic("room").broadcast("1 2");
    settle(&nodes).await;
    assert_eq!(member.numbers(1), [1, 2]);
    assert_eq!(nodes[0].cluster().health(), ClusterHealth::Up);
}

/// The clock of the engine is set back, or another engine takes its place: a lease lasts no longer than one from now on.
async fn a_lease_ends_whatever_the_clock_does<R: Host>() {
    let engine = Engine::start();
    let proxy = Proxy::to(engine.port);
    let nodes = [node::<R>(&engine.url()).await, node(&proxy.url()).await];
    settle(&nodes).await;
    proxy.set(Mode::Refuse);
    proxy.cut();
    R::sleep(SECOND / 2).await;
    // An hour later is where all ends are for a clock that was set back by an hour.
    let node = nodes[1].cluster().node();
    let set = engine.ask(&format!("ZINCRBY ws:leases 3600000 {node}"));
    assert!(set.is_ok());
    R::sleep(SECOND * 22).await;
    assert_eq!(nodes[0].cluster().nodes().await.unwrap().len(), 1);
}

on_each_runtime! {
    a_lease_ends_whatever_the_clock_does;
    a_message_reaches_one_connection;
    nodes_and_their_people_come_and_go;
    what_is_refused_is_told;
    what_the_engine_forgot_is_stored_again;
}
