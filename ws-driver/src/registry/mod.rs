//! The connections of a server: their ids, the topics that they have joined, and the counters of connections that
//! have ended.
//!
//! Lock order: this lock comes before those of the directory and before the lock of a shared machine. Only the end of a
//! connection takes the latter two, and no code takes this one while a shared machine is locked.
//!
//! Nothing is sent under this lock: a broadcast first takes a list of its receivers. So two broadcasts from two
//! threads at the same time can arrive in either order, because an order would need one lock around all sending.
//!
//! No user code runs under this lock, destructors included: no message is encoded or dropped under it, and a connection that
//! is removed, with the wakers in it, is dropped once it is released.
//!
//! Imports: `util`, `id`, `observe`, `driver`.

pub(crate) mod addresses;
pub(crate) mod broadcast;
mod directory;
mod interest;
pub(crate) mod membership;
pub(crate) mod presence;
pub(crate) mod roster;
pub(crate) mod subscriptions;
pub(crate) mod topics;

use std::net::IpAddr;
use std::time::Instant;

use slab::Slab;
use ws_proto::{PreparedMessage, State};

use self::addresses::{AddressLimits, Addresses};
use self::directory::Directory;
use self::roster::{Member, Members, Roster};
use self::subscriptions::SubscriptionNotices;
use self::topics::{TopicError, Topics};
use crate::driver::shared_machine::SharedMachine;
use crate::driver::slow_peer::SlowPeer;
#[cfg(feature = "deflate")]
use crate::driver::workspace;
use crate::id::ConnectionId;
use crate::id::cluster::NodeId;
use crate::observe::counters::{ServerCounters, Totals, VersionCounts};
use crate::observe::rejected::Rejected;
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// The connections of a server.
pub(crate) struct Registry {
    /// The id of the server in its cluster.
    pub(crate) node: NodeId,
    slots: Mutex<Slots>,
    /// The same connections as `open` of the slots.
    directory: Directory,
    /// Notified when a place becomes free.
    left: Notice,
    notices: SubscriptionNotices,
    pub(crate) options: RegistryConfig,
}

/// The options of a registry.
#[derive(Clone, Debug)]
pub(crate) struct RegistryConfig {
    pub(crate) slow_peer: SlowPeer,
    /// The most topics that one connection can join.
    pub(crate) topic_limit: Option<usize>,
    pub(crate) address_limits: AddressLimits,
    /// How broadcasts are compressed.
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<ws_proto::Deflate>,
}

impl RegistryConfig {
    /// Compresses a broadcast once, for all receivers that can share the result.
    #[cfg(feature = "deflate")]
    pub(crate) fn compress(&self, message: PreparedMessage) -> PreparedMessage {
        match &self.deflate {
            Some(deflate) => workspace::compress(message, deflate),
            None => message,
        }
    }

    #[cfg(not(feature = "deflate"))]
    pub(crate) fn compress(&self, message: PreparedMessage) -> PreparedMessage {
        message
    }
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            slow_peer: SlowPeer::default(),
            topic_limit: Some(64),
            address_limits: AddressLimits::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

#[derive(Default)]
struct Slots {
    slab: Slab<Slot>,
    /// The number of connections that there ever were, so that no id is used twice.
    generation: u64,
    open: Roster<Arc<SharedMachine>>,
    /// Connections that have ended, but whose end is not reported to all observers yet.
    ending_len: usize,
    /// The members are in `open`, too.
    topics: Topics<Arc<SharedMachine>>,
    totals: Totals,
    /// `None` without a limit, so that nothing is looked up then.
    addresses: Option<Box<Addresses>>,
}

/// The place of a connection in `open`. `None` during the opening handshake, and once the connection has ended.
type Slot = Option<usize>;

impl Member for Arc<SharedMachine> {
    fn slot(&self) -> usize {
        self.facts.id.slot
    }
}

impl Registry {
    pub(crate) fn new(options: RegistryConfig, node: NodeId) -> Self {
        let limits = options.address_limits.clone();
        let addresses = (!limits.is_unlimited()).then(|| Box::new(Addresses::new(limits)));
        let slots = Slots {
            addresses,
            ..Slots::default()
        };
        Self {
            node,
            slots: Mutex::new(slots),
            directory: Directory::default(),
            left: Notice::new(),
            notices: SubscriptionNotices::default(),
            options,
        }
    }

    /// Returns how many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().open.len()
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<SharedMachine>> {
        self.directory.get(id)
    }

    /// Returns the connections that are open now.
    pub(crate) fn open(&self) -> Members<Arc<SharedMachine>> {
        self.lock().open.members()
    }

    pub(crate) fn join(&self, topic: &str, id: ConnectionId) -> Result<bool, TopicError> {
        let mut slots = self.lock();
        let machine = slots.machine(id).ok_or(TopicError::Closed)?.clone();
        let limit = self.options.topic_limit;
        let joined = slots.topics.join(topic, machine, limit);
        let has_news = slots.topics.interest.has_news();
        drop(slots);
        if has_news {
            self.notices.news.notify(usize::MAX);
        }
        joined
    }

    pub(crate) fn leave(&self, topic: &str, id: ConnectionId) -> bool {
        let mut slots = self.lock();
        let was_member = slots.machine(id).is_some() && slots.topics.leave(topic, id.slot);
        let has_news = slots.topics.presences.has_news();
        drop(slots);
        if has_news {
            self.notices.presence.notify(usize::MAX);
        }
        was_member
    }

    pub(crate) fn is_member(&self, topic: &str, id: ConnectionId) -> bool {
        let slots = self.lock();
        slots.machine(id).is_some() && slots.topics.contains(topic, id.slot)
    }

    pub(crate) fn members(&self, topic: &str) -> Members<Arc<SharedMachine>> {
        self.lock().topics.members(topic)
    }

    pub(crate) fn members_len(&self, topic: &str) -> usize {
        self.lock().topics.len(topic)
    }

    pub(crate) fn topic_names(&self) -> Vec<Arc<str>> {
        self.lock().topics.names()
    }

    pub(crate) fn counters(&self) -> ServerCounters {
        let slots = self.lock();
        let Totals {
            opened,
            rejections,
            panics,
            closes,
            mut ended,
        } = slots.totals;
        let opening = slots.slab.len() - slots.open.len() - slots.ending_len;
        let machines = slots.open.members();
        // Each machine is locked below, and the registry is not to stay locked for all of them.
        drop(slots);
        let (mut open, mut buffered_amount) = (VersionCounts::default(), 0);
        for machine in machines.iter() {
            open.note(machine.facts.version);
            ended.add(&machine.tally());
            buffered_amount += machine.buffered_amount();
        }
        ServerCounters {
            open,
            opening,
            opened,
            rejected: rejections.total(),
            rejections,
            panics,
            messages_received: ended.messages_received,
            bytes_received: ended.bytes_received,
            messages_sent: ended.messages_sent,
            bytes_sent: ended.bytes_sent,
            messages_dropped: ended.messages_dropped,
            slow_closes: ended.slow_closes,
            closes,
            buffered_amount,
        }
    }

    pub(crate) fn note_rejected(&self, reason: &Rejected) {
        self.lock().totals.rejections.note(reason);
    }

    pub(crate) fn note_panic(&self) {
        self.lock().totals.panics += 1;
    }

    /// Gives an id to a connection that is being opened. Returns `None` if there are `limit` streams, open or being
    /// opened.
    pub(crate) fn enter(self: &Arc<Self>, limit: Option<usize>) -> Option<Entry> {
        let mut slots = self.lock();
        if limit.is_some_and(|limit| slots.slab.len() >= limit) {
            return None;
        }
        slots.generation += 1;
        let generation = slots.generation;
        let slot = slots.slab.insert(None);
        Some(Entry {
            registry: Some(Arc::clone(self)),
            id: ConnectionId { slot, generation },
        })
    }

    /// Counts a stream for the address of its peer, instead of one that was counted before.
    pub(crate) fn admit(&self, id: ConnectionId, ip: IpAddr, now: Instant) -> Result<(), Rejected> {
        match &mut self.lock().addresses {
            Some(addresses) => addresses.admit(id.slot, ip, now),
            None => Ok(()),
        }
    }

    /// Counts a session for the client of one of its requests, until [`end_request`](Self::end_request).
    #[cfg(feature = "http2")]
    pub(crate) fn begin_request(
        &self,
        id: ConnectionId,
        ip: IpAddr,
        now: Instant,
    ) -> Result<(), Rejected> {
        match &mut self.lock().addresses {
            Some(addresses) => addresses.begin(id.slot, ip, now),
            None => Ok(()),
        }
    }

    #[cfg(feature = "http2")]
    pub(crate) fn end_request(&self, id: ConnectionId, ip: IpAddr) {
        if let Some(addresses) = &mut self.lock().addresses {
            addresses.end(id.slot, ip);
        }
    }

    /// Waits until fewer than `limit` streams are open or being opened.
    pub(crate) async fn wait_below(&self, limit: usize) {
        while self.lock().slab.len() >= limit {
            // Asked again behind the listener, because a place that becomes free in between would be missed.
            let left = self.left.listen();
            if self.lock().slab.len() >= limit {
                left.await;
            }
        }
    }

    /// Removes a connection that has ended from the registry, and adds its counters to the server's. Its place stays
    /// taken until it is [given back](Self::give_back).
    fn forget(&self, id: ConnectionId) {
        let mut slots = self.lock();
        slots.topics.leave_all(id.slot);
        let has_news = slots.topics.presences.has_news();
        let machine = slots.close(id.slot);
        let listed = self.directory.remove(id);
        if let Some(machine) = &machine {
            slots.ending_len += 1;
            // Under both locks, so that the counters of a connection are neither missed nor counted twice.
            let (tally, closed) = machine.settle();
            slots.totals.ended.add(&tally);
            let end = closed.as_ref().map(|closed| (closed.code, &closed.cause));
            slots.totals.closes.note(end);
        }
        drop(slots);
        // Only once that is unlocked: they may be the last handles, and wakers of the runtime go with them.
        drop((machine, listed));
        if has_news {
            self.notices.presence.notify(usize::MAX);
        }
    }

    /// Frees the place of a stream.
    fn give_back(&self, id: ConnectionId, was_open: bool) {
        let mut slots = self.lock();
        slots.slab.remove(id.slot);
        if let Some(addresses) = &mut slots.addresses {
            addresses.leave(id.slot);
        }
        slots.ending_len -= usize::from(was_open);
        drop(slots);
        self.left.notify(usize::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // A poisoned lock is used on: no user code runs under it.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Returns the open connection with an id.
    fn machine(&self, id: ConnectionId) -> Option<&Arc<SharedMachine>> {
        let place = (*self.slab.get(id.slot)?)?;
        // The slot can be that of a later connection.
        let machine = self.open.get(place);
        machine.filter(|machine| machine.facts.id == id)
    }

    /// Adds a connection to those that are open.
    fn open(&mut self, machine: Arc<SharedMachine>) {
        let slot = machine.slot();
        let place = self.open.push(machine);
        self.slab[slot] = Some(place);
    }

    /// Removes a connection from those that are open, if it is one.
    fn close(&mut self, slot: usize) -> Option<Arc<SharedMachine>> {
        let place = self.slab[slot].take()?;
        let (machine, moved) = self.open.remove(place);
        if let Some(moved) = moved {
            self.slab[moved] = Some(place);
        }
        Some(machine)
    }
}

/// The place of a connection that is being opened. It is freed when this is dropped.
pub(crate) struct Entry {
    /// `None` once it is open.
    registry: Option<Arc<Registry>>,
    pub(crate) id: ConnectionId,
}

impl Entry {
    /// Adds the connection to the registry, because it is open.
    pub(crate) fn open(mut self, machine: Arc<SharedMachine>) -> Registration {
        let registry = self.registry.take().expect("it opens once");
        let mut slots = registry.lock();
        slots.totals.opened.note(machine.facts.version);
        slots.open(Arc::clone(&machine));
        registry.directory.insert(Arc::clone(&machine));
        drop(slots);
        Registration {
            registry,
            machine,
            place: Place::Known,
            told: State::Connected,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            registry.give_back(self.id, false);
        }
    }
}

/// The place of an open connection. It is freed at the end of the connection, or when this is dropped.
pub(crate) struct Registration {
    pub(crate) registry: Arc<Registry>,
    pub(crate) machine: Arc<SharedMachine>,
    place: Place,
    /// The state that the observers know. It stands here, where it fits beside `place`: anywhere else it would make each
    /// task eight bytes larger.
    pub(crate) told: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The connection is open.
    Known,
    /// The connection has ended. The place is still taken, because a task that waits for a free place, such as a
    /// shutdown, also waits for the observers.
    Forgotten,
    /// The place was given back.
    Free,
}

impl Registration {
    /// Removes the connection from the registry, because it has ended; returns whether this is the first call.
    pub(crate) fn end(&mut self) -> bool {
        if self.place != Place::Known {
            return false;
        }
        self.place = Place::Forgotten;
        self.registry.forget(self.machine.facts.id);
        true
    }

    /// Frees the place, once the observers know of the end.
    pub(crate) fn give_back(&mut self) {
        if self.place == Place::Forgotten {
            self.place = Place::Free;
            self.registry.give_back(self.machine.facts.id, true);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
        self.give_back();
    }
}
