//! One connection of the generator: how it opens, and how it sends a window of messages and verifies what
//! comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::Options;
use crate::deflate::Inflating;
use crate::frame;
use crate::protocol::Protocol;
use crate::ring::Ring;
use crate::socket_io;
use crate::tls::Stream;

/// How long a server may be silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The space for one read, more than any window of small messages.
pub(crate) const BUFFER_LEN: usize = 256 * 1024;

/// Makes a socket whose end is a reset, so that no port has to rest afterwards. The source address
/// depends on `index`, as an address has only 28,000 ports by default.
pub(crate) fn socket(index: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let host = u8::try_from(index / 10_000).map_err(io::Error::other)?;
    if host > 0 {
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + host));
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

/// A connect that has only begun ends with this.
pub(crate) const EINPROGRESS: i32 = 115;

/// Opens a connection and waits until it is open.
pub(crate) fn open(options: &Options, index: usize) -> io::Result<Stream<TcpStream>> {
    open_on(socket(index)?, options)
}

/// Opens a connection on a socket that was made for it.
pub(crate) fn open_on(socket: Socket, options: &Options) -> io::Result<Stream<TcpStream>> {
    open_to(socket, options, options.connect)
}

/// Opens a connection on a socket to one of several servers.
pub(crate) fn open_to(
    socket: Socket,
    options: &Options,
    addr: SocketAddr,
) -> io::Result<Stream<TcpStream>> {
    let protocol = options.protocol;
    socket.connect(&addr.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = Stream::new(socket.into(), options.tls.as_ref())?;
    stream.shake_hands()?;
    stream.write_all(protocol.request())?;
    let (mut response, mut space) = (Vec::new(), [0; 4096]);
    while !protocol.check_response(&response)? {
        match stream.read(&mut space)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => response.extend_from_slice(space.get(..len).unwrap_or_default()),
        }
    }
    if protocol == Protocol::SocketIo {
        socket_io::enter(&mut stream)?;
    }
    Ok(stream)
}

/// Opens many connections and registers them under their numbers.
pub(crate) fn open_all(poll: &Poll, options: &Options) -> io::Result<Vec<Link>> {
    let count = options.connections;
    let open_one = |index| {
        let mut stream = open(options, index)?;
        rest_if_raw(options.protocol, index, count);
        stream.socket().set_nonblocking(true)?;
        let mut stream = stream.map(mio::net::TcpStream::from_std);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(stream.socket(), Token(index), interest)?;
        Ok(Link::new(stream, options.protocol))
    };
    (0..count).map(open_one).collect()
}

/// Nothing says that a raw server has accepted, and its backlog must not overflow.
pub(crate) fn rest_if_raw(protocol: Protocol, index: usize, count: usize) {
    if protocol != Protocol::Raw {
        return;
    }
    if index + 1 == count {
        std::thread::sleep(RAW_LAST_REST);
    } else if index.is_multiple_of(RAW_BATCH) {
        std::thread::sleep(RAW_REST);
    }
}

/// Half of the backlog that tokio asks for, which bench/run prints: a SYN that finds it full is lost.
const RAW_BATCH: usize = 64;
const RAW_REST: Duration = Duration::from_millis(10);
const RAW_LAST_REST: Duration = Duration::from_millis(50);

/// Waits for events.
///
/// # Errors
///
/// Fails if there are none for long.
pub(crate) fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, Some(PATIENCE)) {
        Ok(()) if events.is_empty() => Err(io::Error::new(
            ErrorKind::TimedOut,
            "messages are missing, and the server is silent",
        )),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}

/// Fails unless a read found nothing.
pub(crate) fn silence(read: io::Result<usize>) -> io::Result<()> {
    match read {
        Ok(0) => Err(closed()),
        Ok(_) => Err(io::Error::other("more came back than was sent")),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

pub(crate) fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection")
}

/// An open connection, with a window of a [`Ring`] under way.
pub(crate) struct Link {
    stream: Stream<mio::net::TcpStream>,
    unsent: Range<usize>,
    missing: Range<usize>,
    since: Instant,
    /// What comes back is compressed.
    inflating: Option<Inflating>,
}

impl Link {
    fn new(stream: Stream<mio::net::TcpStream>, protocol: Protocol) -> Self {
        Self {
            stream,
            unsent: 0..0,
            missing: 0..0,
            since: Instant::now(),
            inflating: protocol.inflating(),
        }
    }

    /// Returns the connection alone.
    pub(crate) fn into_stream(self) -> Stream<mio::net::TcpStream> {
        self.stream
    }

    /// Sends a window, as far as the socket takes it, and expects it back.
    pub(crate) fn begin(&mut self, ring: &Ring, first: usize, count: usize) -> io::Result<()> {
        self.expect(ring, first, count);
        self.unsent = ring.sent_window(first, count);
        self.flush(ring)
    }

    /// Expects a window.
    pub(crate) fn expect(&mut self, ring: &Ring, first: usize, count: usize) {
        self.missing = ring.returned_window(first, count);
        self.since = Instant::now();
    }

    /// Sends a window that somebody else expects, too.
    pub(crate) fn send(&mut self, ring: &Ring, first: usize, count: usize) -> io::Result<()> {
        self.unsent = ring.sent_window(first, count);
        self.flush(ring)
    }

    /// Goes on sending.
    pub(crate) fn flush(&mut self, ring: &Ring) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(ring.sent(self.unsent.clone())) {
                Ok(len) => self.unsent.start += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.stream.flush()
    }

    /// Reads and verifies what is there; returns how long the window took once all of it is back.
    pub(crate) fn receive(&mut self, ring: &Ring, buf: &mut [u8]) -> io::Result<Option<Duration>> {
        loop {
            match self.stream.read(buf) {
                Ok(0) => return Err(closed()),
                Ok(len) => {
                    let mut returned = buf.get(..len).unwrap_or_default();
                    if let Some(inflating) = &mut self.inflating {
                        returned = inflating.inflate(returned)?;
                    }
                    if ring.is_boundary(self.missing.start) {
                        returned = frame::skip_pings(returned);
                    }
                    if returned.len() > self.missing.len() {
                        return Err(io::Error::other("more came back than was sent"));
                    }
                    ring.verify(self.missing.start, returned)?;
                    self.missing.start += returned.len();
                    if self.missing.is_empty() {
                        return Ok(Some(self.since.elapsed()));
                    }
                    if len < buf.len() {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Fails if there is anything to read, when all is back.
    pub(crate) fn verify_silence(&mut self) -> io::Result<()> {
        silence(self.stream.read(&mut [0]))
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.missing.is_empty()
    }
}
