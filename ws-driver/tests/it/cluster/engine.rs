//! An engine that works as a Redis does, and fails as one does: links break, with or without the answer that was due; it
//! starts anew and knows nobody; it stands still; it loses what a link had not read; it repeats what it was sent twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use event_listener::Event as Notice;
use futures_util::future::{Either, select};
use ws_driver::{
    Answered, Backplane, Channel, Gate, MemoryStore, NodeId, Seat, SeatRequest, Settled,
};
use ws_testing::sim::{Rng, Sim, lock};

#[derive(Clone)]
pub(super) struct Engine {
    state: Arc<Mutex<State>>,
}

struct State {
    rng: Rng,
    is_up: bool,
    /// Whether it answers.
    is_frozen: bool,
    links: HashMap<u64, Arc<Link>>,
    next_link: u64,
    banned: Option<NodeId>,
    store: MemoryStore,
    pub(super) faults: Faults,
}

/// How often each fault happens: once in so many messages or answers; never with zero.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) loss: u64,
    pub(super) repeat: u64,
    /// The answer to a batch does not come, and the link breaks.
    pub(super) lost_answer: u64,
    /// The link breaks before a batch arrives.
    pub(super) lost_batch: u64,
    /// The longest time on the way, in milliseconds.
    pub(super) delay: u64,
}

struct Link {
    state: Mutex<LinkState>,
    changed: Notice,
}

#[derive(Default)]
struct LinkState {
    channels: Vec<Channel>,
    unread: VecDeque<(Channel, Bytes)>,
    is_broken: bool,
}

impl Engine {
    pub(super) fn new(rng: Rng) -> Self {
        let state = State {
            rng,
            is_up: true,
            is_frozen: false,
            links: HashMap::new(),
            next_link: 0,
            banned: None,
            store: MemoryStore::new(),
            faults: Faults::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        lock(&self.state).faults = faults;
    }

    /// Breaks the link of one node, or of all.
    pub(super) fn cut(&self, chosen: impl Fn(usize) -> bool) {
        let mut state = lock(&self.state);
        let mut ids: Vec<_> = state.links.keys().copied().collect();
        ids.sort_unstable();
        for (place, id) in ids.into_iter().enumerate() {
            if chosen(place) {
                state.break_link(id);
            }
        }
    }

    /// Kills the engine; all that it knew is gone.
    pub(super) fn kill(&self) {
        self.cut(|_| true);
        let mut state = lock(&self.state);
        state.is_up = false;
        state.store = MemoryStore::new();
    }

    pub(super) fn start(&self) {
        lock(&self.state).is_up = true;
    }

    /// Lets a replica take its place, which had all but what was stored after the snapshot.
    pub(super) fn fail_over(&self, snapshot: MemoryStore) {
        self.cut(|_| true);
        let mut state = lock(&self.state);
        state.store = snapshot;
        state.store.restart();
    }

    pub(super) fn snapshot(&self) -> MemoryStore {
        lock(&self.state).store.clone()
    }

    /// Cuts a node off for good.
    pub(super) fn ban(&self, node: NodeId) {
        lock(&self.state).banned = Some(node);
        self.cut(|_| true);
    }

    pub(super) fn freeze(&self, is_frozen: bool) {
        lock(&self.state).is_frozen = is_frozen;
    }

    /// Puts bytes of a stranger on a channel.
    pub(super) fn inject(&self, channel: &Channel, bytes: &[u8]) {
        let state = lock(&self.state);
        for link in state.links.values() {
            link.push(channel, &Bytes::copy_from_slice(bytes));
        }
    }

    async fn pass(&self, sim: &Sim) {
        let delay = {
            let mut state = lock(&self.state);
            let longest = state.faults.delay;
            Duration::from_micros(state.rng.within(0..=longest * 1000))
        };
        sim.sleep(delay).await;
        while lock(&self.state).is_frozen {
            sim.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Serves a node over one link, until that breaks.
    async fn serve(&self, sim: &Sim, seat: &Seat, id: u64, link: &Arc<Link>) {
        let publishing = async {
            loop {
                let batch = seat.outgoing().await;
                self.pass(sim).await;
                if !self.publish(id, batch.messages()) {
                    link.broken().await;
                }
                self.pass(sim).await;
                if lock(&self.state).links.contains_key(&id) {
                    seat.settled(&batch, Settled::Published);
                } else {
                    link.broken().await;
                }
            }
        };
        let subscribing = async {
            loop {
                let change = seat.interest().await;
                self.pass(sim).await;
                {
                    let mut state = lock(&link.state);
                    state
                        .channels
                        .retain(|channel| !change.unsubscribe.contains(channel));
                    state.channels.extend(change.subscribe.iter().cloned());
                }
                self.pass(sim).await;
                seat.subscribed(&change.subscribe);
            }
        };
        let receiving = async {
            while link.readable().await {
                self.pass(sim).await;
                while let Some((channel, envelope)) = link.read() {
                    if seat.deliver(channel, envelope) == Gate::Closed {
                        seat.gate().await;
                    }
                }
            }
        };
        let answering = async {
            loop {
                let request = seat.request().await;
                self.pass(sim).await;
                let store = |state: &mut State| state.store.answer(seat.node(), request, sim.now());
                let request = store(&mut lock(&self.state));
                match request {
                    Answered::Done => self.pass(sim).await,
                    Answered::Publish(channel, envelope) => {
                        lock(&self.state).distribute_one(&channel, &envelope);
                    }
                    Answered::NotMine(SeatRequest::CountNodes) => seat.counted(self.count()),
                    Answered::NotMine(_) => return,
                }
            }
        };
        let publishing = std::pin::pin!(publishing);
        let subscribing = std::pin::pin!(subscribing);
        let receiving = std::pin::pin!(receiving);
        let answering = std::pin::pin!(answering);
        let out = select(publishing, subscribing);
        let back = select(receiving, answering);
        match select(back, out).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }

    /// Publishes a batch. Returns whether the link lives.
    fn publish(&self, id: u64, messages: &[ws_driver::OutgoingMessage]) -> bool {
        let mut state = lock(&self.state);
        if !state.links.contains_key(&id) {
            return false;
        }
        let faults = state.faults;
        if state.happens(faults.lost_batch) {
            // A part of it was read before the link broke.
            let read = state.rng.below(messages.len() + 1);
            state.distribute(&messages[..read]);
            state.break_link(id);
            return false;
        }
        state.distribute(messages);
        if state.happens(faults.lost_answer) {
            state.break_link(id);
            return false;
        }
        true
    }

    fn count(&self) -> usize {
        let state = lock(&self.state);
        let links = state.links.values();
        links
            .filter(|link| lock(&link.state).channels.contains(&Channel::All))
            .count()
    }
}

impl State {
    fn happens(&mut self, once_in: u64) -> bool {
        once_in > 0 && self.rng.once_in(once_in)
    }

    fn distribute(&mut self, messages: &[ws_driver::OutgoingMessage]) {
        for message in messages {
            self.distribute_one(&message.channel, &message.envelope);
        }
    }

    fn distribute_one(&mut self, channel: &Channel, envelope: &Bytes) {
        let mut links: Vec<_> = self
            .links
            .iter()
            .map(|(id, link)| (*id, Arc::clone(link)))
            .collect();
        links.sort_unstable_by_key(|(id, _)| *id);
        for (_, link) in &links {
            if !lock(&link.state).channels.contains(channel) || self.happens(self.faults.loss) {
                continue;
            }
            link.push(channel, envelope);
            if self.happens(self.faults.repeat) {
                link.push(channel, envelope);
            }
        }
    }

    fn break_link(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        let mut state = lock(&link.state);
        state.is_broken = true;
        // What was not read is gone.
        state.unread.clear();
        drop(state);
        link.changed.notify(usize::MAX);
    }
}

impl Link {
    fn push(&self, channel: &Channel, envelope: &Bytes) {
        let mut state = lock(&self.state);
        if !state.is_broken {
            state.unread.push_back((channel.clone(), envelope.clone()));
        }
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Waits for messages. Returns whether the link lives.
    async fn readable(&self) -> bool {
        loop {
            let changed = self.changed.listen();
            {
                let state = lock(&self.state);
                if state.is_broken || !state.unread.is_empty() {
                    return !state.is_broken;
                }
            }
            changed.await;
        }
    }

    fn read(&self) -> Option<(Channel, Bytes)> {
        lock(&self.state).unread.pop_front()
    }

    /// Waits for the end of the link, which ends all that is done over it.
    async fn broken(&self) {
        std::future::pending().await
    }
}

impl Backplane<Sim> for Engine {
    async fn run(self, sim: Sim, seat: Seat) {
        let serving = async {
            loop {
                let pause = {
                    let mut state = lock(&self.state);
                    state.rng.millis(1..=100)
                };
                sim.sleep(pause).await;
                let (id, link) = {
                    let mut state = lock(&self.state);
                    if !state.is_up || state.banned == Some(seat.node()) {
                        drop(state);
                        seat.link_down("nobody answers");
                        continue;
                    }
                    state.next_link += 1;
                    let link = Arc::new(Link {
                        state: Mutex::default(),
                        changed: Notice::new(),
                    });
                    let id = state.next_link;
                    state.links.insert(id, Arc::clone(&link));
                    (id, link)
                };
                seat.link_up();
                self.serve(&sim, &seat, id, &link).await;
                lock(&self.state).break_link(id);
                seat.link_down("the link is cut");
            }
        };
        seat.unless_stopped(serving).await;
    }
}
