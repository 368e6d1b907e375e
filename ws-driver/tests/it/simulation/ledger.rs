//! Who sent what to whom and what came of it. Each message says by whom it is, which in order, and how
//! long, and is filled with what follows from that; so whoever gets one can tell what is wrong with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ws_driver::ws_proto::Version;
use ws_driver::{Closed, ConnectionId, Sender};

use ws_testing::sim::{Sim, lock};

/// Sources of messages, besides the tasks of a handler, which count from one.
pub(crate) const HANDLER: u32 = 0;
pub(crate) const BY_ID: u32 = 1000;
pub(crate) const BROADCAST: u32 = 1001;
pub(crate) const TOPIC: u32 = 1002;
pub(crate) const BROADCAST_WAIT: u32 = 1003;
pub(crate) const PEER: u32 = 1004;

/// What is known of one peer and its connection.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) what: String,
    pub(crate) version: Option<Version>,
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) id: Option<ConnectionId>,
    pub(crate) sender: Option<Sender>,
    /// Messages that the server took for the peer, by source.
    pub(crate) accepted: BTreeMap<u32, Vec<u32>>,
    /// Messages that came to the peer, by source.
    pub(crate) received: BTreeMap<u32, Vec<u32>>,
    /// Messages of which nobody knows whether they were taken, by source.
    pub(crate) uncertain: BTreeMap<u32, Vec<u32>>,
    /// Messages that a policy refused because of the send queue.
    pub(crate) refused: u64,
    /// Messages that the peer has written, and those that its handler has got.
    pub(crate) said: u32,
    pub(crate) taken: u32,
    /// Whether the peer has sent a close, or has ended its side between two messages.
    pub(crate) peer_closed: bool,
    /// What the peer has seen of the end: the server's close, the end of the stream.
    pub(crate) saw_close: bool,
    pub(crate) saw_end: bool,
    /// Whether the peer saw its stream end in the middle of a frame.
    pub(crate) was_cut: bool,
    /// Whether the peer reads at once whatever comes.
    pub(crate) reads: bool,
    /// Whether there are bytes that the peer has yet to write.
    pub(crate) is_writing: bool,
    /// Whether the handler waits for a message, and is done when there are no more.
    pub(crate) receives: bool,
    pub(crate) heard_end: bool,
    /// Whether the handler has a message open that it sends in fragments.
    pub(crate) is_message_open: bool,
    pub(crate) panics: bool,
    /// Whether something was done to the stream that ends it or may end it.
    pub(crate) is_hurt: bool,
    /// Whether nothing arrived on its stream for a while.
    pub(crate) was_jammed: bool,
    /// Whether it asks for an upgrade at once.
    pub(crate) asks_at_once: bool,
    /// Whether it reads, and answers pings, at once.
    pub(crate) is_prompt: bool,
    /// Since when nothing passes in either direction.
    pub(crate) vanished: Option<Instant>,
    /// What its handler does.
    pub(crate) behaviour: String,
    /// Whether a wait of the closing handshake ran out.
    pub(crate) was_waited_for: bool,
    /// Whether the peer reads, at once or slowly; and whether it still did when the server said that it
    /// ended.
    pub(crate) drains: bool,
    pub(crate) drained_to_the_end: bool,
    /// Whether the runtime ended before, so that a close may have been left unwritten.
    pub(crate) outlived_runtime: bool,
    /// How the server says that it ended.
    pub(crate) closed: Option<Closed>,
}

impl Record {
    /// Returns how many messages the peer should get in all, as far as that is known.
    pub(crate) fn expected(&self) -> u64 {
        let dropped = self
            .sender
            .as_ref()
            .map_or(0, |sender| sender.counters().messages_dropped);
        let accepted = self.accepted.values().map(Vec::len).sum();
        count(accepted) + self.refused - dropped
    }

    /// Returns how many of those it has got.
    pub(crate) fn received_len(&self) -> u64 {
        let certain = self
            .received
            .iter()
            .filter(|(source, _)| **source != BROADCAST_WAIT);
        count(certain.map(|(_, received)| received.len()).sum())
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).expect("fits")
}

/// All that is known in one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger {
    sim: Sim,
    inner: Arc<Mutex<Inner>>,
    is_loud: bool,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) records: BTreeMap<u32, Record>,
    /// How long the process stood still, in all.
    pub(crate) stopped: Duration,
    /// Whether the runtime has ended.
    pub(crate) has_ended: bool,
    violations: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(sim: &Sim, is_loud: bool) -> Self {
        Self {
            sim: sim.clone(),
            inner: Arc::default(),
            is_loud,
        }
    }

    pub(crate) fn sim(&self) -> &Sim {
        &self.sim
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Works on what is known of a peer.
    pub(crate) fn with<T>(&self, peer: u32, work: impl FnOnce(&mut Record) -> T) -> T {
        work(self.lock().records.entry(peer).or_default())
    }

    /// Tells a line of the story, if it is to be read.
    #[expect(clippy::print_stdout, reason = "the story is for who replays a seed")]
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if self.is_loud {
            println!("{:12.6} {}", self.sim.elapsed().as_secs_f64(), line());
        }
    }

    /// Notes that a check failed. Handlers cannot panic for it: that is caught.
    pub(crate) fn violation(&self, check: &str, text: impl AsRef<str>) {
        let at = self.sim.elapsed().as_secs_f64();
        let text = format!("{check} at {at:.6} s: {}", text.as_ref());
        self.tell(|| format!("VIOLATION {text}"));
        self.lock().violations.push(text);
    }

    /// Fails if a check has.
    pub(crate) fn judge(&self) {
        let first = self.lock().violations.first().cloned();
        if let Some(first) = first {
            panic!("{first}");
        }
    }

    /// Takes a message that came to a peer, or from one to its handler.
    pub(crate) fn receive(&self, peer: u32, payload: &[u8], at_peer: bool) {
        let message = match parse(payload) {
            Ok(message) => message,
            Err(why) => {
                let start = &payload[..payload.len().min(60)];
                let text = format!("peer {peer}: {why}: {:?}", start.escape_ascii().to_string());
                return self.violation("delivery (intact)", text);
            }
        };
        let Label { to, source, seq } = message;
        if to != peer && to != EVERYBODY || (source == PEER) == at_peer {
            let text = format!("{peer} got what was from {source} for {to}");
            return self.violation("delivery (right peer)", text);
        }
        if !at_peer {
            let expected = self.with(peer, |record| {
                record.taken += 1;
                record.taken
            });
            if seq != expected {
                let text = format!("handler of {peer} got {seq}, expected {expected}");
                self.violation("delivery (in order, once)", text);
            }
            return;
        }
        let last = self.with(peer, |record| {
            let received = record.received.entry(source).or_default();
            let last = received.last().copied();
            received.push(seq);
            last
        });
        if last.is_some_and(|last| last >= seq) {
            let text = format!("{peer} got {seq} of {source} after {last:?}");
            self.violation("delivery (in order, once)", text);
        }
    }

    pub(crate) fn note_accepted(&self, peer: u32, source: u32, seq: u32) {
        self.with(peer, |record| {
            record.accepted.entry(source).or_default().push(seq);
        });
    }
}

/// The peer that a broadcast is for.
pub(crate) const EVERYBODY: u32 = u32::MAX;

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) to: u32,
    pub(crate) source: u32,
    pub(crate) seq: u32,
}

/// Writes a message of about `len` bytes.
pub(crate) fn message(label: Label, len: usize) -> String {
    let Label { to, source, seq } = label;
    let mut text = format!("{to}/{source}/{seq}/{len}|");
    let mut state = u64::from(seq) << 32 | u64::from(source);
    while text.len() < len {
        state = ws_testing::sim::random::mix(state.wrapping_add(1));
        let _ = write!(text, "{state:x}é");
    }
    text
}

fn parse(payload: &[u8]) -> Result<Label, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "not UTF-8")?;
    let (label, _) = text.split_once('|').ok_or("no label")?;
    let mut numbers = label.split('/').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).ok_or("half a label");
    let (to, source, seq, len) = (next()?, next()?, next()?, next()?);
    let label = Label { to, source, seq };
    let len = usize::try_from(len).map_err(|_| "a length")?;
    match message(label, len) == text {
        true => Ok(label),
        false => Err(format!("not what {label:?} is filled with")),
    }
}
