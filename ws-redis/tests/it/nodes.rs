//! Servers as nodes, clients that count what they get, and what nodes do on an engine that works.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ws_driver::{
    ClientConfig, Cluster, ClusterConfig, ClusterHealth, Connection, ConnectionConfig, Server,
    ServerBuilder,
};
use ws_redis::Redis;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};

/// What members take.
const LONGEST: usize = 8 << 20;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A server whose connections join the topic that their path names.
pub(crate) async fn node<R: Host>(url: &str) -> Server<R> {
    node_with(Redis::new(url).unwrap(), ClusterConfig::new()).await
}

pub(crate) async fn node_with<R: Host>(redis: Redis, config: ClusterConfig) -> Server<R> {
    serve(Server::builder().backplane(redis).cluster(config)).await
}

pub(crate) async fn serve<R: Host>(builder: ServerBuilder<R>) -> Server<R> {
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let serving = server.clone();
    R::default().spawn(async move {
        let handler = async |mut connection: Connection| {
            let topic = connection
                .request()
                .unwrap()
                .target()
                .trim_matches('/')
                .to_owned();
            let joined = connection.join_wait(&topic).await;
            connection.send(format!("{joined:?}")).await.unwrap();
            while connection.recv().await.is_some() {}
        };
        serving
            .serve(move |connection| Box::pin(handler(connection)))
            .await
            .unwrap();
    });
    server
}

/// A client that counts the texts `publisher number …` that it gets, by publisher.
#[derive(Clone)]
pub(crate) struct Member {
    numbers: Arc<Mutex<HashMap<u64, Vec<u64>>>>,
    closed: Arc<Mutex<Option<u16>>>,
}

impl Member {
    pub(crate) async fn open<R: Host>(server: &Server<R>, topic: &str) -> Self {
        Self::at::<R>(server.local_addr(), topic).await
    }

    /// Opens one at the address of a node.
    pub(crate) async fn at<R: Host>(addr: impl Display, topic: &str) -> Self {
        let (member, joined) = Self::joined::<R>(addr, topic).await;
        assert_eq!(joined, "Ok(true)");
        member
    }

    /// Opens one whose subscription nobody may confirm.
    pub(crate) async fn without_an_engine<R: Host>(server: &Server<R>, topic: &str) -> Self {
        Self::joined::<R>(server.local_addr(), topic).await.0
    }

    async fn joined<R: Host>(addr: impl Display, topic: &str) -> (Self, String) {
        let url = format!("ws://{addr}/{topic}");
        let config = ConnectionConfig::new().message_limit(LONGEST);
        let config = ClientConfig::new().connection(config);
        let connecting = ws_driver::connect_with::<R>(&url, &config).await;
        let mut connection = connecting.unwrap();
        let joined = connection.recv().await.unwrap();
        let joined = joined.as_text().unwrap().to_owned();
        let member = Self {
            numbers: Arc::default(),
            closed: Arc::default(),
        };
        let counting = member.clone();
        R::default().spawn(async move {
            while let Some(message) = connection.recv().await {
                let text = message.as_text().unwrap();
                let mut words = text.split(' ').map(|word| word.parse::<u64>());
                let (publisher, number) = (
                    words.next().unwrap().unwrap(),
                    words.next().unwrap().unwrap(),
                );
                counting
                    .numbers
                    .lock()
                    .unwrap()
                    .entry(publisher)
                    .or_default()
                    .push(number);
            }
            *counting.closed.lock().unwrap() = connection.closed().map(|closed| closed.code);
        });
        (member, joined)
    }

    /// The numbers of a publisher that it has got.
    pub(crate) fn numbers(&self, publisher: u64) -> Vec<u64> {
        self.numbers
            .lock()
            .unwrap()
            .get(&publisher)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn closed(&self) -> Option<u16> {
        *self.closed.lock().unwrap()
    }
}

/// Publishes numbered texts to a topic, and counts what was queued.
pub(crate) struct Publisher {
    cluster: Cluster,
    topic: &'static str,
    number: u64,
    pub(crate) queued: u64,
    padding: String,
}

impl Publisher {
    pub(crate) fn new(cluster: Cluster, topic: &'static str, number: u64) -> Self {
        Self {
            cluster,
            topic,
            number,
            queued: 0,
            padding: "x".repeat(100),
        }
    }

    pub(crate) fn publish(&mut self) {
        let text = format!("{} {} {}", self.number, self.queued + 1, self.padding);
        let published = self.cluster.topic(self.topic).broadcast(text);
        if published.remote.is_ok() {
            self.queued += 1;
        }
    }

    /// Publishes at a rate for a time.
    pub(crate) async fn run<R: Host>(&mut self, rate: u32, time: Duration) {
        let begin = Instant::now();
        let mut sent = 0.0;
        while begin.elapsed() < time {
            let due = begin.elapsed().as_secs_f64() * f64::from(rate);
            while sent < due {
                self.publish();
                sent += 1.0;
            }
            R::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until all nodes are linked and nothing waits.
pub(crate) async fn settle<R: Host>(nodes: &[Server<R>]) {
    for _ in 0..300 {
        let is_settled = |node: &Server<R>| {
            let (cluster, counters) = (node.cluster(), node.cluster().counters());
            // A question of the watchdog may be on its way.
            cluster.health() == ClusterHealth::Up
                && counters.queued_bytes < 200
                && counters.inbound_bytes == 0
        };
        if nodes.iter().all(is_settled) {
            R::sleep(SECOND / 2).await;
            return;
        }
        R::sleep(SECOND / 10).await;
    }
    panic!(
        "{:?}",
        nodes
            .iter()
            .map(|node| node.cluster().health())
            .collect::<Vec<_>>()
    );
}

/// Waits until a node is down, and returns why.
pub(crate) async fn down<R: Host>(node: &Server<R>) -> String {
    for _ in 0..200 {
        if let ClusterHealth::Down { error, .. } = node.cluster().health() {
            return error.to_string();
        }
        R::sleep(SECOND / 20).await;
    }
    panic!("{:?}", node.cluster().health());
}

async fn a_message_reaches_the_members_on_all_nodes<R: Host>() {
    let engine = Engine::start();
    let nodes = [
        node::<R>(&engine.url()).await,
        node(&engine.url()).await,
        node(&engine.url()).await,
    ];
    let mut members = Vec::new();
    for node in &nodes {
        members.push(Member::open(node, "room").await);
    }
    let mut publishers: Vec<_> = (1..=3)
        .zip(&nodes)
        .map(|(number, node)| Publisher::new(node.cluster(), "room", number))
        .collect();
    for _ in 0..1000 {
        publishers.iter_mut().for_each(Publisher::publish);
    }
    settle(&nodes).await;
    let all: Vec<_> = (1..=1000).collect();
    for member in &members {
        for publisher in 1..=3 {
            assert_eq!(member.numbers(publisher), all);
        }
    }
    for node in &nodes {
        let counters = node.cluster().counters();
        assert_eq!((counters.published, counters.received), (1000, 2000));
        assert_eq!(
            (counters.missed, counters.duplicates, counters.malformed),
            (0, 0, 0)
        );
        assert!(
            counters.batches < 500,
            "batches grow with the load: {counters:?}"
        );
    }
    // What nobody wants is not asked of the engine.
    assert!(
        engine
            .ask("PUBSUB NUMSUB ws:t:room")
            .unwrap()
            .ends_with(":3\r\n")
    );
    assert!(
        engine
            .ask("PUBSUB NUMSUB ws:t:other")
            .unwrap()
            .ends_with(":0\r\n")
    );
    for node in &nodes {
        node.shutdown(SECOND).await;
    }
    R::sleep(SECOND / 5).await;
    assert!(
        engine
            .ask("PUBSUB NUMSUB ws:all")
            .unwrap()
            .ends_with(":0\r\n"),
        "the links end with the servers"
    );
}

/// B10: what strangers publish under the prefix is counted, and does nothing else.
async fn garbage_is_counted_and_harmless<R: Host>() {
    let engine = Engine::start();
    let nodes = [node::<R>(&engine.url()).await];
    let member = Member::open(&nodes[0], "room").await;
    for bytes in [&b""[..], b"hello", &[0xff; 28], &[1; 100]] {
        engine.publish("ws:t:room", bytes);
        engine.publish("ws:all", bytes);
        engine.publish("ws:x:no channel", bytes);
    }
    settle(&nodes).await;
    assert_eq!(nodes[0].cluster().counters().malformed, 8);
    assert!(member.numbers.lock().unwrap().is_empty());
}

on_each_runtime! {
    a_message_reaches_the_members_on_all_nodes;
    garbage_is_counted_and_harmless;
}
