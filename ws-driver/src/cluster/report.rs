//! What a node says in its log: of each kind one line a second at most, with how many there were.

use super::counters::ClusterCounters;
use super::link::ClusterHealth;
use crate::util::sync::Arc;

/// What was said last.
#[derive(Default)]
pub(super) struct Report {
    counters: ClusterCounters,
    link: Said,
}

#[derive(Default)]
enum Said {
    #[default]
    Nothing,
    Up,
    Down(Arc<str>),
}

impl Report {
    /// Says what has become of the link.
    pub(super) fn note_health(&mut self, health: &ClusterHealth, queued_bytes: usize) {
        match (health, &self.link) {
            (ClusterHealth::Up, Said::Nothing | Said::Down(_)) => {
                tracing::info!(target: "ws", "the link to the other nodes is up");
                self.link = Said::Up;
            }
            // The same reason is not said for each attempt.
            (ClusterHealth::Down { error, .. }, Said::Down(said)) if said == error => {}
            (ClusterHealth::Down { error, .. }, _) => {
                tracing::warn!(
                    target: "ws",
                    "no link to the other nodes: {error}; {queued_bytes} bytes wait for them"
                );
                self.link = Said::Down(Arc::clone(error));
            }
            (ClusterHealth::Up, Said::Up)
            | (ClusterHealth::Connecting { .. } | ClusterHealth::Ended { .. }, _) => {}
        }
    }

    /// Says what has been lost since the last call.
    pub(super) fn note_counters(&mut self, now: ClusterCounters) {
        let before = std::mem::replace(&mut self.counters, now);
        let dropped = now.dropped.saturating_sub(before.dropped);
        if dropped > 0 {
            let queued_bytes = now.queued_bytes;
            tracing::warn!(
                target: "ws",
                "{dropped} messages for other nodes were dropped; {queued_bytes} bytes wait for them"
            );
        }
        let missed = now.missed.saturating_sub(before.missed);
        if missed > 0 {
            tracing::warn!(target: "ws", "{missed} messages of other nodes were missed");
        }
        let log_gaps = now.log_gaps.saturating_sub(before.log_gaps);
        if log_gaps > 0 {
            tracing::warn!(target: "ws", "{log_gaps} gaps in the logs of topics");
        }
        let malformed = now.malformed.saturating_sub(before.malformed);
        if malformed > 0 {
            tracing::warn!(target: "ws", "{malformed} messages from the engine are of no node");
        }
        let paused = now.paused.saturating_sub(before.paused);
        if paused > 0 {
            tracing::debug!(
                target: "ws",
                "stopped reading from the engine {paused} times, because clients here are slower"
            );
        }
    }
}
