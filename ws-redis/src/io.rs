//! A stream of the driver as one for the crate `redis`. It stops to read while the node has too much that waits for its
//! members, so that the engine keeps the rest.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener};
use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::ReadBuf;

/// Whether the stream reads. It is closed by what arrives, and opened by a task that knows when.
#[derive(Default)]
pub(crate) struct Valve {
    is_closed: AtomicBool,
    /// How often it was closed.
    closings: AtomicUsize,
    changed: Event,
}

impl Valve {
    pub(crate) fn close(&self) {
        if !self.is_closed.swap(true, Ordering::SeqCst) {
            self.closings.fetch_add(1, Ordering::SeqCst);
            self.changed.notify(usize::MAX);
        }
    }

    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn closings(&self) -> usize {
        self.closings.load(Ordering::SeqCst)
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let changed = self.changed.listen();
            if self.is_closed() {
                return;
            }
            changed.await;
        }
    }
}

pub(crate) struct RedisIo<S> {
    stream: S,
    valve: Arc<Valve>,
    /// While the valve is closed.
    waiting: Option<EventListener>,
}

impl<S> RedisIo<S> {
    pub(crate) fn new(stream: S, valve: Arc<Valve>) -> Self {
        Self {
            stream,
            valve,
            waiting: None,
        }
    }

    fn poll_valve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.valve.is_closed() {
            let waiting = self
                .waiting
                .get_or_insert_with(|| self.valve.changed.listen());
            // Asked again behind the listener, because an opening in between would be missed.
            if !self.valve.is_closed() {
                break;
            }
            ready!(Future::poll(Pin::new(waiting), cx));
            self.waiting = None;
        }
        self.waiting = None;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> tokio::io::AsyncRead for RedisIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_valve(cx));
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer.initialize_unfilled());
        let len = ready!(read)?;
        buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> tokio::io::AsyncWrite for RedisIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
