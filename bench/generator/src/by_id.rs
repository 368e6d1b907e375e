//! Messages from connection to connection, by the number under which each has registered.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};

use crate::Options;
use crate::link;
use crate::meter::{Goal, Load, Tally};
use crate::protocol::Protocol;
use crate::ring::Random;

/// A load of messages that the server sends on by id.
pub(crate) struct ById {
    poll: Poll,
    protocol: Protocol,
    ends: Vec<End>,
    random: Random,
    size: usize,
    sequence: u64,
    frame: Vec<u8>,
}

struct End {
    stream: mio::net::TcpStream,
    /// What is on its way to this connection, each of the same length.
    missing: VecDeque<Delivery>,
    received: Vec<u8>,
}

struct Delivery {
    frame: Vec<u8>,
    sender: usize,
    since: Instant,
}

impl ById {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let protocol = options.protocol;
        let open_one = |index| {
            let mut stream = link::open(options.connect, protocol, index)?;
            register(&mut stream, protocol, index)?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)?;
            Ok(End {
                stream,
                missing: VecDeque::new(),
                received: Vec::new(),
            })
        };
        let ends: io::Result<_> = (0..options.connections).map(open_one).collect();
        Ok(Self {
            ends: ends?,
            poll,
            protocol,
            random: Random::default(),
            size: options.size,
            sequence: 0,
            frame: Vec::new(),
        })
    }

    fn send(&mut self, sender: usize) -> io::Result<()> {
        let target = self.random.below(self.ends.len());
        let mut message = format!("s{target:08}{:08x}", self.sequence);
        self.sequence += 1;
        while message.len() < self.size {
            message.push('.');
        }
        let mut frame = Vec::new();
        let key = self.random.masking_key();
        self.protocol
            .encode_returned(message.as_bytes(), key, &mut frame);
        if let Some(end) = self.ends.get_mut(target) {
            end.missing.push_back(Delivery {
                frame,
                sender,
                since: Instant::now(),
            });
        }
        self.frame.clear();
        self.protocol
            .encode_sent(message.as_bytes(), key, &mut self.frame);
        let Some(end) = self.ends.get_mut(sender) else {
            return Ok(());
        };
        // One short message is always taken at once: its sender has none under way.
        end.stream.write_all(&self.frame)
    }
}

/// Gives the server the number of a connection.
fn register(stream: &mut TcpStream, protocol: Protocol, index: usize) -> io::Result<()> {
    let message = format!("r{index:08}");
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    protocol.encode_sent(message.as_bytes(), [0; 4], &mut sent);
    protocol.encode_returned(message.as_bytes(), [0; 4], &mut expected);
    stream.write_all(&sent)?;
    let mut returned = vec![0; expected.len()];
    stream.read_exact(&mut returned)?;
    match returned == expected {
        true => Ok(()),
        false => Err(io::Error::other("a registration came back changed")),
    }
}

impl End {
    /// Reads what is there, and returns the deliveries that are complete.
    fn receive(&mut self) -> io::Result<Vec<Delivery>> {
        let mut space = [0; 4096];
        match self.stream.read(&mut space) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => self
                .received
                .extend_from_slice(space.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.skip_pings();
        let mut complete = Vec::new();
        // Senders overtake each other in the server, so what is missing may come in any order.
        while let Some(len) = self.missing.front().map(|next| next.frame.len()) {
            let Some(frame) = self.received.get(..len) else {
                return Ok(complete);
            };
            let position = self.missing.iter().position(|one| one.frame == frame);
            let Some(delivery) = position.and_then(|position| self.missing.remove(position)) else {
                return Err(io::Error::other("a message arrived changed or astray"));
            };
            complete.push(delivery);
            self.received.drain(..len);
            self.skip_pings();
        }
        match self.received.is_empty() {
            true => Ok(complete),
            false => Err(io::Error::other("a message arrived that nobody sent here")),
        }
    }
}

impl End {
    /// Takes pings of RFC 6455 away: to open so many connections can take longer than a server lets them
    /// be silent. Runs are too short for a server to miss the pongs.
    fn skip_pings(&mut self) {
        while let [0x89, len, ..] = *self.received.as_slice() {
            let len = 2 + usize::from(len);
            if self.received.len() < len {
                return;
            }
            self.received.drain(..len);
        }
    }
}

/// Senders, each with one message under way.
const SENDERS: usize = 64;

impl Load for ById {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let mut begun = 0;
        let mut open = SENDERS.min(self.ends.len());
        for sender in 0..open {
            self.send(sender)?;
            begun += 1;
        }
        while open > 0 {
            link::wait(&mut self.poll, &mut events)?;
            for event in &events {
                let Some(end) = self.ends.get_mut(event.token().0) else {
                    continue;
                };
                for delivery in end.receive()? {
                    tally.add(1, delivery.since.elapsed());
                    if goal.is_open(begun, Instant::now()) {
                        self.send(delivery.sender)?;
                        begun += 1;
                    } else {
                        open -= 1;
                    }
                }
            }
        }
        Ok(tally)
    }
    fn verify_silence(&mut self) -> io::Result<()> {
        // Nothing is missing, so this accepts pings and nothing else.
        self.ends
            .iter_mut()
            .try_for_each(|end| end.receive().map(drop))
    }
}
