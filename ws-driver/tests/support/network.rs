//! A network in memory: listeners, and streams whose every weakness is set by the test.
//!
//! A stream is two pipes. Each has a capacity, moves as few bytes in one call as it is told, and can
//! swallow everything. As in TCP, to close a stream with bytes in it that were not read resets it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use super::executor::lock;

/// What a pipe holds unless a test says otherwise.
const CAPACITY: usize = 64 << 10;

/// The first port of streams and of listeners that do not care.
const FIRST_PORT: u16 = 49152;

/// All listeners.
#[derive(Default)]
pub(crate) struct Network {
    ports: Mutex<Ports>,
}

#[derive(Default)]
struct Ports {
    listening: BTreeMap<SocketAddr, Backlog>,
    used: u16,
}

type Backlog = Arc<Mutex<Pending>>;

/// What waits to be accepted.
#[derive(Default)]
struct Pending {
    arrived: VecDeque<io::Result<(SimStream, SocketAddr)>>,
    acceptor: Option<Waker>,
}

impl Network {
    pub(super) fn bind(&self, mut addr: SocketAddr) -> io::Result<SimListener> {
        let mut ports = lock(&self.ports);
        if addr.port() == 0 {
            addr.set_port(ports.next());
        }
        if ports.listening.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = Backlog::default();
        ports.listening.insert(addr, Arc::clone(&backlog));
        Ok(SimListener { addr, backlog })
    }

    /// Opens a stream; it is there at once and waits to be accepted.
    pub(super) fn connect(&self, addr: SocketAddr) -> io::Result<SimStream> {
        let mut ports = lock(&self.ports);
        let backlog = ports.listening.get(&addr).map(Arc::clone);
        // The listener is the other one that holds the backlog.
        let backlog = backlog
            .filter(|backlog| Arc::strong_count(backlog) > 2)
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        let peer_addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ports.next());
        let (near, far) = SimStream::pair();
        arrive(&backlog, Ok((far, peer_addr)));
        Ok(near)
    }

    /// Makes a listener's next accept fail.
    pub(crate) fn fail_accept(&self, addr: SocketAddr, error: io::Error) {
        if let Some(backlog) = lock(&self.ports).listening.get(&addr) {
            arrive(backlog, Err(error));
        }
    }
}

impl Ports {
    fn next(&mut self) -> u16 {
        self.used += 1;
        FIRST_PORT + self.used
    }
}

fn arrive(backlog: &Backlog, arrived: io::Result<(SimStream, SocketAddr)>) {
    let mut pending = lock(backlog);
    pending.arrived.push_back(arrived);
    wake(&mut pending.acceptor);
}

/// A listening socket.
pub(crate) struct SimListener {
    pub(super) addr: SocketAddr,
    backlog: Backlog,
}

impl SimListener {
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(SimStream, SocketAddr)>> {
        let mut pending = lock(&self.backlog);
        match pending.arrived.pop_front() {
            Some(arrived) => Poll::Ready(arrived),
            None => {
                pending.acceptor = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// One end of a stream.
pub(crate) struct SimStream {
    link: Arc<Mutex<Link>>,
    end: End,
}

/// The two ends: the one that connected and the one that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Near,
    Far,
}

/// Both directions of a stream. The test turns its screws.
pub(crate) struct Link {
    /// What the far end reads.
    pub(crate) to_far: Pipe,
    /// What the near end reads.
    pub(crate) to_near: Pipe,
    /// Whether the stream was reset.
    pub(crate) is_reset: bool,
}

/// One direction of a stream.
pub(crate) struct Pipe {
    /// What is on its way.
    pub(crate) bytes: VecDeque<u8>,
    /// The most that can be on its way.
    pub(crate) capacity: usize,
    /// The most that one call of read moves.
    pub(crate) read_limit: usize,
    /// The most that one call of write moves.
    pub(crate) write_limit: usize,
    /// Whether reading and writing never get anywhere.
    pub(crate) is_black_hole: bool,
    /// Whether the writer has ended it.
    pub(crate) is_ended: bool,
    /// Whether the reader is gone.
    is_unread: bool,
    /// Bytes in each call of write that got somewhere, if they are recorded.
    pub(crate) writes: Option<Vec<usize>>,
    /// All bytes that were ever read.
    pub(crate) read_len: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity: CAPACITY,
            read_limit: usize::MAX,
            write_limit: usize::MAX,
            is_black_hole: false,
            is_ended: false,
            is_unread: false,
            writes: None,
            read_len: 0,
            reader: None,
            writer: None,
        }
    }
}

impl Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        if self.is_black_hole || self.bytes.is_empty() && !self.is_ended {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = buffer.len().min(self.read_limit).min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let split = len.min(front.len());
        buffer[..split].copy_from_slice(&front[..split]);
        buffer[split..len].copy_from_slice(&back[..len - split]);
        self.bytes.drain(..len);
        self.note_read(len);
        Poll::Ready(len)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<usize> {
        let room = self.capacity.saturating_sub(self.bytes.len());
        let mut room = room.min(self.write_limit);
        if self.is_black_hole || room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut written = 0;
        for slice in slices {
            let len = slice.len().min(room);
            self.bytes.extend(&slice[..len]);
            room -= len;
            written += len;
        }
        if let Some(writes) = &mut self.writes {
            writes.push(written);
        }
        wake(&mut self.reader);
        Poll::Ready(written)
    }

    fn note_read(&mut self, len: usize) {
        self.read_len += len;
        if self.bytes.is_empty() {
            // Costs nothing while it is idle, so that memory can be measured.
            self.bytes = VecDeque::new();
        }
        wake(&mut self.writer);
    }

    fn wake_all(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

impl Link {
    /// Resets the stream: what is on its way is lost.
    pub(crate) fn reset(&mut self) {
        self.is_reset = true;
        for pipe in [&mut self.to_near, &mut self.to_far] {
            pipe.bytes.clear();
            pipe.wake_all();
        }
    }

    /// Makes both directions black holes: the peer has vanished.
    pub(crate) fn vanish(&mut self) {
        self.to_near.is_black_hole = true;
        self.to_far.is_black_hole = true;
    }

    /// Moves at most `limit` bytes in each call, in both directions.
    pub(crate) fn chop(&mut self, limit: usize) {
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
    pub(crate) fn pair() -> (Self, Self) {
        let link = Arc::new(Mutex::new(Link {
            to_far: Pipe::default(),
            to_near: Pipe::default(),
            is_reset: false,
        }));
        let near = Self {
            link: Arc::clone(&link),
            end: End::Near,
        };
        let far = Self {
            link,
            end: End::Far,
        };
        (near, far)
    }

    /// Gives access to the stream's weaknesses.
    pub(crate) fn link(&self) -> MutexGuard<'_, Link> {
        lock(&self.link)
    }

    /// Takes everything that has arrived, whatever the limits of the pipe are.
    pub(crate) fn take_arrived(&self) -> Vec<u8> {
        let mut link = self.link();
        let pipe = link.incoming(self.end);
        let bytes = Vec::from(std::mem::take(&mut pipe.bytes));
        pipe.note_read(bytes.len());
        bytes
    }

    /// Tells whether the other end has ended its side and everything was read.
    pub(crate) fn has_ended(&self) -> bool {
        let mut link = self.link();
        let pipe = link.incoming(self.end);
        pipe.is_ended && pipe.bytes.is_empty()
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut link = self.link();
        if link.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        link.incoming(self.end).poll_read(cx, buffer).map(Ok)
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
        let mut link = self.link();
        if link.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let pipe = link.outgoing(self.end);
        if pipe.is_ended || pipe.is_unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pipe.poll_write(cx, slices).map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut link = self.link();
        let pipe = link.outgoing(self.end);
        pipe.is_ended = true;
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
        outgoing.is_ended = true;
        outgoing.wake_all();
        if has_unread {
            link.reset();
        }
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
