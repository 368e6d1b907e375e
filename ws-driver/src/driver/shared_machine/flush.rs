//! How far the queue has been written and flushed, which is what `flush` waits for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use ws_proto::{SendError, hooks};

use super::{Inner, SharedMachine};

/// How far flushing has come. The machine counts what was written.
#[derive(Default)]
pub(super) struct Progress {
    /// Bytes since the connection opened that were followed by a flush of the stream. It cannot overflow: 2^64 bytes
    /// take centuries.
    flushed: u64,
    /// Whether the machine dropped bytes that had not left, because of a reset or a timeout.
    is_lost: bool,
    /// Whether a task waits for a flush.
    is_awaited: bool,
    /// Whether something changed for such tasks.
    has_news: bool,
}

impl Progress {
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Returns whether tasks that wait for a flush are to be woken, and forgets it.
    #[inline]
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }
}

/// A flush that has begun. It is done once everything has left that was queued then.
pub(crate) struct Flush {
    /// Bytes since the connection opened that have to leave, if no control frame overtakes them.
    target: u64,
    /// Bytes of pings and pongs that had been queued when it began. Later ones can overtake the bytes that it waits for.
    control_queued: u64,
    /// Whether bytes had been dropped when it began. Then the queue is empty because of that, and says nothing.
    began_lost: bool,
    listener: Option<EventListener>,
}

impl Flush {
    /// Waits for the listener. Without a listener it is ready at once.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(listener) = &mut self.listener {
            ready!(Pin::new(listener).poll(cx));
            self.listener = None;
        }
        Poll::Ready(())
    }
}

impl SharedMachine {
    /// Begins a flush, and writes what is queued if the driver has a task of its own.
    pub(crate) fn begin_flush(&self) -> Flush {
        let flush = {
            let inner = self.lock();
            Flush {
                target: inner.mark(),
                control_queued: hooks::control_queued(&inner.machine),
                began_lost: inner.progress.is_lost,
                listener: None,
            }
        };
        self.write_at_once();
        flush
    }

    /// Waits until the stream has taken all that was queued when the flush began. Fails if the stream ended before.
    pub(crate) fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        flush: &mut Flush,
    ) -> Poll<Result<(), SendError>> {
        loop {
            ready!(flush.poll_news(cx));
            let mut inner = self.lock();
            if inner.streak.ends_for_sender() {
                self.give_way(inner, cx);
                return Poll::Pending;
            }
            if inner.is_flushed(flush) {
                return Poll::Ready(Ok(()));
            }
            if inner.has_ended {
                return Poll::Ready(Err(SendError::Closed));
            }
            inner.progress.is_awaited = true;
            flush.listener = Some(self.listen(&mut inner));
        }
    }

    /// Waits for the end of the stream. Fails if the stream ended before all had left that was queued when `flush`
    /// began.
    pub(crate) fn poll_ended(
        &self,
        cx: &mut Context<'_>,
        flush: &mut Flush,
    ) -> Poll<Result<(), SendError>> {
        loop {
            ready!(flush.poll_news(cx));
            let mut inner = self.lock();
            if inner.has_ended {
                let is_flushed = inner.is_flushed(flush);
                return Poll::Ready(is_flushed.then_some(()).ok_or(SendError::Closed));
            }
            flush.listener = Some(self.listen(&mut inner));
        }
    }

    /// Returns whether the stream is closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().has_ended
    }
}

impl Inner {
    /// Notes that all that was written has been flushed.
    #[inline]
    pub(super) fn note_flushed(&mut self) {
        let written = self.machine.bytes_written();
        if self.progress.flushed != written {
            self.progress.flushed = written;
            self.progress.has_news = self.progress.is_awaited;
        }
    }

    /// Returns the bytes that will have left since the connection opened once the queue is empty.
    #[inline]
    pub(super) fn mark(&self) -> u64 {
        let buffered = self.machine.buffered_amount();
        self.machine.bytes_written() + u64::try_from(buffered).unwrap_or(u64::MAX)
    }

    /// Notes whether the machine dropped its queue since it was at `mark`.
    #[inline]
    pub(super) fn note_lost_since(&mut self, mark: u64) {
        // An empty queue, of which not all has left.
        let is_empty = self.machine.buffered_amount() == 0;
        self.progress.is_lost |= is_empty && self.machine.bytes_written() < mark;
    }

    fn is_flushed(&self, flush: &Flush) -> bool {
        if flush.began_lost {
            return false;
        }
        let Progress {
            flushed, is_lost, ..
        } = self.progress;
        let written = self.machine.bytes_written();
        // A ping or a pong that was queued later may have gone ahead. Each counts as if it had, so that the flush never
        // ends too early. Bytes that were queued and not pings that arrived, because a pong is short or is left out:
        // otherwise a peer could move the target faster than it reads.
        let later = hooks::control_queued(&self.machine).saturating_sub(flush.control_queued);
        let is_past = flushed >= flush.target.saturating_add(later);
        let is_empty = !is_lost && flushed == written && self.machine.buffered_amount() == 0;
        is_past || is_empty
    }
}
