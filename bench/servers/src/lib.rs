//! Ours: the plain loops that README.md shows, with the default options, on any runtime.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use support::{LISTEN, Mode, Start, announce};
use ws_driver::ws_proto::Message;
use ws_driver::{
    Clients, Cluster, Connection, ConnectionId, MemoryBackplane, Runtime, Server, ServerBuilder,
};

/// What ours do with messages: all that there is.
pub const MODES: [Mode; 6] = [
    Mode::Echo,
    Mode::Broadcast,
    Mode::ById,
    Mode::Topics,
    Mode::ClusterTopics,
    Mode::ClusterBroadcast,
];

/// Serves until listening fails.
///
/// # Errors
///
/// Fails if the port cannot be listened on.
pub async fn serve<R: Runtime + Default>() -> io::Result<()> {
    let start = Start::new().expect(&MODES, false);
    let mut builder = Server::<R>::builder();
    if start.node {
        builder = builder.backplane(MemoryBackplane::new());
    }
    serve_with(builder, start.mode).await
}

/// Serves with these options until listening fails.
///
/// # Errors
///
/// Fails if the port cannot be listened on.
pub async fn serve_with<R: Runtime + Default>(
    builder: ServerBuilder<R>,
    mode: Mode,
) -> io::Result<()> {
    let server = builder.bind(LISTEN).await?;
    announce(server.local_addr());
    run(server, mode).await
}

/// Does with messages what a mode says, until listening fails.
///
/// # Errors
///
/// Fails if listening does.
pub async fn run<R: Runtime>(server: Server<R>, mode: Mode) -> io::Result<()> {
    let clients = server.clients();
    match mode {
        Mode::Echo => echo(server).await,
        Mode::Broadcast => {
            server
                .serve(move |connection| broadcast(connection, clients.clone()))
                .await
        }
        Mode::ById => {
            let directory = Directory::default();
            server
                .serve(move |connection| by_id(connection, clients.clone(), directory.clone()))
                .await
        }
        Mode::Topics => {
            server
                .serve(move |connection| topics(connection, clients.clone()))
                .await
        }
        Mode::ClusterTopics => {
            let cluster = server.cluster();
            server
                .serve(move |connection| cluster_topics(connection, cluster.clone()))
                .await
        }
        Mode::ClusterBroadcast => {
            let cluster = server.cluster();
            server
                .serve(move |connection| cluster_broadcast(connection, cluster.clone()))
                .await
        }
    }
}

/// Sends every message back, until listening fails.
///
/// # Errors
///
/// Fails if listening does.
pub async fn echo<R: Runtime>(server: Server<R>) -> io::Result<()> {
    server
        .serve(|mut connection| async move {
            while let Some(message) = connection.recv().await {
                let _ = connection.send(message).await;
            }
        })
        .await
}

async fn broadcast(mut connection: Connection, clients: Clients) {
    while let Some(message) = connection.recv().await {
        clients.broadcast(message);
    }
}

/// A message starts with a letter and eight digits: `r` registers the connection under a number, the
/// next one, and comes back; `s` goes to the connection of that number.
async fn by_id(mut connection: Connection, clients: Clients, directory: Directory) {
    while let Some(message) = connection.recv().await {
        match address(&message) {
            Some(("r", number)) => {
                directory.register(number, connection.id());
                let _ = connection.send(message).await;
            }
            Some(("s", number)) => {
                if let Some(id) = directory.find(number) {
                    let _ = clients.send(id, message);
                }
            }
            Some(_) | None => {}
        }
    }
}

/// A message starts with a letter and eight digits, which name a topic: `j` joins it, and comes back; `p`
/// goes to its members.
async fn topics(mut connection: Connection, clients: Clients) {
    while let Some(message) = connection.recv().await {
        match name(&message) {
            Some(("j", topic)) => {
                if connection.join(topic).is_ok() {
                    let _ = connection.send(message).await;
                }
            }
            Some(("p", topic)) => {
                clients.topic(topic).broadcast(message);
            }
            Some(_) | None => {}
        }
    }
}

/// As [`topics`], in a cluster: who has joined hears all nodes.
async fn cluster_topics(mut connection: Connection, cluster: Cluster) {
    while let Some(message) = connection.recv().await {
        match name(&message) {
            Some(("j", topic)) => {
                if connection.join_wait(topic).await.is_ok() {
                    let _ = connection.send(message).await;
                }
            }
            Some(("p", topic)) => {
                cluster.topic(topic).broadcast(message);
            }
            Some(_) | None => {}
        }
    }
}

async fn cluster_broadcast(mut connection: Connection, cluster: Cluster) {
    while let Some(message) = connection.recv().await {
        cluster.broadcast(message);
    }
}

/// The ids of those who gave their number.
#[derive(Clone, Default)]
struct Directory {
    ids: Arc<Mutex<Vec<ConnectionId>>>,
}

impl Directory {
    fn register(&self, number: usize, id: ConnectionId) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(ids.len(), number, "connections register in their order");
        ids.push(id);
    }

    fn find(&self, number: usize) -> Option<ConnectionId> {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(number).copied()
    }
}

fn address(message: &Message) -> Option<(&str, usize)> {
    let (action, number) = name(message)?;
    Some((action, number.parse().ok()?))
}

fn name(message: &Message) -> Option<(&str, &str)> {
    let (action, rest) = message.as_text()?.split_at_checked(1)?;
    Some((action, rest.get(..8)?))
}
