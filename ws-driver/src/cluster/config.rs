//! The options of a node.

use std::sync::Arc;
use std::time::Duration;

use super::log::config::{LogConfig, Logs};

/// The options of a server as a node of a cluster. They need a
/// [`backplane`](crate::ServerBuilder::backplane).
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    pub(crate) queue_limit: usize,
    pub(crate) inbound_limit: usize,
    pub(crate) hold: Duration,
    pub(crate) subscribe_timeout: Duration,
    pub(crate) node_name: Arc<str>,
    pub(crate) is_required: bool,
    pub(crate) logs: Logs,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            queue_limit: 4 << 20,
            inbound_limit: 1 << 20,
            hold: Duration::from_secs(5),
            subscribe_timeout: Duration::from_secs(10),
            node_name: Arc::from(""),
            is_required: false,
            logs: Logs::default(),
        }
    }
}

impl ClusterConfig {
    /// Makes the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the label of the node, which [`Cluster::nodes`](crate::Cluster::nodes) shows: empty by default, 255 bytes at
    /// most. It is for people; two nodes may have the same one.
    #[must_use]
    pub fn node_name(mut self, name: &str) -> Self {
        self.node_name = name.into();
        self
    }

    /// Gives topics a log: the engine keeps their last messages that were [appended](crate::ClusterTopic::append), and a client
    /// that comes back [resumes](crate::ClusterTopic::resume) where it was. A `*` at the end stands for the rest of any name;
    /// of several options that fit a topic, the first counts. All nodes must have the same ones. No topic has a log by default.
    #[must_use]
    pub fn log(mut self, topics: &str, config: LogConfig) -> Self {
        self.logs.add(topics, config);
        self
    }

    /// Sets whether [`bind`](crate::ServerBuilder::bind) waits for the engine, and fails if there is no link to it within
    /// 10 s: false by default. Then a server starts without one, and connects as soon as it is there.
    #[must_use]
    pub fn required(mut self, is_required: bool) -> Self {
        self.is_required = is_required;
        self
    }

    /// Limits what waits to be published, in bytes, with the memory that keeping it costs: 4 MiB. At the limit a
    /// message still goes to the members on this node, and [`Published::remote`](crate::Published::remote) is
    /// [`Full`](crate::BackplaneError::Full).
    #[must_use]
    pub fn queue_limit(mut self, limit: usize) -> Self {
        self.queue_limit = limit;
        self
    }

    /// Limits what has arrived from other nodes and waits for members on this node, in bytes: 1 MiB. At the limit the
    /// node stops reading from the engine. The engine then keeps the messages up to a limit of its own, and cuts
    /// the link at that; what is lost is counted as [`missed`](crate::ClusterCounters::missed).
    #[must_use]
    pub fn inbound_limit(mut self, limit: usize) -> Self {
        self.inbound_limit = limit;
        self
    }

    /// Bounds the wait before anything is published on a new link: 5 s. The node waits until the engine has
    /// confirmed its subscriptions and, if the engine has started anew, until as many nodes as before are
    /// connected, because an engine without subscribers drops messages. The whole time passes if one of them does
    /// not come back.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Bounds the wait of [`join_wait`](crate::Connection::join_wait): 10 s, or up to a quarter of a second
    /// longer.
    #[must_use]
    pub fn subscribe_timeout(mut self, timeout: Duration) -> Self {
        self.subscribe_timeout = timeout;
        self
    }
}
