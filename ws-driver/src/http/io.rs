//! What hyper needs of a runtime: our streams as its streams, our timer as its timer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Sleep, Write};

use crate::runtime::{Runtime, Timer};
use crate::scratch;

/// A stream for hyper that begins with bytes that were read from it before.
pub(super) struct HyperIo<S> {
    stream: S,
    received: Bytes,
}

impl<S> HyperIo<S> {
    pub(super) fn new(stream: S, received: Bytes) -> Self {
        Self { stream, received }
    }

    pub(super) fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> Read for HyperIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.received.is_empty() {
            let len = self.received.len().min(cursor.remaining());
            cursor.put_slice(&self.received[..len]);
            self.received.advance(len);
            return Poll::Ready(Ok(()));
        }
        scratch::with(|buffer| {
            let room = cursor.remaining().min(buffer.len());
            let stream = Pin::new(&mut self.stream);
            stream
                .poll_read(cx, &mut buffer[..room])
                .map_ok(|len| cursor.put_slice(&buffer[..len]))
        })
    }
}

impl<S: AsyncWrite + Unpin> Write for HyperIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// A runtime's timers for hyper.
pub(super) struct HyperTimer<R>(pub(super) R);

impl<R: Runtime> hyper::rt::Timer for HyperTimer<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.0.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let mut timer = self.0.timer();
        timer.set(deadline);
        Box::pin(HyperSleep(Mutex::new(timer)))
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// Locked only because hyper wants it `Sync`; nobody else ever holds it.
struct HyperSleep<T>(Mutex<T>);

impl<T: Timer> Future for HyperSleep<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        ready!(timer.poll(cx));
        Poll::Ready(())
    }
}

impl<T: Timer> Sleep for HyperSleep<T> {}
