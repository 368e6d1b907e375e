//! One peer of the loop: a stream, and the machine that speaks the protocol on it. It knows neither
//! the other peers nor how the loop waits.

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::time::Instant;

use bytes::Buf;
use http::StatusCode;
use mio::event::Event as Readiness;
use mio::net::TcpStream;
use ws_proto::{
    Accept, CloseCode, CloseReason, ConfigError, Connection, Event, HandshakeEvent, Rejection,
    Request, ServerHandshake, Workspace,
};

/// Segments that one write passes to the system.
const SEGMENT_LIMIT: usize = 16;

/// The answer to a request that is no upgrade.
const PAGE: &str = "<!doctype html><title>echo</title><p>The WebSocket is at this address.</p>\n";

/// A client of the server: its stream and its protocol machine.
pub(crate) struct Peer {
    io: PeerIo,
    stage: Stage,
    /// For the loop: whether it is in the queue of those that get a turn.
    pub(crate) is_queued: bool,
    /// For the loop: the deadline that is armed.
    pub(crate) deadline: Option<Instant>,
}

enum Stage {
    Handshake(Box<ServerHandshake>),
    /// The answer is written, and it opened no connection. The server reads on until the stream ends
    /// or this deadline passes: a stream that is dropped while the client still sends is reset, and
    /// the reset can overtake the answer.
    Answered(Option<Instant>),
    Open(Box<Connection>),
    Over,
}

impl Peer {
    /// Begins with a stream that was accepted.
    pub(crate) fn new(stream: TcpStream, handshake: ServerHandshake) -> Self {
        Self {
            io: PeerIo {
                stream,
                unread: Vec::new(),
                is_readable: true,
                is_writable: true,
            },
            stage: Stage::Handshake(Box::new(handshake)),
            is_queued: false,
            deadline: None,
        }
    }

    pub(crate) fn handle_readiness(&mut self, event: &Readiness) {
        self.io.is_readable |= event.is_readable() || event.is_read_closed();
        self.io.is_writable |= event.is_writable() || event.is_write_closed();
    }

    /// Does a bounded amount of work: one read at most, and its answers.
    pub(crate) fn turn(&mut self, buf: &mut [u8], workspace: &mut Workspace) {
        let io = &mut self.io;
        self.stage = match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Handshake(handshake) => turn_of_handshake(handshake, io, buf, workspace),
            Stage::Answered(deadline) => turn_of_answered(deadline, io, buf),
            Stage::Open(connection) => turn_of_connection(connection, io, buf, workspace),
            Stage::Over => Stage::Over,
        };
    }

    /// Returns when it needs a turn although nothing happened on its stream.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Handshake(handshake) => handshake.poll_timeout(),
            Stage::Answered(deadline) => *deadline,
            Stage::Open(connection) => connection.poll_timeout(),
            Stage::Over => None,
        }
    }

    /// Tells whether there is something to do that neither a readiness event nor a deadline tells.
    pub(crate) fn wants_turn(&self) -> bool {
        match &self.stage {
            Stage::Handshake(handshake) => handshake.wants_read() && self.io.is_readable,
            Stage::Answered(_) => self.io.is_readable,
            Stage::Open(connection) => {
                connection.wants_read() && (self.io.is_readable || !self.io.unread.is_empty())
            }
            Stage::Over => false,
        }
    }

    /// Tells whether it can be dropped.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Begins the closing handshake, because the server stops.
    pub(crate) fn stop(&mut self) {
        match &mut self.stage {
            Stage::Open(connection) => {
                connection.close(
                    Instant::now(),
                    Some(CloseCode::GOING_AWAY),
                    CloseReason::EMPTY,
                );
            }
            // No request was accepted yet, so this breaks no promise.
            Stage::Handshake(_) => self.stage = Stage::Over,
            Stage::Answered(_) | Stage::Over => {}
        }
    }
}

fn turn_of_handshake(
    mut handshake: Box<ServerHandshake>,
    io: &mut PeerIo,
    buf: &mut [u8],
    workspace: &mut Workspace,
) -> Stage {
    let now = Instant::now();
    let was_due = is_due(handshake.poll_timeout(), now);
    if handshake.wants_read() && (io.is_readable || was_due) {
        match io.read(buf) {
            Ok(Some(0)) => handshake.handle_eof(),
            Ok(Some(count)) => handshake.handle_read(now, &buf[..count]),
            Ok(None) => {}
            Err(_) => return Stage::Over,
        }
    }
    // Does nothing before the deadline.
    handshake.handle_timeout(now);
    while let Some(event) = handshake.poll_event() {
        let answered = match event {
            HandshakeEvent::Request(Request::Upgrade(_)) => handshake.accept(Accept::new()),
            HandshakeEvent::Request(_) => page().and_then(|page| handshake.reject(page)),
            HandshakeEvent::Open => {
                // What came behind the request is taken as if it was read now, in bounded steps. The
                // connection takes over what is outgoing.
                io.unread = handshake.take_early().into();
                let connection = Box::new(handshake.into_connection(now));
                return turn_of_connection(connection, io, buf, workspace);
            }
            HandshakeEvent::Failed(error) => {
                eprintln!("the handshake failed: {error}");
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = answered {
            eprintln!("not answered: {error}");
            return Stage::Over;
        }
    }
    if io.write(handshake.outgoing()).is_err() {
        return Stage::Over;
    }
    if handshake.is_finished() {
        // Fails if the peer reset the stream, which the next read reports as well.
        let _ = io.stream.shutdown(Shutdown::Write);
        return Stage::Answered(handshake.close_deadline(now));
    }
    Stage::Handshake(handshake)
}

/// Answers a request that is no upgrade. A server with more pages gives the stream to an HTTP
/// server here: `ServerHandshake::into_received` has the bytes.
fn page() -> Result<Rejection, ConfigError> {
    Rejection::new(StatusCode::OK)
        .header("Content-Type", "text/html; charset=utf-8")
        .map(|page| page.body(PAGE))
}

fn turn_of_answered(deadline: Option<Instant>, io: &mut PeerIo, buf: &mut [u8]) -> Stage {
    let is_over = is_due(deadline, Instant::now())
        || (io.is_readable && matches!(io.read(buf), Ok(Some(0)) | Err(_)));
    if is_over {
        Stage::Over
    } else {
        Stage::Answered(deadline)
    }
}

/// One turn: at most one read, its answers, and what the stream takes of them.
fn turn_of_connection(
    mut connection: Box<Connection>,
    io: &mut PeerIo,
    buf: &mut [u8],
    workspace: &mut Workspace,
) -> Stage {
    let now = Instant::now();
    connection.attach(workspace);
    let was_due = is_due(connection.poll_timeout(), now);
    if connection.wants_read() {
        if !io.unread.is_empty() {
            // Bytes that were read and not taken come first. The stream does not become readable
            // because of them, so do not wait for it.
            let count = connection.handle_read_some(now, &io.unread);
            io.unread.drain(..count);
        } else if io.is_readable || was_due {
            // Also before a deadline counts: if the process stood still, the answer of a healthy
            // peer can be there already.
            match io.read(buf) {
                Ok(Some(0)) => connection.handle_eof(now),
                Ok(Some(count)) => {
                    let taken = connection.handle_read_some(now, &buf[..count]);
                    io.unread.extend_from_slice(&buf[taken..count]);
                }
                Ok(None) => {}
                Err(_) => connection.handle_reset(now),
            }
        }
    }
    if is_due(connection.poll_timeout(), now) {
        connection.handle_timeout(now);
    }
    // It ends, because nothing more is read here: the `receive_queue_limit` bounds the events.
    loop {
        answer(&mut connection, now);
        if io.write(&mut connection.outgoing()).is_err() {
            connection.handle_reset(now);
        }
        if !(connection.has_events() && may_answer(&connection)) {
            break;
        }
    }
    if connection.wants_shutdown() {
        // Fails if the peer reset the stream, which the next read reports as well.
        let _ = io.stream.shutdown(Shutdown::Write);
    }
    connection.detach(workspace);
    if connection.is_finished() && !connection.has_events() {
        Stage::Over
    } else {
        Stage::Open(connection)
    }
}

/// Answers what arrived while there is room for answers. The rest stays in the connection, which
/// stops reading at its `receive_queue_limit`. Then the peer has to wait, and no message is lost.
fn answer(connection: &mut Connection, now: Instant) {
    while may_answer(connection) {
        match connection.poll_event(now) {
            // Fails only if nothing can be sent any more, and then nobody waits for the answer.
            Some(Event::Message(message)) => drop(connection.send(message)),
            Some(Event::Closed(closed)) => println!("closed: {closed}"),
            Some(_) => {}
            None => break,
        }
    }
}

/// Asked before an event is taken: a message that was taken and that a full send queue refuses would
/// be lost. If nothing can be sent any more, there will never be room, and nothing is lost.
fn may_answer(connection: &Connection) -> bool {
    connection.has_capacity() || !connection.is_writable()
}

fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// A non-blocking stream. `mio` reports only changes of readiness, so each report is kept until a
/// call returns `WouldBlock`.
struct PeerIo {
    stream: TcpStream,
    /// Bytes that were read and that the connection has not taken yet: at most one read, or what
    /// came behind the request.
    unread: Vec<u8>,
    is_readable: bool,
    is_writable: bool,
}

impl PeerIo {
    /// Reads once. `Some(0)` is the end of the stream; `None` means that nothing has come.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buf) {
            Ok(0) => {
                self.is_readable = false;
                Ok(Some(0))
            }
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_readable = false;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes as much as the stream takes.
    fn write(&mut self, outgoing: &mut impl Buf) -> io::Result<()> {
        while self.is_writable && outgoing.has_remaining() {
            let mut segments = [IoSlice::new(&[]); SEGMENT_LIMIT];
            let len = outgoing.chunks_vectored(&mut segments);
            match self.stream.write_vectored(&segments[..len]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => outgoing.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
