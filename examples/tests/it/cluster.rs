//! The chat over several nodes: what is written on one node is on all, a page that comes back misses nothing, and the
//! command ends with all that it started.

use std::io::{BufRead, BufReader, Lines};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use ws_tokio::{CloseCode, Connection, connect};

use super::common::{PATIENCE, request};
use super::dashboard::Feed;
use super::metrics::scrape;

/// The command, which ends with this, and its nodes with it.
struct Nodes {
    child: Child,
    /// What it printed until the nodes were there, except where they are.
    words: Vec<String>,
    addrs: Vec<SocketAddr>,
    /// What it prints later is not read, but it can be written.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Nodes {
    /// Starts nodes on a system that has no engine.
    fn start(count: usize) -> Self {
        let mut command = command(count);
        command.env("PATH", "");
        Self::read(command, count)
    }

    fn read(mut command: Command, count: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut nodes, mut words) = (Vec::new(), Vec::new());
        while nodes.len() < count {
            let line = lines.next().expect("the nodes start").unwrap();
            match line.split_once(": http://") {
                Some((name, rest)) => {
                    let (addr, _) = rest.split_once('/').unwrap();
                    nodes.push((name.to_owned(), addr.parse().unwrap()));
                }
                None => words.push(line),
            }
        }
        // Processes say it in any order.
        nodes.sort();
        let addrs = nodes.into_iter().map(|(_, addr)| addr).collect();
        Self {
            child,
            words,
            addrs,
            _stdout: lines,
        }
    }
}

fn command(nodes: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    command.args(["--nodes", &nodes.to_string()]);
    command
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page, with the last position that it has.
struct Page {
    connection: Connection,
    last: Value,
}

impl Page {
    async fn connect(addr: SocketAddr, name: &str, after: Value) -> Self {
        let connection = connect(&format!("ws://{addr}/chat")).await.unwrap();
        let join = json!({ "type": "join", "name": name, "after": after });
        connection.send(join.to_string()).await.unwrap();
        let last = after;
        Self { connection, last }
    }

    /// Connects for the first time, and waits until nothing is missed any more.
    async fn enter(addr: SocketAddr, name: &str) -> Self {
        let mut page = Self::connect(addr, name, Value::Null).await;
        page.last = page.recv("start").await["position"].clone();
        page.recv("here").await;
        page
    }

    /// Waits for a message of a type. Others of the log must not come before it.
    async fn recv(&mut self, kind: &str) -> Value {
        loop {
            let message = timeout(PATIENCE, self.connection.recv()).await.unwrap();
            let message: Value = serde_json::from_str(message.unwrap().as_text().unwrap()).unwrap();
            if message["type"] == kind {
                return message;
            }
            assert_eq!(message["type"], "cluster", "{message}");
        }
    }

    async fn say(&self, text: &str) {
        let say = json!({ "type": "say", "id": text, "text": text });
        self.connection.send(say.to_string()).await.unwrap();
    }

    /// Returns the next entry of the log.
    async fn hear(&mut self) -> Value {
        let mut message = self.recv("said").await;
        self.last = message["position"].take();
        message["entry"].take()
    }
}

/// Proves that what is written on any node is on all, in one order.
#[tokio::test]
async fn what_is_written_on_one_node_is_on_all() {
    let nodes = Nodes::start(3);
    let words = nodes.words.join("\n");
    assert!(
        words.contains("apt-get install redis-server") && words.contains("--redis URL"),
        "{words}"
    );
    let mut pages = Vec::new();
    for (place, addr) in nodes.addrs.iter().enumerate() {
        pages.push(Page::enter(*addr, &format!("Guest {place}")).await);
    }
    for number in 0..20 {
        for page in &pages {
            page.say(&format!("{number} \u{1F44B}")).await;
        }
    }
    let mut logs = Vec::new();
    for page in &mut pages {
        let mut log = Vec::new();
        for _ in 0..60 {
            log.push(page.hear().await);
        }
        logs.push(log);
    }
    assert!(logs.iter().all(|log| *log == logs[0]));
    for place in 0..3 {
        let name = format!("Guest {place}");
        let own: Vec<_> = logs[0].iter().filter(|it| it["name"] == name).collect();
        assert_eq!(own.len(), 20);
        for (number, entry) in own.into_iter().enumerate() {
            assert_eq!(entry["node"], format!("node {}", place + 1));
            assert_eq!(entry["text"], format!("{number} \u{1F44B}"));
        }
    }
}

/// Proves that a page that comes back, to another node, gets what it missed, and a gap if the log is another one.
#[tokio::test]
async fn a_page_that_comes_back_misses_nothing() {
    let nodes = Nodes::start(2);
    let ana = Page::enter(nodes.addrs[0], "Ana").await;
    let mut bo = Page::enter(nodes.addrs[1], "Bo").await;
    ana.say("before").await;
    assert_eq!(bo.hear().await["text"], "before");
    bo.connection.close().await;
    for number in 0..50 {
        ana.say(&number.to_string()).await;
    }
    let mut bo = Page::connect(nodes.addrs[0], "Bo", bo.last).await;
    ana.say("after").await;
    let mut heard = Vec::new();
    while heard.last() != Some(&json!("after")) {
        let message = bo.connection.recv().await.unwrap();
        let message: Value = serde_json::from_str(message.as_text().unwrap()).unwrap();
        match message["type"].as_str().unwrap() {
            "said" => heard.push(message["entry"]["text"].clone()),
            kind => assert!(["here", "cluster"].contains(&kind), "{message}"),
        }
    }
    let texts = (0..50).map(|number| number.to_string());
    let expected: Vec<_> = texts.chain(["after".to_owned()]).map(Value::from).collect();
    assert_eq!(heard, expected);

    let mut late = Page::connect(nodes.addrs[1], "Late", json!("7-7")).await;
    assert_eq!(late.recv("gap").await["missed"], Value::Null);
    assert_eq!(late.hear().await["text"], "before");

    // Who comes for the first time gets what the log has.
    let mut newcomer = Page::connect(nodes.addrs[1], "Cy", Value::Null).await;
    newcomer.recv("start").await;
    assert_eq!(newcomer.hear().await["text"], "before");
}

/// Proves that a page sees the nodes, with their addresses, and who is on which.
#[tokio::test]
async fn a_page_sees_who_is_on_which_node() {
    let nodes = Nodes::start(2);
    let mut ana = Page::enter(nodes.addrs[0], "Ana").await;
    let bo = Page::enter(nodes.addrs[1], "Bo").await;
    let expected = |bo: &[&str]| {
        let node = |place: usize, people: &[&str]| {
            let name = format!("node {}", place + 1);
            json!([name, nodes.addrs[place].to_string(), people])
        };
        [node(0, &["Ana"]), node(1, bo)]
    };
    see(&mut ana, &expected(&["Bo"])).await;
    drop(bo);
    see(&mut ana, &expected(&[])).await;
}

/// Waits until a page sees these nodes: name, address, people.
async fn see(page: &mut Page, expected: &[Value]) {
    let seen = async {
        loop {
            let cluster = page.recv("cluster").await;
            let nodes = cluster["nodes"].as_array().unwrap().iter();
            let shown = nodes.map(|node| {
                let people = node["people"].as_array().unwrap().iter();
                let names: Vec<_> = people.map(|person| &person["name"]).collect();
                json!([node["name"], node["addr"], names])
            });
            if shown.eq(expected.iter().cloned()) {
                return;
            }
        }
    };
    timeout(PATIENCE, seen).await.expect("it sees them");
}

/// Proves that a page that says nothing sensible of itself is refused, and told why.
#[tokio::test]
async fn a_page_without_a_name_or_with_no_position_is_refused() {
    let nodes = Nodes::start(1);
    for (name, after, why) in [
        (" ", Value::Null, "a name has 1 to 64 bytes"),
        ("Ana", json!("soon"), "not a position"),
    ] {
        let mut page = Page::connect(nodes.addrs[0], name, after).await;
        assert!(
            timeout(PATIENCE, page.connection.recv())
                .await
                .unwrap()
                .is_none()
        );
        let closed = page.connection.closed().unwrap();
        assert_eq!(closed.code, CloseCode::POLICY);
        assert!(closed.reason.contains(why), "{}", closed.reason);
    }
}

#[tokio::test]
async fn a_node_has_a_page() {
    let nodes = Nodes::start(1);
    let addr = nodes.addrs[0];
    for (path, part) in [
        ("GET /", "chat.js"),
        ("GET /chat.js", "WebSocket"),
        ("GET /style.css", "#room"),
    ] {
        let asked = move || request(addr, path, "Connection: close\r\n");
        let (head, body) = tokio::task::spawn_blocking(asked).await.unwrap();
        assert!(
            head.starts_with("http/1.1 200") && body.contains(part),
            "{head}"
        );
    }
}

/// Proves that each node says on its own port how it is linked and what it has counted, in the form that Prometheus reads.
#[tokio::test]
async fn each_node_has_its_numbers_for_prometheus() {
    let nodes = Nodes::start(2);
    let mut pages = Vec::new();
    for addr in &nodes.addrs {
        pages.push(Page::enter(*addr, "Guest").await);
    }
    for _ in 0..3 {
        pages[0].say("a message").await;
        for page in &mut pages {
            page.hear().await;
        }
    }
    let first = scrape(nodes.addrs[0]).await;
    let second = scrape(nodes.addrs[1]).await;
    for (sample, at_first, at_second) in [
        ("ws_connections_open{version=\"rfc6455\"}", 1, 1),
        ("ws_cluster_health{state=\"up\"}", 1, 1),
        ("ws_cluster_health{state=\"down\"}", 0, 0),
        ("ws_cluster_unlinked_seconds", 0, 0),
        ("ws_cluster_missed_messages_total", 0, 0),
        ("ws_cluster_dropped_messages_total", 0, 0),
        ("ws_cluster_connects_total", 1, 1),
        ("ws_cluster_log_gaps_total", 0, 0),
        ("ws_cluster_subscriptions", 1, 1),
        ("ws_cluster_inbound_bytes", 0, 0),
    ] {
        let seen = [first[sample], second[sample]];
        assert_eq!(seen, [at_first, at_second].map(f64::from), "{sample}");
    }
    assert!(first.contains_key("ws_cluster_echo_lag_seconds"));
    assert!(first["ws_cluster_held_seconds_total"] < 5.0);
}

/// Proves that the dashboard of a node has the largest topics of that node, and all nodes of its cluster.
#[tokio::test]
async fn the_dashboard_of_a_node_has_all_nodes() {
    let nodes = Nodes::start(3);
    let mut ana = Page::enter(nodes.addrs[1], "Ana").await;
    ana.say("hello").await;
    ana.hear().await;
    let mut feed = Feed::open(nodes.addrs[1]).await;
    let has_all = |message: &Value| message["survey"]["cluster"]["count"] == 3;
    let message = feed.until(has_all).await;
    let survey = &message["survey"];
    assert_eq!(survey["topics"]["largest"], json!([[1, "chat"]]));
    let cluster = &survey["cluster"];
    assert_eq!(cluster["state"], "up");
    let shown = cluster["nodes"].as_array().unwrap();
    for (number, node) in (1..).zip(shown) {
        let name = node["name"].as_str().unwrap();
        assert!(name.starts_with(&format!("node {number}")), "{name}");
        assert_eq!(node["own"], number == 2, "{node}");
    }
    assert_eq!(message["sample"]["cluster"]["missed"], 0);
}

/// Proves that a node without its engine says so, and for how long, in the same series.
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
    let mut command = command(1);
    command.args(["--redis", &url]);
    let alone = Nodes::read(command, 1);
    let addr = alone.addrs[0];
    let mut samples = scrape(addr).await;
    for _ in 0..1000 {
        if samples["ws_cluster_health{state=\"down\"}"] == 1.0 {
            break;
        }
        sleep(Duration::from_millis(5)).await;
        samples = scrape(addr).await;
    }
    assert_eq!(samples["ws_cluster_health{state=\"down\"}"], 1.0);
    assert_eq!(samples["ws_cluster_health{state=\"up\"}"], 0.0);
    assert_eq!(samples["ws_cluster_connects_total"], 0.0);
    let unlinked = samples["ws_cluster_unlinked_seconds"];
    assert!(unlinked > 0.0 && unlinked < 20.0, "{unlinked}");
    assert!(samples["ws_cluster_echo_lag_seconds"].is_nan());
    let others = scrape(linked.addrs[0]).await;
    assert!(others.keys().eq(samples.keys()), "the series are the same");

    // A page is sent to another node.
    let mut page = Page::connect(addr, "Ana", Value::Null).await;
    let ended = timeout(PATIENCE, page.connection.recv()).await.unwrap();
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(page.connection.closed().unwrap().code, CloseCode::TRY_AGAIN);
}

/// Proves that an engine with a mistake in its URL is an error that repeats no secret.
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

/// Proves that the nodes and the engine end with the command, even if it is killed.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_command_that_is_killed_leaves_nothing() {
    let mut nodes = Nodes::read(command(2), 2);
    let (program, engine) = nodes.words[0].split_once(" at redis://").unwrap();
    assert!(program.ends_with("-server"), "{program}");
    let mut addrs = nodes.addrs.clone();
    addrs.push(engine.parse().unwrap());
    let mut ana = Page::enter(addrs[0], "Ana").await;
    let bo = Page::enter(addrs[1], "Bo").await;
    bo.say("hello").await;
    assert_eq!(ana.hear().await["node"], "node 2");

    nodes.child.kill().unwrap();
    let begin = Instant::now();
    while addrs.iter().any(|addr| TcpStream::connect(addr).is_ok()) {
        assert!(begin.elapsed() < PATIENCE, "something listens");
        sleep(Duration::from_millis(20)).await;
    }
}
