//! The port in memory of a server, which the test kit connects to: streams that wait until they are accepted. Knows nothing of
//! who is at their other end.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use event_listener::listener;

use crate::util::duplex::{Duplex, duplex};
use crate::util::sync::{Mutex, MutexGuard, Notice, PoisonError};

/// The streams that wait to be accepted, at most [`BACKLOG`].
#[derive(Default)]
pub(crate) struct MemoryPort {
    backlog: Mutex<Backlog>,
    arrived: Notice,
}

#[derive(Default)]
struct Backlog {
    streams: VecDeque<Arrived>,
    /// Streams that came without an address so far.
    unnamed: u16,
    is_closed: bool,
}

/// A stream, and the address of its other end.
pub(super) type Arrived = (Duplex, Option<SocketAddr>);

/// The address that the server sees.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientAddr {
    /// One of 127.0.0.1, with a port that the previous streams did not have.
    Any,
    /// This one; `None` as of a Unix socket.
    Is(Option<SocketAddr>),
}

impl MemoryPort {
    /// Opens a stream to the server. Returns the end of the client.
    pub(crate) fn open(&self, addr: ClientAddr) -> io::Result<Duplex> {
        let (ours, theirs) = duplex();
        let mut backlog = self.lock();
        if backlog.is_closed {
            let closed = "the server has closed, so it takes no stream";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, closed));
        }
        if backlog.streams.len() == BACKLOG {
            let full = format!(
                "the server has not accepted the last {BACKLOG} streams, which is the limit"
            );
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, full));
        }
        let addr = match addr {
            ClientAddr::Any => {
                let port = FIRST_PORT | backlog.unnamed;
                backlog.unnamed = (backlog.unnamed + 1) % (u16::MAX - FIRST_PORT);
                Some((Ipv4Addr::LOCALHOST, port).into())
            }
            ClientAddr::Is(addr) => addr,
        };
        backlog.streams.push_back((ours, addr));
        // Wakers run only after the lock is released.
        drop(backlog);
        self.arrived.notify(1);
        Ok(theirs)
    }

    /// Waits for a stream. A future that is dropped loses no stream.
    pub(super) async fn pop(&self) -> Arrived {
        loop {
            // Listens before it looks: a stream that arrives between the two is not missed. On the stack, because the accept loop
            // waits anew for each stream, and tests that count allocations are to see those of the server alone.
            listener!(self.arrived => arrived);
            let stream = self.lock().streams.pop_front();
            if let Some(stream) = stream {
                return stream;
            }
            arrived.await;
        }
    }

    /// Refuses streams from now on, and drops those that wait.
    pub(super) fn close(&self) {
        let mut backlog = self.lock();
        backlog.is_closed = true;
        let streams = std::mem::take(&mut backlog.streams);
        // The ends of the streams wake who waits for them, so they are dropped after the lock is released.
        drop(backlog);
        drop(streams);
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Streams that wait to be accepted. A test that opens more has no server that serves.
const BACKLOG: usize = 1024;

/// The first port of clients that the system chooses for (RFC 6335 §6). Its low bits are zero.
const FIRST_PORT: u16 = 49152;
