//! A stream of the driver as one for the crate `redis`. It stops to read while the node has too much that waits for its
//! members, so that the engine keeps the rest. It fails if an answer does not end, because the crate keeps an answer until it
//! is complete.

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

/// The bytes that have arrived since an answer was last complete.
pub(crate) struct Unfinished {
    len: AtomicUsize,
    limit: AtomicUsize,
    /// The bytes that have arrived in all.
    arrived: AtomicUsize,
    /// The bytes of what is asked and not answered.
    asked: AtomicUsize,
}

/// The longest greeting, and the longest answer or message behind it.
const GREETING_LIMIT: usize = 64 << 10;
const ANSWER_LIMIT: usize = 64 << 20;

impl Unfinished {
    /// Notes that the engine has been greeted, so that longer answers are due.
    pub(crate) fn note_greeted(&self) {
        self.limit.store(ANSWER_LIMIT, Ordering::Relaxed);
        self.note_complete();
    }

    /// Notes that an answer or a message is complete.
    pub(crate) fn note_complete(&self) {
        self.len.store(0, Ordering::Relaxed);
    }

    /// Notes that so many bytes are asked. Returns how many are asked in all: what comes later waits for what is before it.
    pub(crate) fn begin(self: &Arc<Self>, len: usize) -> (Asked, usize) {
        let before = self.asked.fetch_add(len, Ordering::Relaxed);
        let unfinished = Arc::clone(self);
        (Asked { unfinished, len }, before.saturating_add(len))
    }

    /// The bytes that have arrived in all, modulo the size of a number.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    fn note_read(&self, len: usize) -> io::Result<()> {
        self.arrived.fetch_add(len, Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        if self.len.fetch_add(len, Ordering::Relaxed) + len <= limit {
            return Ok(());
        }
        let error = format!("an answer of the engine has more than {limit} bytes");
        Err(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// What is asked, until it is answered or nobody waits for it.
pub(crate) struct Asked {
    unfinished: Arc<Unfinished>,
    len: usize,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.unfinished.asked.fetch_sub(self.len, Ordering::Relaxed);
    }
}

impl Default for Unfinished {
    fn default() -> Self {
        Self {
            len: AtomicUsize::new(0),
            limit: AtomicUsize::new(GREETING_LIMIT),
            arrived: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        }
    }
}

pub(crate) struct RedisIo<S> {
    stream: S,
    valve: Arc<Valve>,
    unfinished: Arc<Unfinished>,
    /// Read into and copied from, because the reader's memory would have to be cleared for each look at the stream.
    block: Box<[u8]>,
    /// While the valve is closed.
    waiting: Option<EventListener>,
}

/// The most bytes of a read.
const BLOCK_LEN: usize = 16 << 10;

impl<S> RedisIo<S> {
    pub(crate) fn new(stream: S, valve: Arc<Valve>, unfinished: Arc<Unfinished>) -> Self {
        Self {
            stream,
            valve,
            unfinished,
            block: vec![0; BLOCK_LEN].into(),
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
        let Self {
            stream,
            block,
            unfinished,
            ..
        } = &mut *self;
        let end = block.len().min(buffer.remaining());
        let len = ready!(Pin::new(stream).poll_read(cx, &mut block[..end]))?;
        buffer.put_slice(&block[..len]);
        Poll::Ready(unfinished.note_read(len))
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
