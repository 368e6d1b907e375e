//! What a connection notes in histograms: its duration, the sizes of its messages, and of one message at a time how long it
//! waits to be written. Most connections have none of this, so all of it is out of line: inlined, it takes registers of those that
//! measure nothing.

use std::time::Instant;

use ws_proto::{EventBatch, hooks};

use crate::observe::counters::count;
use crate::observe::histograms::{Histograms, Measure};
use crate::util::sync::{Mutex, PoisonError};

/// The measurements of one connection.
pub(crate) struct Measured {
    histograms: Histograms,
    opened: Instant,
    /// Locked only under the lock of the machine, so nobody waits for it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes of the message that is being received in fragments.
    received: u64,
    /// Bytes of the message that is being sent in fragments.
    sent: u64,
    /// The message whose time in the queue is taken: when it was queued, and the byte of the stream with which it has left.
    sample: Option<(Instant, u64)>,
}

impl Measured {
    /// Begins to measure an open connection. `began` is when its opening handshake began.
    pub(crate) fn new(histograms: &Histograms, began: Instant, now: Instant) -> Self {
        histograms.note_duration(Measure::Handshake, now.saturating_duration_since(began));
        Self {
            histograms: histograms.clone(),
            opened: now,
            state: Mutex::default(),
        }
    }

    /// Notes the messages in a batch that was empty before.
    #[cold]
    #[inline(never)]
    pub(super) fn note_received(&self, batch: &EventBatch) {
        hooks::each_payload(batch, |len, is_last| {
            self.note_part(Measure::Received, |state| &mut state.received, len, is_last);
        });
    }

    /// Notes a message that was queued or kept back, or a fragment of one.
    #[cold]
    #[inline(never)]
    pub(super) fn note_sent(&self, len: usize, is_last: bool) {
        self.note_part(Measure::Sent, |state| &mut state.sent, len, is_last);
    }

    fn note_part(
        &self,
        measure: Measure,
        open: impl Fn(&mut State) -> &mut u64,
        len: usize,
        is_last: bool,
    ) {
        let mut state = self.state();
        let open = open(&mut state);
        *open += count(len);
        if is_last {
            self.histograms.note(measure, std::mem::take(open));
        }
    }

    /// Takes the time of what was queued last, unless a message is being timed already. It has left with the byte `mark` of the
    /// stream.
    #[cold]
    #[inline(never)]
    pub(super) fn note_queued(&self, mark: u64, now: impl FnOnce() -> Instant) {
        let mut state = self.state();
        if state.sample.is_none() {
            state.sample = Some((now(), mark));
        }
    }

    /// Notes how many bytes of the stream have left.
    #[cold]
    #[inline(never)]
    pub(super) fn note_written(&self, written: u64, now: impl FnOnce() -> Instant) {
        let mut state = self.state();
        if let Some((queued, _)) = state.sample.filter(|(_, mark)| *mark <= written) {
            state.sample = None;
            let waited = now().saturating_duration_since(queued);
            self.histograms.note_duration(Measure::SendQueue, waited);
        }
    }

    /// Notes that the stream is closed. This is called once.
    pub(super) fn note_ended(&self, now: Instant) {
        let lasted = now.saturating_duration_since(self.opened);
        self.histograms.note_duration(Measure::Connection, lasted);
    }

    fn state(&self) -> crate::util::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
