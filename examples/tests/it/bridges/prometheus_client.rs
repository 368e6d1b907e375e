use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use ws_tokio::{Clients, Histograms};

/// Reads the values of a server at each scrape. Pass it to `Registry::register_collector`.
#[derive(Debug)]
pub struct WsCollector {
    pub clients: Clients,
    pub histograms: Histograms,
}

impl Collector for WsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.clients.counters();
        let help = "Connections that are open now.";
        let kind = MetricType::Gauge;
        let mut open = encoder.encode_descriptor("ws_connections_open", help, None, kind)?;
        for (version, count) in counters.open.iter() {
            let labels = [("version", version.as_str())];
            open.encode_family(&labels)?.encode_gauge(&count)?;
        }
        let sent = ConstCounter::new(counters.messages_sent);
        let help = "Messages that were queued to be written.";
        let kind = sent.metric_type();
        sent.encode(encoder.encode_descriptor("ws_sent_messages", help, None, kind)?)?;
        for (name, histogram) in self.histograms.values().iter() {
            let (name, help) = (format!("ws_{name}"), "See HistogramValues.");
            let kind = MetricType::Histogram;
            let mut encoder = encoder.encode_descriptor(&name, help, None, kind)?;
            // Not the cumulative ones: the encoder adds them up.
            let buckets: Vec<_> = histogram.buckets().collect();
            let (sum, count) = (histogram.sum(), histogram.count());
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
