//! The page for Prometheus: it is scraped and read as its form demands, and its numbers are true.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ws_tokio::{ClientConfig, CloseCode, Connection, Version, connect_with};

use super::common::{PATIENCE, request, serve};

/// A sample by its name and labels, as they are written.
pub type Samples = BTreeMap<String, f64>;

/// Reads the text form, version 0.0.4: each line is HELP, TYPE or a sample; each metric has both, in this
/// order, before its samples, which stand together; no sample is there twice.
fn parse(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line ends, too");
    let (mut samples, mut seen) = (Samples::new(), BTreeSet::new());
    let mut metric = String::new();
    let mut has_type = false;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty(), "{line}");
            assert!(seen.insert(name.to_owned()), "{name} comes twice");
            (metric, has_type) = (name.to_owned(), false);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, metric, "the type follows the help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            has_type = true;
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let part = name.strip_prefix(&metric).unwrap_or("?");
            let is_of_metric = ["", "_bucket", "_sum", "_count"].contains(&part);
            assert!(has_type && is_of_metric, "{line} stands alone");
            let labels = labels.strip_suffix('}').unwrap();
            if let Some((label, of)) = labels.split_once('=') {
                assert!(is_name(label), "{line}");
                let of = of.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                assert!(!of.contains(['"', '\\', '\n']), "{line}");
            }
            let is_new = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert!(is_new.is_none(), "{sample} comes twice");
        }
    }
    samples
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

pub async fn scrape(addr: SocketAddr) -> Samples {
    let asked = move || request(addr, "GET /metrics", "Connection: close\r\n");
    let (head, text) = spawn_blocking(asked).await.unwrap();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    let media_type = "content-type: text/plain; version=0.0.4; charset=utf-8";
    assert!(head.contains(media_type), "{head}");
    parse(&text)
}

/// Connects in a version, and hears an echo.
pub async fn open(addr: SocketAddr, version: Version) -> Connection {
    let config = ClientConfig::new().version(version);
    let url = format!("ws://{addr}/");
    let opened = timeout(PATIENCE, connect_with(&url, &config)).await;
    let mut connection = opened.unwrap().unwrap();
    connection.send("12345").await.unwrap();
    let echo = timeout(PATIENCE, connection.recv()).await.unwrap();
    assert_eq!(echo.unwrap().as_text(), Some("12345"));
    connection
}

/// Asks for a version that there is not.
pub async fn be_refused(addr: SocketAddr) {
    let refuse = move || {
        let bad = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99\r\n";
        request(addr, "GET /", bad)
    };
    let (head, _) = spawn_blocking(refuse).await.unwrap();
    assert!(head.starts_with("http/1.1 426 "), "{head}");
}

/// What clients do is in the numbers, by version, by close code and by reason; the set of samples stays
/// the same whatever they do.
#[tokio::test]
async fn what_clients_do_is_counted() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_metrics"), "http", &[]);
    let first = scrape(addr).await;
    let mut connections = Vec::new();
    for version in [Version::Rfc6455, Version::Rfc6455, Version::Draft76] {
        connections.push(open(addr, version).await);
    }
    be_refused(addr).await;
    let open_now = scrape(addr).await;
    let code = CloseCode::new(4321).unwrap();
    connections[0].close_with(code, "").await.unwrap();
    connections[1].close().await;
    connections[2].close().await;
    // The registry hears of an end just before the client does, or just after it.
    let mut last = scrape(addr).await;
    for _ in 0..1000 {
        let closes = last.iter().filter(|(name, _)| name.contains("{code="));
        if closes.map(|(_, count)| count).sum::<f64>() == 3.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        last = scrape(addr).await;
    }
    for (sample, at_first, then, at_last) in [
        ("ws_connections_open{version=\"rfc6455\"}", 0, 2, 0),
        ("ws_connections_open{version=\"draft76\"}", 0, 1, 0),
        ("ws_connections_opened_total{version=\"rfc6455\"}", 0, 2, 2),
        ("ws_connections_opened_total{version=\"draft76\"}", 0, 1, 1),
        ("ws_connections_opened_total{version=\"draft75\"}", 0, 0, 0),
        ("ws_rejections_total{reason=\"version\"}", 0, 1, 1),
        ("ws_rejections_total{reason=\"malformed\"}", 0, 0, 0),
        ("ws_received_messages_total", 0, 3, 3),
        ("ws_received_bytes_total", 0, 15, 15),
        ("ws_sent_messages_total", 0, 3, 3),
        ("ws_sent_bytes_total", 0, 15, 15),
        ("ws_connections_closed_total{code=\"1000\"}", 0, 0, 1),
        ("ws_connections_closed_total{code=\"1005\"}", 0, 0, 1),
        ("ws_connections_closed_total{code=\"4000-4999\"}", 0, 0, 1),
        ("ws_connections_closed_total{code=\"other\"}", 0, 0, 0),
        ("ws_handler_panics_total", 0, 0, 0),
        ("ws_send_queue_bytes", 0, 0, 0),
        ("ws_received_message_size_bytes_bucket{le=\"16\"}", 0, 3, 3),
        (
            "ws_received_message_size_bytes_bucket{le=\"+Inf\"}",
            0,
            3,
            3,
        ),
        ("ws_received_message_size_bytes_sum", 0, 15, 15),
        ("ws_sent_message_size_bytes_count", 0, 3, 3),
        ("ws_handshake_duration_seconds_count", 0, 3, 3),
        (
            "ws_connection_duration_seconds_bucket{le=\"+Inf\"}",
            0,
            0,
            3,
        ),
    ] {
        let seen = [&first, &open_now, &last].map(|samples| samples[sample]);
        let expected = [at_first, then, at_last].map(f64::from);
        assert_eq!(seen, expected, "{sample}");
    }
    // The stream that asks is one; others may not have ended yet.
    assert!(last["ws_connections_opening"] >= 1.0);
    let names = |samples: &Samples| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&last));
    let elsewhere = move || request(addr, "GET /", "Connection: close\r\n");
    let (head, _) = spawn_blocking(elsewhere).await.unwrap();
    assert!(head.starts_with("http/1.1 404 "), "{head}");
}
