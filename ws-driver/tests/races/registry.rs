//! Many connections: they come and go while others look them up, send to them by id, to all and to
//! topics.

use std::sync::{Arc, Mutex};

use ws_driver::{SendToError, SlowPeer};

use crate::world::{Census, Client, Server, World, assert_in_order, check, numbered};
use ws_testing::sim::ANY;

/// Two broadcasters, two connections that stay and one that leaves in the midst: who stays gets
/// everything once and in order, what is returned is what was reached, and in the end the registry
/// knows those who are there, each by its own id.
async fn broadcasts(world: World) {
    let census = Census::default();
    let server = Server::builder().observer(census.clone());
    let server = server.slow_peer(SlowPeer::Wait).bind(ANY).await.unwrap();
    world.serve(&server, census.draining());
    let mut stayers = [
        Client::open(&world, server.local_addr()).await,
        Client::open(&world, server.local_addr()).await,
    ];
    let leaver = Client::open(&world, server.local_addr()).await;
    census.wait(|counts| counts.called == 3).await;
    let reached = Arc::new(Mutex::new(0));
    let broadcasters = ["a", "b"].map(|name| {
        let (server, reached) = (server.clone(), Arc::clone(&reached));
        world.spawned(async move {
            for number in 0..2 {
                let count = server.broadcast(numbered(name, number));
                *reached.lock().unwrap() += count;
            }
        })
    });
    let leaving = world.spawned(async move { drop(leaver) });
    for client in &mut stayers {
        let texts = client.read_texts(4).await;
        assert_in_order(&texts, "a", 2);
        assert_in_order(&texts, "b", 2);
    }
    leaving.await;
    for broadcaster in broadcasters {
        broadcaster.await;
    }
    let reached = *reached.lock().unwrap();
    assert!((8..=12).contains(&reached), "{reached} were reached");
    census.wait(|counts| counts.closed == 1).await;
    assert_eq!(server.clients().len(), 2);
    let ids: Vec<_> = server.clients().iter().map(|sender| sender.id()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    for id in ids {
        assert_eq!(server.clients().get(id).unwrap().id(), id);
    }
    let counters = server.counters();
    assert_eq!((counters.opened.total(), counters.open.total()), (3, 2));
    for client in stayers {
        client.close(1000).await;
    }
    server.close();
}

#[test]
fn a_broadcast_reaches_who_stays_once() {
    check(broadcasts);
}

/// A broadcast that waits, to peers that are full: it ends when each has room or is gone.
async fn waiting_broadcasts(world: World) {
    let census = Census::default();
    let server = Server::builder().send_queue_limit(Some(8));
    let server = server.bind(ANY).await.unwrap();
    world.serve(&server, census.draining());
    let mut reader = Client::open(&world, server.local_addr()).await;
    let leaver = Client::open(&world, server.local_addr()).await;
    for client in [&reader, &leaver] {
        client.narrow(6);
    }
    census.wait(|counts| counts.called == 2).await;
    let broadcaster = {
        let server = server.clone();
        world.spawned(async move {
            let mut reached = 0;
            for number in 0..5 {
                reached += server.clients().broadcast_wait(numbered("w", number)).await;
            }
            reached
        })
    };
    let leaving = world.spawned(async move { leaver.link().reset() });
    let texts = reader.read_texts(5).await;
    assert_in_order(&texts, "w", 5);
    leaving.await;
    let reached = broadcaster.await;
    assert!((5..=10).contains(&reached), "{reached} were reached");
    reader.close(1000).await;
    server.close();
}

#[test]
fn a_broadcast_that_waits_ends() {
    check(waiting_broadcasts);
}

/// Others make connections join and leave topics while these end: who has gone is in no topic.
async fn topics(world: World) {
    let census = Census::default();
    let server = Server::builder().observer(census.clone());
    let server = server.bind(ANY).await.unwrap();
    world.serve(&server, census.draining());
    let clients = [
        Client::open(&world, server.local_addr()).await,
        Client::open(&world, server.local_addr()).await,
    ];
    census.wait(|counts| counts.called == 2).await;
    let senders: Vec<_> = server.clients().iter().collect();
    let joiners = ["t", "u"].map(|topic| {
        let senders = senders.clone();
        world.spawned(async move {
            for sender in &senders {
                let joined = sender.join(topic);
                if joined.is_err() {
                    assert_eq!(sender.join(topic), joined, "it never opens again");
                }
            }
            senders[1].leave(topic);
        })
    });
    let speaker = {
        let topic = server.clients().topic("t");
        world.spawned(async move { topic.broadcast("x") })
    };
    for client in clients {
        drop(client);
    }
    census.wait(|counts| counts.closed == 2).await;
    for joiner in joiners {
        joiner.await;
    }
    assert!(speaker.await <= 2);
    assert_eq!(server.clients().topics().count(), 0);
    assert_eq!(server.clients().topic("t").len(), 0);
    for sender in senders {
        assert!(!server.clients().topic("t").contains(sender.id()));
        assert!(server.clients().get(sender.id()).is_none());
    }
    server.close();
}

#[test]
fn who_has_gone_is_in_no_topic() {
    check(topics);
}

/// A send by the id of one that leaves never reaches the one that takes its place.
async fn ids(world: World) {
    let census = Census::default();
    let server = Server::builder().observer(census.clone());
    let server = server.bind(ANY).await.unwrap();
    world.serve(&server, census.draining());
    let first = Client::open(&world, server.local_addr()).await;
    census.wait(|counts| counts.called == 1).await;
    let id = server.clients().iter().next().unwrap().id();
    let sending = {
        let server = server.clone();
        world.spawned(async move {
            let mut is_gone = false;
            for number in 0..4 {
                match server.send(id, numbered("first", number)) {
                    Ok(()) | Err(SendToError::Send(_)) => assert!(!is_gone),
                    Err(_) => is_gone = true,
                }
            }
        })
    };
    let mut second = {
        drop(first);
        Client::open(&world, server.local_addr()).await
    };
    sending.await;
    census
        .wait(|counts| counts.called == 2 && counts.closed == 1)
        .await;
    assert_eq!(server.broadcast("all"), 1);
    assert_eq!(second.read_texts(1).await, ["all"]);
    second.close(1000).await;
    server.close();
}

#[test]
fn an_id_means_one_connection_for_ever() {
    check(ids);
}

/// At the connection limit streams wait for a place, and nobody who waits is forgotten.
async fn places(world: World) {
    let server = Server::builder().connection_limit(Some(1));
    let server = server.bind(ANY).await.unwrap();
    world.serve(&server, |mut connection| async move {
        connection.send("hello").await.unwrap();
        while connection.recv().await.is_some() {}
    });
    let clients = [(); 3].map(|()| {
        let mut client = Client::connect(&world, server.local_addr());
        world.spawned(async move {
            assert!(client.shake_hands().await);
            assert_eq!(client.read_texts(1).await, ["hello"]);
            client.close(1000).await;
        })
    });
    for client in clients {
        client.await;
    }
    server.close();
}

#[test]
fn a_place_that_is_given_back_is_taken() {
    check(places);
}
