//! What a dashboard is sent, as JSON: a sample of the counters, and a survey of topics and nodes. Counters are totals since
//! the start; the page makes rates of them, so a lost sample costs nothing. Times are in milliseconds.

use std::cmp::Reverse;
use std::time::Duration;

use serde_json::{Map, Value, json};
use ws_tokio::{Clients, Cluster, ClusterCounters, ClusterHealth, Server};

/// How many connections are asked for their latency, for one sample.
const LATENCY_SAMPLE: usize = 1000;

/// How many topics are looked at. The lengths of more would take the lock of the registry too often.
const TOPIC_SURVEY: usize = 10_000;

/// How many topics and nodes are shown, those with the most connections.
const SHOWN: usize = 10;

/// Takes a sample. Counts that are zero are left out of the tables, which are long and mostly zero.
pub fn sample(at: Duration, server: &Server) -> Value {
    let counters = server.counters();
    let open = counters.open.iter();
    let mut sample = json!({
        "at": millis(at).round(),
        "open": table(open.map(|(version, count)| (version.as_str(), count))),
        "opening": counters.opening,
        "opened": counters.opened.total(),
        "closes": table(counters.closes.codes()),
        "rejections": table(counters.rejections.iter()),
        "panics": counters.panics,
        "received": [counters.messages_received, counters.bytes_received],
        "sent": [counters.messages_sent, counters.bytes_sent],
        "dropped": counters.messages_dropped,
        "slow": counters.slow_closes,
        "queued": counters.buffered_amount,
        "latency": latency(&server.clients()),
    });
    let cluster = server.cluster();
    if is_clustered(&cluster) {
        sample["cluster"] = node(&cluster.counters());
    }
    sample
}

/// Looks at the topics of this node, and at the other nodes.
pub async fn survey(server: &Server) -> Value {
    let mut survey = json!({ "topics": topics(&server.clients()) });
    let cluster = server.cluster();
    if is_clustered(&cluster) {
        survey["cluster"] = nodes(&cluster).await;
    }
    survey
}

/// How long the last ping of each connection took that has one. The histograms of a server have no round trips, so the
/// connections are the sample.
fn latency(clients: &Clients) -> Value {
    let step = clients.len() / LATENCY_SAMPLE + 1;
    let senders = clients.iter().step_by(step);
    let mut known: Vec<_> = senders.filter_map(|sender| sender.latency()).collect();
    known.sort_unstable();
    let at = |percent: usize| known.get(known.len() * percent / 100).copied();
    match (at(50), at(95), known.last()) {
        (Some(median), Some(high), Some(&longest)) => json!({
            "of": known.len(),
            "median": millis(median),
            "p95": millis(high),
            "longest": millis(longest),
        }),
        _ => Value::Null,
    }
}

fn topics(clients: &Clients) -> Value {
    let mut count = 0;
    let mut lens = Vec::new();
    for topic in clients.topics() {
        count += 1;
        if count <= TOPIC_SURVEY {
            lens.push((topic.len(), topic.name().to_owned()));
        }
    }
    let looked_at = lens.len();
    lens.sort_unstable_by_key(|(len, name)| (Reverse(*len), name.clone()));
    lens.truncate(SHOWN);
    json!({ "count": count, "of": looked_at, "largest": lens })
}

/// A server without a backplane is a cluster that is always up and never connects.
fn is_clustered(cluster: &Cluster) -> bool {
    !cluster.health().is_up() || cluster.counters().connects > 0
}

async fn nodes(cluster: &Cluster) -> Value {
    let (state, since, error) = match cluster.health() {
        ClusterHealth::Up => ("up", None, None),
        ClusterHealth::Connecting { since } => ("connecting", Some(since), None),
        ClusterHealth::Down { since, error } => ("down", Some(since), Some(error)),
        ClusterHealth::Ended { since, error } => ("ended", Some(since), Some(error)),
        // That of a later version.
        _ => ("unknown", None, None),
    };
    let mut answer = json!({
        "state": state,
        "since": since.map(|it| millis(it.elapsed()).round()),
        "error": error.as_deref(),
    });
    // Without an answer the page still shows the state, which says why.
    if let Ok(listing) = cluster.nodes().await {
        let mut nodes: Vec<_> = listing.iter().collect();
        nodes.sort_by_key(|node| (node.name.clone(), node.id));
        let shown = nodes.iter().take(SHOWN).map(|listed| {
            let mut shown = node(&listed.counters);
            shown["name"] = json!(&*listed.name);
            shown["id"] = json!(listed.id.to_string());
            shown["own"] = json!(listed.id == cluster.node());
            shown["connections"] = json!(listed.connections);
            shown
        });
        answer["nodes"] = shown.collect();
        answer["count"] = json!(nodes.len());
        answer["complete"] = json!(listing.is_complete());
    }
    answer
}

fn node(counters: &ClusterCounters) -> Value {
    json!({
        // To topics and to logs.
        "published": counters.published + counters.appended,
        "received": counters.received,
        "dropped": counters.dropped,
        "missed": counters.missed,
        "undelivered": counters.undelivered,
        "queued": counters.queued_bytes,
        "inbound": counters.inbound_bytes,
        "lag": counters.echo_lag.map(millis),
    })
}

fn table<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Value {
    let some = counts.filter(|(_, count)| *count > 0);
    let named = some.map(|(name, count)| (name.to_owned(), count.into()));
    Value::Object(Map::from_iter(named))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
