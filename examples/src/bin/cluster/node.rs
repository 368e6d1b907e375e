//! One node: a server with its page, its chat and its place in the cluster.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use examples::dashboard::{self, Dashboard};
use ws_tokio::{Answer, Backplane, ClusterConfig, Connection, LogConfig, Server, Tokio, Upgrade};

use crate::chat::{self, TOPIC};
use crate::engine::free_addr;
use crate::{overview, page};

/// Room for a message of some lines.
const MESSAGE_LIMIT: usize = 4 << 10;

/// How long pages may take to close when the node stops.
pub const GRACE: Duration = Duration::from_secs(2);

/// A node that serves.
pub struct Node {
    server: Server,
    name: Arc<str>,
}

impl Node {
    /// Starts a node and prints where it is.
    pub async fn start(
        host: &str,
        number: u8,
        backplane: impl Backplane<Tokio>,
    ) -> io::Result<Self> {
        let name = Arc::<str>::from(format!("node {number}"));
        // The label of a node tells pages of other nodes where it is, so the address has to be known before.
        let addr = free_addr(host)?;
        let cluster = ClusterConfig::new()
            .node_name(&overview::label(&name, addr))
            .log(TOPIC, LogConfig::new(chat::frame));
        // The server is there after the service that it is built with.
        let itself = Arc::new(OnceLock::<Server>::new());
        let asked = Arc::clone(&itself);
        let server = Server::builder()
            .message_limit(MESSAGE_LIMIT)
            .on_request(move |request| {
                let response = page::answer(&request, asked.get());
                async { response }
            })
            .on_upgrade(only_known_paths)
            .backplane(backplane)
            .cluster(cluster)
            .bind(addr)
            .await?;
        itself.get_or_init(|| server.clone());
        println!("{name}: http://{addr}/ (process {})", std::process::id());
        tokio::spawn(serve(server.clone(), Arc::clone(&name)));
        Ok(Self { server, name })
    }

    /// Closes the connections, and says what became of the messages.
    pub async fn stop(self) {
        let report = self.server.shutdown(GRACE).await;
        let (name, closed, unpublished) = (self.name, report.closed, report.unpublished);
        // The command that started this node, and what it printed to, may have ended.
        let _ = writeln!(
            io::stdout(),
            "{name}: {closed} connections closed, {unpublished} messages not published"
        );
    }
}

async fn serve(server: Server, name: Arc<str>) {
    let room = server.cluster().topic(TOPIC);
    let overview = overview::watch(server.cluster(), room.clone());
    let dashboard = Dashboard::watch(&server);
    let handler = move |connection: Connection| {
        let (room, name, overview) = (room.clone(), Arc::clone(&name), overview.clone());
        let dashboard = Arc::clone(&dashboard);
        async move {
            match connection.request().map(|head| head.path()) {
                Some(dashboard::FEED) => dashboard.attend(connection).await,
                _ => chat::attend(connection, room, name, overview).await,
            }
        }
    };
    if let Err(error) = server.serve(handler).await {
        eprintln!("a node cannot listen any more: {error}");
    }
}

async fn only_known_paths(upgrade: Upgrade) -> Answer {
    match upgrade.path() {
        "/chat" => upgrade.accept(),
        dashboard::FEED => dashboard::decide(&upgrade),
        _ => upgrade.reject(404).body("the chat is at /chat\n"),
    }
}
