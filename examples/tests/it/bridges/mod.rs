//! The counters and histograms of a server in the formats of other crates: the programs that docs/observability.md shows.

mod metrics;
mod opentelemetry;
mod prometheus_client;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ::opentelemetry::metrics::MeterProvider;
use ::prometheus_client::encoding::text::encode;
use ::prometheus_client::registry::Registry;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tokio::time::timeout;
use ws_tokio::{Connection, Histograms, Server, connect};

use super::common::PATIENCE;

/// Starts a server in this process that echoes three messages of 100 bytes, and has one connection open.
async fn server() -> (Server, Histograms, Connection) {
    let histograms = Histograms::new();
    let builder = Server::builder().histograms(histograms.clone());
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let serving = server.clone();
    tokio::spawn(async move {
        let echo = async |mut connection: Connection| {
            while let Some(message) = connection.recv().await {
                let _ = connection.send(message).await;
            }
        };
        serving.serve(echo).await
    });
    let url = format!("ws://{}/", server.local_addr());
    let mut connection = connect(&url).await.unwrap();
    for _ in 0..3 {
        connection.send("x".repeat(100)).await.unwrap();
        let echo = timeout(PATIENCE, connection.recv()).await.unwrap();
        assert_eq!(echo.unwrap().len(), 100);
    }
    (server, histograms, connection)
}

/// Keeps the last value of each counter and gauge, by name and labels.
#[derive(Default)]
struct Last(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Last {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key
            .labels()
            .map(|label| format!(" {}={}", label.key(), label.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }
}

impl Recorder for Last {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("nothing is recorded one by one")
    }
}

/// A recorder of the crate `metrics` gets what the server has counted, also if it is asked again.
#[tokio::test]
async fn the_crate_metrics_gets_the_values() {
    let (server, histograms, _connection) = server().await;
    let last = Last::default();
    ::metrics::with_local_recorder(&last, || {
        metrics::record(&server.clients(), &histograms);
        metrics::record(&server.clients(), &histograms);
    });
    let cells = last.0.lock().unwrap();
    let bits = |name: &str| {
        let cell = cells
            .get(name)
            .unwrap_or_else(|| panic!("{name}: {cells:#?}"));
        cell.load(std::sync::atomic::Ordering::SeqCst)
    };
    for (name, expected) in [
        ("ws_sent_messages_total", 3),
        ("ws_rejections_total reason=origin", 0),
        ("ws_sent_message_size_bytes_bucket le=64", 0),
        ("ws_sent_message_size_bytes_bucket le=256", 3),
        ("ws_sent_message_size_bytes_bucket le=+Inf", 3),
        ("ws_handshake_duration_seconds_count", 1),
    ] {
        assert_eq!(bits(name), expected, "{name}");
    }
    for (name, expected) in [
        ("ws_connections_open version=rfc6455", 1.0),
        ("ws_sent_message_size_bytes_sum", 300.0),
    ] {
        assert_eq!(f64::from_bits(bits(name)), expected, "{name}");
    }
}

/// A registry of the crate `prometheus-client` shows what the server has counted.
#[tokio::test]
async fn the_crate_prometheus_client_gets_the_values() {
    let (server, histograms, _connection) = server().await;
    let mut registry = Registry::default();
    let clients = server.clients();
    registry.register_collector(Box::new(prometheus_client::WsCollector {
        clients,
        histograms,
    }));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "# TYPE ws_sent_message_size_bytes histogram",
        "ws_sent_message_size_bytes_bucket{le=\"64.0\"} 0",
        "ws_sent_message_size_bytes_bucket{le=\"256.0\"} 3",
        "ws_sent_message_size_bytes_bucket{le=\"+Inf\"} 3",
        "ws_sent_message_size_bytes_sum 300.0",
        "ws_sent_message_size_bytes_count 3",
        "ws_sent_messages_total 3",
        "ws_connections_open{version=\"rfc6455\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    assert_eq!(text.matches("le=\"+Inf\"").count(), 5, "{text}");
}

/// A meter of OpenTelemetry exports what the server has counted.
#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_gets_the_values() {
    let (server, histograms, _connection) = server().await;
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    opentelemetry::register(&provider.meter("ws"), server.clients(), histograms);
    provider.force_flush().unwrap();
    let mut exported = BTreeMap::new();
    for resource in exporter.get_finished_metrics().unwrap() {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::U64(data) = metric.data() else {
                panic!("{metric:?}");
            };
            let values: Vec<u64> = match data {
                MetricData::Gauge(gauge) => {
                    gauge.data_points().map(|point| point.value()).collect()
                }
                MetricData::Sum(sum) => sum.data_points().map(|point| point.value()).collect(),
                other => panic!("{other:?}"),
            };
            exported.insert(metric.name().to_owned(), values);
        }
    }
    let sum = |name: &str| exported[name].iter().sum::<u64>();
    assert_eq!(sum("ws.connections.open"), 1);
    assert_eq!(sum("ws.messages.sent"), 3);
    // The bounds 256 to 64 MiB, and the infinite one, in no order.
    let mut buckets = exported["ws.sent_message_size_bytes.bucket"].clone();
    buckets.sort_unstable();
    assert_eq!(buckets, [0, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert_eq!(exported.len(), 2 + 5);
}
