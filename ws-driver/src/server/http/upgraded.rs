//! Adapts a stream that hyper releases after an upgrade to the traits of futures-io. The other direction is in
//! `io.rs`.

#[cfg(feature = "http2")]
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, Write};
use hyper::upgrade::Upgraded;

#[cfg(feature = "http2")]
use crate::driver::workspace;

/// An upgraded stream. It begins with the bytes that hyper has read beyond the request.
pub(crate) struct UpgradedStream {
    upgraded: Upgraded,
    /// The maximum length of one write.
    write_limit: usize,
}

/// The maximum length of one write to a stream of HTTP/2: that of its usual frame (RFC 9113 §4.2). hyper copies what a write
/// takes, whatever its length, and can hold three such copies for a peer that gives no window. So a longer write would
/// count as sent, and leave the `send_queue_limit`, while it waits here.
const HTTP2_WRITE_LIMIT: usize = 16 << 10;

impl UpgradedStream {
    pub(crate) fn new(upgraded: Upgraded, http_version: http::Version) -> Self {
        let write_limit = if http_version == http::Version::HTTP_2 {
            HTTP2_WRITE_LIMIT
        } else {
            // The bytes go to the network itself, without a copy.
            usize::MAX
        };
        Self {
            upgraded,
            write_limit,
        }
    }

    /// Reads once, without a wait, and gives what has arrived to `take`. Returns whether the peer can still send: a client that
    /// resets its requests as fast as it makes them is to cost no handler (CVE-2023-44487).
    #[cfg(feature = "http2")]
    pub(crate) async fn take_early(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        poll_fn(|cx| {
            let read = workspace::with_buffer(|buffer| {
                let len = buffer.len().min(EARLY_LIMIT);
                let read = Pin::new(&mut *self).poll_read(cx, &mut buffer[..len]);
                read.map_ok(|len| {
                    take(&buffer[..len]);
                    len
                })
            });
            Poll::Ready(match read {
                Poll::Ready(Ok(len)) => len > 0,
                Poll::Ready(Err(_)) => false,
                Poll::Pending => true,
            })
        })
        .await
    }
}

/// The bytes that a stream is read for before its connection opens. They stay in memory until then.
#[cfg(feature = "http2")]
const EARLY_LIMIT: usize = 4096;

impl AsyncRead for UpgradedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.upgraded).poll_read(cx, buffer.unfilled()))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for UpgradedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(self.write_limit)];
        Pin::new(&mut self.upgraded).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.write_limit == usize::MAX {
            return Pin::new(&mut self.upgraded).poll_write_vectored(cx, slices);
        }
        // hyper takes one slice of a write. A write of none would be one of nothing.
        let slice = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, slice.map_or(&[], |slice| slice))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upgraded).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upgraded).poll_shutdown(cx)
    }
}
