//! Any sequence of calls on an open connection of any version, in either role, in virtual time: it goes
//! from connected over closing to closed and never back, in bounded time, says so once, and neither
//! sends nor tells anything after that.

use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use bytes::Buf;
use ws_proto::{
    CloseCode, CloseReason, Connection, ConnectionConfig, Event, Message, Outgoing, Role,
    SendError, State, Version,
};

use crate::wire;
use ws_testing::connections::connect;

/// Calls in one sequence.
const STEP_LIMIT: usize = 96;

/// Deadlines that a connection may come to when nothing else happens: of a close that was sent or
/// waits for events to be taken, and of the end of the stream.
const WAITS: usize = 2;

/// Laps that end before that: of a message that does not go on, or of a write that stalls. With a timeout of zero each is
/// over at once, so one call of `handle_timeout` follows the other, but no more often than this.
const LAPS: usize = 2;

/// A connection and what must be true of it.
struct Subject {
    connection: Connection,
    close_timeout: Option<Duration>,
    now: Instant,
    /// Taken out, but not all of it reported as written.
    taken: Outgoing,
    /// All that was written.
    written: Vec<u8>,
    state: State,
    /// When the state was seen to be closing first, and whether every deadline was kept since.
    closing_since: Option<(Instant, bool)>,
    /// We closed, or the end was told: nothing can be sent.
    sends_nothing: bool,
    wanted_shutdown: bool,
    is_reset: bool,
    ends_told: usize,
}

/// Choices: version, role, close timeout, keepalive, stall timeout, limits; then a byte or more for each call.
pub(crate) fn exercise(u: &mut Unstructured<'_>) -> Result<()> {
    let version = *u.choose(&Version::ALL)?;
    let role = *u.choose(&[Role::Server, Role::Client])?;
    let close_timeout = *u.choose(&[Some(10), Some(1), Some(0), None])?;
    let close_timeout = close_timeout.map(Duration::from_secs);
    let keepalive = *u.choose(&[(None, None), (Some(5), Some(3)), (Some(2), Some(0))])?;
    let stall_timeout = *u.choose(&[None, Some(4), Some(0)])?;
    let mut config = ConnectionConfig::new()
        .stall_timeout(stall_timeout.map(Duration::from_secs))
        .message_timeout(stall_timeout.map(Duration::from_secs))
        .close_timeout(close_timeout)
        .keepalive_interval(keepalive.0.map(Duration::from_secs))
        .pong_timeout(keepalive.1.map(Duration::from_secs))
        .control_events(true);
    if u.arbitrary()? {
        config = config
            .send_queue_limit(64)
            .receive_queue_limit(256)
            .message_limit(64)
            .receive_fragments(true);
    }
    let now = Instant::now();
    let mut subject = Subject {
        connection: connect(role, version, config, now),
        close_timeout,
        now,
        taken: Outgoing::new(),
        written: Vec::new(),
        state: State::Connected,
        closing_since: None,
        sends_nothing: false,
        wanted_shutdown: false,
        is_reset: false,
        ends_told: 0,
    };
    for _ in 0..STEP_LIMIT {
        if u.is_empty() {
            break;
        }
        subject.step(u)?;
        subject.check();
    }
    subject.finish();
    Ok(())
}

impl Subject {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (role, version) = (self.connection.role(), self.connection.version());
        match u.int_in_range(0..=15)? {
            0..=2 => {
                let bytes = wire::piece(u, role, version)?;
                self.read(&bytes);
            }
            3 => self.connection.handle_eof(self.now),
            4 if u.ratio(1, 4)? => self.reset(),
            4 | 5 => self.send(Message::from("κόσμε".repeat(u.int_in_range(0..=9)?))),
            6 => self.send(Message::from(vec![7; u.int_in_range(0..=200)?])),
            7 => {
                let (len, last) = (u.int_in_range(0..=40)?, u.arbitrary()?);
                let content = match u.arbitrary()? {
                    true => Message::from("a".repeat(len)),
                    false => Message::from(vec![7; len]),
                };
                self.attempt(0, |connection| connection.send_fragment(content, last));
            }
            8 => {
                let payload = vec![b'p'; u.int_in_range(0..=127)?];
                match u.arbitrary()? {
                    true => self.attempt(2, |connection| connection.ping(&payload)),
                    false => self.attempt(2, |connection| connection.pong(&payload)),
                }
            }
            9 => {
                let code = u.choose(&[None, Some(CloseCode::NORMAL), Some(CloseCode::POLICY)])?;
                let reason = "r".repeat(u.int_in_range(0..=124)?);
                self.close(*code, &reason);
            }
            10 => self.take_events(u.int_in_range(1..=4)?),
            11 => self.take_events(usize::MAX),
            12 => self.write(u.int_in_range(1..=300)?),
            13 => self.write_in_place(u.int_in_range(1..=300)?),
            14 => self.sleep(Duration::from_millis(u.int_in_range(0..=4000)?)),
            _ => match u.arbitrary()? {
                true => self.sleep_to_deadline(),
                // All that were set so far are over by then, and nobody looked meanwhile.
                false => self.oversleep(),
            },
        }
        Ok(())
    }

    fn read(&mut self, bytes: &[u8]) {
        if !self.connection.wants_read() {
            return;
        }
        let was_closed = self.state == State::Closed;
        let had_events = self.connection.has_events();
        self.connection.handle_read(self.now, bytes);
        if was_closed {
            assert_eq!(
                self.connection.has_events(),
                had_events,
                "nothing is read after the end"
            );
        }
    }

    fn reset(&mut self) {
        self.connection.handle_reset(self.now);
        self.taken = Outgoing::new();
        self.is_reset = true;
        assert_eq!(self.connection.buffered_amount(), 0);
    }

    fn send(&mut self, message: Message) {
        let len = message.len();
        self.attempt(len, |connection| connection.send(message));
    }

    /// Sends something of `len` bytes at least: all of it is queued, or nothing.
    fn attempt(
        &mut self,
        len: usize,
        send: impl FnOnce(&mut Connection) -> std::result::Result<(), SendError>,
    ) {
        let before = self.connection.buffered_amount();
        let is_writable = self.connection.is_writable();
        let sent = send(&mut self.connection);
        let queued = self.connection.buffered_amount().checked_sub(before);
        let queued = queued.expect("sending takes nothing back");
        match &sent {
            Ok(()) => {
                assert!(!self.sends_nothing, "accepted after the close (R-F15)");
                assert!(queued >= len, "{queued} bytes for {len}");
            }
            Err(_) => assert_eq!(queued, 0, "refused, but queued: {sent:?}"),
        }
        assert_eq!(
            matches!(sent, Err(SendError::Closed)),
            !is_writable,
            "{sent:?}"
        );
    }

    fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        let (state, before) = (self.state, self.connection.buffered_amount());
        match CloseReason::new(reason) {
            Ok(fitting) => {
                self.connection.close(self.now, code, fitting);
                assert!(reason.len() <= 123);
                self.sends_nothing = true;
                assert_ne!(self.connection.state(), State::Connected);
            }
            Err(error) => {
                assert!(reason.len() > 123, "{error}");
                assert_eq!(self.connection.state(), state);
                assert_eq!(self.connection.buffered_amount(), before);
            }
        }
    }

    fn take_events(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(event) = self.connection.poll_event(self.now) else {
                break;
            };
            assert_eq!(self.ends_told, 0, "{event:?} after the end");
            if let Event::Closed(closed) = event {
                assert_eq!(self.connection.closed(), Some(&*closed));
                self.ends_told += 1;
                self.sends_nothing = true;
            }
        }
    }

    /// Writes as a driver does that takes bytes out, and reports a part of them.
    fn write(&mut self, limit: usize) {
        if !self.taken.has_remaining() {
            self.taken = self.connection.take_outgoing(limit);
        }
        let count = self.taken.remaining().min(limit);
        let bytes = self.taken.copy_to_bytes(count);
        self.connection.handle_written(count);
        self.note_written(&bytes);
    }

    /// Writes what waits where it is; what was taken out goes first.
    fn write_in_place(&mut self, limit: usize) {
        if self.taken.has_remaining() {
            return self.write(limit);
        }
        let mut outgoing = self.connection.outgoing();
        let bytes = outgoing.copy_to_bytes(outgoing.remaining().min(limit));
        self.note_written(&bytes);
    }

    fn note_written(&mut self, bytes: &[u8]) {
        assert!(
            bytes.is_empty() || !self.wanted_shutdown,
            "nothing is written behind the end"
        );
        self.written.extend_from_slice(bytes);
    }

    /// Lets time pass, and looks at each deadline when it comes.
    fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        // A silent connection comes to one each second at most, but for waits of zero.
        for _ in 0..16 {
            match self
                .connection
                .poll_timeout()
                .filter(|deadline| *deadline <= end)
            {
                Some(_) => self.sleep_to_deadline(),
                None => break,
            }
            self.check();
        }
        self.now = self.now.max(end);
        let is_kept = self
            .connection
            .poll_timeout()
            .is_none_or(|deadline| deadline > self.now);
        assert!(is_kept, "deadlines without an end: {:?}", self.connection);
    }

    fn sleep_to_deadline(&mut self) {
        if let Some(deadline) = self.connection.poll_timeout() {
            self.now = self.now.max(deadline);
            self.timeout();
        }
    }

    fn oversleep(&mut self) {
        self.now += Duration::from_secs(60);
        if let Some((_, is_kept)) = &mut self.closing_since {
            *is_kept = false;
        }
        self.timeout();
    }

    fn timeout(&mut self) {
        self.connection.handle_timeout(self.now);
        for _ in 0..LAPS + WAITS {
            let deadline = self.connection.poll_timeout();
            assert!(
                deadline.is_none_or(|deadline| deadline >= self.now),
                "in the past"
            );
            // A wait of zero that was armed by that is over at once.
            if deadline != Some(self.now) {
                return;
            }
            self.connection.handle_timeout(self.now);
        }
        let deadline = self.connection.poll_timeout();
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "it spins"
        );
    }

    /// What holds after every call.
    fn check(&mut self) {
        let state = self.connection.state();
        match (self.state, state) {
            (State::Connected, State::Connected | State::Closing | State::Closed)
            | (State::Closing, State::Closing | State::Closed)
            | (State::Closed, State::Closed) => {}
            (from, to) => panic!("from {from} to {to}"),
        }
        self.state = state;
        self.check_buffered();
        self.check_deadline();
        let is_over = self.connection.closed().is_some();
        assert!(self.ends_told == 0 || is_over);
        assert_eq!(state == State::Closed, self.connection.is_finished());
        assert!(
            state != State::Closed || is_over,
            "closed without an account"
        );
        assert!(!self.sends_nothing || !self.connection.is_writable());
        assert!(!self.is_reset || state != State::Connected);
    }

    fn check_buffered(&mut self) {
        let buffered = self.connection.buffered_amount();
        if self.state == State::Closed {
            assert_eq!(buffered, 0, "nothing waits after the end");
            self.taken = Outgoing::new();
        }
        let waits = self.connection.outgoing().remaining();
        assert_eq!(buffered, waits + self.taken.remaining());
        assert!(
            !self.wanted_shutdown || self.connection.wants_shutdown(),
            "wanted no more"
        );
        self.wanted_shutdown = self.connection.wants_shutdown();
        assert!(!self.wanted_shutdown || buffered == 0);
    }

    /// A connection that closes has a deadline, and is over after two of them (R-X10, X20).
    fn check_deadline(&mut self) {
        if self.state == State::Connected {
            return;
        }
        let (since, is_kept) = *self.closing_since.get_or_insert((self.now, true));
        let Some(wait) = self.close_timeout.filter(|_| self.state == State::Closing) else {
            return;
        };
        let deadline = self.connection.poll_timeout();
        let deadline = deadline.expect("who closes does not wait for ever");
        let limit = if is_kept {
            since + 2 * wait
        } else {
            self.now + wait
        };
        assert!(
            deadline <= limit.max(self.now),
            "it waits longer than the close timeout"
        );
    }

    /// Closes if nobody did, and lets time alone do the rest; if it may take for ever, the peer.
    fn finish(&mut self) {
        if self.state == State::Connected {
            self.close(None, "");
            self.check();
        }
        if self.close_timeout.is_none() {
            self.connection.handle_eof(self.now);
            self.take_events(usize::MAX);
            while self.connection.buffered_amount() > 0 {
                self.write(usize::MAX);
            }
            self.check();
        }
        for _ in 0..WAITS {
            if self.state == State::Closed {
                break;
            }
            self.sleep_to_deadline();
            self.check();
        }
        assert_eq!(self.state, State::Closed, "{:?}", self.connection);
        self.take_events(usize::MAX);
        assert_eq!(self.ends_told, 1, "the end is told once");
        self.read(b"\x81\x00\x00a\xff");
        self.connection.handle_eof(self.now);
        self.connection
            .handle_timeout(self.now + Duration::from_secs(3600));
        let deadline = self.connection.poll_timeout();
        assert_eq!(deadline, None, "nothing is waited for");
        self.take_events(1);
        self.check();
        check_written(self.connection.version(), &self.written);
    }
}

/// There is one close at most, and only pongs behind it (R-F15, X19, D76-X1). What is incomplete was
/// cut off by the end.
fn check_written(version: Version, mut bytes: &[u8]) {
    let mut closes = 0;
    while let [first_byte, rest @ ..] = bytes {
        let (is_close, is_pong, len) = match version {
            Version::Rfc6455 => {
                let Some(len) = rfc6455_len(rest) else { break };
                let opcode = first_byte & 0x0f;
                (opcode == 8, opcode == 10, Some(len))
            }
            Version::Draft75 | Version::Draft76 if *first_byte == 0 => (
                false,
                false,
                rest.iter()
                    .position(|byte| *byte == 0xff)
                    .map(|end| end + 1),
            ),
            Version::Draft75 => panic!("draft-75 has texts only: {:x?}", bytes),
            Version::Draft76 => {
                assert!(b"\xff\x00".starts_with(&bytes[..bytes.len().min(2)]));
                (true, false, Some(1))
            }
        };
        assert!(closes == 0 || is_pong, "behind the close: {bytes:x?}");
        closes += usize::from(is_close);
        let Some(rest) = len.and_then(|len| rest.get(len..)) else {
            break;
        };
        bytes = rest;
    }
}

/// Returns how long a frame is behind its first byte.
fn rfc6455_len(rest: &[u8]) -> Option<usize> {
    let (short, rest) = rest.split_first()?;
    let key_len = if short & 0x80 == 0 { 0 } else { 4 };
    Some(
        match short & 0x7f {
            126 => 3 + usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
            127 => 9 + usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?,
            len => 1 + usize::from(len),
        } + key_len,
    )
}
