//! Which nodes live, and who shows itself in a topic: B7.

use std::collections::BTreeMap;

use ws_driver::{
    BackplaneError, ClusterConfig, Connection, Listing, MemoryBackplane, PRESENCE_DATA_LIMIT,
    Presence, TrackError,
};
use ws_testing::sim::{ANY, Rng, Server, Sim, seconds, serve};

use super::engine::{Engine, Faults};
use super::{Member, node, node_with, nodes};

/// Connections that show themselves in the topic `room`, with the name that their path is.
async fn shown(sim: &Sim, server: &Server, names: &[&str]) -> Vec<Member> {
    let mut members = Vec::new();
    for name in names {
        members.push(Member::open(sim, server, "room").await);
        let sender = server.clients().iter().max_by_key(|it| it.id()).unwrap();
        sender.track("room", name).unwrap();
    }
    members
}

async fn names(server: &Server) -> Vec<String> {
    let listing = server.cluster().topic("room").presence().await.unwrap();
    sorted(&listing)
}

fn sorted(listing: &Listing<Presence>) -> Vec<String> {
    let names = listing
        .iter()
        .map(|it| String::from_utf8(it.data.to_vec()).unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

/// Who shows itself is seen on all nodes: new ones, changed ones, those that left the topic, and those that have gone.
#[test]
fn who_is_there_is_seen_on_all_nodes() {
    for seed in 0..10 {
        Sim::run_seeded(seed, async |sim| {
            let [one, two, three] = nodes(&sim).await;
            let here = shown(&sim, &one, &["anna", "bert"]).await;
            let _there = shown(&sim, &two, &["cleo"]).await;
            assert_eq!(
                names(&one).await[..2],
                ["anna", "bert"],
                "at once on its own node"
            );
            sim.sleep(seconds(3)).await;
            for server in [&one, &two, &three] {
                assert_eq!(names(server).await, ["anna", "bert", "cleo"]);
            }
            let clients: BTreeMap<_, _> = one.clients().iter().map(|it| (it.id(), it)).collect();
            let clients: Vec<_> = clients.into_values().collect();
            clients[0].track("room", "anne").unwrap();
            assert!(clients[1].untrack("room") && !clients[1].untrack("room"));
            assert_eq!(one.clients().topic("room").len(), 2, "it stays a member");
            sim.sleep(seconds(3)).await;
            assert_eq!(names(&three).await, ["anne", "cleo"]);
            clients[1].track("room", "bert").unwrap();
            here[0].ask(&sim, "leave room").await;
            clients[1]
                .begin_close(ws_driver::CloseCode::NORMAL, "")
                .unwrap();
            sim.sleep(seconds(3)).await;
            assert_eq!(names(&three).await, ["cleo"]);
            assert!(names(&one).await.contains(&"cleo".to_owned()));
            let listing = three.cluster().topic("room").presence().await.unwrap();
            let (id, sender) = (listing[0].id, two.clients().iter().next().unwrap());
            assert_eq!(id, sender.cluster_id());
            let empty = three.cluster().topic("other").presence().await.unwrap();
            assert!(empty.is_empty());
        });
    }
}

/// B7: the people of a node that dies vanish all at once, after 15 s at most, everywhere; those of one that shuts down
/// vanish at once.
#[test]
fn the_people_of_a_dead_node_vanish() {
    for seed in 0..10 {
        Sim::run_seeded(seed, async |sim| {
            let engine = Engine::new(Rng::new(seed));
            let (one, two, three) = (
                node(&sim, engine.clone()).await,
                node(&sim, engine.clone()).await,
                node(&sim, engine.clone()).await,
            );
            let _here = shown(&sim, &one, &["anna"]).await;
            let _there = shown(&sim, &two, &["bert", "cleo"]).await;
            let _third = shown(&sim, &three, &["dora"]).await;
            sim.sleep(seconds(20)).await;
            assert_eq!(names(&one).await, ["anna", "bert", "cleo", "dora"]);
            let listing = one.cluster().nodes().await.unwrap();
            assert!(listing.is_complete());
            assert_eq!(listing.len(), 3);
            assert_eq!(listing[0].id, one.cluster().node(), "this one first");

            // Cut off for good: it can say nothing.
            engine.ban(two.cluster().node());
            let begin = sim.now();
            while names(&one).await.len() == 4 {
                sim.sleep(seconds(1)).await;
                assert!(sim.now() - begin <= seconds(16), "B7");
            }
            assert_eq!(names(&one).await, ["anna", "dora"], "all at once");
            let nodes = one.cluster().nodes().await.unwrap();
            assert_eq!(nodes.len(), 2);

            three.shutdown(seconds(1)).await;
            assert_eq!(names(&one).await, ["anna"]);
            assert_eq!(one.cluster().nodes().await.unwrap().len(), 1);
            // Its own people are still those of the one that is cut off; it says that it cannot know all.
            let alone = two.cluster().topic("room").presence().await.unwrap();
            assert_eq!((sorted(&alone).len(), alone.is_complete()), (2, false));
            let known = two.cluster().nodes().await.unwrap();
            assert_eq!((known.len(), known.is_complete()), (3, false));
            assert!(known.age() >= seconds(10));
        });
    }
}

/// Whatever the engine loses and however links break: once it works again, each node sees exactly who is there.
#[test]
fn presence_heals_whatever_the_engine_does() {
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let mut rng = Rng::new(seed);
            let engine = Engine::new(rng.fork());
            let servers = [
                node(&sim, engine.clone()).await,
                node(&sim, engine.clone()).await,
            ];
            let mut members = Vec::new();
            for (server, name) in servers.iter().zip(["anna", "bert"]) {
                members.extend(shown(&sim, server, &[name]).await);
            }
            engine.set_faults(Faults {
                lost_answer: 5,
                lost_batch: 5,
                delay: 50,
                ..Faults::default()
            });
            let mut changes = 0;
            for _ in 0..20 {
                match rng.below(4) {
                    0 => engine.cut(|_| true),
                    1 => {
                        engine.kill();
                        sim.sleep(rng.millis(1..=3000)).await;
                        engine.start();
                    }
                    _ => {
                        let sender = servers[rng.below(2)].clients().iter().next().unwrap();
                        changes += 1;
                        sender.track("room", format!("change {changes}")).unwrap();
                    }
                }
                sim.sleep(rng.millis(1..=2000)).await;
            }
            engine.set_faults(Faults::default());
            sim.sleep(seconds(30)).await;
            let expected = names(&servers[0]).await;
            assert_eq!(expected.len(), 2);
            assert_eq!(names(&servers[1]).await, expected);
            for server in &servers {
                let nodes = server.cluster().nodes().await.unwrap();
                assert_eq!((nodes.len(), nodes.is_complete()), (2, true));
            }
        });
    }
}

/// A listing says that nodes may be missing, until each had the time to come back.
#[test]
fn a_listing_of_a_new_engine_is_not_complete() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        let config = ClusterConfig::new().node_name("web-1");
        let one = node_with(&sim, engine.clone(), config).await;
        let is_complete = async || one.cluster().nodes().await.unwrap().is_complete();
        sim.sleep(seconds(1)).await;
        assert!(!is_complete().await);
        sim.sleep(seconds(16)).await;
        assert!(is_complete().await);
        engine.kill();
        sim.sleep(seconds(1)).await;
        assert!(!is_complete().await);
        engine.start();
        sim.sleep(seconds(5)).await;
        assert!(!is_complete().await, "it has lost all that it knew");
        sim.sleep(seconds(16)).await;
        assert!(is_complete().await);
        let listing = one.cluster().nodes().await.unwrap();
        assert_eq!((&*listing[0].name, listing.len()), ("web-1", 1));
        assert!(listing[0].to_string().starts_with("web-1 ("));
        assert!(listing[0].counters.connects >= 2);
    });
}

/// Data and the number of those who show themselves are bounded, and who is refused is no new member.
#[test]
fn what_is_shown_is_bounded() {
    Sim::run_seeded(1, async |sim| {
        let [one] = nodes(&sim).await;
        let _member = Member::open(&sim, &one, "").await;
        let sender = one.clients().iter().next().unwrap();
        let (len, limit) = (PRESENCE_DATA_LIMIT + 1, PRESENCE_DATA_LIMIT);
        let too_long = sender.track("room", vec![0; len]);
        assert_eq!(too_long, Err(TrackError::DataTooLong { len, limit }));
        assert!(one.clients().topic("room").is_empty());
        let name = "x".repeat(ws_driver::TOPIC_NAME_LIMIT + 1);
        assert!(matches!(sender.track(&name, ""), Err(TrackError::Topic(_))));
        assert_eq!(sender.track("room", vec![0; limit]), Ok(()));
        assert!(!sender.join("room").unwrap());
    });
}

/// A server that requires its engine fails to start without one, and starts with one that comes in time.
#[test]
fn an_engine_can_be_required() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        engine.kill();
        let bind = async || {
            let config = ClusterConfig::new().required(true);
            let builder = Server::builder().backplane(engine.clone()).cluster(config);
            builder.bind(ANY).await
        };
        let begin = sim.now();
        let error = bind().await.unwrap_err();
        assert!(sim.now() - begin >= seconds(10));
        assert!(error.to_string().contains("nobody answers"), "{error}");
        let starting = engine.clone();
        let sim_too = sim.clone();
        sim.spawn_task(async move {
            sim_too.sleep(seconds(3)).await;
            starting.start();
        });
        bind().await.unwrap();
        let without = ClusterConfig::new().required(true);
        Server::builder().cluster(without).bind(ANY).await.unwrap();
    });
}

/// The end of a server ends the waits for its engine.
#[test]
fn the_end_ends_the_waits() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        let server = Server::builder()
            .backplane(engine.clone())
            .bind(ANY)
            .await
            .unwrap();
        serve(
            &sim,
            &server,
            async |mut connection: Connection| {
                while connection.recv().await.is_some() {}
            },
        );
        sim.sleep(seconds(2)).await;
        engine.freeze(true);
        let cluster = server.cluster();
        let waiting = async {
            let topic = cluster.topic("room");
            futures_util::future::join(cluster.nodes(), topic.presence()).await
        };
        let ending = async {
            sim.sleep(seconds(1)).await;
            server.shutdown(seconds(0)).await;
        };
        let begin = sim.now();
        let ((nodes, presence), ()) = futures_util::future::join(waiting, ending).await;
        assert!(sim.now() - begin < seconds(4));
        assert_eq!(nodes, Err(BackplaneError::Ended));
        assert_eq!(presence, Err(BackplaneError::Ended));
        let memory = Server::builder().backplane(MemoryBackplane::new());
        let server = memory.build().unwrap();
        let cluster = server.cluster();
        drop(server);
        assert_eq!(cluster.nodes().await, Err(BackplaneError::Ended));
    });
}
