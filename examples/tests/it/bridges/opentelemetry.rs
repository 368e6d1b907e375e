use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use ws_tokio::{Clients, Histograms};

/// Registers instruments that read the values of a server when they are exported.
pub fn register(meter: &Meter, clients: Clients, histograms: Histograms) {
    let open = clients.clone();
    meter
        .u64_observable_gauge("ws.connections.open")
        .with_unit("{connection}")
        .with_callback(move |gauge| {
            for (version, count) in open.counters().open.iter() {
                gauge.observe(count, &[KeyValue::new("version", version.as_str())]);
            }
        })
        .build();
    meter
        .u64_observable_counter("ws.messages.sent")
        .with_unit("{message}")
        .with_callback(move |counter| counter.observe(clients.counters().messages_sent, &[]))
        .build();
    // OpenTelemetry has no instrument that takes a histogram as it is, so each bucket is a series of a counter.
    for (name, _) in histograms.values().iter() {
        let histograms = histograms.clone();
        meter
            .u64_observable_counter(format!("ws.{name}.bucket"))
            .with_callback(move |counter| {
                let values = histograms.values();
                let found = values.iter().find(|(other, _)| *other == name);
                for (bound, count) in found.into_iter().flat_map(|(_, it)| it.cumulative()) {
                    counter.observe(count, &[KeyValue::new("le", bound)]);
                }
            })
            .build();
    }
}
