//! The wall on several servers: what is written on one node appears on all, and the page is there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::time::timeout;
use ws_tokio::{Connection, connect};

use super::common::{PATIENCE, request};

/// The program, which ends with this.
struct Nodes {
    child: Child,
    addrs: Vec<String>,
}

impl Nodes {
    fn start(count: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
        command
            .args(["--nodes", &count.to_string()])
            .stdout(Stdio::piped());
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
