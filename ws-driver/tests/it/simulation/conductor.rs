//! What the application around the handlers does, at random: broadcasts, sends by id and to topics,
//! pings, closes; with a close look at who took what.

use ws_driver::ws_proto::{CloseCode, PreparedMessage, SendError, State};
use ws_driver::{Clients, SendToError, Sender, SlowPeer};

use super::gate::Gate;
use super::handlers::{self, Manners};
use super::ledger::{self, BROADCAST, BROADCAST_WAIT, BY_ID, EVERYBODY, Label, Ledger, TOPIC};
use super::plan::Plan;
use ws_testing::sim::{Rng, Server};

/// Conducts until the gate opens.
pub(crate) async fn conduct(
    ledger: Ledger,
    server: Server,
    plan: Plan,
    manners: Manners,
    rng: Rng,
    over: Gate,
) {
    let clients = server.clients();
    let mut conductor = Conductor {
        ledger,
        clients,
        policy: plan.slow_peer,
        manners,
        rng,
        seq: 0,
    };
    loop {
        let most = conductor.rng.pick(&[10, 300, 5000]);
        let time = conductor.rng.millis(0..=most);
        let sim = conductor.ledger.sim().clone();
        if sim.within(time, over.wait()).await.is_some() {
            return;
        }
        conductor.seq += 1;
        conductor.act(&over).await;
        if plan.has_bursts {
            conductor.burst();
        }
    }
}

struct Conductor {
    ledger: Ledger,
    clients: Clients,
    policy: SlowPeer,
    manners: Manners,
    rng: Rng,
    seq: u32,
}

impl Conductor {
    async fn act(&mut self, over: &Gate) {
        let open: Vec<_> = self.clients.iter().collect();
        let one = (!open.is_empty()).then(|| open[self.rng.below(open.len())].clone());
        let clients = self.clients.clone();
        match (self.rng.below(12), one) {
            (0 | 1, _) => {
                let message = self.broadcast(BROADCAST);
                self.offer(&open, BROADCAST, || clients.broadcast(message));
            }
            (2, Some(one)) => {
                let message = self.broadcast(BROADCAST);
                let others: Vec<_> = open
                    .into_iter()
                    .filter(|other| other.id() != one.id())
                    .collect();
                self.offer(&others, BROADCAST, || {
                    clients.broadcast_except(one.id(), message)
                });
            }
            (3 | 4, _) => {
                let topic = clients.topic(self.rng.pick(&["news", "sports", "weather"]));
                let members: Vec<_> = topic.iter().collect();
                let message = self.broadcast(TOPIC);
                self.offer(&members, TOPIC, || topic.broadcast(message));
            }
            (5..=7, Some(one)) => self.send(&one),
            (8, Some(one)) => self.send_wait(&one).await,
            (9, _) => self.broadcast_wait(&open, over).await,
            (10, Some(one)) => {
                let pinged = one.ping(b"are you there");
                self.ledger
                    .tell(|| format!("conductor: ping {}: {pinged:?}", one.id()));
            }
            (11, Some(one)) if self.rng.once_in(6) => {
                let code = CloseCode::new(4001).expect("a code for applications");
                self.ledger
                    .tell(|| format!("conductor: close {}", one.id()));
                if one.begin_close(code, "you").is_err() {
                    self.ledger
                        .violation("delivery (refused)", "a close with a short reason");
                }
            }
            _ => self.send_to_nobody(),
        }
    }

    /// Broadcasts again and again, without a pause in which anybody could read.
    fn burst(&mut self) {
        let open: Vec<_> = self.clients.iter().collect();
        for _ in 0..self.rng.within(0..=MOST_IN_A_BURST) {
            self.seq += 1;
            let (clients, message) = (self.clients.clone(), self.broadcast(BROADCAST));
            self.offer(&open, BROADCAST, || clients.broadcast(message));
        }
    }

    fn broadcast(&mut self, source: u32) -> PreparedMessage {
        let label = Label {
            to: EVERYBODY,
            source,
            seq: self.seq,
        };
        ledger::message(label, self.manners.len(&mut self.rng)).into()
    }

    /// Offers a message to many; finds out who took it, which must be as many as it says.
    fn offer(&self, receivers: &[Sender], source: u32, offer: impl FnOnce() -> usize) {
        let before: Vec<_> = receivers
            .iter()
            .map(|receiver| (receiver.counters(), receiver.state()))
            .collect();
        let count = offer();
        let mut took = 0;
        for (receiver, (before, state)) in receivers.iter().zip(before) {
            let Some(peer) = self.peer(receiver) else {
                continue;
            };
            let after = receiver.counters();
            let dropped = after.messages_dropped - before.messages_dropped;
            let is_open = self.ledger.with(peer, |record| record.is_message_open);
            let grows = after.buffered_amount > before.buffered_amount;
            let is_kept = match self.policy {
                SlowPeer::DropOldest => grows || dropped > 0,
                SlowPeer::Wait | SlowPeer::DropNewest | SlowPeer::Close | _ => {
                    // The close of one that was too slow for it waits to be written, too.
                    let was_closed = state == State::Connected && receiver.state() != state;
                    is_open && grows && dropped == 0 && !was_closed
                }
            };
            if after.messages_sent > before.messages_sent || is_kept {
                took += 1;
                self.ledger.note_accepted(peer, source, self.seq);
            } else if self.policy == SlowPeer::DropNewest {
                self.ledger.with(peer, |record| record.refused += dropped);
            }
        }
        self.ledger.tell(|| {
            format!(
                "conductor: {source}/{} to {count} of {}",
                self.seq,
                receivers.len()
            )
        });
        if took != count {
            let text = format!(
                "{count} of {} are said to have taken it, {took} have",
                receivers.len()
            );
            self.ledger.violation("broadcast (count)", text);
        }
    }

    fn send(&mut self, one: &Sender) {
        let Some(peer) = self.peer(one) else { return };
        let version = one.version();
        let message = handlers::next(self.manners, &mut self.rng, peer, BY_ID, self.seq, version);
        let sent = self.clients.send(one.id(), message);
        self.ledger
            .tell(|| format!("conductor: {BY_ID}/{} to {peer}: {sent:?}", self.seq));
        match sent {
            Ok(()) => self.ledger.note_accepted(peer, BY_ID, self.seq),
            Err(SendToError::Send(SendError::QueueFull { .. })) => match self.policy {
                SlowPeer::DropNewest | SlowPeer::DropOldest => {
                    self.ledger.with(peer, |record| record.refused += 1);
                }
                SlowPeer::Wait | SlowPeer::Close | _ => {}
            },
            Err(SendToError::Send(SendError::Closed)) => {}
            Err(error) => self
                .ledger
                .violation("delivery (refused)", error.to_string()),
        }
    }

    async fn send_wait(&mut self, one: &Sender) {
        let Some(peer) = self.peer(one) else { return };
        let version = one.version();
        let message = handlers::next(self.manners, &mut self.rng, peer, BY_ID, self.seq, version);
        let time = self.rng.millis(0..=3000);
        let sending = self.clients.send_wait(one.id(), message);
        if let Some(Ok(())) = self.ledger.sim().within(time, sending).await {
            self.ledger.note_accepted(peer, BY_ID, self.seq);
        }
    }

    /// What is given up half-way has reached some, nobody knows whom.
    async fn broadcast_wait(&mut self, open: &[Sender], over: &Gate) {
        for receiver in open {
            if let Some(peer) = self.peer(receiver) {
                self.ledger.with(peer, |record| {
                    record
                        .uncertain
                        .entry(BROADCAST_WAIT)
                        .or_default()
                        .push(self.seq);
                });
            }
        }
        let message = self.broadcast(BROADCAST_WAIT);
        let time = self.rng.millis(0..=30_000);
        let clients = self.clients.clone();
        let sim = self.ledger.sim().clone();
        let mut sending = std::pin::pin!(clients.broadcast_wait(message));
        let mut ending = std::pin::pin!(over.wait());
        let either = std::future::poll_fn(|cx| {
            use std::future::Future;
            match ending.as_mut().poll(cx) {
                std::task::Poll::Ready(()) => std::task::Poll::Ready(None),
                std::task::Poll::Pending => sending.as_mut().poll(cx).map(Some),
            }
        });
        let reached = sim.within(time, either).await;
        self.ledger
            .tell(|| format!("conductor: {BROADCAST_WAIT}/{}: {reached:?}", self.seq));
    }

    fn send_to_nobody(&mut self) {
        let gone = {
            let inner = self.ledger.lock();
            let mut records = inner.records.values();
            records
                .find(|record| record.closed.is_some())
                .and_then(|record| record.id)
        };
        if let Some(id) = gone {
            let sent = self.clients.send(id, "nobody");
            if sent != Err(SendToError::NoSuchClient { id }) {
                self.ledger
                    .violation("registry (gone)", format!("{id} has gone: {sent:?}"));
            }
        }
    }

    /// Returns whose connection it is.
    fn peer(&self, sender: &Sender) -> Option<u32> {
        let inner = self.ledger.lock();
        let mut records = inner.records.iter();
        let found = records.find(|(_, record)| record.addr == sender.peer_addr());
        found.map(|(peer, _)| *peer)
    }
}

/// Broadcasts without a pause, at most.
const MOST_IN_A_BURST: u64 = 30;
