//! Opening handshakes, several at a time; each connection is reset once it is open.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::Options;
use crate::link::{self, EINPROGRESS};
use crate::meter::{Goal, Load, Tally};
use crate::protocol::Protocol;
use crate::tls::{Stream, Tls};

/// A load of opening handshakes.
pub(crate) struct Handshakes {
    poll: Poll,
    addr: SocketAddr,
    protocol: Protocol,
    tls: Option<Tls>,
    resumes: bool,
    /// The handshakes that resumed an earlier one, and all.
    resumed: (u64, u64),
    slots: Vec<Option<Opening>>,
}

/// A connection on its way.
struct Opening {
    stream: Stream<TcpStream>,
    has_sent: bool,
    response: Vec<u8>,
    since: Instant,
}

impl Handshakes {
    pub(crate) fn new(options: &Options, resumes: bool) -> io::Result<Self> {
        let tls = options.tls.as_ref();
        Ok(Self {
            poll: Poll::new()?,
            addr: options.connect,
            protocol: options.protocol,
            tls: match resumes {
                true => tls.map(Tls::resuming),
                false => tls.cloned(),
            },
            resumes,
            resumed: (0, 0),
            slots: (0..options.connections).map(|_| None).collect(),
        })
    }

    fn begin(&mut self, index: usize) -> io::Result<()> {
        let socket = link::socket(0)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.addr.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = TcpStream::from_std(socket.into());
        let mut stream = Stream::new(socket, self.tls.as_ref())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(stream.socket(), Token(index), interest)?;
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Opening {
                stream,
                has_sent: false,
                response: Vec::new(),
                since: Instant::now(),
            });
        }
        Ok(())
    }
}

impl Opening {
    /// Goes on; returns whether the connection is open.
    fn advance(&mut self, protocol: Protocol) -> io::Result<bool> {
        if !self.has_sent {
            match self.stream.write(protocol.request()) {
                Ok(len) if len == protocol.request().len() => self.has_sent = true,
                Ok(_) => {
                    return Err(io::Error::other(
                        "the socket did not take a request at once",
                    ));
                }
                Err(error) if is_early(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut space = [0; 4096];
        match self.stream.read(&mut space) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.response
                    .extend_from_slice(space.get(..len).unwrap_or_default());
                protocol.check_response(&self.response)
            }
            Err(error) if is_early(&error) => Ok(false),
            Err(error) => Err(error),
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

impl Load for Handshakes {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let mut begun = 0;
        let mut open = self.slots.len();
        for index in 0..open {
            self.begin(index)?;
            begun += 1;
        }
        while open > 0 {
            link::wait(&mut self.poll, &mut events)?;
            for event in &events {
                let index = event.token().0;
                let Some(slot) = self.slots.get_mut(index) else {
                    continue;
                };
                let Some(opening) = slot else {
                    continue;
                };
                if !opening.advance(self.protocol)? {
                    continue;
                }
                tally.add(1, opening.since.elapsed());
                self.resumed.0 += u64::from(opening.stream.has_resumed());
                self.resumed.1 += 1;
                *slot = None;
                if goal.is_open(begun, Instant::now()) {
                    self.begin(index)?;
                    begun += 1;
                } else {
                    open -= 1;
                }
            }
        }
        Ok(tally)
    }
    /// Every connection was reset when it was open. Nearly all handshakes are to resume others, behind
    /// the first ones, which cannot.
    fn verify_silence(&mut self) -> io::Result<()> {
        let (resumed, all) = self.resumed;
        let first = u64::try_from(self.slots.len()).map_err(io::Error::other)?;
        if self.resumes && (resumed + first) * 10 < all * 9 {
            let text = format!("{resumed} of {all} handshakes of TLS resumed an earlier one");
            return Err(io::Error::other(text));
        }
        Ok(())
    }
}
