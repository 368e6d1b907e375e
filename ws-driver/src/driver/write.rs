//! The write side of a driver. It writes and flushes what was queued, within the budget of a poll, and shuts the stream
//! down at the end. The machine decides what is written next.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{Outgoing, State};

use super::fairness::Budget;
use super::shared_machine::Next;
use super::{Driver, Pass, Watch};
use crate::runtime::Runtime;

/// Poll budgets that a sender spends when it writes by itself. They are enough for what a send queue holds by
/// default. The bound keeps the sender from writing for ever to a peer that reads as fast as others send.
const WRITE_ROUNDS: usize = 4;

/// Slices in one vectored write; Linux takes up to 1024.
const SLICE_LIMIT: usize = 64;

/// Bytes that are written in one call. A long message is one slice, and a stream that takes all of it at once, and
/// perhaps encrypts it, would block the thread meanwhile.
const WRITE_LIMIT: usize = 512 << 10;

/// Bytes after which a poll begins no other write. They are enough for a message of the default limit, 1 MiB, with the
/// bytes in front of it and, in the drafts, behind it.
const WRITE_BYTES: usize = 3 * WRITE_LIMIT;

/// Calls after which a poll begins no other write, because a stream can take few bytes each time. More than the three
/// calls of a long message: the byte behind a text of the drafts is taken from the machine separately, and if it is
/// left to another poll it moves to memory of its own.
const WRITE_CALLS: usize = 16;

impl<R, S, H, W> Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    /// Writes until all is written, the stream takes no more or the budget is spent. Returns what is to be done next:
    /// `Write` says that it has written, and that the machine is asked again in the next turn.
    // Inlined into the turn: its results would go through memory otherwise.
    #[inline(always)]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pass: &mut Pass,
        to_wait: bool,
    ) -> (Next, State) {
        let (mut bytes, mut calls) = (0, 0);
        loop {
            // The machine learns of what was written under the lock that also takes the next bytes.
            let report = pass.report(self.needs_flush);
            let able = self.able(pass, to_wait);
            let (next, state, found) = self.machine.next(cx, report, &able, &mut self.writing);
            self.note_found(pass, found);
            let (
                Next::Write {
                    is_last,
                    is_flush_awaited,
                },
                Some(stream),
            ) = (&next, &mut self.stream)
            else {
                return (next, state);
            };
            if !self.writing.has_remaining() {
                self.poll_flush(cx, pass);
                return (next, state);
            }
            // Only after the first write, so that the answers to a read leave in the same turn. A message of a megabyte
            // leaves in one turn as well, because a stop inside it moves its rest out of the thread's workspace.
            let has_done_much = bytes >= WRITE_BYTES || calls >= WRITE_CALLS;
            if calls > 0 && (has_done_much || pass.budget.is_late(self.runtime.now())) {
                pass.budget.spend_all();
                if *is_flush_awaited {
                    self.poll_flush(cx, pass);
                }
                return (next, state);
            }
            match poll_write_some(Pin::new(stream), cx, &self.writing) {
                // A stream that takes nothing without an error would be written to for ever.
                Poll::Ready(Ok(0)) => {
                    self.handle_error(cx, pass, &io::ErrorKind::WriteZero.into());
                }
                Poll::Ready(Ok(len)) => {
                    self.writing.advance(len);
                    self.needs_flush = true;
                    pass.written += len;
                    pass.budget.spend(len);
                    bytes += len;
                    calls += 1;
                    if *is_last && !self.writing.has_remaining() {
                        self.poll_flush(cx, pass);
                        return (next, state);
                    }
                }
                Poll::Ready(Err(error)) => self.handle_error(cx, pass, &error),
                Poll::Pending => {
                    self.write_waits = true;
                    if *is_flush_awaited && self.needs_flush {
                        self.poll_flush(cx, pass);
                    }
                    return (next, state);
                }
            }
        }
    }

    /// Writes outside of a turn, as much as the stream takes, within [`WRITE_ROUNDS`] budgets of a poll.
    pub(super) fn write_rounds(
        &mut self,
        cx: &mut Context<'_>,
        pass: &mut Pass,
        to_wait: bool,
    ) -> Next {
        let mut rounds = 1;
        loop {
            let (next, _) = self.poll_write(cx, pass, to_wait);
            if rounds == WRITE_ROUNDS || !matches!(next, Next::Write { .. }) {
                return next;
            }
            rounds += 1;
            pass.budget = Budget::of_messages();
        }
    }

    /// Flushes the stream: once all is written, or before that if a task waits for a flush. A queue that never becomes
    /// empty would keep it waiting.
    fn poll_flush(&mut self, cx: &mut Context<'_>, pass: &mut Pass) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.needs_flush = false,
            Poll::Ready(Err(error)) => self.handle_error(cx, pass, &error),
            Poll::Pending => self.write_waits = true,
        }
    }

    /// Shuts the write side of the stream down.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>, pass: &mut Pass) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) else {
            return;
        };
        match Pin::new(stream).poll_close(cx) {
            Poll::Ready(Ok(())) => self.write_ended = true,
            Poll::Ready(Err(error)) => self.handle_error(cx, pass, &error),
            Poll::Pending => self.shutdown_waits = true,
        }
    }
}

/// Writes as much as one call takes.
fn poll_write_some<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    outgoing: &Outgoing,
) -> Poll<io::Result<usize>> {
    let first = outgoing.chunk();
    // One slice is the usual case, and streams have less to do for it than for a list of one.
    if first.len() == outgoing.len() || first.len() >= WRITE_LIMIT {
        return stream.poll_write(cx, &first[..first.len().min(WRITE_LIMIT)]);
    }
    let mut slices = [IoSlice::new(&[]); SLICE_LIMIT];
    let count = outgoing.chunks_vectored(&mut slices);
    if outgoing.len() <= WRITE_LIMIT {
        return stream.poll_write_vectored(cx, &slices[..count]);
    }
    poll_write_cut(stream, cx, &slices[..count])
}

/// Writes the first [`WRITE_LIMIT`] bytes of several slices. Not inlined, because its array of slices would lie on the
/// stack of each write.
#[inline(never)]
fn poll_write_cut<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut cut = [IoSlice::new(&[]); SLICE_LIMIT];
    let mut left = WRITE_LIMIT;
    let mut count = 0;
    for (cut, slice) in cut.iter_mut().zip(slices) {
        let len = slice.len().min(left);
        *cut = IoSlice::new(&slice[..len]);
        left -= len;
        count += 1;
        if left == 0 {
            break;
        }
    }
    stream.poll_write_vectored(cx, &cut[..count])
}
