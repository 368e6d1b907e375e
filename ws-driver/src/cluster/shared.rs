//! The part of a server that belongs to a cluster, shared by its handles, its tasks and its backplane.
//!
//! Neither lock here is held while another one is taken, and no message is sent under them.

use std::collections::HashSet;

use ws_proto::PreparedMessage;

use super::channel::Channel;
use super::config::ClusterConfig;
use super::counters::ClusterCounters;
use super::direct::OutcomeWaits;
use super::envelope::{Draft, Kind};
use super::error::BackplaneError;
use super::inbound::Inbound;
use super::link::ClusterHealth;
use super::log::config::Logs;
use super::log::position::{LogRange, LogRead};
use super::outbound::Outbound;
use super::presence::PresenceRead;
use super::question::Allowance;
use super::report::Report;
use super::sharing::Sharing;
use crate::driver::shared_machine::Clock;
use crate::id::cluster::NodeId;
use crate::registry::Registry;
use crate::util::sync::atomic::{AtomicU64, Ordering};
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// A node: what all parts of a server know of its cluster.
pub(crate) struct SharedCluster {
    pub(crate) node: NodeId,
    /// The label of the node.
    pub(super) name: Arc<str>,
    pub(super) registry: Arc<Registry>,
    /// Which topics have a log.
    pub(super) logs: Logs,
    pub(super) clock: Clock,
    /// `None` in a cluster of one.
    pub(super) exchange: Option<Exchange>,
}

/// The exchange of messages with other nodes.
pub(super) struct Exchange {
    pub(super) inbound: Inbound,
    outbound: Mutex<Outbound>,
    /// Notified when a batch may be ready.
    pub(super) ready: Notice,
    /// Notified when messages were settled, and when they cannot be any more.
    settled: Notice,
    /// Notified when time has passed, when a question was answered, and at the end.
    pub(super) time: Notice,
    /// Notified when the lease may have to be renewed.
    pub(super) renewal: Notice,
    /// The senders that wait for what other nodes say.
    pub(super) outcomes: OutcomeWaits,
    /// Readings of logs and of presence that are on their way.
    pub(super) log_reads: Sharing<LogRead, LogRange>,
    pub(super) presence_reads: Sharing<Arc<str>, PresenceRead>,
    /// Messages of other nodes that wait for capacity in a send queue here.
    pub(super) waiting_sends: Allowance,
    /// How many messages this node has begun to append to logs, and how many the engine has confirmed.
    pub(super) appending: AtomicU64,
    pub(super) appended: AtomicU64,
    /// Notified at the end, and when a backplane has something else to do than to publish.
    pub(super) changed: Notice,
}

impl SharedCluster {
    /// A cluster of one.
    pub(crate) fn alone(registry: Arc<Registry>, clock: Clock, config: ClusterConfig) -> Self {
        Self {
            node: registry.node,
            name: config.node_name,
            logs: config.logs,
            registry,
            clock,
            exchange: None,
        }
    }

    /// A node that exchanges messages with others, once a backplane runs. Payloads beyond `message_limit` are not taken
    /// from them.
    pub(crate) fn new(
        registry: Arc<Registry>,
        clock: Clock,
        config: ClusterConfig,
        message_limit: usize,
    ) -> Self {
        let node = registry.node;
        registry.watch_topics(config.subscribe_timeout);
        let exchange = Exchange {
            inbound: Inbound::new(node, config.inbound_limit, message_limit),
            outbound: Mutex::new(Outbound::new(clock.now(), &config)),
            ready: Notice::new(),
            settled: Notice::new(),
            time: Notice::new(),
            renewal: Notice::new(),
            outcomes: OutcomeWaits::default(),
            log_reads: Sharing::default(),
            presence_reads: Sharing::default(),
            waiting_sends: Allowance::default(),
            appending: AtomicU64::new(0),
            appended: AtomicU64::new(0),
            changed: Notice::new(),
        };
        Self {
            node,
            name: config.node_name,
            logs: config.logs,
            registry,
            clock,
            exchange: Some(exchange),
        }
    }

    // For the handles.

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Copies a message for the other nodes. `None` in a cluster of one.
    pub(crate) fn draft(&self, message: &PreparedMessage) -> Result<Option<Draft>, BackplaneError> {
        let Some(exchange) = &self.exchange else {
            return Ok(None);
        };
        exchange.check_len(message.payload().len())?;
        let kind = Kind::of_message(message.is_text());
        #[cfg(feature = "deflate")]
        let is_plain = message.is_plain();
        #[cfg(not(feature = "deflate"))]
        let is_plain = false;
        let draft = Draft::new(kind, is_plain, self.node, message.payload());
        Ok(Some(draft))
    }

    /// Queues a message for the other nodes.
    pub(crate) fn publish(
        &self,
        channel: Channel,
        draft: Option<Draft>,
    ) -> Result<(), BackplaneError> {
        let (Some(exchange), Some(draft)) = (&self.exchange, draft) else {
            return Ok(());
        };
        let pushed = exchange.lock().push(channel, draft);
        exchange.ready.notify(1);
        pushed
    }

    pub(crate) fn health(&self) -> ClusterHealth {
        match &self.exchange {
            Some(exchange) => exchange.lock().health(),
            None => ClusterHealth::Up,
        }
    }

    pub(crate) fn counters(&self) -> ClusterCounters {
        let Some(exchange) = &self.exchange else {
            return ClusterCounters::default();
        };
        let (inbound, inbound_bytes) = exchange.inbound.counters();
        let subscriptions = self.registry.subscriptions_len();
        let outbound = exchange.lock();
        ClusterCounters {
            published: outbound.counters.published,
            batches: outbound.counters.batches,
            dropped: outbound.counters.dropped,
            in_doubt: outbound.counters.in_doubt,
            received: inbound.received,
            duplicates: inbound.duplicates,
            missed: inbound.missed,
            malformed: inbound.malformed,
            undelivered: inbound.undelivered,
            appended: exchange.appended.load(Ordering::Relaxed),
            log_gaps: inbound.log_gaps,
            queued_bytes: outbound.outbox.len(),
            inbound_bytes,
            connects: outbound.link.ups(),
            held: outbound.link.held(),
            echo_lag: outbound.link.lag(),
            nodes: outbound.leases.len(),
            subscriptions,
            paused: inbound.paused,
        }
    }

    // For the server.

    /// Gives the lease back, so that the other nodes know at once that this one is gone.
    pub(crate) fn leave(&self) {
        if let Some(exchange) = &self.exchange {
            exchange.lock().leases.leave();
            exchange.renewal.notify(usize::MAX);
        }
    }

    /// Waits until all that was published is settled, and the lease is given back. Returns early if that cannot be now,
    /// because there is no link.
    pub(crate) async fn flushed(&self) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        loop {
            let settled = exchange.settled.listen();
            {
                let outbound = exchange.lock();
                let is_done = outbound.outbox.messages_len() == 0 && outbound.leases.is_released();
                if is_done || !outbound.link.is_up() {
                    return;
                }
            }
            settled.await;
        }
    }

    /// Ends the backplane and the tasks of the cluster. Returns how many messages were not published.
    pub(crate) fn stop(&self) -> usize {
        let Some(exchange) = &self.exchange else {
            return 0;
        };
        exchange.lock().is_stopping = true;
        exchange.end(self, "the server has ended")
    }

    // For the backplane and the tasks.

    pub(super) fn note_up(&self, exchange: &Exchange) {
        exchange.lock().note_up(self.clock.now());
        self.registry.restart_interest();
        let wanted: HashSet<_> = self.registry.topic_names().into_iter().collect();
        exchange.inbound.retain(|channel| match channel {
            Channel::Topic(name) => wanted.contains(name),
            Channel::All | Channel::Node(_) => true,
        });
        if !self.logs.is_empty() {
            exchange.inbound.note_new_link();
        }
        exchange.changed.notify(usize::MAX);
        exchange.renewal.notify(usize::MAX);
    }

    pub(super) fn note_down(&self, exchange: &Exchange, error: &str) {
        exchange.lock().note_down(error, self.clock.now());
        exchange.settled.notify(usize::MAX);
        exchange.time.notify(usize::MAX);
    }

    /// Handles what is due by the time alone.
    pub(super) fn note_time(&self, exchange: &Exchange, report: &mut Report, is_second: bool) {
        let counters = self.counters();
        report.note_health(&self.health(), counters.queued_bytes);
        if is_second {
            report.note_counters(counters);
        }
        let heard = is_second.then(|| exchange.inbound.take_heard());
        if is_second && !self.logs.is_empty() {
            exchange.inbound.note_second();
        }
        let now = self.clock.now();
        let mut outbound = exchange.lock();
        if let Some(heard) = heard {
            outbound.link.note_heard(heard);
            outbound.probe(self.node, now);
        }
        // While it waits for the other nodes it looks for them more often.
        outbound.look_for_nodes(now);
        drop(outbound);
        exchange.changed.notify(usize::MAX);
        // The hold can be over, and so can the time of those who wait for an answer or a subscription.
        exchange.ready.notify(usize::MAX);
        exchange.time.notify(usize::MAX);
        exchange.renewal.notify(usize::MAX);
        self.registry.note_time();
    }
}

impl Exchange {
    pub(super) fn lock(&self) -> MutexGuard<'_, Outbound> {
        // A poisoned lock is used on: no user code runs under it.
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that other nodes take a message, which have the same limit as this one.
    pub(super) fn check_len(&self, len: usize) -> Result<(), BackplaneError> {
        let limit = self.inbound.message_limit();
        if len <= limit {
            return Ok(());
        }
        self.lock().counters.dropped += 1;
        Err(BackplaneError::TooLong { len, limit })
    }

    /// Notes the end of the backplane or of the server. Returns how many messages were not published.
    pub(super) fn end(&self, shared: &SharedCluster, error: &str) -> usize {
        let mut outbound = self.lock();
        let (was_stopping, had_ended) = (outbound.is_stopping, outbound.link.has_ended());
        outbound.link.note_end(error.into(), shared.clock.now());
        let dropped = outbound.clear();
        let questions = outbound.take_questions();
        drop(outbound);
        drop(questions);
        if dropped > 0 {
            tracing::warn!(target: "ws", "{dropped} messages were not published to the other nodes: {error}");
        }
        if !was_stopping && !had_ended {
            tracing::error!(target: "ws", "nothing goes to the other nodes any more: {error}");
        }
        self.inbound.end();
        shared.registry.end_interest();
        self.ready.notify(usize::MAX);
        self.settled.notify(usize::MAX);
        self.changed.notify(usize::MAX);
        self.time.notify(usize::MAX);
        dropped
    }

    /// Waits for the end of the backplane or of the server.
    pub(super) async fn ended(&self) {
        loop {
            let time = self.time.listen();
            if self.lock().link.has_ended() {
                return;
            }
            time.await;
        }
    }

    /// Notes that the engine has answered to a batch.
    pub(super) fn note_settled(&self) {
        self.settled.notify(usize::MAX);
        self.ready.notify(1);
    }
}
