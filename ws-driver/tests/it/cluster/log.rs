//! B8: a client that comes back gets exactly what it missed of a log, or is told that something is missing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ws_driver::{
    AppendError, Backplane, BackplaneError, ClusterConfig, ClusterId, MemoryBackplane, Position,
    ResumeError, ResumeFrom, Resumed,
};
use ws_testing::log_reader::{LogReader, log};
use ws_testing::sim::{ANY, Rng, Server, Sim, lock, seconds, serve};

use super::engine::{Engine, Faults};

/// A server whose topics `room…` have a log. A client resumes by its path: `/` for the end, or a position.
async fn node(sim: &Sim, backplane: impl Backplane<Sim>, entries: u64) -> Server {
    let config = ClusterConfig::new().log("room*", log().entries(entries));
    let builder = Server::builder().backplane(backplane).cluster(config);
    let server = builder.bind(ANY).await.unwrap();
    resuming(sim, &server);
    server
}

fn resuming(sim: &Sim, server: &Server) {
    let cluster = server.cluster();
    serve(sim, server, move |mut connection: ws_driver::Connection| {
        let room = cluster.topic("room");
        async move {
            let target = connection.request().unwrap().target();
            if target == "/plain" {
                connection.join_wait("room").await.unwrap();
                connection.send("joined").await.unwrap();
                while connection.recv().await.is_some() {}
                return;
            }
            let after: Option<Position> = target.trim_matches('/').parse().ok();
            let from = if target == "/oldest" {
                ResumeFrom::Oldest
            } else {
                after.into()
            };
            match room.resume(connection.cluster_id(), from).await {
                Ok(resumed) => {
                    let _ = connection.send(format!("resumed {resumed:?}")).await;
                    while connection.recv().await.is_some() {}
                }
                // It comes back.
                Err(error) => {
                    let _ = connection.send(format!("failed {error:?}")).await;
                }
            }
        }
    });
}

async fn append(server: &Server, text: &str) -> Position {
    server.cluster().topic("room").append(text).await.unwrap()
}

/// All members on all nodes get one order, and who was away gets what it missed, on whichever node it comes back.
#[test]
fn who_comes_back_gets_what_it_missed() {
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let backplane = MemoryBackplane::new();
            let one = node(&sim, backplane.clone(), 1000).await;
            let two = node(&sim, backplane.clone(), 1000).await;
            let (mut anna, mut bert) = (LogReader::default(), LogReader::default());
            append(&one, "before").await;
            anna.connect::<Sim>(one.local_addr()).await;
            bert.connect::<Sim>(two.local_addr()).await;
            sim.sleep(seconds(2)).await;
            assert!(anna.resumed().starts_with("Complete"), "{}", anna.resumed());
            let positions = [append(&one, "1").await, append(&two, "2").await];
            assert_eq!((positions[0].offset, positions[1].offset), (2, 3));
            sim.sleep(seconds(1)).await;
            anna.leave().await;
            for number in 3..=400 {
                append(&one, &number.to_string()).await;
            }
            anna.connect::<Sim>(two.local_addr()).await;
            sim.sleep(seconds(2)).await;
            append(&one, "401").await;
            sim.sleep(seconds(5)).await;
            let all: Vec<_> = (1..=401).map(|number| number.to_string()).collect();
            assert_eq!(anna.texts(), all);
            assert_eq!(bert.texts(), all);
            assert!(
                anna.resumed().contains("replayed: 398"),
                "{}",
                anna.resumed()
            );
            assert_eq!(lock(&anna.seen).gaps, 0);
            assert_eq!(one.cluster().counters().log_gaps, 0);
        });
    }
}

/// What the log no longer has is a gap that says how much is missing, and a place that never was is one, too.
#[test]
fn what_is_trimmed_is_a_gap() {
    Sim::run_seeded(1, async |sim| {
        let one = node(&sim, MemoryBackplane::new(), 10).await;
        let mut anna = LogReader::default();
        anna.connect::<Sim>(one.local_addr()).await;
        sim.sleep(seconds(1)).await;
        let first = append(&one, "1").await;
        sim.sleep(seconds(1)).await;
        anna.leave().await;
        for number in 2..=31 {
            append(&one, &number.to_string()).await;
        }
        anna.connect::<Sim>(one.local_addr()).await;
        sim.sleep(seconds(2)).await;
        assert_eq!(anna.texts().len(), 11);
        let gap = anna.resumed();
        assert!(
            gap.starts_with("Gap") && gap.contains("missed: Some(20)"),
            "{gap}"
        );
        for forged in [
            Position { epoch: 1, ..first },
            Position {
                offset: 999,
                ..first
            },
            Position {
                epoch: u64::MAX,
                offset: u64::MAX,
            },
        ] {
            let mut client = LogReader::at(forged);
            client.connect::<Sim>(one.local_addr()).await;
            sim.sleep(seconds(2)).await;
            assert!(
                client.resumed().contains("missed: None"),
                "{}",
                client.resumed()
            );
            append(&one, "more").await;
            sim.sleep(seconds(1)).await;
            assert_eq!(client.texts().last().unwrap(), "more");
        }
    });
}

/// Each way in which nothing is appended or resumed has its own error.
#[test]
fn what_cannot_be_is_told() {
    Sim::run_seeded(1, async |sim| {
        let one = node(&sim, MemoryBackplane::new(), 10).await;
        let (room, other) = (one.cluster().topic("room"), one.cluster().topic("lobby"));
        assert_eq!(other.append("x").await, Err(AppendError::NoLog));
        let (len, limit) = ((1 << 20) + 1, 1 << 20);
        let too_large = room.append("x".repeat(len)).await;
        assert_eq!(too_large, Err(AppendError::TooLarge { len, limit }));
        let url = format!("ws://{}/", one.local_addr());
        let client = ws_driver::connect::<Sim>(&url).await.unwrap();
        sim.sleep(seconds(1)).await;
        let id = one.clients().iter().next().unwrap().cluster_id();
        assert_eq!(other.resume(id, None).await, Err(ResumeError::NoLog));
        assert_eq!(room.resume(id, None).await, Err(ResumeError::AlreadyMember));
        let gone = ClusterId {
            local: "7.70".parse().unwrap(),
            ..id
        };
        let stranger = ClusterId {
            node: "0000000000001".parse().unwrap(),
            ..id
        };
        let other_node = Err(ResumeError::OtherNode { id: stranger });
        assert_eq!(room.resume(stranger, None).await, other_node);
        assert!(matches!(
            room.resume(gone, None).await,
            Err(ResumeError::Topic(_))
        ));
        let cluster = one.cluster();
        drop(client);
        one.shutdown(seconds(1)).await;
        let ended = cluster.topic("room").append("x").await;
        assert_eq!(ended, Err(AppendError::Backplane(BackplaneError::Ended)));
    });
}

/// A server alone has logs, too: in its own memory.
#[test]
fn a_cluster_of_one_has_logs() {
    Sim::run_seeded(1, async |sim| {
        let config = ClusterConfig::new().log("room*", log().entries(10));
        let server = Server::builder().cluster(config).bind(ANY).await.unwrap();
        resuming(&sim, &server);
        let mut anna = LogReader::default();
        append(&server, "before").await;
        anna.connect::<Sim>(server.local_addr()).await;
        sim.sleep(seconds(1)).await;
        append(&server, "1").await;
        sim.sleep(seconds(1)).await;
        assert_eq!(anna.texts(), ["1"]);
        let plain = Server::builder().bind(ANY).await.unwrap();
        let no_log = plain.cluster().topic("room").append("x").await;
        assert_eq!(no_log, Err(AppendError::NoLog));
    });
}

/// The loss of the last message shows although nothing follows it.
#[test]
fn a_loss_at_the_end_is_found() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        let one = node(&sim, engine.clone(), 10).await;
        let mut anna = LogReader::default();
        anna.connect::<Sim>(one.local_addr()).await;
        sim.sleep(seconds(3)).await;
        engine.set_faults(Faults {
            loss: 1,
            ..Faults::default()
        });
        append(&one, "lost on its way").await;
        engine.set_faults(Faults::default());
        sim.sleep(seconds(1)).await;
        assert!(anna.texts().is_empty());
        sim.sleep(seconds(25)).await;
        assert_eq!(anna.texts(), ["lost on its way"]);
    });
}

/// An append whose answer was lost is not made again, and no append that was refused is there.
#[test]
fn an_append_is_made_once() {
    let mut outcomes = [0; 2];
    for seed in 0..30 {
        Sim::run_seeded(seed, async |sim| {
            let engine = Engine::new(Rng::new(seed));
            let one = node(&sim, engine.clone(), 1000).await;
            let mut anna = LogReader::default();
            anna.connect::<Sim>(one.local_addr()).await;
            sim.sleep(seconds(3)).await;
            let mut rng = Rng::new(seed);
            let cutting = engine.clone();
            let sim_too = sim.clone();
            sim.spawn_task(async move {
                for _ in 0..40 {
                    sim_too.sleep(rng.millis(1..=300)).await;
                    cutting.cut(|_| true);
                }
            });
            engine.set_faults(Faults {
                delay: 30,
                ..Faults::default()
            });
            // Others append meanwhile, so that what is looked for is not the last entry.
            let other = node(&sim, engine.clone(), 1000).await;
            let (sim_too, stranger) = (sim.clone(), other.cluster().topic("room"));
            sim.spawn_task(async move {
                for _ in 0..2000 {
                    let _ = stranger.append("other").await;
                    sim_too.sleep(std::time::Duration::from_millis(20)).await;
                }
            });
            let mut acknowledged = Vec::new();
            for number in 0..60 {
                let text = number.to_string();
                match one.cluster().topic("room").append(text.clone()).await {
                    Ok(position) => acknowledged.push((position, text)),
                    Err(AppendError::Unknown { .. }) => outcomes[1] += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            engine.set_faults(Faults::default());
            sim.sleep(seconds(30)).await;
            let seen = lock(&anna.seen);
            for wanted in &acknowledged {
                let count = seen.messages.iter().filter(|it| it.1 == wanted.1).count();
                assert_eq!(count, 1, "{wanted:?}");
                assert!(seen.messages.contains(wanted), "{wanted:?}");
            }
            outcomes[0] += acknowledged.len();
        });
    }
    assert!(outcomes[0] > 1000, "{outcomes:?}");
}

/// Whatever the engine does, and wherever clients come back: each sees every message once and in the order of the log, or a
/// gap in its place. In the end all see the same.
#[test]
fn every_seed_is_exact_or_a_gap() {
    let count = std::env::var("CLUSTER_SEEDS")
        .ok()
        .and_then(|it| it.parse().ok());
    let (mut messages, mut gaps) = (0, 0);
    for seed in 0..count.unwrap_or(60) {
        Sim::run_seeded(seed, async |sim| {
            let mut rng = Rng::new(seed ^ 0x0010_90f1);
            let engine = Engine::new(rng.fork());
            let mut nodes = Vec::new();
            for _ in 0..3 {
                nodes.push(node(&sim, engine.clone(), rng.within(5..=200)).await);
            }
            sim.sleep(seconds(2)).await;
            let mut clients: Vec<_> = (0..6).map(|_| LogReader::default()).collect();
            for client in &mut clients {
                client
                    .connect::<Sim>(nodes[rng.below(3)].local_addr())
                    .await;
            }
            sim.sleep(seconds(5)).await;
            engine.set_faults(Faults {
                loss: rng.within(5..=50),
                repeat: rng.within(5..=50),
                lost_answer: 20,
                lost_batch: 20,
                delay: rng.within(0..=30),
            });
            let acknowledged = Arc::new(Mutex::new(HashMap::new()));
            for (number, server) in nodes.iter().enumerate() {
                let (room, mut rng) = (server.cluster().topic("room"), rng.fork());
                let (sim_too, acknowledged) = (sim.clone(), Arc::clone(&acknowledged));
                sim.spawn_task(async move {
                    for message in 0..100 {
                        let text = format!("{number}.{message}");
                        if let Ok(position) = room.append(text.clone()).await {
                            let before = lock(&acknowledged).insert(position, text);
                            assert_eq!(before, None, "a place is given once");
                        }
                        sim_too.sleep(rng.millis(0..=200)).await;
                    }
                });
            }
            let mut snapshot = engine.snapshot();
            for _ in 0..40 {
                sim.sleep(rng.millis(1..=1000)).await;
                match rng.below(8) {
                    0 => engine.cut(|_| true),
                    1 => {
                        engine.freeze(true);
                        sim.sleep(rng.millis(1..=2000)).await;
                        engine.freeze(false);
                    }
                    2 if rng.once_in(3) => {
                        engine.kill();
                        sim.sleep(rng.millis(1..=1000)).await;
                        engine.start();
                    }
                    3 => snapshot = engine.snapshot(),
                    4 if rng.once_in(3) => engine.fail_over(snapshot.clone()),
                    _ => {
                        let place = rng.below(clients.len());
                        let client = &mut clients[place];
                        client.leave().await;
                        client
                            .connect::<Sim>(nodes[rng.below(3)].local_addr())
                            .await;
                    }
                }
                for client in clients.iter_mut().filter(|client| client.is_gone()) {
                    client.connect::<Sim>(nodes[0].local_addr()).await;
                }
            }
            engine.set_faults(Faults::default());
            sim.sleep(seconds(60)).await;
            for client in clients.iter_mut().filter(|client| client.is_gone()) {
                client.connect::<Sim>(nodes[0].local_addr()).await;
            }
            let last = append(&nodes[0], "last").await;
            sim.sleep(seconds(30)).await;
            let acknowledged = lock(&acknowledged);
            for client in &clients {
                let seen = lock(&client.seen);
                assert_eq!(seen.last, Some(last), "{:?}", seen.resumed);
                gaps += seen.gaps;
                for (position, text) in &seen.messages {
                    messages += 1;
                    if let Some(known) = acknowledged.get(position) {
                        assert_eq!(text, known, "at {position}");
                    }
                }
            }
        });
    }
    // The checks would hold if nothing ever came, or nothing were ever lost.
    assert!(messages > 1000 && gaps > 10, "{messages}, {gaps}");
}

/// Resumed says what was sent.
#[test]
fn the_result_says_what_was_sent() {
    Sim::run_seeded(1, async |sim| {
        let one = node(&sim, MemoryBackplane::new(), 10).await;
        let end = append(&one, "1").await;
        let url = format!("ws://{}/", one.local_addr());
        let _client = ws_driver::connect::<Sim>(&url).await.unwrap();
        sim.sleep(seconds(1)).await;
        let sender = one.clients().iter().next().unwrap();
        assert!(sender.leave("room"));
        let room = one.cluster().topic("room");
        let zero = Position { offset: 0, ..end };
        let resumed = room.resume(sender.cluster_id(), Some(zero)).await;
        let expected = Resumed::Complete {
            position: end,
            replayed: 1,
        };
        assert!(matches!((resumed, expected), (Ok(found), expected) if found == expected));
    });
}

/// A member that has joined with `join_wait` gets what is appended from then on, also if somebody resumes on its node while
/// entries are on their way.
#[test]
fn who_resumes_takes_nothing_from_members() {
    for seed in 0..20 {
        Sim::run_seeded(seed, async |sim| {
            let engine = Engine::new(Rng::new(seed));
            let one = node(&sim, engine.clone(), 1000).await;
            let two = node(&sim, engine.clone(), 1000).await;
            sim.sleep(seconds(3)).await;
            engine.set_faults(Faults {
                delay: 50,
                ..Faults::default()
            });
            let author = two.cluster().topic("room");
            let sim_too = sim.clone();
            sim.spawn_task(async move {
                for number in 0..200 {
                    let _ = author.append(number.to_string()).await;
                    sim_too.sleep(std::time::Duration::from_millis(5)).await;
                }
            });
            sim.sleep(seconds(1)).await;
            // A member that only joins, and then one that resumes at the same moment.
            let url = format!("ws://{}/plain", one.local_addr());
            let mut client = ws_driver::connect::<Sim>(&url).await.unwrap();
            assert_eq!(client.recv().await.unwrap().as_text(), Some("joined"));
            let seen = Arc::new(Mutex::new(Vec::new()));
            let seen_too = Arc::clone(&seen);
            sim.spawn_task(async move {
                while let Some(message) = client.recv().await {
                    lock(&seen_too).push(message.as_text().unwrap().to_owned());
                }
            });
            let room = two.cluster().topic("room");
            let from_here_on = async { room.append("from here on").await.unwrap() };
            let mut late = LogReader::default();
            let (end, _) =
                futures_util::future::join(from_here_on, late.connect::<Sim>(one.local_addr()))
                    .await;
            sim.sleep(seconds(40)).await;
            assert!(late.resumed().starts_with("Complete"), "{}", late.resumed());
            let last = append(&two, "last").await;
            sim.sleep(seconds(20)).await;
            let seen = lock(&seen);
            let offsets = seen.iter().filter_map(|text| {
                let position: Position = text.split(' ').next()?.parse().ok()?;
                (position.offset >= end.offset).then_some(position.offset)
            });
            let offsets: Vec<_> = offsets.collect();
            let expected: Vec<_> = (end.offset..=last.offset).collect();
            assert_eq!(offsets, expected);
        });
    }
}

/// A function for a log that panics costs its message, which is a gap then, and nobody anything else.
#[test]
fn a_panic_in_the_frame_is_a_gap() {
    Sim::run_seeded(1, async |sim| {
        let config = ws_driver::LogConfig::new(|_, event| {
            let text = format!("{event:?}");
            assert!(!text.contains("poison"), "as the test wants it");
            text.into()
        });
        let config = ClusterConfig::new().log("room", config);
        let server = Server::builder().cluster(config).bind(ANY).await.unwrap();
        resuming(&sim, &server);
        let url = format!("ws://{}/", server.local_addr());
        let mut client = ws_driver::connect::<Sim>(&url).await.unwrap();
        let mut next = async || client.recv().await.unwrap().as_text().unwrap().to_owned();
        assert!(next().await.starts_with("Start"));
        assert!(next().await.starts_with("resumed"));
        for text in ["one", "poison", "two"] {
            append(&server, text).await;
        }
        assert!(next().await.contains("one"));
        assert!(next().await.starts_with("Gap"));
        assert!(next().await.contains("two"));
        assert!(server.cluster().health().is_up());
    });
}

/// What an engine in memory keeps of logs that nobody uses goes with time.
#[test]
fn logs_in_memory_are_swept() {
    Sim::run_seeded(1, async |sim| {
        let config = ClusterConfig::new().log("room*", log().age(seconds(1)));
        let server = Server::builder().cluster(config).bind(ANY).await.unwrap();
        for number in 0..100 {
            let topic = server.cluster().topic(format!("room/{number}"));
            topic.append("x".repeat(1000)).await.unwrap();
        }
        sim.sleep(seconds(200)).await;
        let end = server
            .cluster()
            .topic("room/7")
            .append("again")
            .await
            .unwrap();
        assert_eq!(
            end.offset, 2,
            "its place is kept for longer than its entries"
        );
        sim.sleep(seconds(3 * 60 * 60)).await;
        let end = server
            .cluster()
            .topic("room/7")
            .append("again")
            .await
            .unwrap();
        assert_eq!(end.offset, 1, "it was forgotten, and has another epoch");
    });
}

/// What nobody waits for any more takes no place from what comes later, also while there is no link.
#[test]
fn appends_that_failed_take_no_place() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        let one = node(&sim, engine.clone(), 10).await;
        sim.sleep(seconds(2)).await;
        engine.kill();
        let room = one.cluster().topic("room");
        let long = "x".repeat(1_000_000);
        let failed = (0..4).map(|_| room.append(long.clone()));
        for failed in futures_util::future::join_all(failed).await {
            assert!(matches!(
                failed,
                Err(AppendError::Backplane(BackplaneError::Down { .. }))
            ));
        }
        let late = room.append("x".repeat(50_000)).await;
        let is_down = matches!(
            &late,
            Err(AppendError::Backplane(BackplaneError::Down { .. }))
        );
        assert!(is_down, "{late:?}");
        engine.start();
        assert!(room.append("x").await.is_ok());
    });
}

/// Who comes for the first time can have what the log has, and a place to come back to, also if that is nothing.
#[test]
fn a_newcomer_gets_the_history() {
    Sim::run_seeded(1, async |sim| {
        let one = node(&sim, MemoryBackplane::new(), 3).await;
        let begin = async |count: usize| {
            let url = format!("ws://{}/oldest", one.local_addr());
            let mut client = ws_driver::connect::<Sim>(&url).await.unwrap();
            let mut texts = Vec::new();
            while texts.len() < count {
                texts.push(client.recv().await.unwrap().as_text().unwrap().to_owned());
            }
            texts
        };
        let empty = begin(2).await;
        assert!(
            empty[0].starts_with("start") && empty[0].ends_with("-0"),
            "{empty:?}"
        );
        assert!(empty[1].starts_with("resumed Complete"), "{empty:?}");
        for number in 1..=5 {
            append(&one, &number.to_string()).await;
        }
        let history = begin(5).await;
        assert!(
            history[0].starts_with("start") && history[0].ends_with("-2"),
            "{history:?}"
        );
        for (text, number) in history[1..4].iter().zip(3..) {
            assert!(
                text.ends_with(&format!("-{number} {number}")),
                "{history:?}"
            );
        }
        assert!(history[4].contains("replayed: 3"), "{history:?}");
    });
}
