//! The seam to an engine: what a backplane does, and what a node gives it to do.

use std::fmt;
use std::future::Future;
use std::pin::pin;

use bytes::Bytes;

use super::channel::Channel;
use super::follow::LogWork;
use super::inbound::{Arrived, Gate};
use super::leases::{Lease, Renewed};
use super::log::position::{LogAppend, LogRange, LogRead, Position};
use super::outbox::Batch;
use super::presence::{PresenceRead, PresenceStore};
use super::question::Question;
use super::shared::{Exchange, SharedCluster};
use crate::id::cluster::NodeId;
use crate::runtime::Runtime;
use crate::util::race::{Winner, race};
use crate::util::sync::Arc;

/// Moves the messages of a node through an engine such as Redis, and nothing else: what messages mean, in which order they
/// count, and what is lost, is the node's part.
///
/// An implementation connects to its engine and then, at the same time,
///
/// - subscribes to what [`Seat::interest`] asks for, and confirms it with [`Seat::subscribed`], in the order of the
///   requests;
/// - publishes what [`Seat::outgoing`] returns, in its order, and says the result with [`Seat::settled`];
/// - gives what arrives to [`Seat::deliver`], and stops reading while the [`Gate`] is closed;
/// - does what [`Seat::request`] asks for;
/// - ends with [`Seat::stopped`].
///
/// When the link breaks it calls [`Seat::link_down`] and connects again, for ever, with pauses that grow. Each wait for the
/// engine has a deadline of the implementation. An engine may lose messages, repeat them and forget subscriptions, but
/// messages that are published on one link arrive in their order.
pub trait Backplane<R: Runtime>: Send + Sync + 'static {
    /// Runs until [`Seat::stopped`]. The node counts as ended once this returns, panics, or is dropped with its runtime.
    fn run(self, runtime: R, seat: Seat) -> impl Future<Output = ()> + Send;
}

/// The place of a backplane at a node. All methods take `&self`, so that several loops can share it.
pub struct Seat {
    shared: Arc<SharedCluster>,
}

/// What a node wants of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterestChange {
    /// Channels to subscribe to, in this order; at most 512 and two.
    pub subscribe: Vec<Channel>,
    /// Channels to unsubscribe from, before the others; at most 512.
    pub unsubscribe: Vec<Channel>,
}

/// The most topics in an [`InterestChange`].
const CHANNEL_LIMIT: usize = 512;

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The engine took all of it.
    Published,
    /// The engine refused messages of it and would again, as for want of a permission. They are dropped, and counted. It took
    /// the others.
    Refused {
        /// The places of those messages in the batch.
        places: Vec<usize>,
        /// What the engine said of one of them. It goes to logs, so it must have no secret in it.
        error: String,
    },
    /// Nobody knows, because an answer did not come. It is published again, with the same numbers.
    InDoubt,
}

/// What else a node asks of a backplane.
#[derive(Debug)]
#[non_exhaustive]
pub enum SeatRequest {
    /// Say with [`Seat::counted`] how many nodes the engine reaches by [`Channel::All`]. It is asked once a second, and
    /// more often while the node waits for the others. An engine that cannot tell does nothing.
    CountNodes,
    /// Break the link and connect again: what was published has not come back for some seconds.
    Reconnect,
    /// Write the lease of this node, or renew it; forget nodes whose leases have ended by the engine's clock, with all that
    /// they stored; and list the others.
    Renew(Question<Lease, Renewed>),
    /// Give the lease of this node back, with all that it stored.
    Release(Question<(), ()>),
    /// Store values under the lease of this node. The answer is false, and nothing is stored, if it has none.
    StorePresence(Question<PresenceStore, bool>),
    /// List what the nodes with leases have stored about a topic.
    ReadPresence(Question<Arc<str>, PresenceRead>),
    /// Append an entry to the log of a topic, and publish it with its place. `None` says that the engine cannot tell whether
    /// it did so when it was asked before.
    AppendLog(Question<LogAppend, Option<Position>>),
    /// Read a part of a log.
    ReadLog(Question<LogRead, LogRange>),
    /// Return the places of the last entries of logs, in the order of the topics.
    ReadLogEnds(Question<Arc<[Arc<str>]>, Vec<Position>>),
}

impl SeatRequest {
    /// Tells whether it is of the node itself, and not of a caller.
    pub(super) fn is_of_node(&self) -> bool {
        matches!(
            self,
            Self::Renew(_) | Self::Release(_) | Self::StorePresence(_) | Self::ReadLogEnds(_)
        )
    }

    /// Tells whether somebody waits for the answer.
    pub(super) fn is_wanted(&self) -> bool {
        match self {
            Self::CountNodes | Self::Reconnect => true,
            Self::Renew(question) => question.is_wanted(),
            Self::Release(question) => question.is_wanted(),
            Self::StorePresence(question) => question.is_wanted(),
            Self::ReadPresence(question) => question.is_wanted(),
            Self::AppendLog(question) => question.is_wanted(),
            Self::ReadLog(question) => question.is_wanted(),
            Self::ReadLogEnds(question) => question.is_wanted(),
        }
    }

    /// Tells whether somebody waits for the answer, and notes that the engine is asked then.
    pub(super) fn begin(&self) -> bool {
        match self {
            Self::CountNodes | Self::Reconnect => true,
            Self::Renew(question) => question.begin(),
            Self::Release(question) => question.begin(),
            Self::StorePresence(question) => question.begin(),
            Self::ReadPresence(question) => question.begin(),
            Self::AppendLog(question) => question.begin(),
            Self::ReadLog(question) => question.begin(),
            Self::ReadLogEnds(question) => question.begin(),
        }
    }
}

impl Seat {
    pub(super) fn new(shared: Arc<SharedCluster>) -> Self {
        Self { shared }
    }

    /// Returns the id of the node.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// Notes that there is a link, on which the engine knows no subscription of ours: all topics are asked for again.
    pub fn link_up(&self) {
        self.shared.note_up(self.exchange());
    }

    /// Notes that there is no link, or that an attempt to connect failed. The batch in flight is in doubt. The text goes
    /// to logs and to [`ClusterHealth::Down`](crate::ClusterHealth::Down), so it must have no secret in it.
    pub fn link_down(&self, error: &str) {
        self.shared.note_down(self.exchange(), error);
    }

    /// Waits for a change of what the node wants to hear.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no change is lost.
    pub async fn interest(&self) -> InterestChange {
        loop {
            self.shared.registry.interest_news().await;
            if let Some(change) = self.take_interest() {
                return change;
            }
        }
    }

    /// Notes that the engine delivers these channels from now on.
    pub fn subscribed(&self, channels: &[Channel]) {
        let topics = channels.iter().filter_map(|channel| match channel {
            Channel::Topic(name) => Some(&**name),
            Channel::All | Channel::Node(_) => None,
        });
        self.shared.registry.confirm(topics);
        note_logs(&self.shared, channels, LogWork::Subscribed);
        // It is asked for behind all others.
        if channels.contains(&Channel::All) {
            self.exchange().lock().link.note_subscribed();
            self.exchange().ready.notify(1);
        }
    }

    /// Notes that the engine refuses to deliver a topic, and would again, as for want of a permission. Who waits for the
    /// subscription gets the text, so it must have no secret in it. The node asks for the topic again on the next link.
    pub fn refused(&self, topic: &str, error: &str) {
        tracing::warn!(target: "ws", "the engine of the cluster refuses a topic: {error}");
        self.shared.registry.refuse_topic(topic, &error.into());
    }

    /// Waits for messages to publish. It waits while a batch is not [settled](Self::settled), while there is no link, and
    /// while the other nodes could miss what is published.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing was taken.
    pub async fn outgoing(&self) -> Batch {
        let exchange = self.exchange();
        loop {
            let ready = exchange.ready.listen();
            if let Some(batch) = exchange
                .lock()
                .take_batch(self.node(), self.shared.clock.now())
            {
                return batch;
            }
            ready.await;
        }
    }

    /// Notes what became of a batch. It does nothing if the link broke meanwhile: then the batch is in doubt.
    pub fn settled(&self, batch: &Batch, settled: Settled) {
        let exchange = self.exchange();
        let refused = exchange
            .lock()
            .settle(batch, settled, self.shared.clock.now());
        exchange.note_settled();
        if let Some(error) = refused {
            tracing::warn!(target: "ws", "the engine of the cluster refuses messages: {error}");
        }
    }

    /// Takes what arrived on a channel: any bytes, for who may publish may publish anything.
    pub fn deliver(&self, channel: Channel, bytes: Bytes) -> Gate {
        let exchange = self.exchange();
        let (arrived, gate) = exchange.inbound.deliver(channel, bytes);
        let now = || self.shared.clock.now();
        match arrived {
            Arrived::Done | Arrived::Queued(_) => {}
            Arrived::Probe(number) => exchange.lock().link.note_probe(number, now()),
            Arrived::Heard(node) => exchange.lock().leases.note_heard(node, now()),
            Arrived::Outcome { node, payload } => {
                if exchange.outcomes.note(node, payload).is_err() {
                    exchange.inbound.note_malformed();
                }
            }
        }
        gate
    }

    /// Waits until the backplane may read on from the engine.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time.
    pub async fn gate(&self) {
        self.exchange().inbound.drained().await;
    }

    /// Waits for something else to do.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no request is lost.
    pub async fn request(&self) -> SeatRequest {
        let exchange = self.exchange();
        loop {
            let changed = exchange.changed.listen();
            if let Some(request) = exchange.lock().take_request() {
                return request;
            }
            changed.await;
        }
    }

    /// Says how many nodes the engine reaches, this one included.
    pub fn counted(&self, nodes: usize) {
        self.exchange().lock().link.note_audience(nodes);
        self.exchange().ready.notify(1);
    }

    /// Waits for the end of the server.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time.
    pub async fn stopped(&self) {
        let exchange = self.exchange();
        loop {
            let changed = exchange.changed.listen();
            if exchange.lock().is_stopping {
                return;
            }
            changed.await;
        }
    }

    /// Waits for `work`, or until the server stops. Returns `None` then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the work is dropped.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        // The stop comes first: otherwise work that is always ready would go on behind it.
        let (stopped, work) = (pin!(self.stopped()), pin!(work));
        match race(stopped, work).await {
            Winner::First(()) => None,
            Winner::Second(output) => Some(output),
        }
    }

    fn take_interest(&self) -> Option<InterestChange> {
        let (exchange, registry) = (self.exchange(), &self.shared.registry);
        if !exchange.lock().link.is_up() {
            // The next link asks for everything.
            return None;
        }
        let topic = |name| Channel::Topic(name);
        let missing = registry.take_missing(CHANNEL_LIMIT);
        let is_last = missing.len() < CHANNEL_LIMIT;
        let unsubscribe: Vec<_> = registry
            .take_idle(CHANNEL_LIMIT)
            .into_iter()
            .map(topic)
            .collect();
        let mut subscribe: Vec<_> = missing.into_iter().map(topic).collect();
        exchange
            .lock()
            .add_own_channels(self.node(), is_last, &mut subscribe);
        if subscribe.is_empty() && unsubscribe.is_empty() {
            return None;
        }
        exchange.inbound.unsubscribe(unsubscribe.iter());
        note_logs(&self.shared, &unsubscribe, LogWork::Unsubscribed);
        // Before the engine is asked: its first message can be here before its confirmation.
        exchange.inbound.subscribe(subscribe.iter().cloned());
        Some(InterestChange {
            subscribe,
            unsubscribe,
        })
    }

    fn exchange(&self) -> &Exchange {
        let exchange = self.shared.exchange.as_ref();
        exchange.expect("a seat is made only for a node that exchanges messages")
    }
}

/// Tells the workers that topics with logs are subscribed to, or not any more.
fn note_logs(shared: &SharedCluster, channels: &[Channel], work: fn(Arc<str>) -> LogWork) {
    let Some(exchange) = shared.exchange.as_ref().filter(|_| !shared.logs.is_empty()) else {
        return;
    };
    for channel in channels {
        if let Channel::Topic(name) = channel {
            if shared.logs.of(name).is_some() {
                exchange.inbound.push_log_work(name, work(Arc::clone(name)));
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // With its runtime, or in a panic. After an orderly end it changes nothing.
        self.exchange().end(&self.shared, "the backplane has ended");
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("node", &self.node())
            .finish_non_exhaustive()
    }
}
