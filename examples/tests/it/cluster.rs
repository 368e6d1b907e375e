//! The wall on several servers: what is written on one node appears on all, and the page is there.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tokio::time::timeout;
use ws_tokio::{Connection, connect};

use super::common::{PATIENCE, request};
use super::metrics::scrape;

/// The program, which ends with this.
struct Nodes {
    child: Child,
    addrs: Vec<String>,
}

impl Nodes {
    fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    fn start_with(count: usize, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
        command.args(["--nodes", &count.to_string()]).args(options);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = |line: String| {
            let (_, addr) = line.split_once("http://").unwrap();
            addr.trim_end_matches('/').to_owned()
        };
        let addrs = lines.take(count).map(|line| addr(line.unwrap())).collect();
        Self { child, addrs }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn text(connection: &mut Connection) -> serde_json::Value {
    let message = timeout(PATIENCE, connection.recv()).await.unwrap().unwrap();
    serde_json::from_str(message.as_text().unwrap()).unwrap()
}

#[tokio::test]
async fn a_note_appears_on_all_nodes() {
    let nodes = Nodes::start(3);
    let mut pages = Vec::new();
    for addr in &nodes.addrs {
        let mut page = connect(&format!("ws://{addr}/wall")).await.unwrap();
        let greeting = text(&mut page).await;
        assert_eq!(greeting["link"], "the cluster");
        assert_eq!(greeting["places"].as_array().unwrap().len(), 3);
        pages.push(page);
    }
    for place in 0..pages.len() {
        pages[place]
            .send(format!("note {place} \u{1F44B}"))
            .await
            .unwrap();
        for page in &mut pages {
            let note = text(page).await;
            assert_eq!(note["from"], format!("node {}", place + 1));
            assert_eq!(note["text"], format!("note {place} \u{1F44B}"));
        }
    }
    let addr = nodes.addrs[1].parse().unwrap();
    for (path, part) in [("GET /", "wall.js"), ("GET /wall.js", "WebSocket")] {
        let asked =
            tokio::task::spawn_blocking(move || request(addr, path, "Connection: close\r\n"));
        let (head, body) = asked.await.unwrap();
        assert!(
            head.starts_with("http/1.1 200") && body.contains(part),
            "{head}"
        );
    }
}

/// Each node says on its own port how it is linked and what it has counted, in the form that Prometheus reads.
#[tokio::test]
async fn each_node_has_its_numbers_for_prometheus() {
    let nodes = Nodes::start(2);
    let mut pages = Vec::new();
    for addr in &nodes.addrs {
        let mut page = connect(&format!("ws://{addr}/wall")).await.unwrap();
        text(&mut page).await;
        pages.push(page);
    }
    for _ in 0..3 {
        pages[0].send("a note").await.unwrap();
        for page in &mut pages {
            text(page).await;
        }
    }
    let [first, second] = [0, 1].map(|place: usize| nodes.addrs[place].parse().unwrap());
    let (mut first, second) = (scrape(first).await, scrape(second).await);
    for _ in 0..1000 {
        // The member on the other node can have a note before the publisher knows that it was taken.
        if first["ws_cluster_published_messages_total"] >= 3.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        first = scrape(nodes.addrs[0].parse().unwrap()).await;
    }
    for (sample, at_first, at_second) in [
        ("ws_connections_open{version=\"rfc6455\"}", 1, 1),
        ("ws_cluster_health{state=\"up\"}", 1, 1),
        ("ws_cluster_health{state=\"down\"}", 0, 0),
        ("ws_cluster_unlinked_seconds", 0, 0),
        ("ws_cluster_published_messages_total", 3, 0),
        ("ws_cluster_received_messages_total", 0, 3),
        ("ws_cluster_missed_messages_total", 0, 0),
        ("ws_cluster_dropped_messages_total", 0, 0),
        ("ws_cluster_connects_total", 1, 1),
        ("ws_cluster_subscriptions", 1, 1),
        ("ws_cluster_inbound_bytes", 0, 0),
    ] {
        let seen = [first[sample], second[sample]];
        assert_eq!(seen, [at_first, at_second].map(f64::from), "{sample}");
    }
    assert!(first.contains_key("ws_cluster_echo_lag_seconds"));
    assert!(first["ws_cluster_held_seconds_total"] < 5.0);
}

/// A node without its engine says so, and for how long, in the same series.
#[tokio::test]
async fn a_node_without_an_engine_says_since_when() {
    // A port that nothing listens on.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("redis://127.0.0.1:{port}");
    let linked = Nodes::start(1);
    let alone = Nodes::start_with(1, &["--redis", &url]);
    let addr = alone.addrs[0].parse().unwrap();
    let mut samples = scrape(addr).await;
    for _ in 0..1000 {
        if samples["ws_cluster_health{state=\"down\"}"] == 1.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        samples = scrape(addr).await;
    }
    assert_eq!(samples["ws_cluster_health{state=\"down\"}"], 1.0);
    assert_eq!(samples["ws_cluster_health{state=\"up\"}"], 0.0);
    assert_eq!(samples["ws_cluster_connects_total"], 0.0);
    let unlinked = samples["ws_cluster_unlinked_seconds"];
    assert!(unlinked > 0.0 && unlinked < 20.0, "{unlinked}");
    assert!(samples["ws_cluster_echo_lag_seconds"].is_nan());
    let others = scrape(linked.addrs[0].parse().unwrap()).await;
    assert!(others.keys().eq(samples.keys()), "the series are the same");
}

/// An engine with a mistake in its URL is an error that repeats no secret.
#[test]
fn a_malformed_url_is_an_error_without_its_password() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    let output = command
        .args(["--redis", "redis://:hunter2@host/shop"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && error.contains("Database") && !error.contains("hunter2"),
        "{error}"
    );
}
