use metrics::{counter, gauge};
use ws_tokio::{Clients, Histograms};

/// Gives the values of now to the recorder. Call it every few seconds.
pub fn record(clients: &Clients, histograms: &Histograms) {
    let counters = clients.counters();
    for (version, count) in counters.open.iter() {
        // A gauge is a float, and a server has fewer than 2^32 connections.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        gauge!("ws_connections_open", "version" => version.as_str()).set(count);
    }
    for (reason, count) in counters.rejections.iter() {
        counter!("ws_rejections_total", "reason" => reason).absolute(count);
    }
    counter!("ws_received_messages_total").absolute(counters.messages_received);
    counter!("ws_sent_messages_total").absolute(counters.messages_sent);
    for (name, histogram) in histograms.values().iter() {
        for (bound, count) in histogram.cumulative() {
            let le = if bound.is_finite() {
                bound.to_string()
            } else {
                "+Inf".to_owned()
            };
            counter!(format!("ws_{name}_bucket"), "le" => le).absolute(count);
        }
        counter!(format!("ws_{name}_count")).absolute(histogram.count());
        gauge!(format!("ws_{name}_sum")).set(histogram.sum());
    }
}
