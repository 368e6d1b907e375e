//! One connection of the generator that gets messages of others: what is on its way to it, and the comparison of what
//! arrives.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use mio::{Interest, Poll, Token};

use crate::deflate::Compressing;
use crate::frame;
use crate::protocol::Protocol;
use crate::tls::Stream;

/// A message that is on its way to a connection.
pub(crate) trait Delivery {
    /// Returns its bytes, as the server sends them.
    fn frame(&self) -> &[u8];
}

pub(crate) struct End<D> {
    stream: Stream<mio::net::TcpStream>,
    missing: VecDeque<D>,
    received: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

/// Sends what registers a connection.
pub(crate) fn begin_registration(
    stream: &mut Stream<TcpStream>,
    protocol: Protocol,
    words: &[String],
) -> io::Result<()> {
    let (mut sent, mut compressing) = (Vec::new(), Compressing::default());
    for word in words {
        protocol.encode_sent(word.as_bytes(), [0; 4], &mut compressing, &mut sent);
    }
    stream.write_all(&sent)
}

/// Waits until what registers a connection comes back.
pub(crate) fn end_registration(
    stream: &mut Stream<TcpStream>,
    protocol: Protocol,
    words: &[String],
) -> io::Result<()> {
    let mut expected = Vec::new();
    for word in words {
        protocol.encode_returned(word.as_bytes(), [0; 4], &mut expected);
    }
    let mut returned = vec![0; expected.len()];
    stream.read_exact(&mut returned)?;
    match returned == expected {
        true => Ok(()),
        false => Err(io::Error::other("a registration came back changed")),
    }
}

impl<D: Delivery> End<D> {
    /// Takes an open connection, and registers it under a number.
    pub(crate) fn new(
        poll: &Poll,
        mut stream: Stream<TcpStream>,
        index: usize,
    ) -> io::Result<Self> {
        stream.socket().set_nonblocking(true)?;
        let mut stream = stream.map(mio::net::TcpStream::from_std);
        poll.registry()
            .register(stream.socket(), Token(index), Interest::READABLE)?;
        Ok(Self {
            stream,
            missing: VecDeque::new(),
            received: Vec::new(),
            unsent: Vec::new(),
        })
    }

    pub(crate) fn expect(&mut self, delivery: D) {
        self.missing.push_back(delivery);
    }

    /// Sends a frame, as far as the socket takes it.
    pub(crate) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(frame);
        self.flush()
    }

    /// Goes on sending.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(len) => drop(self.unsent.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.stream.flush()
    }

    /// Reads what is there, and returns the deliveries that are complete.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<D>> {
        self.read_all()?;
        self.skip_pings();
        let mut complete = Vec::new();
        // Senders overtake each other in the server, so what is missing may come in any order.
        while let Some(len) = self.missing.front().map(|next| next.frame().len()) {
            let Some(frame) = self.received.get(..len) else {
                return Ok(complete);
            };
            let position = self.missing.iter().position(|one| one.frame() == frame);
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

    fn read_all(&mut self) -> io::Result<()> {
        let mut space = [0; 4096];
        loop {
            match self.stream.read(&mut space) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    let read = space.get(..len).unwrap_or_default();
                    self.received.extend_from_slice(read);
                    // A short read means that there is no more, which saves a system call.
                    if len < space.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn skip_pings(&mut self) {
        let left = frame::skip_pings(&self.received).len();
        self.received.drain(..self.received.len() - left);
    }
}
