//! An open connection, from the end of the opening handshake to the end of the stream: one type for
//! both roles and all versions.
//!
//! Imports: `close_code`, `config`, `deflate`, `error`, `frame`, `mask`, `message`, `outgoing`, `randomness`,
//! `state`, `version`.
//!
//! The rule of use, in this order, after any call that takes `&mut self`: take events until there
//! are none, write what is outgoing, shut the write side down if wanted, close the stream if the
//! connection is finished, arm the deadline.

mod assembler;
mod closed;
mod closing;
mod compression;
mod event;
mod event_batch;
mod event_queue;
mod keepalive;
mod opened;
mod prepared;
mod receiving;
mod sending;
mod stall;
mod timers;
mod unfinished;
mod workspace;

use std::sync::Arc;
use std::time::Instant;

use self::assembler::Assembler;
use self::closing::{End, Phase};
use self::event_queue::EventQueue;
use self::receiving::Allowance;
use self::stall::Stall;
use self::timers::{Moment, Timer, Timers};
use crate::close_code::{CloseCode, CloseReason};
use crate::config::ConnectionConfig;
use crate::deflate::Compression;
use crate::frame::Codec;
use crate::outgoing::{InFlight, Outgoing, OutgoingMut};
use crate::state::{Role, State};
use crate::version::Version;

pub use self::closed::{ABNORMAL, CloseCause, Closed, Initiator, NO_STATUS};
pub use self::event::Event;
pub use self::event_batch::EventBatch;
pub(crate) use self::opened::Opened;
pub use self::prepared::PreparedMessage;
pub use self::workspace::Workspace;

/// Frames that one call of [`Connection::handle_read_some`] looks at: few enough that a handler that works on
/// each message for a microsecond is done in a millisecond, and enough that what a call costs by itself does
/// not count.
pub const READ_FRAME_LIMIT: usize = 1024;

/// An open WebSocket connection.
///
/// It is made by a handshake's `into_connection`. Bytes and the time go in, events, bytes and
/// deadlines come out; answers that the standard demands are queued without being asked for.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    version: Version,
    config: Arc<ConnectionConfig>,
    codec: Codec,
    assembler: Assembler,
    /// The length that a message of one frame may have; `None` if there may be none.
    quick_limit: Option<usize>,
    compression: Compression,
    phase: Phase,
    /// Close codes of versions 7 and 8 are accepted.
    legacy_close_codes: bool,
    events: EventQueue,
    outgoing: Outgoing,
    /// Bytes that were taken out of `outgoing` and are not known to be written.
    in_flight: InFlight,
    /// What will have [left](Outgoing::left) when the last ping has, and when our close has. They are
    /// unwritten as long as that is less.
    ping_end: u64,
    close_end: u64,
    timers: Timers,
    last_read: Moment,
    /// What is taken off the keepalive interval.
    keepalive_steps: u8,
    /// Whether nothing was read when the wait for a pong began. (While one is awaited, reading cannot
    /// stop: it stops for what arrives, and that ends the wait.)
    paused: bool,
    /// Whether the transport took some of what waited since the ping was sent: not all, or while nothing
    /// is read.
    drains: bool,
    stall: Stall,
    /// Whether `stall` has begun a lap. The timer alone does not tell, because a deadline can be out of reach. The
    /// flag is not in `stall`, because padding would add seven bytes to it in every connection.
    watches_writing: bool,
    /// The message that is being sent in fragments, if there is one: whether it is text.
    open_message: Option<bool>,
    /// Whether the peer's side of the stream has ended.
    stream_ended: bool,
    /// Whether the stream is broken, so that nothing can be written any more.
    stream_broken: bool,
    closed: Option<Arc<Closed>>,
    messages_received: u64,
    bytes_received: u64,
    pings_sent: u64,
    pings_received: u64,
}

impl Connection {
    /// Takes bytes that were read from the stream; all of them, in any portions.
    ///
    /// The work is bounded by the length of `data`, and so is what is queued: two bytes can make an
    /// event. Where messages are compressed a byte can make a thousand; then
    /// [`handle_read_some`](Self::handle_read_some) is the better choice. Can change what every other
    /// method says.
    pub fn handle_read(&mut self, now: Instant, data: &[u8]) {
        self.read(now, data, Allowance::UNLIMITED);
    }

    /// Takes bytes that were read from the stream, until the `receive_queue_limit` is reached or
    /// [`READ_FRAME_LIMIT`] frames were looked at; returns how many bytes it took. What is left comes
    /// before anything else that is read: hand it in again when [`wants_read`](Self::wants_read) says
    /// so, which can be at once. The stream does not become readable because of it, so look before you wait for the
    /// stream. Can change what every other method says.
    ///
    /// The limit of frames bounds the work of one call, because a frame can be two bytes: a caller that
    /// serves several connections can look at the others before it goes on.
    ///
    /// However the bytes come, between two calls the connection holds at most twice the sum of the
    /// `receive_queue_limit` and the longest message, and 40 KiB besides what waits to be written.
    /// The longest message is the `message_limit`, or three times that where invalid UTF-8 is
    /// replaced. Compression adds what docs/compression.md says: up to half a MiB.
    pub fn handle_read_some(&mut self, now: Instant, data: &[u8]) -> usize {
        let allowance = Allowance {
            queue_limit: self.receive_limit(),
            frames: READ_FRAME_LIMIT,
        };
        self.read(now, data, allowance)
    }

    /// Takes the end of the stream: the peer will send no more.
    pub fn handle_eof(&mut self, now: Instant) {
        let at_boundary = self.codec.is_between_frames() && self.assembler.is_between_messages();
        self.end(now, End::Eof { at_boundary });
        self.stream_ended = true;
    }

    /// Takes the news that the stream is broken: nothing can be read or written any more.
    pub fn handle_reset(&mut self, now: Instant) {
        self.stream_broken = true;
        self.end(now, End::Reset);
        self.forget_outgoing();
        self.stream_ended = true;
    }

    /// Takes the time. Call it at the [`poll_timeout`](Self::poll_timeout) deadline or after, and if that has
    /// passed long ago, because the process stood still, only after the stream was read once more: the answer of
    /// a healthy peer can be there already. Can change what every other method says.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.watch_writing(now);
        for timer in Timer::ALL {
            if !self.timers.expire(timer, now) {
                continue;
            }
            match timer {
                Timer::Keepalive => self.handle_keepalive_timeout(now),
                Timer::Pong => self.handle_pong_timeout(now),
                Timer::Close => self.handle_close_timeout(now),
                Timer::Stall => self.handle_stall_timeout(now),
                Timer::Message => self.handle_message_timeout(now),
                Timer::Context => self.handle_context_timeout(now),
            }
        }
    }

    /// Takes the news that `count` bytes that were [taken](Self::take_outgoing) have been written; of more
    /// than were taken, those that were. Not needed for bytes that are written from
    /// [`outgoing`](Self::outgoing) in place.
    pub fn handle_written(&mut self, count: usize) {
        let count = self.in_flight.note_written(count);
        self.outgoing.note_left(count);
        self.drains |= count > 0 && (self.paused || self.buffered_amount() > 0);
    }

    /// Returns the next thing that happened, or `None` if there is nothing to tell.
    ///
    /// The answer to a peer's close waits until everything that came before it has been taken and
    /// this was called once more, so that messages in between can still be answered; but no longer
    /// than the `close_timeout`.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        self.take_event().or_else(|| {
            self.resolve(now);
            self.take_event()
        })
    }

    /// As [`poll_event`](Self::poll_event), for all that happened, which it moves to the end of `batch`; see
    /// [`take_events`](Self::take_events). Events that are in `batch` already count as taken.
    pub fn poll_events(&mut self, now: Instant, batch: &mut EventBatch) {
        let was_empty = self.events.is_empty();
        self.take_events(batch);
        // Asked about the queue and not about the batch: events that were left in the batch count as taken.
        if was_empty {
            self.resolve(now);
            self.take_events(batch);
        }
    }

    /// Returns the next thing that happened if it is at hand: [`poll_event`](Self::poll_event) less
    /// the answer to a close that waits for it.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Moves all that happened and is at hand to the end of `batch`. Until the next event or batch is
    /// asked for, the application is taken to work through it: its messages still count against the
    /// `receive_queue_limit`, and the answer to a close that came behind them waits.
    pub fn take_events(&mut self, batch: &mut EventBatch) {
        self.events.pop_batch(batch);
    }

    /// Begins the closing handshake; does nothing if it has begun. Code and reason are left out
    /// where the version has none. A reason needs a code: without one it is left out, too.
    pub fn close(&mut self, now: Instant, code: Option<CloseCode>, reason: CloseReason<'_>) {
        self.begin_close(now, code, reason);
    }

    /// Returns the bytes to write, to be written from where they are.
    pub fn outgoing(&mut self) -> OutgoingMut<'_> {
        OutgoingMut::new(&mut self.outgoing)
    }

    /// Takes bytes to write out of [`outgoing`](Self::outgoing), whole segments until there are at
    /// least `limit`; they count as buffered until [`handle_written`](Self::handle_written).
    pub fn take_outgoing(&mut self, limit: usize) -> Outgoing {
        let mut taken = Outgoing::new();
        self.take_outgoing_into(limit, &mut taken);
        taken
    }

    /// As [`take_outgoing`](Self::take_outgoing), behind what waits in a queue: one that is used again and
    /// again, and is empty each time, costs no allocations.
    pub fn take_outgoing_into(&mut self, limit: usize, taken: &mut Outgoing) {
        self.outgoing.move_front(limit, taken, &mut self.in_flight);
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) wants to be called, with the time of that
    /// call. Ask after writing: bytes that wait can set a deadline. It can have passed; then the call is due at once.
    /// That is usual while bytes wait, because `send` has no clock from which to count the `stall_timeout`. `None`
    /// if the connection [is finished](Self::is_finished), and while nothing has a deadline. Changed by every
    /// call that takes `&mut self`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_finished() {
            return None;
        }
        self.watch_deadline().or_else(|| self.timers.next())
    }

    /// Tells whether more should be read: false while as many received messages wait for the
    /// application as the `receive_queue_limit` allows, and once the stream ended or broke, or the
    /// connection is [finished](Self::is_finished). After a close it is true, so that the end of the
    /// stream is seen; what arrives is discarded. Can be changed by every call that takes `&mut self`.
    pub fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Sent => self.events.len() < self.receive_limit(),
            Phase::Deferred(_) | Phase::Draining { .. } => !self.stream_ended,
            Phase::Finished => false,
        }
    }

    /// Tells whether the write side of the stream should be shut down: everything is written and
    /// nothing will follow. It can stay true when that was done; to do it again does no harm.
    pub fn wants_shutdown(&self) -> bool {
        self.buffered_amount() == 0
            && self
                .phase
                .shuts_down(self.role, self.version, self.stream_ended)
    }

    /// Tells whether the connection is over and the stream can be closed: the end was taken by
    /// [`poll_event`](Self::poll_event) or is there to be taken, and nothing is left to write. Events that were not
    /// taken can still be taken.
    pub fn is_finished(&self) -> bool {
        self.phase
            .is_finished(self.stream_ended && self.buffered_amount() == 0)
    }

    /// Returns the state: connected, closing or closed.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Open => State::Connected,
            _ if self.is_finished() => State::Closed,
            Phase::Sent | Phase::Deferred(_) | Phase::Draining { .. } | Phase::Finished => {
                State::Closing
            }
        }
    }

    /// Returns how the connection ended, once [`Event::Closed`] was taken or is the next event. It is `None` while
    /// messages that came before the end wait. If the stream
    /// ended before our close was written, `clean` is false here, although an event that was taken earlier said
    /// otherwise.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_deref()
    }

    /// Tells whether [`poll_event`](Self::poll_event) has something to return: an event, or the end that waits until
    /// what came before it was taken. Only of that end [`take_event`](Self::take_event) returns nothing.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty() || matches!(self.phase, Phase::Deferred(_))
    }

    /// Returns the role of this side.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the version that is spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the bytes that wait to be written, headers included.
    pub fn buffered_amount(&self) -> usize {
        self.outgoing.len() + self.in_flight.len()
    }

    /// Returns the bytes of received messages that wait for the application.
    pub fn queued_len(&self) -> usize {
        self.events.len()
    }

    /// Tells whether messages can be sent at all: until a close is sent or the end is
    /// [told](Self::closed), which waits for the application to take what came before it.
    pub fn is_writable(&self) -> bool {
        self.phase.sends()
    }

    /// Tells whether a message is open that is being sent in fragments: until its last one, or until
    /// nothing can be sent any more.
    pub fn is_message_open(&self) -> bool {
        self.open_message.is_some() && self.phase.sends()
    }

    /// Tells whether a message would be taken now, as far as the send queue is concerned.
    #[inline]
    pub fn has_capacity(&self) -> bool {
        self.config
            .send_queue_limit
            .is_none_or(|limit| self.buffered_amount() < limit)
    }

    /// Returns how many messages arrived.
    pub fn messages_received(&self) -> u64 {
        self.messages_received
    }

    /// Returns how many bytes of payload arrived in messages, and in the fragments that were given out
    /// of one that is not whole yet.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Returns how many pings were queued, those of the keepalive included.
    pub fn pings_sent(&self) -> u64 {
        self.pings_sent
    }

    /// Returns how many pings arrived.
    pub fn pings_received(&self) -> u64 {
        self.pings_received
    }

    /// Returns how many bytes were written so far, the end of the opening handshake included: those that
    /// left [`outgoing`](Self::outgoing), and those that were [taken](Self::take_outgoing) and
    /// [noted](Self::handle_written).
    pub fn bytes_written(&self) -> u64 {
        self.outgoing.left()
    }

    /// Returns the `send_queue_limit`, in bytes.
    pub fn send_queue_limit(&self) -> Option<usize> {
        self.config.send_queue_limit
    }

    /// At least one: with none nothing would ever be read, not even a close.
    fn receive_limit(&self) -> usize {
        self.config
            .receive_queue_limit
            .map_or(usize::MAX, |limit| limit.max(1))
    }
}
