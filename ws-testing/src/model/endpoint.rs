//! The model of an open connection: the events, bytes and deadlines of an endpoint, from PROTOCOL.md
//! and from the promises of the public items. It decodes all input again at each read and
//! writes into one `Vec`. Knows nothing of the code under test.

mod rate;
mod sending;
mod unfinished;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use ws_proto::{Event, Role, State, Version};

use self::rate::Rates;
use self::unfinished::Unfinished;
use super::compressor::Compressor;
use super::view::{Account, Cause, Refusal, Setup, Told};
use crate::plain::{self, Item, Rules};

/// What can end a connection, apart from our own close.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Close(Option<u16>, String),
    Fail(u16),
    /// The peer is silent.
    Dead,
    /// The peer takes nothing.
    Stalled,
    Eof {
        at_boundary: bool,
    },
    Reset,
}

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    setup: Setup,
    /// Whether the application closed (RFC 6455 §7.1.2) before anything else ended the connection.
    close_asked: bool,
    /// What else ended it, the first of these: whatever follows means nothing (R-X9, R-X11, D76-X2).
    ended_by: Option<End>,
    /// Whether the peer was waited for in vain (R-X10, D76-X4).
    given_up: bool,
    /// What arrived since the last boundary between two messages, read by read.
    reads: Vec<Vec<u8>>,
    /// How many items these gave already.
    seen: usize,
    at_boundary: bool,
    /// What came out of compressed messages up to there, as far as the next one may refer to it.
    history: Vec<u8>,
    compressor: Option<Compressor>,
    pub events: VecDeque<Told>,
    /// What waits to be written.
    pub waiting: Vec<u8>,
    pub in_flight: usize,
    /// Where pings and pongs are among all bytes that were ever queued, and which of them are pings.
    controls: Vec<(Range<usize>, bool)>,
    /// Of all bytes that were ever queued, those that are known to have left.
    gone: usize,
    /// Where our close ends among them.
    close_end: usize,
    keepalive: Option<Duration>,
    pong: Option<Duration>,
    close: Option<Duration>,
    /// Whether a lap is being waited for in which something is to leave, since when, and what has left
    /// since then; `None` as its end if that is out of reach.
    watched: bool,
    stall: Option<Duration>,
    since: Duration,
    left: usize,
    /// The wait for more of the message that is open, and what is known of that message.
    message: Option<Duration>,
    unfinished: Unfinished,
    rates: Rates,
    /// The wait in which something must be compressed, or the compressor begins anew.
    context: Option<Duration>,
    last_read: Duration,
    /// While a pong was awaited: whether nothing was read, and whether some was written.
    paused: bool,
    drains: bool,
    /// The message that is sent in fragments: whether it is text.
    open: Option<bool>,
    stream_ended: bool,
    is_broken: bool,
    pub closed: Option<Account>,
    pub pings_sent: u64,
    pub pings_received: u64,
    /// The last byte of a masking key; they count.
    key: u8,
}

/// X18: a peer that pings and does not read gets no more pongs than this.
const CONTROL_LIMIT: usize = 16 << 10;

/// How long nothing must be compressed, at least, before the compressor begins anew.
const CONTEXT_REST: Duration = Duration::from_secs(20);

/// What a wait that ran out is armed again for, at least.
const LEAST_WAIT: Duration = Duration::from_millis(1);

impl Endpoint {
    pub fn new(mut setup: Setup) -> Self {
        setup.rules.tells_beginnings = setup.rate_limit.is_some();
        let pings = setup.rules.version == Version::Rfc6455;
        Self {
            keepalive: setup.keepalive_interval.filter(|_| pings),
            compressor: setup.deflate.clone().map(Compressor::new),
            rates: Rates::new(setup.rate_limit.as_ref()),
            setup,
            close_asked: false,
            ended_by: None,
            given_up: false,
            reads: Vec::new(),
            seen: 0,
            at_boundary: true,
            history: Vec::new(),
            events: VecDeque::new(),
            waiting: Vec::new(),
            in_flight: 0,
            controls: Vec::new(),
            gone: 0,
            close_end: 0,
            pong: None,
            close: None,
            watched: false,
            stall: None,
            since: Duration::ZERO,
            left: 0,
            message: None,
            unfinished: Unfinished::default(),
            context: None,
            last_read: Duration::ZERO,
            paused: false,
            drains: false,
            open: None,
            stream_ended: false,
            is_broken: false,
            closed: None,
            pings_sent: 0,
            pings_received: 0,
            key: 0,
        }
    }

    pub fn read(&mut self, now: Duration, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        // Anything that arrives is a sign of life.
        self.last_read = now;
        if self.pong.take().is_some() {
            self.keepalive = self.after(now, self.setup.keepalive_interval);
        }
        // R-X9, R-X11, D76-X2: what follows the end is discarded.
        if !self.is_reading() {
            return;
        }
        self.reads.push(data.to_vec());
        let decoded = plain::decode_after(&self.setup.rules, &self.history, &self.reads);
        for item in decoded.items.into_iter().skip(self.seen) {
            // What a limit of the rate ends is not the last item of the stream.
            if !self.is_reading() {
                break;
            }
            self.seen += 1;
            self.handle(now, item);
        }
        self.at_boundary = decoded.at_boundary;
        self.watch_message(now, decoded.held);
        if self.at_boundary {
            (self.reads, self.seen) = (Vec::new(), 0);
            self.history = decoded.history;
        }
    }

    fn handle(&mut self, now: Duration, item: Item) {
        if !self.admit(now, &item) {
            return;
        }
        match item {
            Item::Begin | Item::Arrived(_) => {}
            Item::Message(..) | Item::Part(..) => {
                let is_part = matches!(item, Item::Part(.., false));
                self.unfinished.count += usize::from(!is_part);
                self.events.push_back(Told::Item(item));
            }
            Item::Close(code, reason) => self.end(now, End::Close(code, reason)),
            Item::Fail(code) => self.end(now, End::Fail(code)),
            Item::Ping(payload) => {
                self.pings_received += 1;
                // R-F13, X18.
                if self.control_len() < CONTROL_LIMIT {
                    self.control(0x8a, &payload);
                }
                self.control_event(Item::Ping(payload));
            }
            Item::Pong(_) => self.control_event(item),
        }
    }

    fn control_event(&mut self, item: Item) {
        if self.setup.control_events {
            self.events.push_back(Told::Item(item));
        }
    }

    pub fn eof(&mut self, now: Duration) {
        let at_boundary = self.at_boundary;
        self.end(now, End::Eof { at_boundary });
        self.stream_ended = true;
    }

    pub fn reset(&mut self, now: Duration) {
        self.is_broken = true;
        self.end(now, End::Reset);
        self.forget_outgoing();
        self.stream_ended = true;
    }

    /// A timer that ran out: the close's is looked at first, so that what another one says by it
    /// can be written before the wait for its answer runs out.
    pub fn timeout(&mut self, now: Duration) {
        if !self.watched {
            self.since = now;
            if self.may_stall() {
                self.begin_lap(now);
            }
        }
        if self.close.take_if(|at| *at <= now).is_some() {
            assert!(!self.is_open() && !self.given_up, "nothing is awaited");
            if self.is_end_untold() {
                self.settle(now);
            } else {
                // R-X10, D76-X4.
                if self.closed.is_none() {
                    self.tell_end(1006, String::new(), true, Cause::CloseTimeout);
                }
                self.give_up();
            }
        }
        if self.keepalive.take_if(|at| *at <= now).is_some() {
            let interval = self.setup.keepalive_interval.unwrap();
            if now - self.last_read < interval {
                self.keepalive = self.after(self.last_read, Some(interval));
            } else {
                // One ping at a time: what nobody wrote nobody can have seen.
                let gone = self.gone;
                let waits = |(at, is_ping): &(Range<usize>, bool)| *is_ping && at.end > gone;
                if !self.controls.iter().any(waits) {
                    self.pings_sent += 1;
                    // Its number, so that its pong is known.
                    let [.., a, b, c, d] = self.pings_sent.to_be_bytes();
                    self.control(0x89, &[a, b, c, d]);
                }
                self.await_pong(now);
                if self.pong.is_none() {
                    self.keepalive = self.after(now, Some(interval.max(LEAST_WAIT)));
                }
            }
        }
        if self.pong.take_if(|at| *at <= now).is_some() {
            // Silence proves nothing while we do not read and nothing waits to be written, or while the
            // transport takes something.
            if self.paused && self.buffered() == 0 || self.drains {
                self.await_pong(now);
                let wait = self.setup.pong_timeout.map(|wait| wait.max(LEAST_WAIT));
                self.pong = self.after(now, wait);
            } else {
                self.end(now, End::Dead);
            }
        }
        if self.stall.take_if(|at| *at <= now).is_some() {
            let timeout = self.setup.stall_timeout.unwrap();
            if !self.may_stall() {
                (self.watched, self.since) = (false, now);
            } else if self.left > 0 {
                self.begin_lap(now);
            } else if now - self.since < timeout {
                self.stall = self.after(self.since, Some(timeout));
            } else {
                self.end(now, End::Stalled);
            }
        }
        if self.message.take_if(|at| *at <= now).is_some() {
            self.handle_message_timeout(now);
        }
        if self.context.take_if(|at| *at <= now).is_some() {
            self.compressor.iter_mut().for_each(Compressor::rest);
            if self.keeps_context() {
                self.context = self.after(now, Some(CONTEXT_REST));
            }
        }
        self.rates.wait.take_if(|at| *at <= now);
    }

    fn keeps_context(&self) -> bool {
        let compressor = self.compressor.as_ref();
        compressor.is_some_and(Compressor::keeps_context)
    }

    /// Something was compressed, or may still be: a context does not outlive two waits without use. Sending tells
    /// no time, so the first of them counts from when some was told.
    fn watch_context(&mut self) {
        let told = self.since.max(self.last_read);
        if !self.keeps_context() {
            self.context = None;
        } else if self.context.is_none() {
            self.context = self.after(told, Some(CONTEXT_REST));
        }
    }

    /// What waits to be written on an open connection must be taken in time.
    fn may_stall(&self) -> bool {
        self.setup.stall_timeout.is_some() && self.is_open() && self.buffered() > 0
    }

    fn begin_lap(&mut self, now: Duration) {
        (self.watched, self.since, self.left) = (true, now, 0);
        self.stall = self.after(now, self.setup.stall_timeout.map(|timeout| timeout / 2));
    }

    fn await_pong(&mut self, now: Duration) {
        self.paused = !self.wants_read();
        self.drains = false;
        self.pong = self.after(now, self.setup.pong_timeout);
    }

    fn after(&self, now: Duration, wait: Option<Duration>) -> Option<Duration> {
        // No clock reaches the end of the rest.
        now.checked_add(wait?).filter(|at| at.as_secs() < 1 << 60)
    }

    /// The application takes an event, and with it asks for more if there is none.
    pub fn poll(&mut self, now: Duration) -> Option<Told> {
        if self.events.is_empty() && self.is_end_untold() {
            self.settle(now);
        }
        self.events.pop_front()
    }

    pub fn close(&mut self, now: Duration, code: Option<u16>, reason: &str) -> Result<(), Refusal> {
        // R-X1.
        if reason.len() > 123 {
            return Err(Refusal::ControlTooLong);
        }
        if self.is_open() {
            self.write_close(code, reason);
            self.close_asked = true;
            self.wait_for_end(now, self.setup.close_timeout);
        } else if self.is_end_untold() {
            // The peer's close has come: ours answers it.
            self.settle(now);
        }
        Ok(())
    }

    /// So many of the bytes that wait are written.
    pub fn advance(&mut self, count: usize) -> Vec<u8> {
        self.left += count;
        self.gone += count;
        self.waiting.drain(..count).collect()
    }

    /// So many of the bytes that wait are taken to be written.
    pub fn take_outgoing(&mut self, count: usize) -> Vec<u8> {
        self.in_flight += count;
        self.waiting.drain(..count).collect()
    }

    pub fn written(&mut self, count: usize) {
        self.in_flight -= count;
        self.left += count;
        self.gone += count;
        self.drains |= count > 0 && (self.paused || self.buffered() > 0);
    }

    pub fn buffered(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    /// The bytes of what waits for the application: content, and the size of an event for each.
    pub fn queued(&self) -> usize {
        let len = |told: &Told| match told {
            Told::Item(Item::Message(_, content) | Item::Part(_, content, _, _))
            | Told::Item(Item::Ping(content) | Item::Pong(content)) => {
                content.len() + size_of::<Event>()
            }
            Told::Item(Item::Begin | Item::Arrived(_) | Item::Close(..) | Item::Fail(_)) => {
                unreachable!("none is an event")
            }
            Told::Closed(_) => 0,
        };
        self.events.iter().map(len).sum()
    }

    pub fn deadline(&self) -> Option<Duration> {
        if self.is_finished() {
            return None;
        }
        // What nobody watches yet is to be watched at once: that is, since the last time that was told.
        if !self.watched && self.may_stall() {
            return Some(self.since.max(self.last_read));
        }
        let timers = [
            self.keepalive,
            self.pong,
            self.close,
            self.stall,
            self.message,
            self.context,
            self.rates.wait,
        ];
        timers.into_iter().flatten().min()
    }

    /// An end that waits is told once it is asked for.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty() || self.is_end_untold()
    }

    pub fn wants_read(&self) -> bool {
        if self.is_reading() {
            return self.has_room() && self.rates.wait.is_none();
        }
        !self.stream_ended && !self.given_up
    }

    /// Whether the application has taken enough of what arrived.
    fn has_room(&self) -> bool {
        // With no room at all not even a close could come.
        let limit = self.setup.receive_queue_limit;
        limit.is_none_or(|limit| self.queued() < limit.max(1))
    }

    pub fn wants_shutdown(&self) -> bool {
        let Rules { role, version, .. } = self.setup.rules;
        // D75-X1: closing the stream is the close.
        let is_over = self.closed.is_some() || self.close_asked && version == Version::Draft75;
        // R-X4, R-X5: after both closes, a client leaves it to the server to be the first.
        let leaves_it = role == Role::Client
            && version == Version::Rfc6455
            && matches!(self.ended_by, Some(End::Close(..)))
            && !self.stream_ended
            && !self.given_up;
        is_over && !leaves_it && self.buffered() == 0
    }

    pub fn is_finished(&self) -> bool {
        let is_done = self.closed.is_some() && self.stream_ended && self.buffered() == 0;
        is_done || self.given_up
    }

    /// R-X6.
    pub fn state(&self) -> State {
        match (self.is_open(), self.is_finished()) {
            (true, _) => State::Connected,
            (false, true) => State::Closed,
            (false, false) => State::Closing,
        }
    }

    /// R-F15, D76-X1: nothing after our close.
    pub fn is_writable(&self) -> bool {
        !self.close_asked && self.closed.is_none()
    }

    pub fn has_capacity(&self) -> bool {
        let limit = self.setup.send_queue_limit;
        limit.is_none_or(|limit| self.buffered() < limit)
    }

    pub fn is_message_open(&self) -> bool {
        self.open.is_some() && self.is_writable()
    }

    /// Whether the end was not begun by either side.
    fn is_open(&self) -> bool {
        !self.close_asked && self.ended_by.is_none()
    }

    /// R-X9, R-X11, D76-X2: until something of the peer, or its silence, ends the connection.
    fn is_reading(&self) -> bool {
        self.ended_by.is_none() && !self.given_up
    }

    /// Whether the end came, and waits for the application to take what came before it.
    fn is_end_untold(&self) -> bool {
        self.ended_by.is_some() && self.closed.is_none()
    }

    fn end(&mut self, now: Duration, end: End) {
        if self.closed.is_some() {
            return;
        }
        let is_reset = end == End::Reset;
        if self.ended_by.is_some() {
            // What waited cannot be answered any more.
            if is_reset {
                self.settle(now);
            }
            return;
        }
        // After our close the application has nothing more to say, after a reset it cannot, nor if nothing is taken.
        let may_answer = !self.close_asked && !is_reset && end != End::Stalled;
        self.ended_by = Some(end);
        if may_answer && !self.events.is_empty() {
            self.wait_for_end(now, self.setup.close_timeout);
            // It can still send.
            self.watch_context();
        } else {
            self.settle(now);
        }
    }

    /// Answers the end and tells it.
    fn settle(&mut self, now: Duration) {
        let by_us = self.close_asked;
        let mut wait = self.setup.close_timeout;
        match self.ended_by.clone().expect("it has an end") {
            End::Close(code, reason) => {
                if !by_us {
                    // R-X2, R-X8, X19: the code goes back unless it must not be sent.
                    self.write_close(code.filter(|code| *code != 1004), "");
                }
                self.tell_end(code.unwrap_or(1005), reason, by_us, Cause::Handshake);
            }
            End::Fail(code) => self.fail(code, by_us),
            End::Dead | End::Stalled => {
                self.fail(1011, by_us);
                wait = Some(Duration::ZERO);
            }
            // D75-X1.
            End::Eof { at_boundary: true } if self.setup.rules.version == Version::Draft75 => {
                self.tell_end(1005, String::new(), by_us, Cause::Handshake);
            }
            End::Eof { .. } | End::Reset => {
                self.tell_end(1006, String::new(), by_us, Cause::Disconnected);
            }
        }
        self.wait_for_end(now, wait);
    }

    /// R-X9.
    fn fail(&mut self, code: u16, close_sent: bool) {
        if !close_sent {
            self.write_close(Some(code), "");
        }
        self.tell_end(1006, String::new(), true, Cause::Failed(code));
    }

    fn tell_end(&mut self, code: u16, reason: String, by_us: bool, cause: Cause) {
        // R-X6: both closes were exchanged. D75-X1, D76-X7: not all of the drafts can do so; after
        // a reset nobody can.
        let could_close = match self.setup.rules.version {
            _ if self.is_broken => false,
            Version::Draft75 => false,
            Version::Draft76 => self.open.is_none(),
            Version::Rfc6455 => true,
        };
        let account = Account {
            code,
            reason,
            clean: could_close && cause == Cause::Handshake,
            by_us,
            cause,
        };
        self.closed = Some(account.clone());
        self.events.push_back(Told::Closed(account));
    }

    fn wait_for_end(&mut self, now: Duration, wait: Option<Duration>) {
        (self.keepalive, self.pong, self.stall, self.message) = (None, None, None, None);
        (self.context, self.rates.wait) = (None, None);
        self.close = self.after(now, wait);
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.wait_for_end(Duration::ZERO, None);
        self.forget_outgoing();
    }

    fn forget_outgoing(&mut self) {
        // RFC 6455 §7.1.4: a close that was not written was not sent.
        if self.gone < self.close_end {
            self.closed
                .iter_mut()
                .for_each(|closed| closed.clean = false);
            if let Some(Told::Closed(account)) = self.events.back_mut() {
                account.clean = false;
            }
        }
        self.waiting.clear();
        self.in_flight = 0;
    }
}
