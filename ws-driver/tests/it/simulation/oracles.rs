//! The checks. Those of quiet moments hold whenever nobody has anything to do; those of the end, when all
//! is over. A failed one says its name and what it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ws_driver::ws_proto::{CloseCause, Initiator, ProtocolError, State, Version};
use ws_driver::{Clients, SlowPeer};

use super::ledger::{BROADCAST, BROADCAST_WAIT, BY_ID, Ledger, Record, TOPIC};
use super::plan::Plan;
use super::witness::Witness;
use ws_testing::sim::{Link, lock, seconds};

/// By how much timers run out late, one after the other.
const SLACK: Duration = seconds(5);

/// Bytes of control frames that a send queue holds beyond its limit, and of frame headers.
const CONTROL_LEN: usize = 17 << 10;

/// For the connections that had bytes waiting at the last quiet moment: how many the stream had taken, and
/// since when it takes no more.
pub(crate) type Stalls = Mutex<BTreeMap<SocketAddr, (usize, Instant)>>;

/// Who checks, and what there is to check.
pub(crate) struct Oracles {
    pub(crate) ledger: Ledger,
    pub(crate) witness: Witness,
    pub(crate) clients: Clients,
    pub(crate) plan: Plan,
    pub(crate) stalls: Stalls,
}

impl Oracles {
    /// Checks what holds whenever nobody has anything to do.
    pub(crate) fn check_quiet(&self) {
        if self.ledger.sim().is_behind() {
            // Nothing can be asked of a process that stands still.
            return self.ledger.judge();
        }
        let links = self.ledger.sim().network().links();
        self.check_registry();
        self.check_memory();
        self.check_deadlines(&links);
        self.check_progress(&links);
        self.check_stalls(&links);
        self.ledger.judge();
    }

    /// Handlers, observer and registry know the same connections.
    fn check_registry(&self) {
        let told: BTreeSet<_> = {
            let lives = self.witness.lives();
            let open = lives.iter().filter(|(_, life)| life.is_open);
            open.map(|(id, _)| *id).collect()
        };
        let known: BTreeSet<_> = self.clients.iter().map(|client| client.id()).collect();
        let found = known
            .iter()
            .filter(|id| self.clients.get(**id).is_some())
            .count();
        let lens = [
            self.clients.len(),
            self.clients.iter().count(),
            found,
            known.len(),
        ];
        if known != told || lens.iter().any(|len| *len != told.len()) {
            let text =
                format!("the observer was told of {told:?}, the registry has {known:?}; {lens:?}");
            self.ledger.violation("registry (agrees)", text);
        }
    }

    /// What waits to be written is bounded by the limit and one message.
    fn check_memory(&self) {
        let Some(limit) = self.plan.send_queue_limit else {
            return;
        };
        let one = limit + self.plan.largest + 100;
        // The queue itself, and what is kept back behind it or behind an open message.
        let bound = 2 * one + CONTROL_LEN;
        for client in self.clients.iter() {
            let held = client.buffered_amount();
            if held > bound {
                let text = format!("{} holds {held} bytes, {bound} are allowed", client.id());
                self.ledger.violation("memory (send queue)", text);
            }
        }
    }

    /// Who is silent in the handshake, who closes and who has vanished, is gone in time.
    fn check_deadlines(&self, links: &[(SocketAddr, Arc<Mutex<Link>>)]) {
        let now = self.ledger.sim().now();
        let slack = SLACK + self.ledger.lock().stopped;
        let Plan {
            close_timeout,
            handshake_timeout,
            body_timeout,
            keepalive,
            ..
        } = self.plan;
        for (id, life) in self.witness.lives().iter() {
            let link = links.iter().find(|(addr, _)| Some(*addr) == life.addr);
            let is_held = link.is_some_and(|(_, link)| !lock(link).to_far.is_unread);
            if !is_held {
                continue;
            }
            let inner = self.ledger.lock();
            let mut records = inner.records.values();
            let record = records.find(|record| record.addr == life.addr);
            let mut deadlines = Vec::new();
            if !life.was_open {
                let deadline = match life.requested {
                    None => Some(life.begun + handshake_timeout + close_timeout),
                    // Who does not read its answer is waited for. An upgrade that follows has a
                    // handshake of its own. A body is shorter than what it has the timeout for.
                    Some(at) => record
                        .filter(|record| record.reads && !record.is_hurt)
                        .map(|_| at + SLACK + body_timeout)
                        .map(|at| at + handshake_timeout * 2 + close_timeout),
                };
                deadlines.push(("handshake", deadline));
            }
            if life.is_open {
                deadlines.push(("closing", life.closing.map(|at| at + 2 * close_timeout)));
            }
            if let (Some(record), Some((idle, wait))) = (record, keepalive) {
                // While a handler does not take what came, or the rate is limited, nothing is read, and silence proves
                // nothing.
                let is_busy = matches!(
                    record.behaviour.as_str(),
                    "deaf" | "slow" | "drop" | "fragments"
                ) || self.plan.rate_limit.is_some();
                let is_quiet = life.is_open && life.closing.is_none();
                if is_quiet && life.version == Some(Version::Rfc6455) && !is_busy {
                    // It may have vanished while `on_upgrade` still decided.
                    let silent = record
                        .vanished
                        .max(life.opened.filter(|_| record.vanished.is_some()));
                    deadlines.push(("keepalive", silent.map(|at| at + idle + 2 * wait)));
                }
            }
            let what = record.map_or_else(String::new, |record| record.what.clone());
            drop(inner);
            for (name, deadline) in deadlines {
                if deadline.is_some_and(|deadline| now > deadline + slack) {
                    let text = format!("{id} is still there: {life:?}: {what}");
                    self.ledger.violation(&format!("deadline ({name})"), text);
                }
            }
        }
    }

    /// A peer that takes nothing of what waits for it is gone in time.
    fn check_stalls(&self, links: &[(SocketAddr, Arc<Mutex<Link>>)]) {
        let Some(timeout) = self.plan.stall_timeout else {
            return;
        };
        let now = self.ledger.sim().now();
        let slack = SLACK + self.ledger.lock().stopped;
        let mut stalls = lock(&self.stalls);
        let before = std::mem::take(&mut *stalls);
        for client in self.clients.iter() {
            let link = links
                .iter()
                .find(|(addr, _)| Some(*addr) == client.peer_addr());
            let Some((addr, link)) = link else { continue };
            let near = &lock(link).to_near;
            let passed_len = near.read_len + near.bytes.len();
            // What is kept back behind an open message does not wait for the stream.
            let is_open = {
                let inner = self.ledger.lock();
                let mut records = inner.records.values();
                records.any(|record| record.addr == Some(*addr) && record.is_message_open)
            };
            let waits = client.buffered_amount() > 0 && client.state() == State::Connected;
            if !waits || is_open {
                continue;
            }
            let known = before.get(addr).filter(|(len, _)| *len == passed_len);
            let since = known.map_or(now, |(_, since)| *since);
            stalls.insert(*addr, (passed_len, since));
            if now > since + timeout * 3 / 2 + slack {
                let text = format!(
                    "{} is still there, and nothing left since {since:?}",
                    client.id()
                );
                self.ledger.violation("deadline (stall)", text);
            }
        }
    }

    /// Nothing is stuck: what could be written is, what could be read is, and who waits for what has come
    /// has it.
    fn check_progress(&self, links: &[(SocketAddr, Arc<Mutex<Link>>)]) {
        let mut stuck = Vec::new();
        for (peer, record) in &self.ledger.lock().records {
            let Some(client) = record.id.and_then(|id| self.clients.get(id)) else {
                continue;
            };
            let Some((_, link)) = links.iter().find(|(addr, _)| Some(*addr) == record.addr) else {
                continue;
            };
            let mut link = lock(link);
            if link.is_reset {
                continue;
            }
            let (near, buffered) = (&link.to_near, client.buffered_amount());
            let has_room = !near.is_black_hole && near.bytes.len() < near.capacity;
            if buffered > 0 && has_room && !record.is_message_open {
                stuck.push(format!(
                    "{buffered} bytes for {peer} are not written: {}",
                    record.what
                ));
            }
            let all_written = buffered == 0 && near.bytes.is_empty();
            let (expected, received) = (record.expected(), record.received_len());
            if record.reads && all_written && !record.is_hurt && expected != received {
                let text = format!("{peer} has {received} messages of {expected}");
                stuck.push(format!("{text}: {}", record.what));
            }
            let far = &mut link.to_far;
            let passes = !far.is_black_hole && !far.is_held;
            // A limit of the rate leaves it unread for a time. The end says whether it came.
            let is_due = client.state() == State::Connected && self.plan.rate_limit.is_none();
            if record.receives && is_due && passes && far.arrived_len() > 0 {
                stuck.push(format!("what {peer} wrote is not read: {}", record.what));
            }
            let all_read = !record.is_writing && far.bytes.is_empty();
            if record.receives
                && is_due
                && all_read
                && !record.is_hurt
                && record.said != record.taken
            {
                let Record { said, taken, .. } = record;
                let text = format!("the handler of {peer} has {taken} messages of {said}");
                stuck.push(format!("{text}: {}", record.what));
            }
        }
        for text in stuck {
            self.ledger.violation("progress (nothing is stuck)", text);
        }
    }

    /// Checks what holds when the server has shut down and all peers have gone.
    pub(crate) fn check_end(&self) {
        self.check_registry();
        self.check_lives();
        let wrong: Vec<_> = {
            let inner = self.ledger.lock();
            let records = inner.records.iter();
            let wrong = records.filter_map(|(peer, record)| {
                let wrong = self.wrong_with(record)?;
                Some(format!(
                    "{peer}: {wrong}: {}, closed {:?}",
                    record.what, record.closed
                ))
            });
            wrong.collect()
        };
        for text in wrong {
            self.ledger.violation("delivery (complete)", text);
        }
        self.ledger.judge();
    }

    /// Every stream that was told of has ended, once, whatever became of it; no task and no id is left.
    fn check_lives(&self) {
        let rejected = {
            let lives = self.witness.lives();
            lives.values().filter(|life| life.is_rejected).count()
        };
        let counted = self.clients.counters().rejected;
        if u64::try_from(rejected) != Ok(counted) {
            let text = format!("{counted} are counted, {rejected} were told");
            self.ledger.violation("observer (rejections)", text);
        }
        for (id, life) in self.witness.lives().iter() {
            if life.is_open || life.closes != 1 {
                self.ledger
                    .violation("observer (one end)", format!("{id}: {life:?}"));
            }
        }
        let tasks = self.ledger.sim().live_tasks();
        if tasks != 0 || !self.clients.is_empty() {
            let text = format!(
                "{tasks} tasks and {} connections are left",
                self.clients.len()
            );
            self.ledger.violation("end (nothing is left)", text);
        }
    }

    /// Says what is wrong with what came to a peer, or from it to its handler.
    fn wrong_with(&self, record: &Record) -> Option<String> {
        let closed = record.closed.as_ref()?;
        let is_stall = matches!(
            closed.cause,
            CloseCause::Failed(ProtocolError::WriteStalled { .. })
        );
        if is_stall && record.drained_to_the_end && !record.is_hurt {
            return Some("it was given up, although it reads".to_owned());
        }
        let is_silence = matches!(
            closed.cause,
            CloseCause::Failed(ProtocolError::PongTimeout { .. })
        );
        let is_healthy = record.drained_to_the_end && !record.is_hurt && !record.was_jammed;
        if is_silence && record.is_prompt && is_healthy {
            return Some("it was taken for dead, although it answers".to_owned());
        }
        let by_handshake = closed.cause == CloseCause::Handshake;
        // The handler has everything that came before the peer's close.
        let heard_all = record.heard_end && record.peer_closed;
        if heard_all && by_handshake && closed.by == Initiator::Peer && record.taken != record.said
        {
            return Some(format!(
                "its handler got {} of {}",
                record.taken, record.said
            ));
        }
        for (source, received) in &record.received {
            let known = match *source {
                BROADCAST_WAIT => record.uncertain.get(source),
                _ => record.accepted.get(source),
            };
            let is_known = |seq: &u32| known.is_some_and(|known| known.contains(seq));
            if let Some(seq) = received.iter().find(|seq| !is_known(seq)) {
                return Some(format!("it got {seq} of {source}, which was refused"));
            }
        }
        if !record.saw_close {
            let has_reason =
                record.is_hurt || record.was_waited_for || record.outlived_runtime || !by_handshake;
            // Draft-75 has no close to see, and a text that is half written takes the place of draft-76's.
            let is_silent = match record.version {
                Some(Version::Draft76) => has_reason || record.is_message_open,
                Some(Version::Rfc6455) => has_reason,
                Some(Version::Draft75) | None => true,
            };
            return (record.saw_end && !is_silent)
                .then(|| "its stream ended without a close".to_owned());
        }
        // The peer has everything that was taken before the server's close.
        for (source, accepted) in &record.accepted {
            let may_drop = matches!(*source, BY_ID | BROADCAST | TOPIC);
            if may_drop
                && (self.plan.slow_peer == SlowPeer::DropOldest || record.behaviour == "fragments")
            {
                continue;
            }
            let received = record.received.get(source).map_or(&[][..], Vec::as_slice);
            if accepted != received {
                return Some(format!(
                    "of {source} it got {received:?}, taken were {accepted:?}"
                ));
            }
        }
        let (expected, received) = (record.expected(), record.received_len());
        (expected != received).then(|| format!("it got {received} messages of {expected}"))
    }
}
