//! The counters of a server in the text format of Prometheus, version 0.0.4. Knows nothing of HTTP except
//! the media type.
//!
//! Every label has a fixed set of values, so nothing that a peer sends creates a new series.

use std::fmt::{self, Write};

use ws_driver::ServerCounters;

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
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
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

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        })
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn number(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
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
}
