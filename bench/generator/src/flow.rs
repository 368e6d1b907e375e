//! One connection with any number of messages under way: what is due is queued here if the socket does not
//! take it, and what comes back is verified as one endless row of messages.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::frame;
use crate::link;
use crate::ring::Ring;
use crate::tls::Stream;

/// An open connection on which messages of a [`Ring`] follow each other.
pub(crate) struct Flow {
    stream: Stream<TcpStream>,
    /// The message that is sent next, and how much of it was sent.
    next: usize,
    sent_of_next: usize,
    /// The messages that are due and not sent as a whole.
    unsent: usize,
    /// Where in the returned bytes of the ring the next one stands.
    returned_at: usize,
}

impl Flow {
    /// Begins with some message of a ring, which is sent and expected next.
    pub(crate) fn new(stream: Stream<TcpStream>, ring: &Ring, first: usize) -> Self {
        Self {
            stream,
            next: first,
            sent_of_next: 0,
            unsent: 0,
            returned_at: ring.returned_window(first, 1).start,
        }
    }

    /// Begins with some message of another ring, when nothing is under way.
    pub(crate) fn restart(&mut self, ring: &Ring, first: usize) {
        debug_assert_eq!(self.unsent, 0, "nothing is under way");
        self.next = first;
        self.returned_at = ring.returned_window(first, 1).start;
    }

    /// Sends the next messages, as far as the socket takes them. A ring has to be made for windows of
    /// [`WINDOW`].
    pub(crate) fn send(&mut self, ring: &Ring, count: usize) -> io::Result<()> {
        self.unsent += count;
        self.flush(ring)
    }

    /// Goes on sending.
    pub(crate) fn flush(&mut self, ring: &Ring) -> io::Result<()> {
        while self.unsent > 0 {
            let mut range = ring.sent_window(self.next, self.unsent.min(WINDOW));
            range.start += self.sent_of_next;
            match self.stream.write(ring.sent(range)) {
                Ok(len) => self.note_sent(ring, len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.stream.flush()
    }

    fn note_sent(&mut self, ring: &Ring, len: usize) {
        self.sent_of_next += len;
        while self.unsent > 0 {
            let len = ring.sent_window(self.next, 1).len();
            if self.sent_of_next < len {
                break;
            }
            self.sent_of_next -= len;
            self.next = ring.after(self.next, 1);
            self.unsent -= 1;
        }
    }

    /// Reads and verifies what is there, and returns how many messages are complete by it.
    ///
    /// # Errors
    ///
    /// Fails if more came than the messages that are missing.
    pub(crate) fn receive(
        &mut self,
        ring: &Ring,
        missing: usize,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let mut complete = 0;
        loop {
            let len = match self.stream.read(buf) {
                Ok(0) => return Err(link::closed()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(complete),
                Err(error) => return Err(error),
            };
            let mut returned = buf.get(..len).unwrap_or_default();
            if ring.is_boundary(self.returned_at) {
                returned = frame::skip_pings(returned);
            }
            let end = self.returned_at % ring.returned_len() + returned.len();
            complete += end / ring.returned_len();
            let is_begun = !ring.is_boundary(end);
            if complete + usize::from(is_begun) > missing {
                return Err(io::Error::other("more came back than was sent"));
            }
            while !returned.is_empty() {
                let room = ring.returned_end() - self.returned_at;
                let (part, rest) = returned.split_at(returned.len().min(room));
                ring.verify(self.returned_at, part)?;
                self.returned_at = (self.returned_at + part.len()) % ring.returned_end();
                returned = rest;
            }
            // A short read means that there is no more, which saves a system call.
            if len < buf.len() {
                return Ok(complete);
            }
        }
    }

    /// Fails if there is anything to read, when nothing is missing.
    pub(crate) fn verify_silence(&mut self) -> io::Result<()> {
        link::silence(self.stream.read(&mut [0]))
    }
}

/// So many messages are sent with one system call at most.
pub(crate) const WINDOW: usize = 64;
