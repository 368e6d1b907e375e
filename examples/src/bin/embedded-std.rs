//! An echo server over the blocking streams of the standard library, with a thread for each
//! stream. It uses `ws-proto` alone: no async runtime, no driver. A browser that asks for a page
//! gets one. A line on standard input stops it.
//!
//! docs/embedding.md explains the contract that it keeps.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Buf;
use clap::Parser;
use http::StatusCode;
use ws_proto::{
    Accept, CloseCode, CloseReason, ConfigError, Connection, ConnectionConfig, Event,
    HandshakeEvent, Rejection, Request, ServerConfig, ServerHandshake, State,
};

/// Streams at a time, because each has a thread. More are closed as soon as they are accepted.
const CONNECTION_LIMIT: usize = 1000;

/// The bytes of one read.
const READ_LEN: usize = 16 << 10;

/// Segments that one write passes to the system.
const SEGMENT_LIMIT: usize = 16;

/// No read and no write blocks for longer than this, because a thread that is blocked does not
/// notice that the server stops.
const STOP_CHECK: Duration = Duration::from_millis(200);

/// The wait for the closing handshakes of all connections when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait after an accept that failed. Without file descriptors every accept fails at once, so
/// the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The answer to a request that is no upgrade.
const PAGE: &str = "<!doctype html><title>echo</title><p>The WebSocket is at this address.</p>\n";

/// An echo server without an async runtime: a thread for each stream.
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: String,
    /// How long a client may take for its opening handshake.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    handshake_timeout: u64,
    /// How long a client may take nothing of what waits to be written to it.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    stall_timeout: u64,
}

struct Server {
    config: Arc<ServerConfig>,
    is_stopping: AtomicBool,
    /// How many threads serve a stream.
    open: AtomicUsize,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let connection =
        ConnectionConfig::new().stall_timeout(Duration::from_secs(options.stall_timeout));
    connection.check().map_err(io::Error::other)?;
    let config = ServerConfig::new()
        .handshake_timeout(Duration::from_secs(options.handshake_timeout))
        .connection(connection);
    let listener = TcpListener::bind(&options.listen)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let server = Arc::new(Server {
        config: Arc::new(config),
        is_stopping: AtomicBool::new(false),
        open: AtomicUsize::new(0),
    });
    let accepting = {
        let server = Arc::clone(&server);
        thread::spawn(move || accept(&listener, &server))
    };
    if io::stdin().read_line(&mut String::new())? == 0 {
        // Standard input has ended, so no line can stop the server: it runs until it is killed.
        return accepting
            .join()
            .map_err(|_| io::Error::other("accepting panicked"));
    }
    server.is_stopping.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + STOP_TIMEOUT;
    while server.open.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        thread::sleep(STOP_CHECK / 4);
    }
    // The thread that accepts is still blocked, and ends with the process.
    Ok(())
}

fn accept(listener: &TcpListener, server: &Arc<Server>) {
    while !server.is_stopping() {
        match listener.accept() {
            Ok((stream, _)) => {
                // A stream beyond the limit is dropped, which closes it.
                if let Some(place) = Place::take(server) {
                    let serving = thread::Builder::new().spawn(move || serve(stream, &place.0));
                    if let Err(error) = serving {
                        eprintln!("no thread: {error}");
                    }
                }
            }
            Err(error) => {
                eprintln!("accepting failed: {error}");
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn serve(mut stream: TcpStream, server: &Server) {
    let served = open(&mut stream, server).and_then(|connection| {
        connection.map_or(Ok(()), |connection| echo(stream, connection, server))
    });
    if let Err(error) = served {
        eprintln!("the stream failed: {error}");
    }
}

/// Does the opening handshake. `None` if there is no connection: the answer is written, and the
/// stream can be dropped.
fn open(stream: &mut TcpStream, server: &Server) -> io::Result<Option<Connection>> {
    // The library writes frames that belong together at once, so a delay has no use.
    stream.set_nodelay(true)?;
    let mut handshake = ServerHandshake::shared(Arc::clone(&server.config), Instant::now());
    let mut buf = [0; READ_LEN];
    loop {
        while let Some(event) = handshake.poll_event() {
            match event {
                HandshakeEvent::Request(Request::Upgrade(_)) => handshake.accept(Accept::new()),
                HandshakeEvent::Request(_) => page().and_then(|page| handshake.reject(page)),
                // The connection takes over what is outgoing, and what came behind the request.
                HandshakeEvent::Open => return Ok(Some(handshake.into_connection(Instant::now()))),
                HandshakeEvent::Failed(error) => {
                    eprintln!("the handshake failed: {error}");
                    Ok(())
                }
                _ => Ok(()),
            }
            .map_err(io::Error::other)?;
        }
        while !handshake.outgoing().is_empty() {
            let now = Instant::now();
            let deadline = handshake.poll_timeout();
            match write_some(stream, handshake.outgoing(), deadline) {
                Err(error) if !is_timeout(&error) => return Err(error),
                // Does nothing before the deadline.
                Ok(()) | Err(_) => handshake.handle_timeout(now),
            }
        }
        if handshake.is_finished() {
            linger(stream, handshake.close_deadline(Instant::now()), &mut buf)?;
            return Ok(None);
        }
        if server.is_stopping() {
            return Ok(None);
        }
        // The time before the read: a deadline counts if it had passed and the read brought nothing.
        let now = Instant::now();
        stream.set_read_timeout(Some(wait(handshake.poll_timeout())))?;
        match stream.read(&mut buf) {
            Ok(0) => handshake.handle_eof(),
            Ok(count) => handshake.handle_read(now, &buf[..count]),
            Err(error) if is_timeout(&error) => handshake.handle_timeout(now),
            Err(error) => return Err(error),
        }
    }
}

/// Answers a request that is no upgrade. A server with more pages gives the stream to an HTTP
/// server here: `ServerHandshake::into_received` has the bytes.
fn page() -> Result<Rejection, ConfigError> {
    Rejection::new(StatusCode::OK)
        .header("Content-Type", "text/html; charset=utf-8")
        .map(|page| page.body(PAGE))
}

/// Waits for the end of the stream behind an answer. A stream that is dropped while the client
/// still sends is reset, and the reset can overtake the answer.
fn linger(stream: &mut TcpStream, deadline: Option<Instant>, buf: &mut [u8]) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    while !is_due(deadline, Instant::now()) {
        stream.set_read_timeout(Some(wait(deadline)))?;
        match stream.read(buf) {
            Ok(0) => break,
            Err(error) if !is_timeout(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Sends every message back until the connection is over.
fn echo(mut stream: TcpStream, mut connection: Connection, server: &Server) -> io::Result<()> {
    let mut buf = [0; READ_LEN];
    // The bytes that were read and that the connection has not taken yet, as a range of `buf`.
    let (mut start, mut end) = (0, 0);
    loop {
        answer(&mut connection);
        write_all(&mut stream, &mut connection);
        if connection.wants_shutdown() {
            // Fails if the peer reset the stream, which the next read reports as well.
            let _ = stream.shutdown(Shutdown::Write);
        }
        if connection.has_events() {
            // The send queue was full and has room again, or the write ended the connection.
            continue;
        }
        if connection.is_finished() {
            return Ok(());
        }
        let now = Instant::now();
        if server.is_stopping() && connection.state() == State::Connected {
            connection.close(now, Some(CloseCode::GOING_AWAY), CloseReason::EMPTY);
            continue;
        }
        if start < end {
            // The stream does not become readable because of these bytes: no wait before they are
            // taken. Everything is answered and written here, so the connection wants to read. With a
            // `receive_rate_limit` it may not: then sleep until the `poll_timeout`.
            start += connection.handle_read_some(now, &buf[start..end]);
            continue;
        }
        stream.set_read_timeout(Some(wait(connection.poll_timeout())))?;
        match stream.read(&mut buf) {
            Ok(0) => connection.handle_eof(now),
            Ok(count) => (start, end) = (0, count),
            // `now` is the time before the read: a deadline counts if it had passed by then, and
            // the read brought nothing.
            Err(error) if is_timeout(&error) => {
                if is_due(connection.poll_timeout(), now) {
                    connection.handle_timeout(now);
                }
            }
            Err(_) => connection.handle_reset(now),
        }
    }
}

/// Answers what arrived while there is room for answers. The rest stays in the connection, which
/// stops reading at its `receive_queue_limit`. Then the peer has to wait, and no message is lost.
fn answer(connection: &mut Connection) {
    // Room first, then the event: a message that was taken and that a full send queue refuses would
    // be lost. If nothing can be sent any more, there will never be room, and nothing is lost.
    while connection.has_capacity() || !connection.is_writable() {
        match connection.poll_event(Instant::now()) {
            // Fails only if nothing can be sent any more, and then nobody waits for the answer.
            Some(Event::Message(message)) => drop(connection.send(message)),
            Some(Event::Closed(closed)) => println!("closed: {closed}"),
            Some(_) => {}
            None => break,
        }
    }
}

/// Writes all that is outgoing, or until the connection is over: after a reset, and when the
/// `stall_timeout` or the `close_timeout` ends it.
fn write_all(stream: &mut TcpStream, connection: &mut Connection) {
    while !connection.outgoing().is_empty() && !connection.is_finished() {
        let (now, deadline) = (Instant::now(), connection.poll_timeout());
        match write_some(stream, &mut connection.outgoing(), deadline) {
            Err(error) if !is_timeout(&error) => connection.handle_reset(now),
            // Also after a write that made progress: a peer that reads a byte now and then must not
            // hide the deadline of the closing handshake.
            Ok(()) | Err(_) => {
                if is_due(connection.poll_timeout(), now) {
                    connection.handle_timeout(now);
                }
            }
        }
    }
}

/// Writes once, and no longer than until the deadline. Without a write timeout, a peer that does
/// not read would block the thread for ever, and no deadline would be seen.
fn write_some(
    stream: &mut TcpStream,
    outgoing: &mut impl Buf,
    deadline: Option<Instant>,
) -> io::Result<()> {
    stream.set_write_timeout(Some(wait(deadline)))?;
    let mut segments = [IoSlice::new(&[]); SEGMENT_LIMIT];
    let len = outgoing.chunks_vectored(&mut segments);
    match stream.write_vectored(&segments[..len])? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => {
            outgoing.advance(count);
            Ok(())
        }
    }
}

/// How long to block: until the deadline, but not for longer than `STOP_CHECK`. It is never zero,
/// because the standard library refuses a timeout of zero. So a deadline that has passed leaves time
/// for one more try, which counts if the process stood still.
fn wait(deadline: Option<Instant>) -> Duration {
    let left = deadline.map_or(STOP_CHECK, |deadline| {
        deadline.saturating_duration_since(Instant::now())
    });
    left.clamp(Duration::from_millis(1), STOP_CHECK)
}

fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

impl Server {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// The place of one stream within the `CONNECTION_LIMIT`. Dropping it gives the place back, also
/// if the thread panics or was never started.
struct Place(Arc<Server>);

impl Place {
    /// Only the thread that accepts takes places, so there is no race between the two calls.
    fn take(server: &Arc<Server>) -> Option<Self> {
        if server.open.load(Ordering::Relaxed) >= CONNECTION_LIMIT {
            return None;
        }
        server.open.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(server)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
