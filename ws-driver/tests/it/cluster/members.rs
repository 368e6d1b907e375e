//! Who gets what, over nodes that work.

use std::time::Duration;

use ws_driver::{ClusterHealth, MemoryBackplane};
use ws_testing::sim::{ANY, Server, Sim, seconds};

use super::{Member, node, nodes};

/// A message to a topic reaches its members on all nodes, once, in order, and nobody else; so does one to all.
#[test]
fn a_message_reaches_the_members_on_all_nodes() {
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let [one, two, three] = nodes(&sim).await;
            let room = [
                Member::open(&sim, &one, "room").await,
                Member::open(&sim, &two, "room,other").await,
                Member::open(&sim, &two, "room").await,
            ];
            let other = Member::open(&sim, &three, "other").await;
            for number in 0..100 {
                let published = one.cluster().topic("room").broadcast(format!("{number}"));
                assert_eq!((published.local, published.remote), (1, Ok(())));
            }
            sim.sleep(seconds(1)).await;
            let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
            for member in &room {
                assert_eq!(member.take(), expected);
            }
            assert_eq!(other.take(), [""; 0]);

            // From a node without a member, and to all.
            assert_eq!(three.cluster().topic("room").broadcast("three").local, 0);
            assert_eq!(two.cluster().broadcast(b"all").local, 2);
            sim.sleep(seconds(1)).await;
            let mut got = room[0].take();
            // Two publishers have no order between them.
            got.sort();
            assert_eq!(got, ["Binary(b\"all\")", "three"]);
            assert_eq!(other.take(), ["Binary(b\"all\")"]);

            let counters = [&one, &two, &three].map(|server| server.cluster().counters());
            assert_eq!(
                counters.map(|it| (it.published, it.dropped)),
                [(100, 0), (1, 0), (1, 0)]
            );
            assert_eq!(
                counters.map(|it| (it.received, it.missed)),
                [(2, 0), (101, 0), (1, 0)]
            );
            assert_eq!(
                counters.map(|it| (it.duplicates, it.malformed)),
                [(0, 0); 3]
            );
            assert!(
                counters[0].batches < 100,
                "batches grow with the load: {counters:?}"
            );
        });
    }
}

/// `broadcast_except` leaves out a connection of this node and nobody on others.
#[test]
fn one_can_be_left_out() {
    Sim::run_seeded(1, async |sim| {
        let [one, two] = nodes(&sim).await;
        let members = [
            Member::open(&sim, &one, "room").await,
            Member::open(&sim, &one, "room").await,
            Member::open(&sim, &two, "room").await,
        ];
        let first = one
            .clients()
            .iter()
            .map(|sender| sender.id())
            .min()
            .unwrap();
        assert_eq!(
            one.cluster()
                .topic("room")
                .broadcast_except(first, "topic")
                .local,
            1
        );
        assert_eq!(one.cluster().broadcast_except(first, "all").local, 1);
        sim.sleep(seconds(1)).await;
        let taken = members.each_ref().map(Member::take);
        let lens = taken.each_ref().map(Vec::len);
        assert_eq!(lens, [0, 2, 2], "{taken:?}");
    });
}

/// Without a backplane a cluster is the server alone, with the same calls.
#[test]
fn a_cluster_of_one_has_the_same_calls() {
    Sim::run_seeded(1, async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let tasks = sim.live_tasks();
        ws_testing::sim::serve(
            &sim,
            &server,
            async |mut connection: ws_driver::Connection| {
                assert_eq!(connection.join_wait("room").await, Ok(true));
                assert_eq!(connection.join_wait("room").await, Ok(false));
                assert_eq!(connection.cluster_id().local, connection.id());
                connection.send("joined").await.unwrap();
                while connection.recv().await.is_some() {}
            },
        );
        let member = Member::open(&sim, &server, "").await;
        let cluster = server.cluster();
        let published = cluster.topic("room").broadcast("hi");
        assert_eq!((published.local, published.remote), (1, Ok(())));
        assert_eq!(cluster.broadcast("all").local, 1);
        sim.sleep(seconds(1)).await;
        assert_eq!(member.take(), ["hi", "all"]);
        assert_eq!(cluster.health(), ClusterHealth::Up);
        assert_eq!(cluster.counters(), Default::default());
        // The server, its connection, the client's two: nothing for a cluster.
        assert!(sim.live_tasks() <= tasks + 4, "{}", sim.live_tasks());
    });
}

/// A topic is subscribed to while it has members and for some seconds more, however they come and go, and whoever
/// panics; a topic that is not wanted costs the engine nothing.
#[test]
fn a_node_subscribes_to_what_its_members_want() {
    for seed in 0..10 {
        Sim::run_seeded(seed, async |sim| {
            let [one, two] = nodes(&sim).await;
            let count = || one.cluster().counters().subscriptions;
            let member = Member::open(&sim, &one, "a,b").await;
            let other = Member::open(&sim, &one, "b,c").await;
            assert_eq!(count(), 3);
            other.ask(&sim, "panic").await;
            // The page comes back: what it joined before is still there.
            sim.sleep(seconds(3)).await;
            let other = Member::open(&sim, &one, "c").await;
            sim.sleep(seconds(20)).await;
            assert_eq!(count(), 3);
            member.ask(&sim, "leave a").await;
            assert_eq!(count(), 3, "for some seconds");
            sim.sleep(seconds(10)).await;
            assert_eq!(count(), 2);
            for _ in 0..100 {
                member.ask(&sim, "join a").await;
                member.ask(&sim, "leave a").await;
            }
            two.cluster().topic("a").broadcast("not wanted");
            sim.sleep(seconds(10)).await;
            assert_eq!(count(), 2);
            two.cluster().topic("a").broadcast("not wanted");
            two.cluster().topic("b").broadcast("b");
            two.cluster().topic("c").broadcast("c");
            sim.sleep(seconds(1)).await;
            assert_eq!(member.take().last().unwrap(), "b");
            assert_eq!(other.take(), ["c"]);
            assert_eq!(
                one.cluster().counters().missed,
                0,
                "what was not wanted is not missed"
            );
            drop((member, other));
            for sender in one.clients().iter() {
                sender
                    .begin_close(ws_driver::CloseCode::NORMAL, "")
                    .unwrap();
            }
            sim.sleep(seconds(20)).await;
            assert_eq!(count(), 0);
        });
    }
}

/// The end of a server ends its tasks, and what it published before is delivered; later calls say that it has ended.
#[test]
fn a_shutdown_publishes_what_was_queued_and_ends_all_tasks() {
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let [one, two] = nodes(&sim).await;
            let member = Member::open(&sim, &two, "room").await;
            sim.sleep(seconds(1)).await;
            let cluster = one.cluster();
            for number in 0..1000 {
                assert_eq!(
                    cluster.topic("room").broadcast(format!("{number}")).remote,
                    Ok(())
                );
            }
            one.shutdown(seconds(5)).await;
            drop(one);
            sim.sleep(seconds(1)).await;
            assert_eq!(member.take().len(), 1000);
            assert!(matches!(cluster.health(), ClusterHealth::Ended { .. }));
            let late = cluster.topic("room").broadcast("late");
            assert_eq!(late.remote, Err(ws_driver::BackplaneError::Ended));
            assert_eq!(cluster.counters().dropped, 1);
            two.shutdown(seconds(5)).await;
            drop(two);
            sim.sleep(seconds(1)).await;
            // The test's own: the client, and the two that served.
            assert!(sim.live_tasks() <= 3, "{} tasks are left", sim.live_tasks());
        });
    }
}

/// A server that is only dropped ends its tasks, too.
#[test]
fn a_server_that_is_dropped_leaves_no_task() {
    Sim::run_seeded(1, async |sim| {
        let tasks = sim.live_tasks();
        let builder = Server::builder().backplane(MemoryBackplane::new());
        let server = builder.build().unwrap();
        sim.sleep(seconds(3)).await;
        assert_eq!(server.cluster().health(), ClusterHealth::Up);
        assert!(sim.live_tasks() > tasks);
        drop(server);
        sim.sleep(seconds(1)).await;
        assert_eq!(sim.live_tasks(), tasks);
    });
}

/// A message that no connection may compress is not compressed on other nodes, either.
#[cfg(feature = "deflate")]
#[test]
fn a_secret_is_compressed_nowhere() {
    use ws_driver::ws_proto::PreparedMessage;
    use ws_driver::{ClientConfig, Deflate};

    Sim::run_seeded(1, async |sim| {
        let backplane = MemoryBackplane::new();
        let build = || {
            Server::builder()
                .backplane(backplane.clone())
                .deflate(Deflate::new())
        };
        let one = build().bind(ANY).await.unwrap();
        let two = build().bind(ANY).await.unwrap();
        ws_testing::sim::serve(&sim, &two, ws_testing::sim::echo);
        let url = format!("ws://{}/", two.local_addr());
        let options = ClientConfig::new().deflate(Deflate::new());
        let mut client = ws_driver::connect_with::<Sim>(&url, options).await.unwrap();
        sim.sleep(seconds(1)).await;
        let text = "secret ".repeat(100);
        let bytes = |server: &Server| server.counters().bytes_sent;
        one.cluster()
            .broadcast(PreparedMessage::plain(text.clone()));
        assert_eq!(client.recv().await.unwrap().as_text(), Some(&*text));
        let plain = bytes(&two);
        one.cluster().broadcast(text.clone());
        assert_eq!(client.recv().await.unwrap().as_text(), Some(&*text));
        let compressed = bytes(&two) - plain;
        assert!(
            plain >= 700 && compressed < 200 || plain == compressed,
            "{plain}, {compressed}"
        );
    });
}

/// A topic's name has a limit; one beyond it can have no members, and a message to it goes nowhere.
#[test]
fn a_name_that_nobody_can_join_is_published_nowhere() {
    Sim::run_seeded(1, async |sim| {
        let server = node(&sim, MemoryBackplane::new()).await;
        let name = "x".repeat(ws_driver::TOPIC_NAME_LIMIT + 1);
        assert_eq!(server.cluster().topic(name).broadcast("hi").remote, Ok(()));
        sim.sleep(Duration::from_secs(1)).await;
        assert_eq!(server.cluster().counters().published, 0);
    });
}
