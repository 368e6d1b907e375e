//! A stream in memory: two pipes with faults that the test sets. As in TCP, closing it with unread bytes in it
//! resets it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use super::executor::{Sim, lock};
use super::pipe::{Pipe, wake};

/// One end of a stream.
pub struct SimStream {
    pub(super) link: Arc<Mutex<Link>>,
    end: End,
    /// Whether the runtime has to look at it to see what has come.
    is_of_runtime: bool,
}

/// The two ends: the one that connected and the one that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Near,
    Far,
}

/// Both directions of a stream. The test turns its screws.
pub struct Link {
    /// What the far end reads.
    pub to_far: Pipe,
    /// What the near end reads.
    pub to_near: Pipe,
    /// Whether the stream was reset.
    pub is_reset: bool,
    /// What the end that was accepted is told once, whatever it asks for.
    pub errnos: Errnos,
}

/// Numbers of errors that the system gives, once each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errnos {
    pub prepare: Option<i32>,
    pub read: Option<i32>,
    pub write: Option<i32>,
    pub close: Option<i32>,
}

impl Link {
    /// Makes calls of the end that was accepted fail.
    pub fn fail(&mut self, errnos: Errnos) {
        self.errnos = errnos;
        self.to_far.wake_all();
        self.to_near.wake_all();
    }

    /// Resets the stream: what is on its way is lost.
    pub fn reset(&mut self) {
        self.is_reset = true;
        for pipe in [&mut self.to_near, &mut self.to_far] {
            pipe.bytes.clear();
            if let Some(weather) = &mut pipe.weather {
                weather.clear();
            }
            pipe.wake_all();
        }
    }

    /// Makes both directions black holes: the peer has vanished.
    pub fn vanish(&mut self) {
        self.to_near.is_black_hole = true;
        self.to_far.is_black_hole = true;
    }

    /// Moves at most `limit` bytes in each call, in both directions.
    pub fn chop(&mut self, limit: usize) {
        for pipe in [&mut self.to_near, &mut self.to_far] {
            pipe.read_limit = limit;
            pipe.write_limit = limit;
        }
    }

    fn incoming(&mut self, end: End) -> &mut Pipe {
        match end {
            End::Near => &mut self.to_near,
            End::Far => &mut self.to_far,
        }
    }

    fn outgoing(&mut self, end: End) -> &mut Pipe {
        match end {
            End::Near => &mut self.to_far,
            End::Far => &mut self.to_near,
        }
    }
}

impl SimStream {
    /// Makes a stream, both its ends.
    pub fn pair() -> (Self, Self) {
        let link = Arc::new(Mutex::new(Link {
            to_far: Pipe::default(),
            to_near: Pipe::default(),
            is_reset: false,
            errnos: Errnos::default(),
        }));
        let near = Self {
            link: Arc::clone(&link),
            end: End::Near,
            is_of_runtime: false,
        };
        let far = Self {
            link,
            end: End::Far,
            is_of_runtime: false,
        };
        (near, far)
    }

    /// Makes it one of the sockets that the runtime looks at.
    pub(super) fn of_runtime(mut self) -> Self {
        self.is_of_runtime = true;
        self
    }

    /// Returns the simulated runtime if that has to look; the threads of the checker need not.
    fn runtime(&self) -> Option<Sim> {
        Sim::current().filter(|_| self.is_of_runtime)
    }

    /// Gives access to the stream's weaknesses.
    pub fn link(&self) -> MutexGuard<'_, Link> {
        lock(&self.link)
    }

    /// Returns the error that a call is to give, if this end has any.
    fn errno(&self, which: fn(&mut Errnos) -> &mut Option<i32>) -> io::Result<()> {
        if self.end == End::Near {
            return Ok(());
        }
        let code = which(&mut self.link().errnos).take();
        code.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    /// Fails if the system does not want to set anything.
    pub fn prepare(&self) -> io::Result<()> {
        self.errno(|errnos| &mut errnos.prepare)
    }

    /// Takes everything that has arrived, whatever the limits of the pipe are.
    pub fn take_arrived(&self) -> Vec<u8> {
        let mut link = self.link();
        let pipe = link.incoming(self.end);
        let bytes = Vec::from(std::mem::take(&mut pipe.bytes));
        pipe.note_read(bytes.len());
        bytes
    }

    /// Tells whether the other end has ended its side and everything was read.
    pub fn has_ended(&self) -> bool {
        let mut link = self.link();
        let pipe = link.incoming(self.end);
        pipe.is_ended && pipe.bytes.is_empty()
    }

    /// Wakes who reads at the other end once something arrives there.
    fn wake_other_end(&self, at: Option<Instant>) {
        if let Some(at) = at {
            let end = match self.end {
                End::Near => End::Far,
                End::Far => End::Near,
            };
            let link = Arc::downgrade(&self.link);
            Sim::default().wake_at(at, Waker::from(Arc::new(Arrival { link, end })));
        }
    }

    /// Makes a call that got somewhere a part of what tells runs apart.
    fn note(&self, link: &Link, moved: &Poll<usize>) {
        if let Some(sim) = self.runtime().filter(|_| moved.is_ready()) {
            sim.note_move();
        }
        if let (Poll::Ready(len), Some(_)) = (moved, &link.to_far.weather) {
            Sim::default().note(u64::try_from(*len).unwrap_or(u64::MAX));
        }
    }
}

/// Wakes who reads at one end of a stream.
struct Arrival {
    link: Weak<Mutex<Link>>,
    end: End,
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        if let Some(link) = self.link.upgrade() {
            wake(&mut lock(&link).incoming(self.end).reader);
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.runtime().is_some_and(|sim| !sim.sees(cx)) {
            return Poll::Pending;
        }
        self.errno(|errnos| &mut errnos.read)?;
        let mut link = self.link();
        if link.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let read = link.incoming(self.end).poll_read(cx, buffer);
        self.note(&link, &read);
        read.map(Ok)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.errno(|errnos| &mut errnos.write)?;
        let mut link = self.link();
        if link.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let pipe = link.outgoing(self.end);
        if pipe.is_ended || pipe.is_unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = pipe.poll_write(cx, slices);
        if let Poll::Ready(len @ 1..) = written {
            let arrival = pipe.note_sent(len);
            self.wake_other_end(arrival);
        }
        self.note(&link, &written);
        written.map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.errno(|errnos| &mut errnos.write))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.errno(|errnos| &mut errnos.close)?;
        let mut link = self.link();
        let pipe = link.outgoing(self.end);
        if !pipe.is_ended {
            pipe.is_ended = true;
            let arrival = pipe.note_sent(0);
            self.wake_other_end(arrival);
        }
        pipe.wake_all();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut link = self.link();
        let incoming = link.incoming(self.end);
        incoming.is_unread = true;
        incoming.wake_all();
        let has_unread = !incoming.bytes.is_empty();
        let outgoing = link.outgoing(self.end);
        if !outgoing.is_ended && outgoing.weather.is_some() {
            let arrival = outgoing.note_sent(0);
            self.wake_other_end(arrival);
        }
        let outgoing = link.outgoing(self.end);
        outgoing.is_ended = true;
        outgoing.wake_all();
        if has_unread {
            link.reset();
        }
    }
}
