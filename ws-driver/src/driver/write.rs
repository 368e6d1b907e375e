//! The write side of a driver: what was queued is written, flushed and, at the end, shut down, within the budget of
//! a poll. What waits to be written is the machine's to say.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::Outgoing;

use super::fairness::Budget;
use super::shared_machine::Wants;
use super::{Driver, Watch};
use crate::runtime::Runtime;

/// Budgets that a sender may spend who does the writing: what a send queue holds by default, and not for
/// ever for a peer that reads as fast as others send.
const WRITE_ROUNDS: usize = 4;

/// Pieces in one gather write; Linux takes up to 1024.
const SLICE_LIMIT: usize = 64;

/// Bytes that are written in one call. A long message is one slice, and a stream that takes all of it at once,
/// encrypted perhaps, would keep the thread for as long as that takes.
const WRITE_LIMIT: usize = 512 << 10;

/// Bytes after which a poll begins no other write: enough for a message of the default limit, 1 MiB, with what is in
/// front of it and, in the drafts, behind it.
const WRITE_BYTES: usize = 3 * WRITE_LIMIT;

/// Calls after which a poll begins no other write, because a stream can take few bytes each time. The three calls of a
/// long message are not enough: the byte behind a text of the drafts is taken from the machine apart, and one that was
/// left to another poll was moved to memory of its own.
const WRITE_CALLS: usize = 16;

impl<R, S, H, W> Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    /// Writes until all is written, the stream takes no more or the budget is spent; tells what the machine
    /// wants then.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Wants {
        let (mut written, mut bytes, mut calls) = (0, 0, 0);
        loop {
            let is_flushed = !self.needs_flush;
            let (wants, is_stirred) =
                self.machine
                    .consult(cx, written, is_flushed, &mut self.writing);
            self.calls_handler |= is_stirred;
            let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) else {
                return wants;
            };
            // Only once anything was written, so that the answers to what was read leave in its turn. A message of
            // a megabyte leaves in one turn as well, because to stop in its midst means to move the rest out of
            // the thread's buffer.
            let has_more = written > 0 && self.writing.has_remaining();
            let has_done_much = bytes >= WRITE_BYTES || calls >= WRITE_CALLS;
            if has_more && (has_done_much || budget.is_late(self.runtime.now())) {
                budget.spend_all();
                if wants.flush {
                    self.poll_flush(cx);
                }
                return wants;
            }
            let polled = if self.writing.has_remaining() {
                poll_write_some(Pin::new(stream), cx, &self.writing)
            } else if self.needs_flush {
                Pin::new(stream).poll_flush(cx).map_ok(|()| 0)
            } else {
                return wants;
            };
            written = match polled {
                Poll::Ready(Ok(0)) if self.writing.has_remaining() => {
                    self.handle_error(cx, &io::ErrorKind::WriteZero.into());
                    0
                }
                Poll::Ready(Ok(0)) => {
                    self.needs_flush = false;
                    return wants;
                }
                Poll::Ready(Ok(len)) => {
                    self.writing.advance(len);
                    self.needs_flush = true;
                    budget.spend(len);
                    bytes += len;
                    calls += 1;
                    len
                }
                Poll::Ready(Err(error)) => {
                    self.handle_error(cx, &error);
                    0
                }
                Poll::Pending => {
                    self.write_waits = true;
                    if wants.flush && self.needs_flush {
                        self.poll_flush(cx);
                    }
                    return wants;
                }
            };
        }
    }

    /// Writes out of turn: as much as the stream takes, in up to [`WRITE_ROUNDS`] times the budget of a poll.
    pub(super) fn write_rounds(&mut self, cx: &mut Context<'_>) -> Wants {
        let mut wants = self.poll_write(cx, &mut Budget::of_messages());
        for _ in 1..WRITE_ROUNDS {
            let is_unfinished = self.writing.has_remaining() || self.needs_flush;
            if self.write_waits || self.write_ended || !is_unfinished {
                break;
            }
            wants = self.poll_write(cx, &mut Budget::of_messages());
        }
        wants
    }

    /// Flushes a stream that takes no more, as somebody waits for that: otherwise it is flushed only when
    /// all is written, which may never be so.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.needs_flush = false,
            Poll::Ready(Err(error)) => self.handle_error(cx, &error),
            Poll::Pending => {}
        }
    }

    /// Shuts the write side down.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) else {
            return;
        };
        match Pin::new(stream).poll_close(cx) {
            Poll::Ready(Ok(())) => self.write_ended = true,
            Poll::Ready(Err(error)) => self.handle_error(cx, &error),
            Poll::Pending => self.shutdown_waits = true,
        }
    }
}

/// Writes as much as goes in one call.
fn poll_write_some<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    outgoing: &Outgoing,
) -> Poll<io::Result<usize>> {
    let first = outgoing.chunk();
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

/// Writes the front of what is more than goes in one call.
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
