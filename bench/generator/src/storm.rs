//! A storm of reconnects: all connections are reset at the same time, as when a network fails, and each
//! connects anew as fast as it can.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde::Serialize;

use crate::link::{self, EINPROGRESS};
use crate::meter::{Measured, Meter, Tally, nanos};
use crate::protocol::Protocol;
use crate::ring::Ring;
use crate::{Options, idle, settle};

/// What came of a storm, besides its times: those count from its begin, until a first message is back.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Outcome {
    /// What was resident before, with as many connections.
    pub(crate) before_bytes: u64,
    /// When the generator had begun to connect with all.
    pub(crate) begun_ns: u64,
    /// Connections that were refused or reset on their way, and tried again.
    pub(crate) retries: usize,
}

/// Opens the connections, resets them, and opens as many again.
pub(crate) fn measure(options: &Options, meter: &Meter) -> io::Result<Measured> {
    let ring = Ring::new(options.protocol, options.script, options.size, 1);
    let count = options.connections;
    let mut old = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = link::open(options, index)?;
        idle::exchange(&mut stream, options.protocol, &ring, ring.after(0, index))?;
        old.push(stream);
    }
    std::thread::sleep(REST);
    let before_bytes = meter.rss()?;
    meter.forget_peak()?;
    let cpu = meter.cpu()?;
    let mut storm = Storm::new(options, ring)?;
    let begin = Instant::now();
    drop(old);
    // Those who come first are not looked after before all have begun, as each is a client of its own.
    for index in 0..count {
        storm.connect(index)?;
    }
    let begun_ns = nanos(begin.elapsed());
    while storm.tally.messages < u64::try_from(count).map_err(io::Error::other)? {
        if begin.elapsed() > LONGEST {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                format!("only {} are served after {LONGEST:?}", storm.tally.messages),
            ));
        }
        storm.turn(begin)?;
    }
    let wall = begin.elapsed();
    settle();
    let cpu_ns = meter.cpu()?.saturating_sub(cpu);
    let peak_bytes = Some(meter.peak()?);
    storm.verify_silence()?;
    Ok(Measured {
        peak_bytes,
        storm: Some(Outcome {
            before_bytes,
            begun_ns,
            retries: storm.retries,
        }),
        ..storm.tally.measured(cpu_ns, wall)
    })
}

/// Time for the server to put its buffers away.
const REST: Duration = Duration::from_millis(300);

/// A client whose SYN finds the backlog full tries again after 1, 3, 7 and 15 seconds.
const LONGEST: Duration = Duration::from_secs(40);
const WAIT: Duration = Duration::from_millis(100);

struct Storm {
    poll: Poll,
    events: Events,
    addr: SocketAddr,
    protocol: Protocol,
    ring: Ring,
    comers: Vec<Option<Comer>>,
    retries: usize,
    tally: Tally,
}

/// A connection on its way to its first answer.
struct Comer {
    stream: TcpStream,
    state: State,
    received: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Upgrading,
    Waiting,
    Served,
}

impl Storm {
    fn new(options: &Options, ring: Ring) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            addr: options.connect,
            protocol: options.protocol,
            ring,
            comers: (0..options.connections).map(|_| None).collect(),
            retries: 0,
            tally: Tally::default(),
        })
    }

    fn connect(&mut self, index: usize) -> io::Result<()> {
        // From other addresses than those before, so that no port is missing.
        let socket = link::socket(self.comers.len() + index)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.addr.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(index), interest)?;
        if let Some(comer) = self.comers.get_mut(index) {
            *comer = Some(Comer {
                stream,
                state: State::Connecting,
                received: Vec::new(),
            });
        }
        Ok(())
    }

    /// Lets those go on for whom something has happened.
    fn turn(&mut self, begin: Instant) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(WAIT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for index in ready {
            let Some(Some(comer)) = self.comers.get_mut(index) else {
                continue;
            };
            match comer.advance(self.protocol, &self.ring, index) {
                Ok(true) => self.tally.add(1, begin.elapsed()),
                Ok(false) => {}
                Err(error) if is_refusal(&error) && comer.state != State::Served => {
                    self.retries += 1;
                    if self.retries > self.comers.len() * RETRIES {
                        return Err(error);
                    }
                    self.connect(index)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn verify_silence(&mut self) -> io::Result<()> {
        let mut comers = self.comers.iter_mut().flatten();
        comers.try_for_each(|comer| link::silence(comer.stream.read(&mut [0])))
    }
}

/// How often each may try again, on average.
const RETRIES: usize = 20;

/// The server had no room, and a client would try again.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}

impl Comer {
    /// Goes on; returns whether the first message is back by it.
    fn advance(&mut self, protocol: Protocol, ring: &Ring, index: usize) -> io::Result<bool> {
        let message = ring.after(0, index);
        if self.state == State::Connecting {
            match self.begin(protocol, ring, message) {
                Err(error) if is_early(&error) => return Ok(false),
                result => result?,
            }
        }
        if self.state == State::Served {
            return Ok(false);
        }
        let mut space = [0; 4096];
        let len = match self.stream.read(&mut space) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error) if is_early(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let arrived = space.get(..len).unwrap_or_default();
        self.received.extend_from_slice(arrived);
        if self.state == State::Upgrading {
            if protocol.check_response(&self.received)? {
                self.received.clear();
                self.send_message(ring, message)?;
            }
            return Ok(false);
        }
        let expected = ring.returned_window(message, 1);
        if self.received.len() > expected.len() {
            return Err(io::Error::other("more came back than was sent"));
        }
        ring.verify(expected.start, &self.received)?;
        if self.received.len() < expected.len() {
            return Ok(false);
        }
        self.state = State::Served;
        Ok(true)
    }

    /// Sends what a client says first.
    fn begin(&mut self, protocol: Protocol, ring: &Ring, message: usize) -> io::Result<()> {
        if protocol == Protocol::Raw {
            return self.send_message(ring, message);
        }
        self.send_all(protocol.request())?;
        self.state = State::Upgrading;
        Ok(())
    }

    fn send_message(&mut self, ring: &Ring, message: usize) -> io::Result<()> {
        self.send_all(ring.sent(ring.sent_window(message, 1)))?;
        self.state = State::Waiting;
        Ok(())
    }

    /// An empty socket takes what is as short as this.
    fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.write(bytes)? {
            len if len == bytes.len() => Ok(()),
            _ => Err(io::Error::other(
                "the socket did not take a request at once",
            )),
        }
    }
}

/// The event was that of an earlier connection with the same number, or the first of this one.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}
