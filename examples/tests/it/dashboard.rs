//! The dashboard: its feed has what clients do, and its page is served.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use ws_tokio::{CloseCode, Connection, Version, connect};

use super::common::{PATIENCE, UPGRADE, request, serve};
use super::metrics::{be_refused, open};

/// The messages of a feed, one after the other.
pub struct Feed(Connection);

impl Feed {
    pub async fn open(addr: SocketAddr) -> Self {
        let opened = timeout(PATIENCE, connect(&format!("ws://{addr}/dashboard/feed"))).await;
        Self(opened.unwrap().unwrap())
    }

    async fn next(&mut self) -> Value {
        let message = timeout(PATIENCE, self.0.recv()).await.unwrap();
        serde_json::from_str(message.unwrap().as_text().unwrap()).unwrap()
    }

    /// Waits for a message that shows something.
    pub async fn until(&mut self, shows: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next().await;
            if shows(&message) {
                return message;
            }
            assert!(Instant::now() < deadline, "the last message is {message}");
        }
    }
}

/// Proves that the feed has what clients do: connections by version, messages, bytes, latency, closes and refusals; and
/// that a page that comes later is sent what was before.
#[tokio::test]
async fn the_feed_has_what_clients_do() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_metrics"), "http", &[]);
    let mut feed = Feed::open(addr).await;
    let history = feed.next().await;
    assert_eq!(history["type"], "history");
    assert_eq!(history["period"], 1000);

    let mut connections = Vec::new();
    for version in [Version::Rfc6455, Version::Rfc6455, Version::Draft76] {
        connections.push(open(addr, version).await);
    }
    // The feed is a connection itself, and its messages count.
    let open_now = json!({"draft76": 1, "rfc6455": 3});
    let message = feed.until(|it| it["sample"]["open"] == open_now).await;
    let sample = &message["sample"];
    assert_eq!(message["type"], "now");
    assert_eq!(sample["opened"], 4);
    assert_eq!(sample["received"], json!([3, 15]));
    assert!(sample["sent"][0].as_u64().unwrap() > 3, "{sample}");
    assert_eq!(sample["closes"], json!({}));
    for zero in ["panics", "dropped", "slow"] {
        assert_eq!(sample[zero], 0, "{zero}");
    }
    assert_eq!(sample["cluster"], Value::Null);

    be_refused(addr).await;
    let code = CloseCode::new(4321).unwrap();
    connections[0].close_with(code, "").await.unwrap();
    connections[2].close().await;
    let closes = json!({"1005": 1, "4000-4999": 1});
    let message = feed.until(|it| it["sample"]["closes"] == closes).await;
    assert_eq!(message["sample"]["rejections"], json!({"version": 1}));
    assert_eq!(message["sample"]["open"], json!({"rfc6455": 2}));

    let history = Feed::open(addr).await.next().await;
    let samples = history["samples"].as_array().unwrap();
    let at = |sample: &Value| sample["at"].as_f64().unwrap();
    assert!(samples.is_sorted_by(|a, b| at(a) < at(b)), "{samples:?}");
    for shown in ["open_now", "closes"] {
        let is_there = samples.iter().any(|sample| match shown {
            "open_now" => sample["open"] == open_now,
            _ => sample["closes"] == closes,
        });
        assert!(is_there, "{shown}");
    }
}

/// Proves that the topics of a server are surveyed while a page is open.
#[tokio::test]
async fn topics_are_surveyed() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_metrics"), "http", &[]);
    let mut feed = Feed::open(addr).await;
    let message = feed.until(|it| it["survey"].is_object()).await;
    let none = json!({"topics": {"count": 0, "of": 0, "largest": []}});
    assert_eq!(message["survey"], none);
}

/// Proves that the page is served, for reading alone, and that pages from elsewhere do not get the feed.
#[test]
fn the_page_is_served_and_its_feed_is_for_it() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_metrics"), "http", &[]);
    for (path, media_type) in [
        ("/dashboard", "text/html; charset=utf-8"),
        ("/dashboard/style.css", "text/css"),
        ("/dashboard/page.js", "text/javascript"),
        ("/dashboard/charts.js", "text/javascript"),
    ] {
        let (head, body) = request(addr, &format!("GET {path}"), "Connection: close\r\n");
        assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
        assert!(
            head.contains(&format!("\r\ncontent-type: {media_type}\r\n")),
            "{head}"
        );
        assert!(
            head.contains("\r\ncontent-security-policy: default-src 'none'"),
            "{head}"
        );
        assert!(body.len() > 1000, "{path}");
    }
    let (head, _) = request(addr, "POST /dashboard", "Connection: close\r\n");
    assert!(head.starts_with("http/1.1 404 "), "{head}");

    let own = format!("Origin: http://{addr}\r\n");
    for (origin, status) in [
        ("", "101"),
        (own.as_str(), "101"),
        ("Origin: http://elsewhere.example\r\n", "403"),
        ("Origin: null\r\n", "403"),
    ] {
        let headers = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n{origin}");
        let head = first_head(addr, &headers);
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{origin}: {head}"
        );
    }
}

/// Asks for the feed and returns the head of the answer: the stream of a feed does not end.
fn first_head(addr: SocketAddr, headers: &str) -> String {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /dashboard/feed HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.to_ascii_lowercase()
}
