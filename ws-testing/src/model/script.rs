//! The steps of a connection as a list: bytes of the peer, calls of the application, time that passes.
//! Each step is applied to the model and to `ws_proto`, and everything visible of the two is compared
//! after it.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{
    CloseCause, CloseCode, CloseReason, Closed, Connection, Event, HandshakeEvent, Initiator,
    PreparedMessage, Request, Role, SendError, ServerConfig, ServerHandshake, State, Version,
    Workspace,
};

use super::endpoint::Endpoint;
use super::op::Op;
use super::view::{Account, Cause, Refusal, Setup, Told};
use super::{agreement, hex};
use crate::connections::{connect, item, written};
use crate::zlib::Deflater;

/// Steps after which a connection whose peer is gone must be finished.
const END_LIMIT: usize = 4;

/// Does all of it to both; says where they differ.
pub fn run(setup: &Setup, ops: &[Op]) -> Result<(), String> {
    let mut pair = Pair::new(setup);
    pair.compare(&"nothing")?;
    for (index, op) in ops.iter().enumerate() {
        let step = format!("op {index}, {op:?}");
        pair.step(op, &step)?;
    }
    // Whatever happened, the end of the stream and time end the connection.
    let rest = [Op::Read(usize::MAX), Op::PollAll, Op::Write(usize::MAX)];
    let end = [
        Op::Eof,
        Op::PollAll,
        Op::Written(usize::MAX),
        Op::Write(usize::MAX),
    ];
    let waits = (0..END_LIMIT).flat_map(|_| [Op::Timeout(true), Op::PollAll]);
    for op in rest.into_iter().chain(end).chain(waits) {
        let step = format!("at the end, {op:?}");
        pair.step(&op, &step)?;
    }
    if pair.real.is_finished() && pair.real.closed().is_some() {
        Ok(())
    } else {
        Err(format!("it does not come to an end: {:?}", pair.real))
    }
}

struct Pair {
    setup: Setup,
    model: Endpoint,
    real: Connection,
    start: Instant,
    now: Duration,
    /// What the peer sent and did not arrive.
    pipe: Vec<u8>,
    peer: Deflater,
    workspace: Workspace,
}

/// All that can be seen of a connection between two calls.
#[derive(Debug, PartialEq)]
struct View {
    state: State,
    waiting: Hex,
    buffered: usize,
    deadline: Option<Duration>,
    queued: usize,
    has_events: bool,
    wants_read: bool,
    wants_shutdown: bool,
    is_finished: bool,
    is_writable: bool,
    is_message_open: bool,
    has_capacity: bool,
    closed: Option<Account>,
    pings: [u64; 2],
}

impl Pair {
    fn new(setup: &Setup) -> Self {
        let start = Instant::now();
        Self {
            model: Endpoint::new(setup.clone()),
            real: open(setup, start),
            setup: setup.clone(),
            start,
            now: Duration::ZERO,
            pipe: Vec::new(),
            peer: match &setup.deflate {
                Some(agreed) => Deflater::new(agreed.peer.window_bits, agreed.peer.takeover),
                None => Deflater::new(15, true),
            },
            workspace: Workspace::new(),
        }
    }

    fn step(&mut self, op: &Op, step: &str) -> Result<(), String> {
        let agreed = self.setup.deflate.as_ref();
        if agreed.is_some_and(|agreed| agreed.lends) {
            // For one step and no more.
            self.real.attach_streams(&mut self.workspace);
        }
        self.apply(op, step)?;
        self.real.detach_streams(&mut self.workspace);
        self.compare(&step)
    }

    fn apply(&mut self, op: &Op, step: &str) -> Result<(), String> {
        let (now, time) = (self.now, self.start + self.now);
        match op {
            Op::Peer(sent) => self.pipe.extend(sent.bytes(self.setup.rules.role)),
            Op::PeerDeflated(message) => {
                let bytes = message.bytes(self.setup.rules.role, &mut self.peer);
                self.pipe.extend(bytes);
            }
            Op::Read(count) => {
                let count = self.pipe.len().min(*count);
                let data: Vec<u8> = self.pipe.drain(..count).collect();
                self.model.read(now, &data);
                self.real.handle_read(time, &data);
            }
            Op::ReadEach => {
                for byte in std::mem::take(&mut self.pipe) {
                    self.model.read(now, &[byte]);
                    self.real.handle_read(time, &[byte]);
                    self.compare(&step)?;
                }
            }
            Op::Eof => {
                self.model.eof(now);
                self.real.handle_eof(time);
                self.pipe.clear();
            }
            Op::Reset => {
                self.model.reset(now);
                self.real.handle_reset(time);
                self.pipe.clear();
            }
            Op::Poll(asks) => {
                let (expected, seen) = if *asks {
                    (self.model.poll(now), self.real.poll_event(time))
                } else {
                    (self.model.events.pop_front(), self.real.take_event())
                };
                same(&expected, &seen.as_ref().map(told), step)?;
            }
            Op::PollAll => loop {
                let (expected, seen) = (self.model.poll(now), self.real.poll_event(time));
                same(&expected, &seen.as_ref().map(told), step)?;
                if expected.is_none() {
                    break;
                }
            },
            Op::Write(count) => {
                let count = self.model.waiting.len().min(*count);
                let bytes = self.real.outgoing().copy_to_bytes(count);
                same(&self.model.advance(count), &bytes.to_vec(), step)?;
            }
            Op::TakeOutgoing(limit) => {
                let mut taken = self.real.take_outgoing(*limit);
                let count = taken.remaining();
                let waiting = self.model.waiting.len();
                if count > waiting || count < waiting.min(*limit) {
                    return Err(format!("{step}: {count} of {waiting} were taken"));
                }
                let bytes = taken.copy_to_bytes(count);
                same(&self.model.take_outgoing(count), &bytes.to_vec(), step)?;
            }
            Op::Written(count) => {
                let count = self.model.in_flight.min(*count);
                self.model.written(count);
                self.real.handle_written(count);
            }
            Op::Pass(time) => self.now += *time,
            Op::Timeout(waits) => {
                let deadline = self.model.deadline().filter(|_| *waits);
                self.now = self.now.max(deadline.unwrap_or_default());
                self.model.timeout(self.now);
                self.real.handle_timeout(self.start + self.now);
            }
            Op::Send(..) | Op::SendPrepared(..) | Op::SendToMany(..) | Op::SendFragment(..) => {
                self.send(op, step)?;
            }
            Op::Ping(_) | Op::Pong(_) | Op::Close(..) => self.send_control(op, step)?,
        }
        Ok(())
    }

    fn send(&mut self, op: &Op, step: &str) -> Result<(), String> {
        let (expected, seen) = match op {
            Op::Send(content) => {
                let expected = self.model.send(content.is_text(), content.bytes());
                (expected, self.real.send(content.message()))
            }
            Op::SendPrepared(content) => {
                let expected = self.model.send(content.is_text(), content.bytes());
                let message = PreparedMessage::new(content.message());
                (expected, self.real.send_prepared(&message))
            }
            Op::SendToMany(content, window_bits) => {
                let (is_text, bytes) = (content.is_text(), content.bytes());
                let expected = self.model.send_to_many(is_text, bytes, *window_bits);
                let agreed = self.setup.deflate.as_ref().unwrap();
                let message = agreement::prepared(content.message(), agreed, *window_bits);
                (expected, self.real.send_prepared(&message))
            }
            Op::SendFragment(content, last) => {
                let (is_text, bytes) = (content.is_text(), content.bytes());
                let expected = self.model.send_fragment(is_text, bytes, *last);
                (expected, self.real.send_fragment(content.message(), *last))
            }
            other => unreachable!("{other:?} is no message"),
        };
        same(&expected, &seen.map_err(|error| refusal(&error)), step)
    }

    fn send_control(&mut self, op: &Op, step: &str) -> Result<(), String> {
        let (expected, seen) = match op {
            Op::Ping(payload) => {
                let expected = self.model.send_control(0x89, payload);
                (expected, self.real.ping(payload))
            }
            Op::Pong(payload) => {
                let expected = self.model.send_control(0x8a, payload);
                (expected, self.real.pong(payload))
            }
            Op::Close(code, reason) => {
                let expected = self.model.close(self.now, *code, reason);
                let code = code.map(|code| CloseCode::new(code).unwrap());
                let now = self.start + self.now;
                let seen = CloseReason::new(reason)
                    .map(|reason| self.real.close(now, code, reason))
                    .map_err(SendError::from);
                (expected, seen)
            }
            other => unreachable!("{other:?} is no control frame"),
        };
        same(&expected, &seen.map_err(|error| refusal(&error)), step)
    }

    fn compare(&mut self, step: &dyn fmt::Display) -> Result<(), String> {
        let (model, real) = (&self.model, &mut self.real);
        let expected = View {
            state: model.state(),
            waiting: Hex(model.waiting.clone()),
            buffered: model.buffered(),
            deadline: model.deadline(),
            queued: model.queued(),
            has_events: model.has_events(),
            wants_read: model.wants_read(),
            wants_shutdown: model.wants_shutdown(),
            is_finished: model.is_finished(),
            is_writable: model.is_writable(),
            is_message_open: model.is_message_open(),
            has_capacity: model.has_capacity(),
            closed: model.closed.clone(),
            pings: [model.pings_sent, model.pings_received],
        };
        let seen = View {
            state: real.state(),
            waiting: Hex(peek(real)),
            buffered: real.buffered_amount(),
            deadline: real.poll_timeout().map(|deadline| deadline - self.start),
            queued: real.queued_len(),
            has_events: real.has_events(),
            wants_read: real.wants_read(),
            wants_shutdown: real.wants_shutdown(),
            is_finished: real.is_finished(),
            is_writable: real.is_writable(),
            is_message_open: real.is_message_open(),
            has_capacity: real.has_capacity(),
            closed: real.closed().map(account),
            pings: [real.pings_sent(), real.pings_received()],
        };
        same(&expected, &seen, step)
    }
}

fn same<T: fmt::Debug + PartialEq>(
    expected: &T,
    seen: &T,
    step: &(impl fmt::Display + ?Sized),
) -> Result<(), String> {
    if expected == seen {
        Ok(())
    } else {
        Err(format!(
            "{step}:\nthe model says {expected:#?}\nws_proto says {seen:#?}"
        ))
    }
}

/// A connection; one whose peer speaks version 8 comes out of a handshake.
fn open(setup: &Setup, start: Instant) -> Connection {
    let rules = &setup.rules;
    if !rules.has_code_1004 {
        let connection = connect(rules.role, rules.version, setup.config(), start);
        return match &setup.deflate {
            Some(agreed) => agreement::agree(connection, agreed),
            None => connection,
        };
    }
    assert_eq!(
        (rules.role, rules.version),
        (Role::Server, Version::Rfc6455)
    );
    let config = ServerConfig::new().connection(setup.config());
    let mut handshake = ServerHandshake::new(&config, start);
    handshake.handle_read(start, VERSION_8);
    let request = handshake.poll_event();
    assert!(matches!(
        request,
        Some(HandshakeEvent::Request(Request::Upgrade(_)))
    ));
    handshake.accept(ws_proto::Accept::new()).unwrap();
    let mut connection = handshake.into_connection(start);
    written(&mut connection);
    connection
}

const VERSION_8: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n";

/// What waits to be written; it stays there.
fn peek(connection: &mut Connection) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); 64];
    let outgoing = connection.outgoing();
    let count = outgoing.chunks_vectored(&mut slices);
    let bytes: Vec<u8> = slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    assert_eq!(bytes.len(), outgoing.remaining(), "64 slices are enough");
    bytes
}

fn told(event: &Event) -> Told {
    match event {
        Event::Closed(closed) => Told::Closed(account(closed)),
        event => Told::Item(item(event)),
    }
}

fn account(closed: &Closed) -> Account {
    Account {
        code: closed.code,
        reason: closed.reason.as_str().to_owned(),
        clean: closed.clean,
        by_us: closed.by == Initiator::Local,
        cause: match &closed.cause {
            CloseCause::Handshake => Cause::Handshake,
            CloseCause::Disconnected => Cause::Disconnected,
            CloseCause::CloseTimeout => Cause::CloseTimeout,
            CloseCause::Failed(error) => Cause::Failed(error.close_code().get()),
            other => panic!("the model does not know {other:?}"),
        },
    }
}

fn refusal(error: &SendError) -> Refusal {
    match error {
        SendError::Closed => Refusal::Closed,
        SendError::Unsupported { .. } => Refusal::Unsupported,
        SendError::MessageOpen => Refusal::MessageOpen,
        SendError::QueueFull { .. } | SendError::ControlQueueFull { .. } => Refusal::QueueFull,
        SendError::ControlTooLong { .. } => Refusal::ControlTooLong,
        other => panic!("the model does not know {other:?}"),
    }
}

/// Bytes that a failing case shows in hexadecimal.
#[derive(PartialEq)]
struct Hex(Vec<u8>);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}
