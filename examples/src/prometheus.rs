//! The counters and histograms of a server, and the counters of a node of a cluster, in the text format of Prometheus, version 0.0.4. Knows
//! nothing of HTTP except the media type.
//!
//! Every label has a fixed set of values, so nothing that a peer sends creates a new series.

use std::fmt::{self, Write};
use std::time::Instant;

use ws_driver::{ClusterCounters, ClusterHealth, HistogramValues, ServerCounters};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the counters down.
pub fn render(counters: &ServerCounters) -> String {
    let mut text = Text::default();
    let by_version = |counts: ws_driver::VersionCounts| {
        counts
            .iter()
            .map(|(version, count)| (version.as_str(), count))
    };
    text.series(
        "ws_connections_open",
        Kind::Gauge,
        "Connections that are open now.",
        "version",
        by_version(counters.open),
    );
    text.number(
        "ws_connections_opening",
        Kind::Gauge,
        "Streams that are being opened now, or have plain HTTP on them.",
        count(counters.opening),
    );
    text.series(
        "ws_connections_opened_total",
        Kind::Counter,
        "Connections that were ever opened.",
        "version",
        by_version(counters.opened),
    );
    text.series(
        "ws_connections_closed_total",
        Kind::Counter,
        "Connections that have ended, by close code.",
        "code",
        counters.closes.codes(),
    );
    text.series(
        "ws_rejections_total",
        Kind::Counter,
        "Upgrades that were refused, and opening handshakes that failed.",
        "reason",
        counters.rejections.iter(),
    );
    for (name, help, value) in [
        (
            "ws_handler_panics_total",
            "Handlers that panicked.",
            counters.panics,
        ),
        (
            "ws_received_messages_total",
            "Messages that arrived.",
            counters.messages_received,
        ),
        (
            "ws_received_bytes_total",
            "Bytes of payload that arrived.",
            counters.bytes_received,
        ),
        (
            "ws_sent_messages_total",
            "Messages that were queued to be written.",
            counters.messages_sent,
        ),
        (
            "ws_sent_bytes_total",
            "Bytes of payload that were queued to be written.",
            counters.bytes_sent,
        ),
        (
            "ws_dropped_messages_total",
            "Messages that were dropped, as a peer was too slow for them.",
            counters.messages_dropped,
        ),
        (
            "ws_slow_closes_total",
            "Connections that were closed, as their peer was too slow.",
            counters.slow_closes,
        ),
    ] {
        text.number(name, Kind::Counter, help, value);
    }
    text.number(
        "ws_send_queue_bytes",
        Kind::Gauge,
        "Bytes that wait to be written now.",
        count(counters.buffered_amount),
    );
    text.0
}

/// Writes the histograms down.
pub fn render_histograms(values: &HistogramValues) -> String {
    let mut text = Text::default();
    for (name, histogram) in values.iter() {
        let help = match name {
            "connection_duration_seconds" => "How long connections were open.",
            "handshake_duration_seconds" => "How long opening handshakes took that succeeded.",
            "send_queue_duration_seconds" => "How long messages waited to be written, of a sample.",
            "received_message_size_bytes" => "Payload of messages that the application received.",
            "sent_message_size_bytes" => "Payload of messages that were sent.",
            // That of a later version.
            other => other,
        };
        let name = format!("ws_{name}");
        text.head(&name, Kind::Histogram, help);
        for (bound, count) in histogram.cumulative() {
            let bound = if bound.is_finite() {
                bound.to_string()
            } else {
                "+Inf".to_owned()
            };
            text.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        text.line(format_args!("{name}_sum {}", histogram.sum()));
        text.line(format_args!("{name}_count {}", histogram.count()));
    }
    text.0
}

/// Writes down how a node is linked to its cluster, and what it has counted there. The series are the same in every state.
pub fn render_cluster(health: &ClusterHealth, counters: &ClusterCounters) -> String {
    let mut text = Text::default();
    let (state, since) = match health {
        ClusterHealth::Up => ("up", None),
        ClusterHealth::Connecting { since } => ("connecting", Some(since)),
        ClusterHealth::Down { since, .. } => ("down", Some(since)),
        ClusterHealth::Ended { since, .. } => ("ended", Some(since)),
        // That of a later version.
        _ => ("other", None),
    };
    text.series(
        "ws_cluster_health",
        Kind::Gauge,
        "How the node is linked to its cluster: 1 for the state that it is in.",
        "state",
        CLUSTER_STATES
            .map(|it| (it, u64::from(it == state)))
            .into_iter(),
    );
    text.number(
        "ws_cluster_unlinked_seconds",
        Kind::Gauge,
        "How long the node has not been up.",
        since.map_or(0.0, |since: &Instant| since.elapsed().as_secs_f64()),
    );
    for (name, help, value) in [
        (
            "ws_cluster_published_messages_total",
            "Messages that the engine took.",
            counters.published,
        ),
        (
            "ws_cluster_batches_total",
            "Batches in which the engine took messages.",
            counters.batches,
        ),
        (
            "ws_cluster_dropped_messages_total",
            "Messages for other nodes that were not published.",
            counters.dropped,
        ),
        (
            "ws_cluster_in_doubt_messages_total",
            "Messages that were published again, because the answer to them did not come.",
            counters.in_doubt,
        ),
        (
            "ws_cluster_received_messages_total",
            "Messages of other nodes that arrived, each once.",
            counters.received,
        ),
        (
            "ws_cluster_duplicate_messages_total",
            "Messages that arrived more than once.",
            counters.duplicates,
        ),
        (
            "ws_cluster_missed_messages_total",
            "Messages of other nodes that did not arrive.",
            counters.missed,
        ),
        (
            "ws_cluster_malformed_messages_total",
            "What arrived and is no message of a node, or too long.",
            counters.malformed,
        ),
        (
            "ws_cluster_undelivered_messages_total",
            "Messages of other nodes to one connection that it did not take.",
            counters.undelivered,
        ),
        (
            "ws_cluster_appended_messages_total",
            "Messages that were appended to logs, and confirmed by the engine.",
            counters.appended,
        ),
        (
            "ws_cluster_log_gaps_total",
            "Gaps in the logs of topics that members were told.",
            counters.log_gaps,
        ),
        (
            "ws_cluster_connects_total",
            "Links to the engine, the first one included.",
            counters.connects,
        ),
        (
            "ws_cluster_pauses_total",
            "How often the node stopped reading from the engine, as its members were slower.",
            counters.paused,
        ),
    ] {
        text.number(name, Kind::Counter, help, value);
    }
    text.number(
        "ws_cluster_held_seconds_total",
        Kind::Counter,
        "How long the node has waited on new links before it published.",
        counters.held.as_secs_f64(),
    );
    for (name, help, value) in [
        (
            "ws_cluster_queue_bytes",
            "Bytes that wait to be published now.",
            counters.queued_bytes,
        ),
        (
            "ws_cluster_inbound_bytes",
            "Bytes that have arrived and wait for members on this node now.",
            counters.inbound_bytes,
        ),
        (
            "ws_cluster_nodes",
            "Nodes that lived when the engine listed them last, this one included.",
            counters.nodes,
        ),
        (
            "ws_cluster_subscriptions",
            "Topics that the node subscribes to now.",
            counters.subscriptions,
        ),
    ] {
        text.number(name, Kind::Gauge, help, count(value));
    }
    text.number(
        "ws_cluster_echo_lag_seconds",
        Kind::Gauge,
        "How long a message took through the engine and back, the last time; NaN before the first time.",
        counters.echo_lag.map_or(f64::NAN, |lag| lag.as_secs_f64()),
    );
    text.0
}

/// The values of the label `state`.
const CLUSTER_STATES: [&str; 5] = ["up", "connecting", "down", "ended", "other"];

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn number(&mut self, name: &str, kind: Kind, help: &str, value: impl fmt::Display) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn series<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            let of = escaped(of, true);
            self.line(format_args!("{name}{{{label}=\"{of}\"}} {value}"));
        }
    }

    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let help = escaped(help, false);
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes all that is written");
    }
}

/// Backslashes and line feeds are escaped everywhere, quotes where the text stands in quotes.
fn escaped(text: &str, is_quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_quoted {
        text.replace('"', "\\\"")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would end a line or a label early does not.
    #[test]
    fn labels_and_help_are_escaped() {
        let mut text = Text::default();
        let values = [("a\"b\\c\nd", 1)].into_iter();
        text.series(
            "name",
            Kind::Gauge,
            "one\ntwo \\ \"three\"",
            "label",
            values,
        );
        let expected = "# HELP name one\\ntwo \\\\ \"three\"\n# TYPE name gauge\n\
                        name{label=\"a\\\"b\\\\c\\nd\"} 1\n";
        assert_eq!(text.0, expected);
    }
    /// No counter of a node is left out: each field has its series, under a name that has the field's words or a better
    /// one.
    #[test]
    fn every_counter_of_a_node_is_shown() {
        let fields = format!("{:#?}", ClusterCounters::default());
        let text = render_cluster(&ClusterHealth::Up, &ClusterCounters::default());
        let fields = fields.lines().filter_map(|line| line.split_once(':'));
        let mut shown = 0;
        for (field, _) in fields {
            let field = field.trim();
            let name = match field {
                "duplicates" => "duplicate_messages",
                "paused" => "pauses",
                "queued_bytes" => "queue_bytes",
                _ => field,
            };
            let sample = format!("\nws_cluster_{name}");
            assert!(text.contains(&sample), "{field}");
            shown += 1;
        }
        // The health besides.
        assert_eq!(text.matches("# TYPE").count(), shown + 2);
    }
}
