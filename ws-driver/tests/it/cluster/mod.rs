//! Servers as nodes of a cluster, on the simulated runtime: with the backplane in memory, and with an engine that a seed
//! lets fail in every way that engines do.

mod direct;
mod engine;
mod faults;
mod log;
mod members;
mod pacing;
mod presence;
mod seat;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ws_driver::ws_proto::Message;
use ws_driver::{Backplane, ClusterConfig, Connection, MemoryBackplane};
use ws_testing::sim::{ANY, Server, Sim, lock, serve};

/// A server whose connections join the topics that their path names: `/a,b`.
async fn node(sim: &Sim, backplane: impl Backplane<Sim>) -> Server {
    node_with(sim, backplane, ClusterConfig::new()).await
}

async fn node_with(sim: &Sim, backplane: impl Backplane<Sim>, config: ClusterConfig) -> Server {
    let builder = Server::builder().backplane(backplane).cluster(config);
    let server = builder.bind(ANY).await.unwrap();
    serve(sim, &server, async |mut connection: Connection| {
        let path = connection
            .request()
            .unwrap()
            .target()
            .trim_matches('/')
            .to_owned();
        for topic in path.split(',').filter(|topic| !topic.is_empty()) {
            connection.join_wait(topic).await.unwrap();
        }
        connection.send("joined").await.unwrap();
        while let Some(message) = connection.recv().await {
            // A test can make a handler panic, leave or join.
            match message.as_text().and_then(|text| text.split_once(' ')) {
                Some(("leave", topic)) => assert!(connection.leave(topic)),
                Some(("join", topic)) => assert_eq!(connection.join_wait(topic).await, Ok(true)),
                _ => {}
            }
            if message.as_text() == Some("panic") {
                panic!("as the test wants it");
            }
            connection.send("done").await.unwrap();
        }
    });
    server
}

/// Nodes with one engine in memory.
async fn nodes<const N: usize>(sim: &Sim) -> [Server; N] {
    let backplane = MemoryBackplane::new();
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(node(sim, backplane.clone()).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!())
}

/// A client that reads all it gets.
#[derive(Clone)]
struct Member {
    sender: ws_driver::Sender,
    received: Arc<Mutex<Vec<Message>>>,
}

impl Member {
    /// Opens a connection whose handler joins the topics, and waits until it has.
    async fn open(sim: &Sim, server: &Server, topics: &str) -> Self {
        let url = format!("ws://{}/{topics}", server.local_addr());
        let mut connection = ws_driver::connect::<Sim>(&url).await.unwrap();
        assert_eq!(connection.recv().await.unwrap().as_text(), Some("joined"));
        let member = Self {
            sender: connection.sender(),
            received: Arc::default(),
        };
        let received = Arc::clone(&member.received);
        sim.spawn_task(async move {
            while let Some(message) = connection.recv().await {
                lock(&received).push(message);
            }
        });
        member
    }

    /// Takes the texts that have arrived; binary messages as what they are in debug lines.
    fn take(&self) -> Vec<String> {
        let received = std::mem::take(&mut *lock(&self.received));
        let text = |message: Message| match message.as_text() {
            Some(text) => text.to_owned(),
            None => format!("{message:?}"),
        };
        received.into_iter().map(text).collect()
    }

    /// Lets the handler do something.
    async fn ask(&self, sim: &Sim, what: &str) {
        self.sender.send(what).await.unwrap();
        sim.sleep(Duration::from_secs(1)).await;
    }
}
