//! An echo server on an event loop of its own: one thread, non-blocking streams, and readiness from
//! `mio`. It uses `ws-proto` alone: no async runtime, no driver. A browser that asks for a page
//! gets one. A line on standard input stops it.
//!
//! docs/embedding.md explains the contract that it keeps. This file has the loop, which gives each
//! peer its turn; `peer.rs` has what a peer does in a turn.

mod peer;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use mio::event::Event as Readiness;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use ws_proto::{ConnectionConfig, ServerConfig, ServerHandshake, Workspace};

use self::peer::Peer;

/// Streams at a time. More wait in the backlog of the system until one of them ends.
const CONNECTION_LIMIT: usize = 10_000;

/// Streams that are accepted in one round, so that a burst of them does not hold up the others.
const ACCEPT_LIMIT: usize = 64;

/// The bytes of one read, and with that of one turn: a few microseconds of work for most messages.
const READ_LEN: usize = 16 << 10;

/// Readiness events of one round. More are reported in the next.
const EVENT_LIMIT: usize = 1024;

/// The wait for the closing handshakes of all connections when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait after an accept that failed. Without file descriptors every accept fails at once, so
/// the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tokens that belong to no peer. The token of a peer is its key in the slab, and those start at zero.
const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// An echo server without an async runtime: one thread with an event loop.
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

fn main() -> io::Result<()> {
    let options = Options::parse();
    let connection =
        ConnectionConfig::new().stall_timeout(Duration::from_secs(options.stall_timeout));
    connection.check().map_err(io::Error::other)?;
    let config = ServerConfig::new()
        .handshake_timeout(Duration::from_secs(options.handshake_timeout))
        .connection(connection);
    let addr = options.listen.parse().map_err(io::Error::other)?;
    let mut server = Server::bind(addr, config)?;
    if let Some(listener) = &server.listener {
        println!("listening on ws://{}/", listener.local_addr()?);
    }
    // Kept here as well, because dropping a waker discards a wake that the loop has not seen.
    let waker = Arc::new(Waker::new(server.poll.registry(), STOP)?);
    let stopping = Arc::clone(&waker);
    thread::spawn(move || {
        // If standard input has ended, no line can stop the server: it runs until it is killed.
        if matches!(io::stdin().read_line(&mut String::new()), Ok(1..)) {
            let _ = stopping.wake();
        }
    });
    server.run()
}

struct Server {
    config: Arc<ServerConfig>,
    poll: Poll,
    /// `None` once the server stops.
    listener: Option<TcpListener>,
    /// Whether a stream may wait to be accepted. `mio` reports only changes.
    can_accept: bool,
    peers: Slab<Peer>,
    /// The peers that have something to do, each once. They take turns.
    ready: VecDeque<usize>,
    /// The deadlines of all peers, the earliest first, so that the wait and what is due are found
    /// without a look at every peer.
    deadlines: BTreeSet<(Instant, Token)>,
    buf: Box<[u8]>,
    /// The memory of the connection whose turn it is: one that is at rest has none.
    workspace: Workspace,
}

impl Server {
    fn bind(addr: SocketAddr, config: ServerConfig) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(addr)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            config: Arc::new(config),
            poll,
            listener: Some(listener),
            can_accept: true,
            peers: Slab::new(),
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            buf: vec![0; READ_LEN].into(),
            workspace: Workspace::new(),
        })
    }

    /// Serves until the server was stopped and the last peer has left.
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENT_LIMIT);
        while self.listener.is_some() || !self.peers.is_empty() {
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            // Readiness comes before time. If the process stood still, what a healthy peer sent is
            // there already, and is read before its deadline is believed.
            for event in &events {
                self.handle_readiness(event);
            }
            if self.handle_deadlines(Instant::now()) {
                return Ok(());
            }
            self.accept();
            // One turn for each that is ready, then the system is asked again. A peer with more to
            // do goes to the end of the queue, so a flood of one delays another by a turn.
            for _ in 0..self.ready.len() {
                if let Some(key) = self.ready.pop_front() {
                    self.turn(key);
                }
            }
        }
        Ok(())
    }

    /// How long the loop may sleep: not at all while there is something to do, otherwise until the
    /// earliest deadline.
    fn wait(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.may_accept() {
            return Some(Duration::ZERO);
        }
        let (deadline, _) = self.deadlines.first()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn handle_readiness(&mut self, event: &Readiness) {
        match event.token() {
            LISTENER => self.can_accept = true,
            STOP => self.stop(),
            Token(key) => {
                // An event can be about a peer that has left, and its key can belong to another one
                // now. That one tries to read or to write once, in vain.
                let Some(peer) = self.peers.get_mut(key) else {
                    return;
                };
                peer.handle_readiness(event);
                self.queue(key);
            }
        }
    }

    /// Gives a turn to every peer whose deadline has passed. Tells whether the wait of a server
    /// that stops is over.
    fn handle_deadlines(&mut self, now: Instant) -> bool {
        while let Some((deadline, token)) = self.deadlines.pop_first() {
            if deadline > now {
                self.deadlines.insert((deadline, token));
                break;
            }
            match token {
                LISTENER => self.can_accept = true,
                STOP => return true,
                Token(key) => {
                    if let Some(peer) = self.peers.get_mut(key) {
                        peer.deadline = None;
                    }
                    self.queue(key);
                }
            }
        }
        false
    }

    fn may_accept(&self) -> bool {
        self.can_accept && self.listener.is_some() && self.peers.len() < CONNECTION_LIMIT
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_LIMIT {
            if !self.may_accept() {
                break;
            }
            let accepted = self.listener.as_ref().map(TcpListener::accept);
            let added = match accepted {
                Some(Ok((stream, _))) => self.add(stream),
                Some(Err(error)) => Err(error),
                None => break,
            };
            match added {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.can_accept = false,
                Err(error) => {
                    eprintln!("accepting failed: {error}");
                    // `mio` reports a stream that waits only once, so a deadline repeats the try.
                    self.can_accept = false;
                    let again = Instant::now() + ACCEPT_PAUSE;
                    self.deadlines.insert((again, LISTENER));
                }
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<()> {
        // The library writes frames that belong together at once, so a delay has no use.
        stream.set_nodelay(true)?;
        let entry = self.peers.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(key), interest)?;
        let handshake = ServerHandshake::shared(Arc::clone(&self.config), Instant::now());
        entry.insert(Peer::new(stream, handshake));
        // The first turn arms the deadline of the handshake, also if nothing ever arrives.
        self.queue(key);
        Ok(())
    }

    fn queue(&mut self, key: usize) {
        if let Some(peer) = self.peers.get_mut(key)
            && !mem::replace(&mut peer.is_queued, true)
        {
            self.ready.push_back(key);
        }
    }

    /// Lets one peer do a bounded amount of work, and arms its deadline.
    fn turn(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        peer.is_queued = false;
        peer.turn(&mut self.buf, &mut self.workspace);
        // After writing, because bytes that wait can set a deadline.
        let deadline = peer.poll_timeout();
        if peer.deadline != deadline {
            if let Some(old) = peer.deadline {
                self.deadlines.remove(&(old, Token(key)));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, Token(key)));
            }
            peer.deadline = deadline;
        }
        if peer.is_over() {
            // Dropping the stream closes it, and takes it out of the poll.
            self.peers.remove(key);
        } else if peer.wants_turn() {
            self.queue(key);
        }
    }

    /// Stops to accept, and begins the closing handshake of every connection.
    fn stop(&mut self) {
        self.listener = None;
        self.deadlines.insert((Instant::now() + STOP_TIMEOUT, STOP));
        let keys: Vec<usize> = self.peers.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(peer) = self.peers.get_mut(key) {
                peer.stop();
            }
            self.queue(key);
        }
    }
}
