//! The other end of a connection, as bytes. Knows nothing of frames.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};

use crate::util::duplex::Duplex;

/// The other end of a connection, which sends and receives plain bytes.
///
/// If it is dropped the stream breaks.
pub struct Peer {
    stream: Duplex,
}

impl Peer {
    pub(crate) fn new(stream: Duplex) -> Self {
        Self { stream }
    }

    /// Sends bytes unchanged.
    ///
    /// # Errors
    ///
    /// Fails if the connection has closed its stream.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, some of the bytes may have been sent.
    pub async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await? {
                0 => return Err(io::ErrorKind::BrokenPipe.into()),
                len => bytes = &bytes[len..],
            }
        }
        Ok(())
    }

    /// Waits for exactly `len` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the connection ends its side of the stream earlier.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, bytes may be lost.
    pub async fn receive(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.read(&mut bytes[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(bytes)
    }

    /// Waits for the end of the connection's side of the stream; returns all bytes before it.
    ///
    /// # Errors
    ///
    /// Fails if the stream breaks.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, bytes may be lost.
    pub async fn receive_to_end(&mut self) -> io::Result<Vec<u8>> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.read(&mut buffer).await? {
                0 => return Ok(bytes),
                len => bytes.extend_from_slice(&buffer[..len]),
            }
        }
    }

    /// Ends this side of the stream. The connection's side stays open.
    pub fn end(&mut self) {
        self.stream.end();
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, buffer)).await
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}
