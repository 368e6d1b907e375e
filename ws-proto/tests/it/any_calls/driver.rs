//! Somebody who drives a connection, and the network behind it: makes the calls, writes what is to be
//! written, and asks after each call whether what the pages promise holds.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{
    CloseCode, CloseReason, Closed, Connection, ConnectionConfig, Event, EventBatch, Message,
    Outgoing, PreparedMessage, READ_FRAME_LIMIT, Role, SendError, State, Version, Workspace,
};

use ws_testing::connections::connect;

/// A call, or what the network does.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Bytes that the peer sent: which, and how many of them.
    Read(usize, usize),
    /// As `Read`; what is not taken comes first the next time.
    ReadSome(usize, usize),
    Eof,
    Reset,
    /// So long after the deadline, or if there is none after now.
    Timeout(Duration),
    PollEvent,
    TakeEvent,
    PollEvents,
    TakeEvents,
    /// Works through some of the last batch.
    Work(usize),
    Close(bool, usize),
    Write(usize),
    Take(usize),
    /// Into a queue in which bytes may wait.
    TakeInto(usize),
    Written(usize),
    Lend,
    Reclaim,
    Send(bool, usize),
    SendFragment(bool, usize, bool),
    SendPrepared(usize),
    Ping(usize),
    Pong(usize),
}

/// What may wait of control frames: 16 KiB, the frame that passed that, and a ping of the keepalive.
const CONTROL_MOST: usize = (16 << 10) + 131 + 10;

/// Calls of `handle_timeout` at one time after which the next deadline is later.
const CALLS_AT_ONE_TIME: usize = 4;

pub(crate) struct Driver {
    role: Role,
    version: Version,
    receive_limit: Option<usize>,
    send_limit: Option<usize>,
    pub(crate) connection: Connection,
    now: Instant,
    /// What the peer sent and was not taken.
    unread: Vec<u8>,
    batch: EventBatch,
    workspace: Workspace,
    /// What was taken and is not written.
    taken: Outgoing,
    /// All bytes that were ever queued, as far as they were taken or written.
    wire: Vec<u8>,
    /// How many of them are known to be written.
    written: usize,
    seen: Seen,
}

/// What was so before and must stay so.
#[derive(Default)]
struct Seen {
    closed: Option<Closed>,
    closed_event: bool,
    stream_ended: bool,
    finished: bool,
    nothing_follows: bool,
    counters: [u64; 4],
}

/// All that a refused call must leave as it is.
type Trace = (usize, u64, bool, Option<Instant>);

impl Driver {
    pub(crate) fn new(
        role: Role,
        version: Version,
        config: ConnectionConfig,
        (receive_limit, send_limit): (Option<usize>, Option<usize>),
    ) -> Self {
        let now = Instant::now();
        let config = config
            .receive_queue_limit(receive_limit)
            .send_queue_limit(send_limit);
        Self {
            connection: connect(role, version, config, now),
            role,
            version,
            receive_limit,
            send_limit,
            now,
            unread: Vec::new(),
            batch: EventBatch::new(),
            workspace: Workspace::new(),
            taken: Outgoing::new(),
            wire: Vec::new(),
            written: 0,
            seen: Seen::default(),
        }
    }

    pub(crate) fn run(&mut self, calls: &[Call], inputs: &[Vec<u8>]) {
        self.check();
        for call in calls {
            self.apply(call, inputs);
            self.check();
        }
        // Everything is written, the stream ends, and time goes by.
        self.connection.handle_eof(self.now);
        self.seen.stream_ended = true;
        for _ in 0..CALLS_AT_ONE_TIME {
            self.apply(&Call::Take(usize::MAX), inputs);
            self.apply(&Call::Written(usize::MAX), inputs);
            self.apply(&Call::PollEvents, inputs);
            self.apply(&Call::Work(usize::MAX), inputs);
            self.apply(&Call::Timeout(Duration::ZERO), inputs);
            self.check();
        }
        assert!(self.connection.is_finished(), "all ends");
        let told = self.connection.closed().expect("and is told");
        self.check_clean(&told.clone());
        self.check_wire();
    }

    fn apply(&mut self, call: &Call, inputs: &[Vec<u8>]) {
        let now = self.now;
        match call {
            Call::Read(which, len) => {
                let data = self.input(inputs, *which, *len);
                self.connection.handle_read(now, &data);
            }
            Call::ReadSome(which, len) => {
                let data = self.input(inputs, *which, *len);
                let len = self.connection.handle_read_some(now, &data);
                if len < data.len() {
                    // A frame is two bytes at least.
                    let has_worked = len >= 2 * READ_FRAME_LIMIT;
                    let waits = has_worked || !self.connection.wants_read();
                    assert!(waits, "what is left has to wait");
                    self.unread = data[len..].to_vec();
                }
            }
            Call::Eof => {
                self.connection.handle_eof(now);
                self.seen.stream_ended = true;
            }
            Call::Reset => {
                self.connection.handle_reset(now);
                self.seen.stream_ended = true;
                self.forget_taken();
            }
            Call::Timeout(after) => self.timeout(*after),
            Call::PollEvent => {
                self.apply(&Call::Work(usize::MAX), inputs);
                let event = self.connection.poll_event(now);
                let is_none = event.is_none();
                self.note_event(event);
                let is_told = !self.connection.has_events() && self.connection.queued_len() == 0;
                assert!(!is_none || is_told, "all is told");
            }
            Call::TakeEvent => {
                // What came before is in the batch.
                self.apply(&Call::Work(usize::MAX), inputs);
                let had_events = self.connection.has_events();
                let event = self.connection.take_event();
                if event.is_some() {
                    assert!(had_events);
                } else {
                    assert_eq!(self.connection.queued_len(), 0, "nothing was there");
                    assert_eq!(had_events, end_waits(&self.connection));
                    assert_eq!(self.connection.has_events(), had_events);
                }
                self.note_event(event);
            }
            Call::PollEvents => {
                let before = self.batch.len();
                self.connection.poll_events(now, &mut self.batch);
                let is_resolved = !end_waits(&self.connection);
                let more = self.batch.len() - before;
                assert!(more > 0 || is_resolved, "it was asked for once more");
                assert_eq!(self.connection.has_events(), !is_resolved);
            }
            Call::TakeEvents => {
                self.connection.take_events(&mut self.batch);
                let is_left = self.connection.has_events();
                assert_eq!(is_left, end_waits(&self.connection));
            }
            Call::Work(count) => {
                for _ in 0..self.batch.len().min(*count) {
                    let event = self.batch.pop();
                    self.note_event(event);
                }
            }
            Call::Write(_) | Call::Take(_) | Call::TakeInto(_) | Call::Written(_) => {
                self.write(call);
            }
            Call::Lend => {
                self.connection.attach(&mut self.workspace);
            }
            Call::Reclaim => {
                let before = self.waiting();
                self.connection.detach(&mut self.workspace);
                assert_eq!(self.waiting(), before);
            }
            Call::Send(..)
            | Call::SendFragment(..)
            | Call::SendPrepared(_)
            | Call::Ping(_)
            | Call::Pong(_)
            | Call::Close(..) => self.send(call),
        }
    }

    fn input(&mut self, inputs: &[Vec<u8>], which: usize, len: usize) -> Vec<u8> {
        let mut data = std::mem::take(&mut self.unread);
        let more = &inputs[which % inputs.len()];
        data.extend(&more[..more.len().min(len)]);
        match self.seen.stream_ended {
            true => Vec::new(),
            false => data,
        }
    }

    fn timeout(&mut self, after: Duration) {
        let pings = self.connection.pings_sent();
        let has_ping = self.frames().iter().any(|(opcode, end)| {
            let is_ping = *opcode == 0x09;
            is_ping && *end > self.written
        });
        let deadline = self.connection.poll_timeout();
        self.now = self.now.max(deadline.unwrap_or(self.now)) + after;
        for _ in 0..CALLS_AT_ONE_TIME {
            self.connection.handle_timeout(self.now);
        }
        let more = self.connection.pings_sent() - pings;
        assert!(more <= 1 && (more == 0 || !has_ping), "one ping at a time");
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "time goes on");
        if self.connection.is_finished() {
            self.forget_taken();
        }
    }

    /// The connection gave up what was not written: so does the writer.
    fn forget_taken(&mut self) {
        if self.connection.is_finished() && self.connection.buffered_amount() == 0 {
            self.taken = Outgoing::new();
            self.wire.truncate(self.written);
        }
    }

    fn note_event(&mut self, event: Option<Event>) {
        let Some(event) = event else {
            return;
        };
        assert!(
            !self.seen.closed_event,
            "nothing follows the end: {event:?}"
        );
        if let Event::Closed(closed) = event {
            self.seen.closed_event = true;
            let account = self.connection.closed().expect("it is told");
            assert_eq!((closed.code, &closed.cause), (account.code, &account.cause));
            assert!(closed.clean || !account.clean, "it cannot become clean");
        }
    }

    fn write(&mut self, call: &Call) {
        match call {
            // What was taken before is written before.
            Call::Write(count) if self.wire.len() == self.written => {
                let count = self.connection.outgoing().remaining().min(*count);
                let bytes = self.connection.outgoing().copy_to_bytes(count);
                self.wire.extend_from_slice(&bytes);
                self.written += count;
            }
            Call::Take(limit) => {
                let before = self.connection.buffered_amount();
                let mut taken = self.connection.take_outgoing(*limit);
                self.note_taken(&mut taken, *limit, before);
            }
            Call::TakeInto(limit) => {
                let before = self.connection.buffered_amount();
                let waited = bytes_of(&self.taken);
                self.connection.take_outgoing_into(*limit, &mut self.taken);
                let bytes = bytes_of(&self.taken);
                assert!(bytes.starts_with(&waited), "what waited stays in front");
                assert_eq!(self.connection.buffered_amount(), before);
                self.wire.extend_from_slice(&bytes[waited.len()..]);
                // Some of it stays there for the next time, unless that is much.
                let count = match bytes.len() {
                    ..100_000 => bytes.len() / 2,
                    len => len,
                };
                self.taken.advance(count);
            }
            Call::Written(count) => {
                let count = (self.wire.len() - self.written).min(*count);
                let before = self.connection.buffered_amount();
                self.connection.handle_written(count);
                assert_eq!(self.connection.buffered_amount(), before - count);
                self.written += count;
            }
            _ => {}
        }
    }

    fn note_taken(&mut self, taken: &mut Outgoing, limit: usize, before: usize) {
        let count = taken.remaining();
        let waits = self.connection.outgoing().remaining();
        assert!(
            count >= limit.min(before) || waits == 0,
            "as much as was asked for"
        );
        assert_eq!(
            self.connection.buffered_amount(),
            before,
            "it counts until it is written"
        );
        self.wire.extend_from_slice(&taken.copy_to_bytes(count));
    }

    fn send(&mut self, call: &Call) {
        let trace = self.trace();
        let is_writable = self.connection.is_writable();
        let (has_capacity, is_open) = (
            self.connection.has_capacity(),
            self.connection.is_message_open(),
        );
        let text = |len: usize| Message::from("x".repeat(len));
        let connection = &mut self.connection;
        let sent = match call {
            Call::Send(is_text, len) => {
                let checked = connection.check_send(*is_text);
                let sent = connection.send(match is_text {
                    true => text(*len),
                    false => Message::from(vec![7; *len]),
                });
                assert_eq!(sent, checked, "the one says what the other does");
                sent
            }
            Call::SendFragment(is_text, len, last) => {
                let content = match is_text {
                    true => text(*len),
                    false => Message::from(vec![7; *len]),
                };
                connection.send_fragment(content, *last)
            }
            Call::SendPrepared(len) => connection.send_prepared(&PreparedMessage::new(text(*len))),
            Call::Ping(len) => connection.ping(&vec![7; *len]),
            Call::Pong(len) => connection.pong(&vec![7; *len]),
            Call::Close(has_code, len) => {
                let code = has_code.then_some(CloseCode::NORMAL);
                let text = "y".repeat(*len);
                let reason = CloseReason::new(&text);
                assert_eq!(reason.is_ok(), *len <= 123);
                if let Ok(reason) = reason {
                    connection.close(self.now, code, reason);
                    assert!(!connection.is_writable());
                }
                reason.map(drop).map_err(SendError::from)
            }
            _ => Ok(()),
        };
        match sent {
            Ok(()) => assert!(is_writable || matches!(call, Call::Close(..))),
            Err(error) => {
                assert_eq!(self.trace(), trace, "{error}: nothing was queued");
                match error {
                    SendError::QueueFull { buffered, limit } => {
                        assert!(!has_capacity && buffered >= limit);
                        assert_eq!(Some(limit), self.send_limit);
                    }
                    SendError::Closed => assert!(!is_writable),
                    SendError::MessageOpen => assert!(is_open),
                    _ => {}
                }
            }
        }
        if let (Call::Send(true, _), true) = (call, is_writable && has_capacity && !is_open) {
            assert!(self.connection.buffered_amount() > trace.0, "it was taken");
        }
    }

    fn trace(&self) -> Trace {
        (
            self.connection.buffered_amount(),
            self.connection.pings_sent(),
            self.connection.is_message_open(),
            self.connection.poll_timeout(),
        )
    }

    fn waiting(&mut self) -> Vec<u8> {
        bytes_of(&self.connection.outgoing())
    }

    /// The frames of RFC 6455 that were queued so far: opcode, and where they end.
    fn frames(&mut self) -> Vec<(u8, usize)> {
        let mut frames = Vec::new();
        if self.version != Version::Rfc6455 {
            return frames;
        }
        let mut bytes = self.wire.clone();
        bytes.extend(self.waiting());
        let mut at = 0;
        while let Some([first, second]) = bytes.get(at..at + 2) {
            let big = |bytes: &[u8]| {
                bytes
                    .iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte))
            };
            let header = match second & 0x7f {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            // What was not written is gone after a reset, and may have begun.
            let Some(extended) = bytes.get(at + 2..at + header) else {
                break;
            };
            let len = match header {
                2 => usize::from(second & 0x7f),
                _ => big(extended),
            };
            let mask = if second & 0x80 == 0 { 0 } else { 4 };
            at += header + mask + len;
            frames.push((first & 0x0f, at));
        }
        frames
    }

    /// What holds between any two calls.
    fn check(&mut self) {
        let in_flight = self.wire.len() - self.written;
        let waits = self.connection.outgoing().len();
        let connection = &self.connection;
        assert_eq!(connection.buffered_amount(), waits + in_flight);
        self.check_states();
        let mut control_len = 0;
        let mut begin = 0;
        for (opcode, end) in self.frames() {
            if opcode == 0x09 || opcode == 0x0a {
                control_len += end.saturating_sub(self.written.max(begin));
            }
            begin = end;
        }
        assert!(
            control_len <= CONTROL_MOST,
            "{control_len} bytes of pings and pongs"
        );
    }

    fn check_states(&mut self) {
        let connection = &self.connection;
        let seen = &mut self.seen;
        let is_finished = connection.is_finished();
        assert!(is_finished || !seen.finished, "what is finished stays so");
        seen.finished = is_finished;
        assert_eq!(is_finished, connection.state() == State::Closed);
        if is_finished {
            assert_eq!(connection.poll_timeout(), None);
            assert!(!connection.is_writable() && connection.closed().is_some());
        }
        if is_finished || seen.stream_ended {
            assert!(!connection.wants_read(), "nothing more can come");
        } else if !connection.wants_read() {
            let limit = self.receive_limit.expect("there is a limit");
            assert!(connection.queued_len() >= limit.max(1), "it is reached");
        }
        assert!(!connection.is_message_open() || connection.is_writable());
        assert!(connection.has_events() || !end_waits(connection));
        let limit = self.send_limit.unwrap_or(usize::MAX);
        assert_eq!(
            connection.has_capacity(),
            connection.buffered_amount() < limit
        );
        if seen.nothing_follows {
            assert_eq!(
                connection.buffered_amount(),
                0,
                "nothing follows a shutdown"
            );
        }
        seen.nothing_follows |= connection.wants_shutdown();
        let account = connection.closed().cloned();
        if let Some(before) = seen.closed.take() {
            let now = account.clone().expect("an end stays told");
            assert!(before.clean || !now.clean);
            let mut expected = before;
            expected.clean = now.clean;
            assert_eq!(now, expected);
        }
        seen.closed = account;
        let counters = [
            connection.messages_received(),
            connection.bytes_received(),
            connection.pings_sent(),
            connection.pings_received(),
        ];
        let before = std::mem::replace(&mut seen.counters, counters);
        assert!(
            before
                .iter()
                .zip(counters)
                .all(|(before, now)| *before <= now)
        );
    }

    /// RFC 6455 §7.1.4: what is clean has both closes, ours among what was written.
    fn check_clean(&mut self, closed: &Closed) {
        let written = self.written;
        let is_written = match self.version {
            Version::Rfc6455 => {
                let is_close = |(opcode, end): &(u8, usize)| *opcode == 0x08 && *end <= written;
                self.frames().iter().any(is_close)
            }
            Version::Draft76 => self.wire[..written].ends_with(&[0xff, 0x00]),
            Version::Draft75 => false,
        };
        assert!(!closed.clean || is_written, "{closed:?}");
    }

    /// What was written is what a peer takes.
    fn check_wire(&self) {
        let role = match self.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let config = ConnectionConfig::new().message_limit(None);
        let mut peer = connect(role, self.version, config.fragment_limit(None), self.now);
        peer.handle_read(self.now, &self.wire[..self.written]);
        while peer.poll_event(self.now).is_some() {}
        let end = peer.closed().map(|closed| &closed.cause);
        let is_failed = matches!(end, Some(ws_proto::CloseCause::Failed(_)));
        assert!(!is_failed, "the peer says {end:?}");
    }
}

/// What waits in a queue; it stays there.
fn bytes_of(outgoing: &impl Buf) -> Vec<u8> {
    let mut slices = [IoSlice::new(b""); 256];
    let count = outgoing.chunks_vectored(&mut slices);
    let bytes: Vec<_> = slices[..count].iter().flat_map(|it| it.to_vec()).collect();
    assert_eq!(bytes.len(), outgoing.remaining(), "256 slices are enough");
    bytes
}

/// Whether the end has come, and waits for the application to ask for it: the connection is closing, and what
/// came before the end can still be answered.
fn end_waits(connection: &Connection) -> bool {
    connection.state() == State::Closing && connection.is_writable()
}
