//! B8 on a real engine: a client that comes back gets exactly what it missed, or a gap; after a restart, a failover, and
//! over a network that keeps answers back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ws_driver::{AppendError, ClusterConfig, Connection, Position, Server};
use ws_redis::Redis;
use ws_testing::log_reader::{LogReader, log};

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{SECOND, settle};
use crate::proxy::{Mode, Proxy};

/// A server whose topic `room` has a log. A client resumes by its path: `/` for the end, or a position.
pub(crate) async fn node<R: Host>(url: &str) -> Server<R> {
    let config = ClusterConfig::new().log("room", log());
    let builder = Server::<R>::builder()
        .backplane(Redis::new(url).unwrap())
        .cluster(config);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let (serving, cluster) = (server.clone(), server.cluster());
    let handler = move |mut connection: Connection| {
        let room = cluster.topic("room");
        async move {
            let target = connection.request().unwrap().target();
            let after = target.trim_matches('/').parse().ok();
            match room.resume(connection.cluster_id(), after).await {
                Ok(resumed) => {
                    let _ = connection.send(format!("resumed {resumed:?}")).await;
                    while connection.recv().await.is_some() {}
                }
                Err(error) => {
                    let _ = connection.send(format!("failed {error:?}")).await;
                }
            }
        }
    };
    R::default().spawn(async move {
        serving.serve(handler).await.unwrap();
    });
    server
}

/// Appends numbered texts, and keeps what was acknowledged.
#[derive(Default)]
struct Author {
    number: u32,
    acknowledged: HashMap<Position, String>,
    unknown: u32,
    refused: u32,
}

impl Author {
    async fn append<R: Host>(&mut self, server: &Server<R>, count: u32) {
        for _ in 0..count {
            self.number += 1;
            let text = self.number.to_string();
            match server.cluster().topic("room").append(text.clone()).await {
                Ok(position) => {
                    let before = self.acknowledged.insert(position, text);
                    assert_eq!(before, None, "a place is given once");
                }
                Err(AppendError::Unknown { .. }) => self.unknown += 1,
                Err(AppendError::Backplane(_)) => self.refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Checks that a reader has at each place what was appended there, and nothing twice. Returns how many messages it has.
    fn check(&self, reader: &LogReader) -> usize {
        let seen = reader.seen.lock().unwrap();
        for (position, text) in &seen.messages {
            let known = self.acknowledged.get(position);
            assert!(
                known.is_none_or(|known| known == text),
                "{text} at {position}"
            );
            let count = seen
                .messages
                .iter()
                .filter(|(_, other)| other == text)
                .count();
            assert_eq!(count, 1, "{text} was appended once");
        }
        seen.messages.len()
    }
}

async fn who_comes_back_gets_what_it_missed<R: Host>() {
    let engine = Engine::start();
    let nodes = [node::<R>(&engine.url()).await, node(&engine.url()).await];
    settle(&nodes).await;
    let (mut anna, mut bert, mut author) = (
        LogReader::default(),
        LogReader::default(),
        Author::default(),
    );
    anna.connect::<R>(nodes[0].local_addr()).await;
    bert.connect::<R>(nodes[1].local_addr()).await;
    R::sleep(SECOND / 2).await;
    author.append(&nodes[0], 100).await;
    author.append(&nodes[1], 100).await;
    R::sleep(SECOND / 5).await;
    anna.leave().await;
    author.append(&nodes[1], 400).await;
    anna.connect::<R>(nodes[1].local_addr()).await;
    author.append(&nodes[0], 200).await;
    R::sleep(SECOND / 2).await;
    for reader in [&anna, &bert] {
        assert_eq!(
            (author.check(reader), reader.seen.lock().unwrap().gaps),
            (800, 0)
        );
    }
    assert!(anna.resumed().starts_with("Complete"), "{}", anna.resumed());
    // 1,000 entries and a block of the stream are kept; the rest is a gap that says how much it is.
    let first = anna.seen.lock().unwrap().messages[0].0;
    author.append(&nodes[0], 1500).await;
    let mut late = LogReader::at(first);
    late.connect::<R>(nodes[1].local_addr()).await;
    R::sleep(SECOND).await;
    let count = author.check(&late);
    assert!((1000..1200).contains(&count), "{count}");
    let missed = format!("missed: Some({})", 2299 - count);
    assert!(
        late.resumed().contains(&missed),
        "{} {missed}",
        late.resumed()
    );
}

/// An engine that was killed has lost its log, or may have: the epoch is another one.
async fn a_killed_engine_is_a_gap<R: Host>() {
    let mut engine = Engine::with_options(&["--appendonly", "yes", "--appendfsync", "always"]);
    let nodes = [node::<R>(&engine.url()).await, node(&engine.url()).await];
    settle(&nodes).await;
    let (mut anna, mut bert, mut author) = (
        LogReader::default(),
        LogReader::default(),
        Author::default(),
    );
    anna.connect::<R>(nodes[0].local_addr()).await;
    bert.connect::<R>(nodes[1].local_addr()).await;
    R::sleep(SECOND / 2).await;
    author.append(&nodes[0], 10).await;
    bert.leave().await;
    engine.kill();
    engine.run();
    author.append(&nodes[0], 10).await;
    settle(&nodes).await;
    bert.connect::<R>(nodes[1].local_addr()).await;
    author.append(&nodes[1], 10).await;
    R::sleep(SECOND * 12).await;
    for reader in [&anna, &bert] {
        assert!(author.check(reader) >= 20);
        let seen = reader.seen.lock().unwrap();
        assert_eq!(seen.gaps, 1, "{seen:?}");
        assert_eq!(seen.messages.last().unwrap().1, "30");
    }
    assert!(
        bert.resumed().contains("missed: None"),
        "{}",
        bert.resumed()
    );
}

/// A replica that lacks the last entries takes the place of its primary: who has seen those gets a gap, and no place means
/// two messages to anybody.
async fn a_failover_is_a_gap<R: Host>() {
    let mut primary = Engine::with_options(&["--repl-diskless-sync-delay", "0"]);
    let replication = Proxy::to(primary.port);
    let port = replication.port.to_string();
    let replica = Engine::with_options(&["--replicaof", "127.0.0.1", &port]);
    let nodes = [node::<R>(&primary.url()).await, node(&primary.url()).await];
    settle(&nodes).await;
    let (mut anna, mut author) = (LogReader::default(), Author::default());
    anna.connect::<R>(nodes[0].local_addr()).await;
    R::sleep(SECOND / 2).await;
    while !primary
        .ask("INFO replication")
        .unwrap()
        .contains("state=online")
    {
        R::sleep(SECOND / 10).await;
    }
    author.append(&nodes[0], 10).await;
    while replica.ask("XLEN ws:l:room").unwrap() != ":10\r\n" {
        R::sleep(SECOND / 10).await;
    }
    replication.set(Mode::Stall);
    author.append(&nodes[0], 2).await;
    R::sleep(SECOND / 2).await;
    assert_eq!(anna.texts().len(), 12, "it has seen what will be lost");
    primary.kill();
    assert_eq!(replica.ask("REPLICAOF NO ONE").unwrap(), "+OK\r\n");
    let length = replica.ask("XLEN ws:l:room").unwrap();
    assert_eq!(length, ":10\r\n", "the replica is behind");
    let moved = replica.ask(&format!("CONFIG SET port {}", primary.port));
    assert_eq!(moved.unwrap(), "+OK\r\n");
    settle(&nodes).await;
    author.append(&nodes[1], 5).await;
    R::sleep(SECOND * 12).await;
    assert_eq!(author.check(&anna), 17);
    assert_eq!(anna.seen.lock().unwrap().gaps, 1);
}

/// A node behind a proxy and one without, with a reader on the latter.
async fn behind_a_proxy<R: Host>(engine: &Engine) -> (Proxy, [Server<R>; 2], LogReader) {
    let proxy = Proxy::to(engine.port);
    let nodes = [node::<R>(&proxy.url()).await, node(&engine.url()).await];
    settle(&nodes).await;
    let mut reader = LogReader::default();
    reader.connect::<R>(nodes[1].local_addr()).await;
    R::sleep(SECOND / 2).await;
    (proxy, nodes, reader)
}

/// Lets a proxy pass again after a time.
fn pass_after<R: Host>(proxy: &Proxy, time: Duration) {
    let passing = proxy.clone();
    R::default().spawn(async move {
        R::sleep(time).await;
        passing.set(Mode::Pass);
    });
}

/// What is asked again over a bad network is appended once, although the engine can read the first question behind the
/// second.
async fn a_bad_network_appends_nothing_twice<R: Host>() {
    let engine = Engine::start();
    let (proxy, nodes, anna) = behind_a_proxy::<R>(&engine).await;
    let mut author = Author::default();
    author.append(&nodes[0], 10).await;
    for _ in 0..2 {
        for mode in [Mode::KeepAnswers, Mode::Stall] {
            proxy.set(mode);
            pass_after::<R>(&proxy, SECOND * 5 / 2);
            author.append(&nodes[0], 20).await;
        }
        engine.freeze();
        let pid = engine.pid();
        R::default().spawn(async move {
            R::sleep(SECOND * 3).await;
            Engine::thaw_pid(pid);
        });
        author.append(&nodes[0], 20).await;
    }
    settle(&nodes).await;
    author.append(&nodes[0], 1).await;
    R::sleep(SECOND).await;
    let count = author.check(&anna);
    let acknowledged = author.acknowledged.len();
    let possible = acknowledged + usize::try_from(author.unknown).unwrap();
    assert!(
        (acknowledged..=possible).contains(&count),
        "{count} of {acknowledged} to {possible}"
    );
    assert!(acknowledged > 100, "{acknowledged}");
    assert_eq!(anna.seen.lock().unwrap().gaps, 0);
}

/// An append that is asked again is found among those of others.
async fn an_append_is_found_among_others<R: Host>() {
    let engine = Engine::start();
    let (proxy, nodes, anna) = behind_a_proxy::<R>(&engine).await;
    let mut author = Author::default();
    let others = nodes[1].cluster().topic("room");
    R::default().spawn(async move {
        for number in 0..200 {
            let _ = others.append(format!("other {number}")).await;
            R::sleep(SECOND / 20).await;
        }
    });
    for _ in 0..2 {
        proxy.set(Mode::KeepAnswers);
        pass_after::<R>(&proxy, SECOND * 29 / 10);
        author.append(&nodes[0], 1).await;
        settle(&nodes).await;
    }
    assert_eq!(
        author.acknowledged.len(),
        2,
        "{} are unknown",
        author.unknown
    );
    R::sleep(SECOND).await;
    author.check(&anna);
}

/// Entries that are long are read in parts, so that the engine answers others meanwhile.
async fn long_entries_are_read_in_parts<R: Host>() {
    let engine = Engine::start();
    let nodes = [node::<R>(&engine.url()).await, node(&engine.url()).await];
    settle(&nodes).await;
    let room = nodes[0].cluster().topic("room");
    let first = room.append("first").await.unwrap();
    for _ in 0..150 {
        room.append("x".repeat(300_000)).await.unwrap();
    }
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = LogReader::at(first);
        reader.connect::<R>(nodes[1].local_addr()).await;
        readers.push(reader);
    }
    let (begin, mut longest) = (Instant::now(), Duration::ZERO);
    while readers.iter().any(|reader| reader.resumed().is_empty()) {
        let asked = Instant::now();
        assert_eq!(engine.ask("PING").unwrap(), "+PONG\r\n");
        longest = longest.max(asked.elapsed());
        R::sleep(SECOND / 50).await;
        assert!(begin.elapsed() < SECOND * 40, "some are not back");
    }
    assert!(
        longest < SECOND / 2,
        "the engine stood still for {longest:?}"
    );
    assert_eq!(nodes[1].cluster().counters().connects, 1);
}

/// Who may append but not publish is read from the log, and is told the truth.
async fn what_cannot_be_published_is_in_the_log<R: Host>() {
    let engine = Engine::start();
    let user = "ACL SETUSER ws on >secret resetchannels &ws:all &ws:n:* ~ws:* +@all";
    assert!(engine.ask(user).unwrap().starts_with("+OK"));
    let url = format!("redis://ws:secret@127.0.0.1:{}", engine.port);
    let nodes = [node::<R>(&url).await, node(&engine.url()).await];
    settle(&nodes).await;
    let (mut anna, mut author) = (LogReader::default(), Author::default());
    anna.connect::<R>(nodes[1].local_addr()).await;
    R::sleep(SECOND / 2).await;
    author.append(&nodes[0], 3).await;
    assert_eq!(author.acknowledged.len(), 3);
    R::sleep(SECOND * 13).await;
    assert_eq!(author.check(&anna), 3);
}

on_each_runtime! {
    an_append_is_found_among_others;
    long_entries_are_read_in_parts;
    what_cannot_be_published_is_in_the_log;
    a_bad_network_appends_nothing_twice;
    a_failover_is_a_gap;
    a_killed_engine_is_a_gap;
    who_comes_back_gets_what_it_missed;
}
