//! A wall that several servers share: what is written on one appears on all. Each server is a node of a cluster, with a
//! port of its own.
//!
//! ```text
//! cargo run --release -p examples --bin cluster                                          # two nodes in one process
//! cargo run --release -p examples --bin cluster -- --nodes 1 --redis redis://127.0.0.1   # one node of many processes
//! ```
//!
//! Open the addresses that it prints, each in a tab. A page says which node it is on, and goes to the next one that it knows
//! when its own is gone. `/metrics` of a node has its counters for Prometheus. With `--redis` the nodes of all processes with the same URL are one cluster; it needs a Redis or a
//! Valkey, such as Debian's `redis-server`.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use examples::prometheus;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use ws_tokio::{
    Answer, Cluster, Connection, MemoryBackplane, Message, Redis, RequestBody, Server, Upgrade,
};

/// A wall on several servers.
#[derive(Parser)]
struct Options {
    /// The host to listen on; each node takes a free port.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// How many nodes this process has.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    nodes: u8,
    /// The engine that connects the nodes of several processes.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

/// The topic that all pages join.
const WALL: &str = "wall";

/// Room for a note of some lines.
const MESSAGE_LIMIT: usize = 4 << 10;

/// The least time between two notes of one client.
const PACE: Duration = Duration::from_millis(50);

const GRACE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let redis = options.redis.as_deref().map(Redis::new).transpose()?;
    let memory = MemoryBackplane::new();
    let mut nodes = Vec::new();
    for number in 1..=options.nodes {
        let name = format!("node {number}");
        // The server is there after the service that it is built with.
        let itself = Arc::new(OnceLock::<Server>::new());
        let asked = Arc::clone(&itself);
        let builder = Server::builder()
            .message_limit(MESSAGE_LIMIT)
            .on_request(move |request| {
                let response = answer(&request, asked.get());
                async { response }
            })
            .on_upgrade(only_at_wall);
        let builder = match &redis {
            Some(redis) => builder.backplane(redis.clone().prefix("wall")),
            None => builder.backplane(memory.clone()),
        };
        let server = builder.bind(format!("{}:0", options.host)).await?;
        itself.get_or_init(|| server.clone());
        println!("{name}: http://{}/", server.local_addr());
        nodes.push((server, name));
    }
    // Where a page goes when its node is gone.
    let places: Arc<[String]> = nodes
        .iter()
        .map(|(server, _)| server.local_addr().to_string())
        .collect();
    for (server, name) in &nodes {
        let (server, name, places) = (
            server.clone(),
            Arc::<str>::from(&**name),
            Arc::clone(&places),
        );
        tokio::spawn(async move {
            let cluster = server.cluster();
            let handler = move |connection| {
                attend(
                    connection,
                    cluster.clone(),
                    Arc::clone(&name),
                    Arc::clone(&places),
                )
            };
            if let Err(error) = server.serve(handler).await {
                eprintln!("a node cannot listen any more: {error}");
            }
        });
    }
    tokio::signal::ctrl_c().await?;
    for (server, name) in &nodes {
        let report = server.shutdown(GRACE).await;
        println!(
            "{name}: {} connections closed, {} messages not published",
            report.closed, report.unpublished
        );
    }
    Ok(())
}

/// Puts what one client writes on the wall of all nodes.
async fn attend(
    mut connection: Connection,
    cluster: Cluster,
    name: Arc<str>,
    places: Arc<[String]>,
) {
    // From here on nothing of other nodes is missed. Without an engine the page gets the notes of its node.
    let link = match connection.join_wait(WALL).await {
        Ok(_) => "the cluster".to_owned(),
        Err(error) => format!("this node alone: {error}"),
    };
    let greeting = json!({ "node": &*name, "id": connection.cluster_id().to_string(), "link": link, "places": &*places });
    if connection.send(greeting.to_string()).await.is_err() {
        return;
    }
    let wall = cluster.topic(WALL);
    let mut pace = tokio::time::interval(PACE);
    while let Some(message) = connection.recv().await {
        pace.tick().await;
        let Some(text) = message.as_text() else {
            continue;
        };
        let note = json!({ "from": &*name, "text": text }).to_string();
        // The clients of this node have it even if the others do not get it.
        if let Err(error) = wall.broadcast(Message::from(note)).remote {
            let note = json!({ "from": "the cluster", "text": format!("only here: {error}") });
            let _ = connection.send(note.to_string()).await;
        }
    }
}

async fn only_at_wall(upgrade: Upgrade) -> Answer {
    match upgrade.path() {
        "/wall" => upgrade.accept(),
        _ => upgrade.reject(404).body("the wall is at /wall\n"),
    }
}

fn answer(request: &Request<RequestBody>, server: Option<&Server>) -> Response<String> {
    let (media_type, body) = match (request.method(), request.uri().path(), server) {
        (&Method::GET | &Method::HEAD, "/", _) => (
            "text/html; charset=utf-8",
            include_str!("page.html").to_owned(),
        ),
        (&Method::GET | &Method::HEAD, "/wall.js", _) => (
            "text/javascript; charset=utf-8",
            include_str!("wall.js").to_owned(),
        ),
        (&Method::GET | &Method::HEAD, "/metrics", Some(server)) => {
            (prometheus::MEDIA_TYPE, metrics(server))
        }
        (..) => {
            let mut response = Response::new("there is a page at /\n".to_owned());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // The page runs and loads nothing but its own, and talks to nodes on other ports.
    let policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src ws: wss:; base-uri 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn metrics(server: &Server) -> String {
    let cluster = server.cluster();
    let clients = prometheus::render(&server.clients().counters());
    clients + &prometheus::render_cluster(&cluster.health(), &cluster.counters())
}
