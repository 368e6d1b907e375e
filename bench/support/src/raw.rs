//! Sends bytes back as they come: what a WebSocket server on the same runtime cannot beat by parsing.
//!
//! As good as it gets with one read and one write per wake: the read buffer belongs to the thread, so
//! an idle connection owns none, and what was read is written from there.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// Reads from a stream of some runtime.
pub type PollRead<S> = fn(&mut S, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>;

/// Writes to a stream of some runtime.
pub type PollWrite<S> = fn(&mut S, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>;

/// Sends back all that comes, until the end of the stream or an error.
pub async fn echo<S>(mut stream: S, read: PollRead<S>, write: PollWrite<S>) {
    let mut unwritten = Unwritten::default();
    let life = poll_fn(|cx| {
        loop {
            ready!(unwritten.poll_write(&mut stream, cx, write))?;
            let is_open = BUFFER.with_borrow_mut(|buffer| {
                let len = ready!(read(&mut stream, cx, buffer))?;
                let arrived = buffer.get(..len).unwrap_or_default();
                let written = match write(&mut stream, cx, arrived) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                unwritten.keep(arrived.get(written..).unwrap_or_default());
                Poll::Ready(Ok::<_, io::Error>(len > 0))
            });
            if !ready!(is_open)? {
                return Poll::Ready(Ok::<_, io::Error>(()));
            }
        }
    });
    // Clients end with a reset, which is an error here.
    let _ = life.await;
}

/// What the socket did not take at once.
#[derive(Default)]
struct Unwritten {
    bytes: Vec<u8>,
    written: usize,
}

impl Unwritten {
    fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn poll_write<S>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        write: PollWrite<S>,
    ) -> Poll<io::Result<()>> {
        while let Some(left @ [_, ..]) = self.bytes.get(self.written..) {
            self.written += ready!(write(stream, cx, left))?;
        }
        self.bytes.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// More than any window of small messages, and a whole one of the largest. It belongs to the thread, and
/// what no read fills is never touched.
const BUFFER_LEN: usize = 1024 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_LEN]);
}
