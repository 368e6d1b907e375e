//! Bounds the work of one poll, and makes a task that has more to do give way: to the other tasks of its thread, and
//! to the runtime's look at its sockets, because executors look only after many polls. The tasks of users that hold a
//! connection are bounded in the same way.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

use ws_proto::READ_FRAME_LIMIT;

use crate::runtime::Runtime;

/// Bytes that an open connection reads and writes in one poll before it gives way: a message of the default limit and
/// its echo. A read that was begun is finished, so it can be 128 KiB more. The frames of a read are bounded by
/// [`READ_FRAME_LIMIT`], and the time by [`POLL_TIME`].
///
/// With 64 KiB, messages of 1 MiB on four connections grew by turns, and were moved each time they grew: an echo took
/// 3.3 times the processor time of an echo that is read in one poll.
const MESSAGE_BYTES: usize = 2 << 20;

/// Bytes that other tasks read and write in one poll: plain HTTP, and streams that linger after a refusal.
const POLL_BYTES: usize = 64 << 10;

/// The time after which a poll begins no other read and, after its first write, no other write. Bytes alone do not
/// measure the work: with TLS a byte can be a record of its own, and a handler can take long for each message.
const POLL_TIME: Duration = Duration::from_millis(1);

/// How often a thread asks the runtime to look at its sockets. A look costs a system call or two, and no peer notices a
/// millisecond.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

thread_local! {
    /// When a task of this thread last had the runtime look.
    static LAST_LOOK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The rest of what one poll may do.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    /// The first time that was taken in this poll.
    began: Option<Instant>,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: POLL_BYTES,
            began: None,
        }
    }

    /// Makes the budget of an open connection.
    pub(crate) const fn of_messages() -> Self {
        Self {
            bytes: MESSAGE_BYTES,
            began: None,
        }
    }

    pub(crate) const fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Notes the time of a read. The driver has asked the clock for it anyway.
    pub(crate) fn note_read(&mut self, now: Instant) {
        if self.is_late(now) {
            self.spend_all();
        }
    }

    /// Returns whether the time of the poll is over. It begins with the first call.
    pub(crate) fn is_late(&mut self, now: Instant) -> bool {
        match self.began {
            Some(began) => now.saturating_duration_since(began) >= POLL_TIME,
            None => {
                self.began = Some(now);
                false
            }
        }
    }

    pub(crate) const fn spend_all(&mut self) {
        self.bytes = 0;
    }

    pub(crate) const fn is_spent(&self) -> bool {
        self.bytes == 0
    }
}

/// The rest of what one poll may do where other code, such as hyper, moves the bytes. The task that polls has one
/// handle, and the stream has the other.
#[derive(Clone, Debug)]
pub(crate) struct SharedBudget(Arc<AtomicUsize>);

impl SharedBudget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(POLL_BYTES)))
    }

    /// Begins anew, for the next poll.
    pub(crate) fn renew(&self) {
        self.0.store(POLL_BYTES, Ordering::Relaxed);
    }

    pub(crate) fn spend(&self, bytes: usize) {
        // Both handles are used in one task, so no other change comes in between.
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// The work that users of a connection did without a wait. While the peer sends or reads as fast as they do, no call
/// waits, and a loop of such calls would keep the thread from all other tasks.
///
/// Small, because each connection has one.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    events: u16,
    /// The bytes that were written, in units of [`WRITE_COST`].
    writes: u16,
}

impl Streak {
    /// Notes events that were handed out.
    pub(crate) fn note_received(&mut self, events: usize) {
        let events = u16::try_from(events).unwrap_or(u16::MAX);
        self.events = self.events.saturating_add(events);
    }

    /// Notes that no event was available, so that the receiver waits.
    pub(crate) const fn note_receiver_waits(&mut self) {
        self.events = 0;
    }

    /// Notes that a sender writes `bytes` bytes by itself.
    pub(crate) fn note_written(&mut self, bytes: usize) {
        let writes = u16::try_from(bytes / WRITE_COST).unwrap_or(u16::MAX);
        self.writes = self.writes.saturating_add(writes.max(1));
    }

    /// Returns whether the receiver is to give way before it goes on. If so, the count begins anew.
    pub(crate) fn ends_for_receiver(&mut self) -> bool {
        let ends = usize::from(self.events) >= READ_FRAME_LIMIT;
        if ends {
            self.events = 0;
        }
        ends
    }

    /// Returns whether a sender is to give way before it goes on.
    #[inline]
    pub(crate) const fn is_over_for_senders(&self) -> bool {
        self.writes >= STREAK_WRITES
    }

    /// Returns the same as [`is_over_for_senders`](Self::is_over_for_senders). If it is `true`, the count begins anew.
    pub(crate) fn ends_for_sender(&mut self) -> bool {
        let ends = self.is_over_for_senders();
        if ends {
            self.writes = 0;
        }
        ends
    }
}

/// What senders write in a row before one of them gives way, in units of [`WRITE_COST`] bytes. That takes a
/// millisecond or two.
const STREAK_WRITES: u16 = 256;

/// The bytes that a write counts at least, because its system call costs as much as to write them.
const WRITE_COST: usize = 1 << 10;

/// Makes the task run again, behind the other tasks that are ready, and from time to time only after the runtime has
/// looked at its sockets.
pub(crate) fn give_way<R: Runtime>(runtime: &R, cx: &mut Context<'_>) {
    let now = runtime.now();
    let is_due = |last: Instant| now.saturating_duration_since(last) >= LOOK_INTERVAL;
    // To wake the task is not enough: an executor that always has a task to run looks at its sockets after 61 polls on
    // tokio's current-thread runtime and after 200 on smol's, and does not hear other peers before that.
    if LAST_LOOK.get().is_none_or(is_due) {
        // One task asks for the whole thread: its look serves the sockets of all.
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
