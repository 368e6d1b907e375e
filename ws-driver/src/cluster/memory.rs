//! A backplane in the memory of one process: for several servers in one program, such as one for each thread, and for tests.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;

use bytes::Bytes;

use super::channel::Channel;
use super::inbound::Gate;
use super::seat::{Backplane, Seat, SeatRequest, Settled};
use super::store::{Answered, MemoryStore};
use crate::runtime::{Runtime, yield_now};
use crate::util::race::{Winner, race};
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// Connects servers of one process. The servers that get a clone of the same value are one cluster.
///
/// A node that reads too slowly is cut off with 8 MiB unread, and comes back; what it lost is counted as
/// [`missed`](crate::ClusterCounters::missed). The other nodes do not wait for it.
#[derive(Clone, Default)]
pub struct MemoryBackplane {
    hub: Arc<Mutex<Hub>>,
}

#[derive(Default)]
struct Hub {
    store: MemoryStore,
    subscribers: HashMap<Channel, Vec<Arc<Mailbox>>>,
}

/// What a node has not read yet.
#[derive(Default)]
struct Mailbox {
    state: Mutex<MailboxState>,
    changed: Notice,
}

#[derive(Default)]
struct MailboxState {
    unread: VecDeque<(Channel, Bytes)>,
    len: usize,
    is_cut: bool,
}

/// The most that a node may leave unread, in bytes.
const MAILBOX_LIMIT: usize = 8 << 20;

/// Messages that are delivered before other tasks run.
const DELIVERIES: usize = 64;

impl MemoryBackplane {
    /// Makes a backplane. Give a clone of it to each server.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        // A poisoned lock is used on: no user code runs under it.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, channel: &Channel, envelope: &Bytes) {
        let subscribers = self.lock().subscribers.get(channel).cloned();
        for mailbox in subscribers.into_iter().flatten() {
            mailbox.push(channel, envelope);
        }
    }

    fn nodes_len(&self) -> usize {
        let hub = self.lock();
        hub.subscribers.get(&Channel::All).map_or(0, Vec::len)
    }

    fn subscribe(&self, channels: &[Channel], mailbox: &Arc<Mailbox>) {
        let mut hub = self.lock();
        for channel in channels {
            let subscribers = hub.subscribers.entry(channel.clone()).or_default();
            if !subscribers.iter().any(|other| Arc::ptr_eq(other, mailbox)) {
                subscribers.push(Arc::clone(mailbox));
            }
        }
    }

    fn unsubscribe(&self, channels: &[Channel], mailbox: &Arc<Mailbox>) {
        let mut hub = self.lock();
        for channel in channels {
            if let Some(subscribers) = hub.subscribers.get_mut(channel) {
                subscribers.retain(|other| !Arc::ptr_eq(other, mailbox));
                if subscribers.is_empty() {
                    hub.subscribers.remove(channel);
                }
            }
        }
    }

    /// Moves messages until the link is cut. Returns why it is.
    async fn serve<R: Runtime>(
        &self,
        runtime: &R,
        seat: &Seat,
        mailbox: &Arc<Mailbox>,
    ) -> &'static str {
        let publishing = async {
            loop {
                let batch = seat.outgoing().await;
                for message in batch.messages() {
                    self.publish(&message.channel, &message.envelope);
                }
                seat.settled(&batch, Settled::Published);
                yield_now(runtime).await;
            }
        };
        let subscribing = async {
            loop {
                let change = seat.interest().await;
                self.unsubscribe(&change.unsubscribe, mailbox);
                self.subscribe(&change.subscribe, mailbox);
                seat.subscribed(&change.subscribe);
                yield_now(runtime).await;
            }
        };
        let receiving = async {
            loop {
                for _ in 0..DELIVERIES {
                    let Some((channel, envelope)) = mailbox.next().await else {
                        return "this node read too slowly, and was cut off";
                    };
                    if seat.deliver(channel, envelope) == Gate::Closed {
                        seat.gate().await;
                    }
                }
                yield_now(runtime).await;
            }
        };
        let answering = async {
            loop {
                let (request, now) = (seat.request().await, runtime.now());
                let answered = self.lock().store.answer(seat.node(), request, now);
                match answered {
                    Answered::Done => {}
                    // Two of them can change places here. A node reads the log then.
                    Answered::Publish(channel, envelope) => self.publish(&channel, &envelope),
                    Answered::NotMine(SeatRequest::CountNodes) => seat.counted(self.nodes_len()),
                    Answered::NotMine(_) => return "what was published did not come back",
                }
                yield_now(runtime).await;
            }
        };
        let (publishing, subscribing) = (pin!(publishing), pin!(subscribing));
        let (receiving, answering) = (pin!(receiving), pin!(answering));
        let writing = race(publishing, subscribing);
        match race(race(receiving, answering), writing).await {
            Winner::First(Winner::First(why) | Winner::Second(why)) => why,
            Winner::Second(Winner::First(never) | Winner::Second(never)) => never,
        }
    }
}

impl<R: Runtime> Backplane<R> for MemoryBackplane {
    async fn run(self, runtime: R, seat: Seat) {
        let serving = async {
            loop {
                let mailbox = Link {
                    hub: &self,
                    mailbox: Arc::default(),
                };
                seat.link_up();
                let why = self.serve(&runtime, &seat, &mailbox.mailbox).await;
                drop(mailbox);
                seat.link_down(why);
                yield_now(&runtime).await;
            }
        };
        let _: Option<()> = seat.unless_stopped(serving).await;
    }
}

/// The link of a node to the hub. It ends with its task, even in the middle.
struct Link<'a> {
    hub: &'a MemoryBackplane,
    mailbox: Arc<Mailbox>,
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        let mut hub = self.hub.lock();
        hub.subscribers.retain(|_, subscribers| {
            subscribers.retain(|other| !Arc::ptr_eq(other, &self.mailbox));
            !subscribers.is_empty()
        });
    }
}

impl Mailbox {
    fn push(&self, channel: &Channel, envelope: &Bytes) {
        let mut state = self.lock();
        if state.is_cut {
            return;
        }
        state.len += envelope.len() + size_of::<(Channel, Bytes)>();
        if state.len > MAILBOX_LIMIT {
            // As an engine does: what is unread is gone with the link.
            state.is_cut = true;
            let unread = std::mem::take(&mut state.unread);
            drop(state);
            drop(unread);
        } else {
            state.unread.push_back((channel.clone(), envelope.clone()));
            drop(state);
        }
        self.changed.notify(1);
    }

    /// Waits for the next message. Returns `None` once the node is cut off.
    async fn next(&self) -> Option<(Channel, Bytes)> {
        loop {
            let changed = self.changed.listen();
            {
                let mut state = self.lock();
                if state.is_cut {
                    return None;
                }
                if let Some((channel, envelope)) = state.unread.pop_front() {
                    state.len -= envelope.len() + size_of::<(Channel, Bytes)>();
                    return Some((channel, envelope));
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        // A poisoned lock is used on: no user code runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackplane").finish_non_exhaustive()
    }
}
