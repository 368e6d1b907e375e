//! Messages to one connection of another node.

use std::time::Duration;

use ws_driver::ws_proto::SendError;
use ws_driver::{
    BackplaneError, ClusterConfig, ClusterId, ClusterSendError, Connection, MemoryBackplane, Sent,
    SlowPeer,
};
use ws_testing::sim::{ANY, Rng, Server, Sim, seconds, serve};

use super::engine::{Engine, Faults};
use super::{Member, node, node_with, nodes};

/// The ids of the connections of a node, in the order in which they came.
fn ids(server: &Server) -> Vec<ClusterId> {
    let mut ids: Vec<_> = server.clients().iter().map(|it| it.cluster_id()).collect();
    ids.sort_unstable();
    ids
}

/// A message goes to one connection and to no other, on this node and on another, in order.
#[test]
fn a_message_reaches_one_connection_of_any_node() {
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let [one, two] = nodes(&sim).await;
            let here = Member::open(&sim, &one, "room").await;
            let there = Member::open(&sim, &two, "room").await;
            let other = Member::open(&sim, &two, "room").await;
            sim.sleep(seconds(2)).await;
            let cluster = one.cluster();
            assert_eq!(cluster.send(ids(&one)[0], "here"), Ok(Sent::Queued));
            assert_eq!(cluster.send_wait(ids(&one)[0], "waited").await, Ok(()));
            for number in 0..100 {
                let text = format!("{number}");
                assert_eq!(cluster.send(ids(&two)[0], text), Ok(Sent::Forwarded));
            }
            assert_eq!(cluster.send_wait(ids(&two)[0], "100").await, Ok(()));
            sim.sleep(seconds(1)).await;
            assert_eq!(here.take(), ["here", "waited"]);
            let expected: Vec<_> = (0..=100).map(|number| number.to_string()).collect();
            assert_eq!(there.take(), expected);
            assert!(other.take().is_empty());
            let counters = two.cluster().counters();
            assert_eq!((counters.received, counters.undelivered), (101, 0));
        });
    }
}

/// Every way in which a message does not arrive has its own error; what nobody waits for is counted where it failed.
#[test]
fn what_does_not_arrive_is_told() {
    Sim::run_seeded(3, async |sim| {
        let [one, two] = nodes(&sim).await;
        let member = Member::open(&sim, &two, "room").await;
        sim.sleep(seconds(2)).await;
        let (cluster, id) = (one.cluster(), ids(&two)[0]);
        let gone = ClusterId {
            local: "7.70".parse().unwrap(),
            ..id
        };
        let no_client = Err(ClusterSendError::NoSuchClient { id: gone });
        assert_eq!(cluster.send_wait(gone, "x").await, no_client);
        assert_eq!(cluster.send(gone, "x"), Ok(Sent::Forwarded));
        let here = ClusterId {
            node: cluster.node(),
            ..gone
        };
        let no_client_here = ClusterSendError::NoSuchClient { id: here };
        assert_eq!(cluster.send(here, "x"), Err(no_client_here.clone()));
        assert_eq!(cluster.send_wait(here, "x").await, Err(no_client_here));
        let stranger = ClusterId {
            node: "0000000000001".parse().unwrap(),
            ..id
        };
        let no_node = ClusterSendError::NoSuchNode { id: stranger };
        assert_eq!(cluster.send(stranger, "x"), Err(no_node.clone()));
        assert_eq!(cluster.send_wait(stranger, "x").await, Err(no_node));
        sim.sleep(seconds(1)).await;
        assert_eq!(two.cluster().counters().undelivered, 1);

        two.clients()
            .get(id.local)
            .unwrap()
            .begin_close(ws_driver::CloseCode::NORMAL, "")
            .unwrap();
        drop(member);
        sim.sleep(seconds(1)).await;
        let no_client = Err(ClusterSendError::NoSuchClient { id });
        assert_eq!(cluster.send_wait(id, "x").await, no_client);
        two.shutdown(seconds(1)).await;
        // It gave its lease back, so nobody waits for that to end; the list is 5 s old at most.
        sim.sleep(seconds(6)).await;
        let no_node = Err(ClusterSendError::NoSuchNode { id });
        assert_eq!(cluster.send(id, "x"), no_node);
        one.shutdown(seconds(1)).await;
        let ended = Err(ClusterSendError::Backplane(BackplaneError::Ended));
        assert!([ended, no_node].contains(&cluster.send(id, "x")));
    });
}

/// A cluster of one has its own connections and no others.
#[test]
fn without_a_backplane_there_is_one_node() {
    Sim::run_seeded(1, async |sim| {
        let server = Server::builder().bind(ANY).await.unwrap();
        serve(&sim, &server, async |mut connection: Connection| {
            connection.send("joined").await.unwrap();
            while connection.recv().await.is_some() {}
        });
        let member = Member::open(&sim, &server, "").await;
        let cluster = server.cluster();
        let id = ids(&server)[0];
        assert_eq!(cluster.send(id, "hi"), Ok(Sent::Queued));
        assert_eq!(cluster.send_wait(id, "there").await, Ok(()));
        let stranger = ClusterId {
            node: "0000000000001".parse().unwrap(),
            ..id
        };
        let no_node = Err(ClusterSendError::NoSuchNode { id: stranger });
        assert_eq!(cluster.send_wait(stranger, "x").await, no_node);
        let listing = cluster.nodes().await.unwrap();
        assert!(listing.is_complete());
        assert_eq!((listing.len(), listing[0].connections), (1, 1));
        sim.sleep(seconds(1)).await;
        assert_eq!(member.take(), ["hi", "there"]);
    });
}

/// The other node waits for a slow connection for some seconds, and says then that its queue is full; one that reads again
/// gets the message.
#[test]
fn a_slow_connection_is_waited_for() {
    Sim::run_seeded(1, async |sim| {
        let backplane = MemoryBackplane::new();
        let builder = || {
            let builder = Server::builder().backplane(backplane.clone());
            builder.slow_peer(SlowPeer::DropNewest)
        };
        let one = builder().bind(ANY).await.unwrap();
        let two = builder().bind(ANY).await.unwrap();
        serve(
            &sim,
            &two,
            async |mut connection: Connection| {
                while connection.recv().await.is_some() {}
            },
        );
        let url = format!("ws://{}/", two.local_addr());
        let mut client = ws_driver::connect::<Sim>(&url).await.unwrap();
        sim.sleep(seconds(2)).await;
        let (cluster, id) = (one.cluster(), ids(&two)[0]);
        let text = "x".repeat(64 << 10);
        let mut sent = 0;
        let begin = sim.now();
        let error = loop {
            match cluster.send_wait(id, text.clone()).await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        let waited = sim.now() - begin;
        assert!(
            matches!(error, ClusterSendError::Send(SendError::QueueFull { .. })),
            "{error:?}"
        );
        assert!(
            sent > 3 && waited >= seconds(4) && waited < seconds(60),
            "{sent}, {waited:?}"
        );
        // The client reads while the next one waits.
        let reading = async {
            sim.sleep(seconds(1)).await;
            let mut received = 0;
            while received < sent + 1 {
                assert_eq!(client.recv().await.unwrap().as_text(), Some(&*text));
                received += 1;
            }
        };
        let (sent, ()) =
            futures_util::future::join(cluster.send_wait(id, text.clone()), reading).await;
        assert_eq!(sent, Ok(()));
    });
}

/// An answer that does not come in time is told as such. What was sent arrives once the engine goes on, or not.
#[test]
fn an_outcome_that_does_not_come_is_unknown() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        let (one, two) = (
            node(&sim, engine.clone()).await,
            node(&sim, engine.clone()).await,
        );
        let member = Member::open(&sim, &two, "room").await;
        sim.sleep(seconds(3)).await;
        engine.freeze(true);
        let begin = sim.now();
        let waited = seconds(5);
        let unknown = Err(ClusterSendError::Unknown { waited });
        assert_eq!(one.cluster().send_wait(ids(&two)[0], "late").await, unknown);
        let took = sim.now() - begin;
        assert!(
            took >= waited && took < waited + Duration::from_millis(500),
            "{took:?}"
        );
        engine.freeze(false);
        sim.sleep(seconds(20)).await;
        assert!(member.take().len() <= 1);
        assert_eq!(one.cluster().send_wait(ids(&two)[0], "again").await, Ok(()));
    });
}

/// Whatever the engine does, `send_wait` tells the truth: a message that it says was taken has arrived, one that it says was
/// not taken has not, and no message arrives twice.
#[test]
fn an_outcome_is_true_whatever_the_engine_does() {
    let mut outcomes = [0; 3];
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let engine = Engine::new(Rng::new(seed));
            let config = || ClusterConfig::new().hold(seconds(1));
            let one = node_with(&sim, engine.clone(), config()).await;
            let two = node_with(&sim, engine.clone(), config()).await;
            let member = Member::open(&sim, &two, "room").await;
            sim.sleep(seconds(3)).await;
            let id = ids(&two)[0];
            engine.set_faults(Faults {
                loss: 5,
                repeat: 5,
                lost_answer: 20,
                lost_batch: 20,
                delay: 20,
            });
            let (mut taken, mut refused) = (Vec::new(), Vec::new());
            for number in 0..40 {
                let text = format!("{number}");
                match one.cluster().send_wait(id, text.clone()).await {
                    Ok(()) => taken.push(text),
                    Err(ClusterSendError::Unknown { .. }) => outcomes[1] += 1,
                    Err(_) => refused.push(text),
                }
            }
            engine.set_faults(Faults::default());
            sim.sleep(seconds(30)).await;
            let received = member.take();
            assert!(received.is_sorted_by_key(|text| text.parse::<u32>().unwrap()));
            for text in &taken {
                let count = received.iter().filter(|it| *it == text).count();
                assert_eq!(count, 1, "{text} was taken");
            }
            assert!(refused.iter().all(|text| !received.contains(text)));
            outcomes[0] += taken.len();
            outcomes[2] += received.len() - taken.len();
        });
    }
    // The checks would hold if nothing ever went wrong.
    assert!(outcomes.iter().all(|count| *count > 10), "{outcomes:?}");
}
