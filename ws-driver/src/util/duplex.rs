//! A stream in memory with two ends, for the test kit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use piper::{Reader, Writer, pipe};

/// Bytes that a stream in memory holds in each direction. A writer waits at this limit, as over a network.
pub const PIPE_LEN: usize = 64 << 10;

/// One end of a stream in memory.
pub(crate) struct Duplex {
    reader: Reader,
    /// `None` once this side has ended.
    writer: Option<Writer>,
}

impl Duplex {
    /// Ends this side of the stream. The other side stays open.
    pub(crate) fn end(&mut self) {
        self.writer = None;
    }
}

/// Makes the two ends of a stream in memory.
pub(crate) fn duplex() -> (Duplex, Duplex) {
    let (to_us, from_them) = pipe(PIPE_LEN);
    let (to_them, from_us) = pipe(PIPE_LEN);
    (
        Duplex {
            reader: to_us,
            writer: Some(from_us),
        },
        Duplex {
            reader: to_them,
            writer: Some(from_them),
        },
    )
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.writer {
            Some(writer) => Pin::new(writer).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}
