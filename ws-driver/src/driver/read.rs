//! The read side of a driver. It reads once in a turn, and hands what it has read to the machine.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::Connection as Machine;

use super::{Driver, Pass, Watch, workspace};
use crate::runtime::Runtime;

impl<R, S, H, W> Driver<R, S, H, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future,
    W: Watch,
{
    /// Reads once, if the machine wants that; returns whether anything was read or failed.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, pass: &mut Pass) -> bool {
        if !self.wants_read {
            return false;
        }
        let waits = self.read_ended || self.read_waits;
        let (machine, runtime, unread) = (&self.machine, &self.runtime, &mut self.unread);
        let needs_flush = self.needs_flush;
        if let Some(rest) = unread {
            let now = runtime.now();
            let report = pass.report(needs_flush);
            let read = |machine: &mut Machine| machine.handle_read_some(now, rest);
            let (taken, awake, found) = machine.drive(cx, report, read);
            rest.advance(taken);
            if rest.is_empty() {
                *unread = None;
            }
            // The machine may have taken as many frames as one call takes, even if no byte is left.
            pass.budget.spend_all();
            pass.now = Some(now);
            self.note_awake(awake);
            self.note_found(pass, found);
            return true;
        }
        let Some(stream) = self.stream.as_mut().filter(|_| !waits) else {
            return false;
        };
        let read = workspace::with_buffer(|buffer| {
            let read = Pin::new(stream).poll_read(cx, buffer);
            // Parsed right out of the thread's buffer: the bytes are copied once, into their message.
            read.map_ok(|len| {
                let now = runtime.now();
                let report = pass.report(needs_flush);
                let (taken, awake, found) = machine.drive(cx, report, |machine| match len {
                    0 => {
                        machine.handle_eof(now);
                        0
                    }
                    _ => machine.handle_read_some(now, &buffer[..len]),
                });
                if taken < len {
                    // The machine took as many frames as one call takes, or its queue is full. The rest is copied,
                    // because the buffer is the thread's.
                    pass.budget.spend_all();
                    *unread = Some(Box::new(Bytes::copy_from_slice(&buffer[taken..len])));
                }
                (len, now, awake, found)
            })
        });
        match read {
            Poll::Ready(Ok((len, now, awake, found))) => {
                pass.budget.note_read(now);
                pass.budget.spend(len);
                pass.now = Some(now);
                self.read_ended = len == 0;
                self.note_awake(awake);
                self.note_found(pass, found);
                true
            }
            Poll::Ready(Err(error)) => {
                self.handle_error(cx, pass, &error);
                true
            }
            Poll::Pending => {
                self.read_waits = true;
                false
            }
        }
    }
}
