//! Engines that follow another one. What is published on a replica reaches its own subscribers and not those of its
//! master, and no number tells.

use ws_driver::{ClusterHealth, Server};

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, down, node, settle};

/// A node does not take a replica as its engine, because nobody would miss what it publishes there. Once that is a master,
/// the node comes up by itself.
async fn a_replica_is_no_engine<R: Host>() {
    let master = Engine::start();
    let replica = follow(&master).await;
    let late: [Server<R>; 1] = [node(&replica.url()).await];
    let why = down(&late[0]).await;
    assert!(why.contains("replica"), "{why}");
    replica.ask("REPLICAOF NO ONE").unwrap();
    settle(&late).await;
}

/// A master that becomes a replica is left, or what is published there is lost and counted by nobody.
async fn a_master_that_becomes_a_replica_is_left<R: Host>() {
    let master = Engine::start();
    let second = Engine::start();
    let nodes: [Server<R>; 2] = [node(&master.url()).await, node(&second.url()).await];
    let member = Member::open(&nodes[0], "room").await;
    settle(&nodes).await;
    let command = format!("REPLICAOF 127.0.0.1 {}", master.port);
    assert!(second.ask(&command).unwrap().starts_with("+OK"));
    R::sleep(SECOND * 3).await;
    let mut publisher = Publisher::new(nodes[1].cluster(), "room", 1);
    (0..100).for_each(|_| publisher.publish());
    R::sleep(SECOND).await;
    let arrived = member.numbers(1).len();
    let health = nodes[1].cluster().health();
    assert!(
        arrived == 100 || health != ClusterHealth::Up,
        "{arrived} of 100 have arrived, and its health is {health:?}"
    );
}

/// Starts an engine that follows another one, and waits until it does.
async fn follow(master: &Engine) -> Engine {
    let port = master.port.to_string();
    let replica = Engine::with_options(&["--replicaof", "127.0.0.1", &port]);
    for _ in 0..200 {
        let info = replica.ask("INFO replication").unwrap();
        if info.contains("master_link_status:up") {
            return replica;
        }
        std::thread::sleep(SECOND / 20);
    }
    panic!("it does not follow");
}

on_each_runtime! {
    a_replica_is_no_engine;
    a_master_that_becomes_a_replica_is_left;
}
