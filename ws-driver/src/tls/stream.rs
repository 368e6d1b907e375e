//! A stream inside of TLS: moves records between the transport and rustls. Knows no certificates and no
//! WebSockets.
//!
//! It holds no buffer for reading: records are read into the buffer in which the plaintext is wanted,
//! with as few reads as that has room for, and are replaced there by what they contain. What rustls needs to
//! put a record together goes back when the record is whole.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::{Connection, ProtocolVersion};

use super::{TlsError, TlsInfo, TlsVersion};

/// A stream inside of TLS, on either side.
pub(crate) struct TlsStream<S> {
    transport: S,
    /// Boxed, as it is larger than all that a connection keeps otherwise.
    session: Box<Connection>,
    /// Bytes that rustls has taken from a writer who was not told so yet. See
    /// [`poll_write_vectored`](AsyncWrite::poll_write_vectored).
    owed: usize,
    /// Whether anything was read.
    has_read: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(transport: S, session: Connection) -> Self {
        Self {
            transport,
            session: Box::new(session),
            owed: 0,
            has_read: false,
        }
    }

    /// Does the handshake of TLS. If that fails the stream is of no use, but for its
    /// [transport](Self::into_transport).
    pub(super) async fn handshake(&mut self) -> Result<(), TlsError> {
        poll_fn(|cx| self.poll_handshake(cx)).await
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        loop {
            ready!(self.poll_drain(cx))?;
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            if !self.session.is_handshaking() {
                // The certificates of the other side can be larger than what is usual.
                self.give_back();
                return Poll::Ready(Ok(()));
            }
            let mut buffer = [0; HANDSHAKE_READ_LEN];
            let len = ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer))?;
            let mut records = &buffer[..len];
            match records {
                [] => return Poll::Ready(Err(TlsError::Disconnected)),
                // One byte is always there, however the bytes arrive.
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

    /// Has rustls look at the records that it has; tells the peer what is wrong with them, if anything
    /// is.
    fn process(&mut self, cx: &mut Context<'_>) -> Result<(), rustls::Error> {
        if let Err(error) = self.session.process_new_packets() {
            // The alert leaves if there is room for it: the stream ends anyway.
            let _ = self.poll_write_records(cx);
            return Err(error);
        }
        Ok(())
    }

    /// Replaces records at the beginning of a buffer by the plaintext that is in them, and in those that
    /// came before; returns its length. There is room, as plaintext is shorter than its records; what
    /// was begun before is one record at most, and so much rustls keeps.
    fn decrypt(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut consumed, mut filled) = (0, 0);
        while consumed < buffer.len() {
            match self.session.read_tls(&mut &buffer[consumed..])? {
                // The peer has ended its side; nothing counts behind that.
                0 => break,
                len => consumed += len,
            }
            self.process(cx)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            filled += self
                .take_plaintext(&mut buffer[filled..consumed])?
                .unwrap_or(0);
        }
        self.give_back();
        Ok(filled)
    }

    /// Makes rustls give back the room in which it put a large record together, which grows to 32 KiB.
    /// It does so by itself, but not before it reads again, and the peer may be silent for hours. If half
    /// a record waits there, nothing changes.
    fn give_back(&mut self) {
        // The error is the one that `NothingNow` makes; what rustls finds by itself it says again when
        // there is something to read.
        let _ = self.session.read_tls(&mut NothingNow);
    }

    /// Takes plaintext that is there; zero at the end, `None` if more has to be read first.
    fn take_plaintext(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session.reader().read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // The stream was cut off. Whether that is clean, is for the layer above to say, whose
            // messages have lengths and whose end is a message.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Writes what rustls has to send.
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

    /// Writes all that rustls has to send.
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

    /// Tells whether the peer has said anything.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Returns what was agreed on.
    pub(crate) fn info(&self) -> TlsInfo {
        let server_name = match &*self.session {
            Connection::Server(session) => session.server_name().map(Into::into),
            Connection::Client(_) => None,
        };
        let version = match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            // rustls has no older one, and no other.
            Some(_) | None => TlsVersion::Tls13,
        };
        TlsInfo {
            version,
            server_name,
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
            let len = ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
            if len == 0 {
                // rustls knows the end of the stream by a read of nothing.
                self.session.read_tls(&mut io::empty())?;
                continue;
            }
            let len = self.decrypt(cx, &mut buffer[..len])?;
            if self.session.wants_write() {
                // The answer to a new key. If there is no room for it, it goes with the next write.
                let _ = self.poll_write_records(cx)?;
            }
            if len > 0 {
                return Poll::Ready(Ok(len));
            }
        }
        // Records without content; others shall have their turn, too.
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

    /// Says that bytes are written when the transport has taken their records, as it would without TLS:
    /// otherwise a peer that takes nothing would seem to take them. Until then they are owed, and who was
    /// told to wait comes back with the same bytes. Of a record that was taken in part, a part of the
    /// bytes is written.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.owed == 0 {
            // Records of our own making go first.
            ready!(self.poll_drain(cx))?;
            self.owed = self.session.writer().write_vectored(slices)?;
        }
        let mut taken = 0;
        while self.session.wants_write() {
            match self.poll_write_records(cx)? {
                Poll::Ready(len) => taken += len,
                Poll::Pending => {
                    // The last byte stays owed as long as anything waits.
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
        // Said once, however often it is called.
        self.session.send_close_notify();
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.transport).poll_close(cx)
    }
}

/// What is read at once in the handshake of TLS: a usual flight. What the peer sends behind it must fit
/// into what rustls keeps, which is 16 KiB.
const HANDSHAKE_READ_LEN: usize = 4 << 10;

/// Reads in one poll.
const READ_LIMIT: usize = 16;

/// What the first byte of a peer can be: that of an alert or of a handshake (RFC 8446 §5.1).
const FIRST_RECORDS: [u8; 2] = [21, 22];

/// A transport for rustls, which knows no tasks: what would wait is `WouldBlock`.
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
