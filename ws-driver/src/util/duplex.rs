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
        let read = Pin::new(&mut self.reader).poll_read(cx, buffer);
        if read.is_pending() {
            // piper gives way at random, though bytes are there. Who looks once, and does not wait, is to find them.
            match self.reader.try_drain(buffer) {
                0 => {}
                len => return Poll::Ready(Ok(len)),
            }
        }
        read
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.writer {
            Some(writer) => {
                let written = Pin::new(&mut *writer).poll_write(cx, bytes);
                if written.is_pending() {
                    match writer.try_fill(bytes) {
                        0 => {}
                        len => return Poll::Ready(Ok(len)),
                    }
                }
                written
            }
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A write and a read that are tried once succeed where there is capacity, and bytes.
    #[test]
    fn nothing_gives_way_at_random() {
        let (mut ours, mut theirs) = duplex();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10_000 {
            let written = Pin::new(&mut ours).poll_write(&mut cx, b"four");
            assert!(matches!(written, Poll::Ready(Ok(4))), "{written:?}");
            let mut buffer = [0; 8];
            let read = Pin::new(&mut theirs).poll_read(&mut cx, &mut buffer);
            assert!(matches!(read, Poll::Ready(Ok(4))), "{read:?}");
        }
    }
}
