//! Two servers of a cluster: what one publishes reaches a member of the other, in whatever order their tasks run.

use ws_driver::{BackplaneError, MemoryBackplane};

use crate::world::{Census, Client, Server, World, assert_in_order, check, numbered};
use ws_testing::sim::ANY;

/// A member that has joined with `join_wait` gets all that is published from then on, once and in order, while other
/// connections join and leave, and both servers end with all of their tasks.
async fn publishing(world: World) {
    let backplane = MemoryBackplane::new();
    let census = Census::default();
    let one = Server::builder().backplane(backplane.clone());
    let one = one.bind(ANY).await.unwrap();
    let two = Server::builder()
        .backplane(backplane)
        .observer(census.clone());
    let two = two.bind(ANY).await.unwrap();
    world.serve(&two, |mut connection| async move {
        connection.join_wait("room").await.unwrap();
        connection.send("joined").await.unwrap();
        while connection.recv().await.is_some() {}
    });
    let mut member = Client::open(&world, two.local_addr()).await;
    assert_eq!(member.read_texts(1).await, ["joined"]);
    let leaver = Client::open(&world, two.local_addr()).await;
    let leaving = world.spawned(async move { drop(leaver) });
    let cluster = one.cluster();
    let publishers = ["a", "b"].map(|name| {
        let cluster = cluster.clone();
        world.spawned(async move {
            for number in 0..2 {
                let published = cluster.topic("room").broadcast(numbered(name, number));
                assert_eq!((published.local, published.remote), (0, Ok(())));
            }
        })
    });
    let texts = member.read_texts(4).await;
    assert_in_order(&texts, "a", 2);
    assert_in_order(&texts, "b", 2);
    for publisher in publishers {
        publisher.await;
    }
    leaving.await;
    member.close(1000).await;
    census.wait(|counts| counts.closed == 2).await;
    for server in [one, two] {
        server.close();
        drop(server);
    }
    // Its last handle is gone, so the node ends in any case.
    drop(cluster);
}

#[test]
fn what_is_published_reaches_the_members_of_other_servers() {
    check(publishing);
}

/// A server ends while others publish: each message is queued, or its publisher learns that it is not.
async fn ending(world: World) {
    let server = Server::builder().backplane(MemoryBackplane::new());
    let server = server.bind(ANY).await.unwrap();
    let cluster = server.cluster();
    let publisher = world.spawned(async move {
        let mut queued = 0;
        for number in 0..3 {
            match cluster.broadcast(numbered("a", number)).remote {
                Ok(()) => queued += 1,
                Err(error) => assert_eq!(error, BackplaneError::Ended),
            }
        }
        (queued, cluster)
    });
    let stopping = world.spawned(async move {
        server.close();
        drop(server);
    });
    let (queued, cluster) = publisher.await;
    stopping.await;
    let counters = cluster.counters();
    assert_eq!(
        counters.published + counters.dropped,
        3,
        "{queued}: {counters:?}"
    );
}

#[test]
fn the_end_of_a_server_answers_for_every_message() {
    check(ending);
}
