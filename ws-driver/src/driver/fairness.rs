//! What one poll of a task may do, and how a task that has more to do gives way: to the other tasks of its
//! thread, and to the runtime's look at the sockets, which executors take only after many polls. The same for
//! the tasks of those who hold a connection.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

use ws_proto::READ_FRAME_LIMIT;

use crate::runtime::Runtime;

/// Bytes that an open connection reads and writes in one poll before it gives way: a message of the default limit
/// and its echo. A read that was begun is finished, so it can be 128 KiB more. The frames of a read are bounded by
/// [`READ_FRAME_LIMIT`], and the time by [`POLL_TIME`].
///
/// With 64 KiB, messages of 1 MiB on four connections grew in turn, and were moved each time they did: an echo
/// took 3.3 times the processor's time of one that is read in one poll.
const MESSAGE_BYTES: usize = 2 << 20;

/// The same for all else: plain HTTP, and what is discarded behind a refusal.
const POLL_BYTES: usize = 64 << 10;

/// Time after which a poll begins no other read, and of several writes no other one. Bytes alone do not say what
/// work is: with TLS a byte can be a record of its own, and a handler can take long for each message.
const POLL_TIME: Duration = Duration::from_millis(1);

/// How often a thread asks the runtime to look at its sockets: a look costs a system call or two, and a
/// good peer does not feel a millisecond.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

thread_local! {
    /// When a task of this thread last had the runtime look.
    static LAST_LOOK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What is left of one poll.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    /// When the time was first taken in this poll.
    began: Option<Instant>,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: POLL_BYTES,
            began: None,
        }
    }

    /// That of an open connection.
    pub(crate) const fn of_messages() -> Self {
        Self {
            bytes: MESSAGE_BYTES,
            began: None,
        }
    }

    pub(crate) const fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Takes the time of a read, which the driver asks for anyway.
    pub(crate) fn note_read(&mut self, now: Instant) {
        if self.is_late(now) {
            self.spend_all();
        }
    }

    /// Tells whether the time of the poll is over; it begins when it is first asked for.
    pub(crate) fn is_late(&mut self, now: Instant) -> bool {
        let began = *self.began.get_or_insert(now);
        now.saturating_duration_since(began) >= POLL_TIME
    }

    pub(crate) const fn spend_all(&mut self) {
        self.bytes = 0;
    }

    pub(crate) const fn is_spent(&self) -> bool {
        self.bytes == 0
    }
}

/// What is left of one poll where somebody else, such as hyper, moves the bytes: one handle is for who polls, and
/// one for the stream.
#[derive(Clone, Debug)]
pub(crate) struct SharedBudget(Arc<AtomicUsize>);

impl SharedBudget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(POLL_BYTES)))
    }

    /// Begins with the next poll.
    pub(crate) fn renew(&self) {
        self.0.store(POLL_BYTES, Ordering::Relaxed);
    }

    pub(crate) fn spend(&self, bytes: usize) {
        // All happens within one poll, so nothing comes in between.
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// What the users of a connection did in a row: to receive and to send need not wait as long as the peer
/// sends, or reads, as fast as they do, and a loop of it would keep its thread from all other tasks.
///
/// Small, as each connection has one.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    events: u16,
    /// What was written, in units of [`WRITE_COST`] bytes.
    writes: u16,
}

impl Streak {
    /// Notes events that were handed out.
    pub(crate) fn note_received(&mut self, events: usize) {
        let events = u16::try_from(events).unwrap_or(u16::MAX);
        self.events = self.events.saturating_add(events);
    }

    /// Notes that nothing was at hand, so that the receiver waits.
    pub(crate) const fn note_receiver_waits(&mut self) {
        self.events = 0;
    }

    /// Notes that a sender writes so many bytes by itself.
    pub(crate) fn note_written(&mut self, bytes: usize) {
        let writes = u16::try_from(bytes / WRITE_COST).unwrap_or(u16::MAX);
        self.writes = self.writes.saturating_add(writes.max(1));
    }

    /// Tells whether the receiver is to give way before it goes on; the count begins anew then.
    pub(crate) fn ends_for_receiver(&mut self) -> bool {
        let ends = usize::from(self.events) >= READ_FRAME_LIMIT;
        if ends {
            self.events = 0;
        }
        ends
    }

    /// Tells whether whoever sends is to give way first.
    #[inline]
    pub(crate) const fn is_over_for_senders(&self) -> bool {
        self.writes >= STREAK_WRITES
    }

    /// As [`is_over_for_senders`](Self::is_over_for_senders); the count begins anew then.
    pub(crate) fn ends_for_sender(&mut self) -> bool {
        let ends = self.is_over_for_senders();
        if ends {
            self.writes = 0;
        }
        ends
    }
}

/// What senders write in a row before one of them gives way, in units of [`WRITE_COST`] bytes. It takes a
/// millisecond or two.
const STREAK_WRITES: u16 = 256;

/// What a write counts at least, in bytes, as the system call costs as much.
const WRITE_COST: usize = 1 << 10;

/// Makes the task run again, behind the others that are ready, and from time to time only after the runtime
/// has looked at its sockets.
///
/// Waking oneself is not enough: an executor that always has a task to run looks at its sockets after 61
/// polls on tokio's current-thread runtime and after 200 on smol's, and for so long other peers are not
/// heard.
pub(crate) fn give_way<R: Runtime>(runtime: &R, cx: &mut Context<'_>) {
    let now = runtime.now();
    let is_due = |last: Instant| now.saturating_duration_since(last) >= LOOK_INTERVAL;
    if LAST_LOOK.get().is_none_or(is_due) {
        LAST_LOOK.set(Some(now));
        runtime.yield_now(cx);
    } else {
        cx.waker().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads that bring few bytes and take long end a poll as well. Breaks if only bytes are counted.
    #[test]
    fn a_poll_ends_after_its_time() {
        let start = Instant::now();
        let mut budget = Budget::new();
        budget.note_read(start);
        budget.spend(1);
        budget.note_read(start + POLL_TIME / 2);
        assert!(!budget.is_spent());
        budget.note_read(start + POLL_TIME);
        assert!(budget.is_spent());
    }
}
