//! A stream inside of TLS: moves records between the transport and rustls. Does not know about certificates, nor about
//! WebSockets.
//!
//! It holds no buffer for reading. Records are read into the caller's buffer, as many as it has capacity for, and are
//! decrypted there. So the one buffer of the thread is enough (P5), and a megabyte that has arrived needs a few reads
//! and not one for each record of 16 KiB. The memory in which rustls assembles a record is freed when the record is
//! complete.
//!
//! Bytes count as written only when the transport has taken their records. So `stall_timeout`, a flush and the end of a
//! connection mean the same with TLS as without. These two properties are the reason to drive rustls directly and not
//! through a crate with a stream.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::{Connection, ProtocolVersion};

use super::{ALPN, TlsError, TlsInfo, TlsVersion};

static HTTP_11: LazyLock<Arc<str>> = LazyLock::new(|| String::from_utf8_lossy(ALPN).into());

/// A stream inside of TLS, on either side.
pub(crate) struct TlsStream<S> {
    transport: S,
    /// Boxed, because it is larger than everything else that a connection keeps.
    session: Box<Connection>,
    /// The bytes that rustls has taken from the writer, but that are not yet reported as written. See
    /// [`poll_write_vectored`](AsyncWrite::poll_write_vectored).
    owed: usize,
    /// Whether the peer has sent TLS.
    has_read: bool,
    /// Whether the tickets of the handshake wait for something to leave with.
    holds_tickets: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(transport: S, session: Connection) -> Self {
        Self {
            transport,
            session: Box::new(session),
            owed: 0,
            has_read: false,
            holds_tickets: false,
        }
    }

    /// Does the TLS handshake, which can begin with bytes that were read from the transport before. After an error only the
    /// [transport](Self::into_transport) can be used.
    pub(super) async fn handshake(&mut self, early: Vec<u8>) -> Result<(), TlsError> {
        let mut early = &*early;
        poll_fn(|cx| self.poll_handshake(cx, &mut early)).await
    }

    fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        early: &mut &[u8],
    ) -> Poll<Result<(), TlsError>> {
        loop {
            let is_over = !self.session.is_handshaking();
            if !is_over || !self.has_only_tickets_left() {
                ready!(self.poll_drain(cx))?;
                ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            }
            if is_over {
                self.holds_tickets = self.session.wants_write();
                // The certificates of the peer may have made the buffers large.
                self.shrink_buffers();
                return Poll::Ready(Ok(()));
            }
            let mut buffer = [0; HANDSHAKE_READ_LEN];
            let len = if early.is_empty() {
                ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer))?
            } else {
                early.read(&mut buffer)?
            };
            let mut records = &buffer[..len];
            match records {
                [] => return Poll::Ready(Err(TlsError::Disconnected)),
                // The first byte decides, because the peer may send no more than that in the first read.
                [first, ..] if !self.has_read && !FIRST_RECORDS.contains(first) => {
                    return Poll::Ready(Err(TlsError::not_tls(records)));
                }
                [_, ..] => self.has_read = true,
            }
            while !records.is_empty() && self.session.read_tls(&mut records)? > 0 {
                self.process(cx)?;
            }
        }
    }

    /// Returns whether what a finished handshake has left to write are tickets. They leave in one write with the first
    /// bytes of the protocol above if the request is there already, and [before a wait](Self::poll_transport) for it
    /// otherwise. A server of TLS 1.2, and any client, has a Finished left instead, and its peer waits for that.
    fn has_only_tickets_left(&self) -> bool {
        match &*self.session {
            Connection::Server(session) => {
                session.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            }
            Connection::Client(_) => false,
        }
    }

    /// Reads from the transport. Before it waits, tickets leave that were held back: a client with Nagle's algorithm sends
    /// nothing until its Finished is acknowledged, and the system would acknowledge it after 40 ms.
    fn poll_transport(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.transport).poll_read(cx, buffer);
        if read.is_pending() && std::mem::take(&mut self.holds_tickets) {
            // What the transport does not take now goes with the next write.
            let _ = self.poll_write_records(cx)?;
        }
        read
    }

    /// Processes the records that rustls has. Sends an alert if they are invalid.
    fn process(&mut self, cx: &mut Context<'_>) -> Result<(), rustls::Error> {
        if let Err(error) = self.session.process_new_packets() {
            // Best effort, without a wait for the transport: the stream ends anyway.
            let _ = self.poll_write_records(cx);
            return Err(error);
        }
        Ok(())
    }

    /// Replaces the records in a buffer with their plaintext, and with that of an earlier record that was incomplete.
    /// Returns the length of the plaintext.
    fn decrypt(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        // The plaintext never overtakes the records that are still to be read, because it is shorter than its records.
        // An earlier incomplete record may add more than the capacity; rustls keeps that plaintext, at most one record.
        let (mut consumed, mut filled) = (0, 0);
        while consumed < buffer.len() {
            match self.session.read_tls(&mut &buffer[consumed..])? {
                // The peer has ended its side. Bytes after that are ignored.
                0 => break,
                len => consumed += len,
            }
            self.process(cx)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            filled += self
                .take_plaintext(&mut buffer[filled..consumed])?
                .unwrap_or(0);
        }
        self.shrink_buffers();
        Ok(filled)
    }

    /// Makes rustls free the buffer in which it assembles a large record, which grows to 32 KiB. rustls does so by
    /// itself, but only at the next read, and the peer may be silent for hours. An incomplete record in the buffer is
    /// kept.
    fn shrink_buffers(&mut self) {
        // Ignored, because it is the error of `NothingNow`. An error of rustls itself is returned again by the next
        // read.
        let _ = self.session.read_tls(&mut NothingNow);
    }

    /// Takes available plaintext. Returns zero at the end of the stream, and `None` if records have to be read first.
    fn take_plaintext(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session.reader().read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // The stream ended without close_notify. That is a plain end here: WebSocket messages have lengths and a
            // closing handshake, so the protocol above detects a truncation.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Writes records as far as the transport takes them. Is pending only if it takes nothing.
    fn poll_write_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut written = 0;
        while self.session.wants_write() {
            let mut transport = Blocking(&mut self.transport, &mut *cx);
            match self.session.write_tls(&mut transport) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(len) => written += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return match written {
                        0 => Poll::Pending,
                        _ => Poll::Ready(Ok(written)),
                    };
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(written))
    }

    /// Writes all records that rustls has.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            ready!(self.poll_write_records(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> TlsStream<S> {
    pub(crate) fn transport(&self) -> &S {
        &self.transport
    }

    pub(crate) fn into_transport(self) -> S {
        self.transport
    }

    /// Returns whether the peer has sent TLS.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Returns the result of the handshake.
    pub(crate) fn info(&self) -> TlsInfo {
        let (server_name, client_certificates) = match &*self.session {
            Connection::Server(session) => {
                let chain = session.peer_certificates();
                let chain = chain.map(|chain| chain.iter().map(|it| it.as_ref().into()).collect());
                (session.server_name().map(Into::into), chain)
            }
            // Its server's were verified, and would be kilobytes for each connection.
            Connection::Client(_) => (None, None),
        };
        let alpn = self.session.alpn_protocol().map(|name| match name {
            // Not a string of its own for each connection.
            ALPN => Arc::clone(&HTTP_11),
            name => String::from_utf8_lossy(name).into(),
        });
        let version = match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            // rustls supports no other version.
            Some(_) | None => TlsVersion::Tls13,
        };
        TlsInfo {
            version,
            server_name,
            alpn,
            client_certificates,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READ_LIMIT {
            if let Some(len) = self.take_plaintext(buffer)? {
                return Poll::Ready(Ok(len));
            }
            let len = ready!(self.poll_transport(cx, buffer))?;
            if len == 0 {
                // rustls learns the end of the stream by a read of zero bytes.
                self.session.read_tls(&mut io::empty())?;
                continue;
            }
            let len = self.decrypt(cx, &mut buffer[..len])?;
            if self.session.wants_write() && !self.holds_tickets {
                // The answer to a key update. If the transport does not take it now, it goes with the next write.
                let _ = self.poll_write_records(cx)?;
            }
            if len > 0 {
                return Poll::Ready(Ok(len));
            }
        }
        // Only records without content: gives way to other tasks, so that a peer cannot keep the thread busy with them.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Reports bytes as written when the transport has taken their records. Otherwise a peer that takes nothing would
    /// seem to make progress. Until then the bytes are owed, and the caller has to come back with the same bytes after
    /// `Pending`. If a record was taken in part, a part of its bytes is reported.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.owed == 0 {
            // Records that rustls made by itself leave first, in the same write. They count as taken, too, as the
            // overhead of other records does below.
            self.owed = self.session.writer().write_vectored(slices)?;
        }
        let mut taken = 0;
        while self.session.wants_write() {
            match self.poll_write_records(cx)? {
                Poll::Ready(len) => taken += len,
                Poll::Pending => {
                    // Records are longer than their plaintext, so the count of taken bytes runs ahead. The last byte
                    // stays owed as long as a record waits.
                    let told = taken.min(self.owed.saturating_sub(1));
                    self.owed -= told;
                    return match told {
                        0 => Poll::Pending,
                        _ => Poll::Ready(Ok(told)),
                    };
                }
            }
        }
        Poll::Ready(Ok(std::mem::take(&mut self.owed)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // rustls queues the alert only once, however often this is called.
        self.session.send_close_notify();
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.transport).poll_close(cx)
    }
}

/// The maximum length of a read in the TLS handshake: a usual flight fits. Data that the peer sends after its flight
/// must fit into the plaintext buffer of rustls, which has 16 KiB.
const HANDSHAKE_READ_LEN: usize = 4 << 10;

/// The maximum number of reads in one poll.
const READ_LIMIT: usize = 16;

/// The valid first bytes of a peer: the type of an alert or of a handshake record (RFC 8446 §5.1).
const FIRST_RECORDS: [u8; 2] = [21, 22];

/// The transport as rustls sees it, without a task: `Pending` becomes `WouldBlock`.
struct Blocking<'a, 'b, S>(&'a mut S, &'a mut Context<'b>);

impl<S: AsyncWrite + Unpin> Write for Blocking<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.0).poll_write_vectored(self.1, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        would_block(Pin::new(&mut *self.0).poll_flush(self.1))
    }
}

/// A transport on which nothing has arrived.
struct NothingNow;

impl Read for NothingNow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
