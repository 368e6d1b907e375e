//! What a node counts.

use std::time::Duration;

/// What a node has counted since its server was made. Without a backplane and without logs all is zero.
///
/// On each channel, what a node published and did not drop is what another node received and missed, once the link is up
/// again and a later message has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterCounters {
    /// Messages that the engine took.
    pub published: u64,
    /// Batches in which it took them.
    pub batches: u64,
    /// Messages for other nodes that were not published: the queue was full, the engine refused them, or the server
    /// ended. What the engine refused has its numbers, so the other nodes count it as missed, too.
    pub dropped: u64,
    /// Messages that were published again, because the answer to them did not come.
    pub in_doubt: u64,
    /// Messages of other nodes that arrived, each once.
    pub received: u64,
    /// Messages that arrived more than once.
    pub duplicates: u64,
    /// Messages of other nodes that did not arrive, by the gaps in their numbers.
    pub missed: u64,
    /// What arrived and is no message of a node, or one beyond the `message_limit` of the server.
    pub malformed: u64,
    /// Messages of other nodes to one connection of this node that it did not take: it has gone, or was too slow. Those
    /// of [`send_wait`](crate::Cluster::send_wait) are not counted, because their sender is told.
    pub undelivered: u64,
    /// Messages that this node has appended to logs, and the engine has confirmed. They count neither as published nor as
    /// received.
    pub appended: u64,
    /// Gaps in the logs of topics with members on this node: [`LogEvent::Gap`](crate::LogEvent::Gap).
    pub log_gaps: u64,
    /// Bytes that wait to be published, with the memory that keeping them costs.
    pub queued_bytes: usize,
    /// Bytes that have arrived and wait for members on this node, counted in the same way.
    pub inbound_bytes: usize,
    /// How often there was a link to the engine, the first time included.
    pub connects: u64,
    /// How long the node has waited on new links before it published.
    pub held: Duration,
    /// How long a message took through the engine and back, the last time that the node asked; once a second.
    pub echo_lag: Option<Duration>,
    /// Nodes that lived when the engine listed them last, this one included; every 5 s.
    pub nodes: usize,
    /// Topics that the node subscribes to.
    pub subscriptions: usize,
    /// How often the node stopped reading from the engine, because its own members were slower.
    pub paused: u64,
}
