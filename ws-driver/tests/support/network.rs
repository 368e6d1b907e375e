//! A network in memory: listeners, and streams whose every weakness is set by the test.
//!
//! A stream is two pipes. Each has a capacity, moves as few bytes in one call as it is told, and can
//! swallow everything. As in TCP, to close a stream with bytes in it that were not read resets it. With
//! a seed each pipe has a weather of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use super::executor::{Sim, lock};
use super::random::Rng;
use super::weather::Weather;

/// What a pipe holds unless a test says otherwise.
const CAPACITY: usize = 64 << 10;

/// The first port of streams and of listeners that do not care.
const FIRST_PORT: u16 = 49152;

/// All listeners.
pub(crate) struct Network {
    ports: Mutex<Ports>,
    /// Where weather comes from, and all streams that have one.
    climate: Option<Mutex<Climate>>,
}

struct Climate {
    rng: Rng,
    links: Vec<(SocketAddr, Weak<Mutex<Link>>)>,
}

#[derive(Default)]
struct Ports {
    listening: BTreeMap<SocketAddr, Backlog>,
    used: u16,
    /// The most that one call moves in streams that are opened, if there is a limit.
    chop: Option<usize>,
    /// The most that is on its way in each direction of streams that are opened, if it is not the usual.
    capacity: Option<usize>,
}

type Backlog = Arc<Mutex<Pending>>;

/// What waits to be accepted.
#[derive(Default)]
struct Pending {
    arrived: VecDeque<io::Result<(SimStream, SocketAddr)>>,
    acceptor: Option<Waker>,
}

impl Network {
    pub(crate) fn new(rng: Option<Rng>) -> Self {
        let climate = rng.map(|rng| {
            let links = Vec::new();
            Mutex::new(Climate { rng, links })
        });
        Self {
            ports: Mutex::default(),
            climate,
        }
    }

    pub(crate) fn bind(&self, mut addr: SocketAddr) -> io::Result<SimListener> {
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
    pub(crate) fn connect(&self, addr: SocketAddr) -> io::Result<SimStream> {
        Ok(self.open(addr)?.0)
    }

    /// As `connect`; tells which address the listener sees, too.
    pub(crate) fn open(&self, addr: SocketAddr) -> io::Result<(SimStream, SocketAddr)> {
        let mut ports = lock(&self.ports);
        let backlog = ports.listening.get(&addr).map(Arc::clone);
        // The listener is the other one that holds the backlog.
        let backlog = backlog
            .filter(|backlog| Arc::strong_count(backlog) > 2)
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        let peer_addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ports.next());
        let (near, far) = SimStream::pair();
        if let Some(climate) = &self.climate {
            lock(climate).take_in(peer_addr, &near);
        }
        if let Some(limit) = ports.chop {
            near.link().chop(limit);
        }
        if let Some(capacity) = ports.capacity {
            let mut link = near.link();
            link.to_far.capacity = capacity;
            link.to_near.capacity = capacity;
        }
        arrive(&backlog, Ok((far, peer_addr)));
        Ok((near, peer_addr))
    }

    /// Returns the streams that are still held at one end at least, with the address of the one that
    /// connected; with a seed only.
    pub(crate) fn links(&self) -> Vec<(SocketAddr, Arc<Mutex<Link>>)> {
        let Some(climate) = &self.climate else {
            return Vec::new();
        };
        let mut climate = lock(climate);
        climate.links.retain(|(_, link)| link.strong_count() > 0);
        let links = climate.links.iter();
        let held = links.filter_map(|(addr, link)| Some((*addr, link.upgrade()?)));
        held.collect()
    }

    /// Makes all streams that are opened from now on move at most `limit` bytes in each call.
    pub(crate) fn chop(&self, limit: usize) {
        lock(&self.ports).chop = Some(limit);
    }

    /// Lets at most `capacity` bytes be on their way in each direction of streams that are opened from
    /// now on.
    pub(crate) fn narrow(&self, capacity: usize) {
        lock(&self.ports).capacity = Some(capacity);
    }

    /// Makes a listener's next accept fail.
    pub(crate) fn fail_accept(&self, addr: SocketAddr, error: io::Error) {
        if let Some(backlog) = lock(&self.ports).listening.get(&addr) {
            arrive(backlog, Err(error));
        }
    }
}

impl Climate {
    fn take_in(&mut self, addr: SocketAddr, stream: &SimStream) {
        let mut link = stream.link();
        let Link {
            to_far, to_near, ..
        } = &mut *link;
        for pipe in [to_far, to_near] {
            let (weather, capacity) = Weather::draw(self.rng.fork());
            pipe.weather = Some(Box::new(weather));
            pipe.capacity = capacity;
        }
        self.links.push((addr, Arc::downgrade(&stream.link)));
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
    pub(crate) addr: SocketAddr,
    backlog: Backlog,
}

impl SimListener {
    pub(crate) fn poll_accept(
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

impl Drop for SimListener {
    /// Drops what was not accepted.
    fn drop(&mut self) {
        let arrived = std::mem::take(&mut lock(&self.backlog).arrived);
        drop(arrived);
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
    /// Whether nothing arrives; the writer can fill it.
    pub(crate) is_held: bool,
    /// Whether the writer has ended it.
    pub(crate) is_ended: bool,
    /// Whether the reader is gone.
    pub(crate) is_unread: bool,
    /// What else happens on the way.
    pub(crate) weather: Option<Box<Weather>>,
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
            is_held: false,
            is_ended: false,
            is_unread: false,
            weather: None,
            writes: None,
            read_len: 0,
            reader: None,
            writer: None,
        }
    }
}

impl Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        let arrived = self.arrived_len();
        if arrived == 0 && !self.has_end_arrived() || self.is_black_hole || self.is_held {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut len = buffer.len().min(self.read_limit).min(arrived);
        if let Some(weather) = &mut self.weather {
            if weather.hesitates() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            len = weather.chop(len);
        }
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
        if let Some(weather) = &mut self.weather {
            if weather.hesitates() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            room = weather.chop(room);
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
        if self.weather.is_none() {
            wake(&mut self.reader);
        }
        Poll::Ready(written)
    }

    /// Returns how many bytes the reader could have by now.
    pub(crate) fn arrived_len(&mut self) -> usize {
        let on_the_way = match &mut self.weather {
            Some(weather) => weather.on_the_way(Sim::default().now()),
            None => 0,
        };
        self.bytes.len() - on_the_way
    }

    /// Tells whether the reader could see the end by now.
    pub(crate) fn has_end_arrived(&self) -> bool {
        self.is_ended
            && self.bytes.is_empty()
            && self
                .weather
                .as_ref()
                .is_none_or(|weather| weather.end_is_here(Sim::default().now()))
    }

    /// Notes that bytes were written, or the end if there are none; returns when the reader is to be
    /// woken, if not now.
    fn note_sent(&mut self, len: usize) -> Option<Instant> {
        let weather = self.weather.as_mut()?;
        // What is left when the simulation ends is dropped outside of it.
        let now = Sim::current()?.now();
        let at = weather.send(now, len);
        if at > now {
            return Some(at);
        }
        wake(&mut self.reader);
        None
    }

    fn note_read(&mut self, len: usize) {
        self.read_len += len;
        if self.bytes.is_empty() {
            // Costs nothing while it is idle, so that memory can be measured.
            self.bytes = VecDeque::new();
        }
        wake(&mut self.writer);
    }

    pub(crate) fn wake_all(&mut self) {
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
            if let Some(weather) = &mut pipe.weather {
                weather.clear();
            }
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
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
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

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
