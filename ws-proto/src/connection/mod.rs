//! An open connection, from the end of the opening handshake to the end of the stream. One type serves both roles and
//! all versions.
//!
//! Imports: `close_code`, `config`, `deflate`, `error`, `frame`, `mask`, `message`, `outgoing`, `randomness`,
//! `rate_limit`, `state`, `version`.
//!
//! After any call that takes `&mut self` the caller does this, in this order: it takes events until there are none,
//! writes what is outgoing, shuts the write side down if that is wanted, closes the stream if the connection is
//! finished, and arms the deadline.

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
mod rate_limit;
mod receiving;
mod round_trip;
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
use self::round_trip::{Latency, Pings};
use self::stall::Stall;
use self::timers::{Moment, Timer, Timers};
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
pub use self::round_trip::{PingId, RoundTrip};
pub use self::workspace::Workspace;

/// The number of frames that one call of [`Connection::handle_read_some`] looks at.
///
/// It is small enough that a handler that needs a microsecond for each message is done in a millisecond. It is large
/// enough that the fixed cost of a call does not count.
pub const READ_FRAME_LIMIT: usize = 1024;

/// An open WebSocket connection.
///
/// The `into_connection` of a handshake makes it. Bytes and the time go in; events, bytes and deadlines come out. The
/// connection queues by itself the answers that the standard demands.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    version: Version,
    config: Arc<ConnectionConfig>,
    codec: Codec,
    assembler: Assembler,
    compression: Compression,
    phase: Phase,
    /// Whether the close codes of versions 7 and 8 are accepted.
    legacy_close_codes: bool,
    events: EventQueue,
    outgoing: Outgoing,
    /// Bytes that were taken out of `outgoing` and are not known to be written.
    in_flight: InFlight,
    /// The position behind the last ping, in the count of all bytes that ever [left](Outgoing::left). The ping is
    /// unwritten while that count is below it.
    ping_end: u64,
    /// The pings whose pong did not arrive yet. Invariant: if it is there, it is not empty.
    pings: Option<Box<Pings>>,
    latency: Latency,
    timers: Timers,
    last_read: Moment,
    /// The part that is taken off the keepalive interval, in steps.
    keepalive_steps: u8,
    /// Whether reading was paused when the wait for a pong began. Reading cannot pause during the wait: only something
    /// that arrives can pause it, and that ends the wait.
    paused: bool,
    /// Whether the transport took some of the waiting bytes since the ping was sent: not all of them, or while reading
    /// was paused.
    drains: bool,
    stall: Stall,
    /// Whether `stall` has begun a lap. The timer alone does not tell, because a deadline can be out of reach. The
    /// flag is not in `stall`, because padding would make that eight bytes larger in every connection.
    watches_writing: bool,
    /// Whether the message that is being sent in fragments is text; `None` if there is no such message.
    open_message: Option<bool>,
    /// Whether the peer's side of the stream has ended.
    stream_ended: bool,
    /// Whether the stream is broken, so that nothing can be written any more.
    stream_broken: bool,
    /// The account of the end; shared with the event, because it is larger than any other event.
    closed: Option<Arc<Closed>>,
    messages_received: u64,
    bytes_received: u64,
    pings_sent: u64,
    pings_received: u64,
    /// Bytes of pings and pongs that were queued, each of which may have gone ahead of what was queued before it.
    control_queued: u64,
}

impl Connection {
    /// Takes bytes that were read from the stream: all of them, in any portions.
    ///
    /// The length of `data` bounds the work, and the memory for events: two bytes can make an event. In a compressed
    /// message one byte can make a thousand; [`handle_read_some`](Self::handle_read_some) is the better choice there.
    /// Can change what every other method returns.
    pub fn handle_read(&mut self, now: Instant, data: &[u8]) {
        self.read(now, data, Allowance::UNLIMITED);
    }

    /// Takes bytes that were read from the stream, until the `receive_queue_limit` or the `receive_rate_limit` is reached
    /// or [`READ_FRAME_LIMIT`] frames were looked at; returns how many bytes it took.
    ///
    /// The remaining bytes come before anything else that is read. Hand them in again once
    /// [`wants_read`](Self::wants_read) is true, which can be at once. The stream does not become readable because of
    /// them, so check before you wait for the stream. Can change what every other method returns.
    ///
    /// The limit of frames bounds the work of one call, because a frame can be two bytes. A caller that serves several
    /// connections can look at the others before it goes on.
    ///
    /// Between two calls the connection holds at most twice the sum of the `receive_queue_limit` and the longest
    /// message, and 40 KiB besides the bytes that wait to be written, in whatever portions the bytes come. The longest
    /// message is the `message_limit`, or three times that where invalid UTF-8 is replaced. Compression adds up to
    /// half a MiB, as docs/compression.md says.
    pub fn handle_read_some(&mut self, now: Instant, data: &[u8]) -> usize {
        let allowance = Allowance {
            queue_limit: self.receive_limit(),
            frames: READ_FRAME_LIMIT,
            heeds_rate: true,
        };
        self.read(now, data, allowance)
    }

    /// Takes the end of the stream: the peer sends no more.
    pub fn handle_eof(&mut self, now: Instant) {
        let at_boundary = self.codec.is_between_frames() && self.assembler.is_between_messages();
        self.end(now, End::Eof { at_boundary });
        self.stream_ended = true;
    }

    /// Takes the news that the stream is broken: nothing can be read or written any more.
    pub fn handle_reset(&mut self, now: Instant) {
        // Before the end: an end that settles now must know that its close cannot be written.
        self.stream_broken = true;
        self.end(now, End::Reset);
        self.forget_outgoing();
        self.stream_ended = true;
    }

    /// Takes the time. Call it at the [`poll_timeout`](Self::poll_timeout) deadline or after it.
    ///
    /// If that passed long ago, because the process stood still, read the stream once more first: the answer of a
    /// healthy peer can be there already. Can change what every other method returns.
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
                Timer::RoundTrip => self.handle_round_trip_timeout(now),
                Timer::RateLimit => self.handle_rate_timeout(),
            }
        }
    }

    /// Takes the news that `count` bytes that were [taken](Self::take_outgoing) have been written.
    ///
    /// A count above the number of bytes taken counts as that number. Bytes that are written from
    /// [`outgoing`](Self::outgoing) in place do not need this call.
    pub fn handle_written(&mut self, count: usize) {
        let count = self.in_flight.note_written(count);
        self.outgoing.note_left(count);
        // If nothing waits any more, the ping has left as well, and nothing excuses a missing pong.
        self.drains |= count > 0 && (self.paused || self.buffered_amount() > 0);
    }

    /// Returns the next event, or `None` if there is no event.
    ///
    /// The answer to a peer's close waits until the application has taken everything that came before it, and has
    /// called this once more. So the messages before a close can still be answered. The answer waits no longer than
    /// the `close_timeout`.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        self.take_event().or_else(|| {
            self.resolve(now);
            self.take_event()
        })
    }

    /// Moves all events to the end of `batch`; otherwise like [`poll_event`](Self::poll_event). See
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

    /// Returns the next event that is available. Unlike [`poll_event`](Self::poll_event) it never answers a peer's
    /// close that waits.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Moves all events that are available to the end of `batch`.
    ///
    /// The application counts as working through them until it asks for the next event or batch. Until then the
    /// messages count against the `receive_queue_limit`, and the answer to a close that came behind them waits.
    #[inline]
    pub fn take_events(&mut self, batch: &mut EventBatch) {
        self.events.pop_batch(batch);
    }

    /// Returns the bytes to write, which are written in place.
    pub fn outgoing(&mut self) -> OutgoingMut<'_> {
        OutgoingMut::new(&mut self.outgoing)
    }

    /// Takes bytes to write out of [`outgoing`](Self::outgoing): whole segments, until there are at least `limit`
    /// bytes. They count as buffered until [`handle_written`](Self::handle_written).
    pub fn take_outgoing(&mut self, limit: usize) -> Outgoing {
        let mut taken = Outgoing::new();
        self.take_outgoing_into(limit, &mut taken);
        taken
    }

    /// Takes bytes like [`take_outgoing`](Self::take_outgoing), and appends them to `taken`. A queue that is emptied
    /// and used again costs no allocation.
    pub fn take_outgoing_into(&mut self, limit: usize, taken: &mut Outgoing) {
        self.outgoing.move_front(limit, taken, &mut self.in_flight);
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) is to be called. `None` if the connection
    /// [is finished](Self::is_finished), and while nothing has a deadline.
    ///
    /// Call this after writing: queued bytes can set a deadline. A deadline can have passed already; then the call is
    /// due at once. That is usual while bytes wait, because `send` has no clock from which the `stall_timeout` could
    /// count. Every call that takes `&mut self` can change the answer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_finished() {
            return None;
        }
        self.watch_deadline().or_else(|| self.timers.next())
    }

    /// Tells whether more should be read.
    ///
    /// It is false while the messages that wait for the application reach the `receive_queue_limit`, while the
    /// `receive_rate_limit` makes the peer wait, once the stream ended or broke, and once the connection is
    /// [finished](Self::is_finished). After a close it is true, so that the
    /// end of the stream is seen; what arrives is discarded. Every call that takes `&mut self` can change the answer.
    pub fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Open(_) | Phase::Sent { .. } => {
                !self.is_receive_queue_full() && !self.is_rate_waiting()
            }
            // The receive queue does not matter here: what arrives is discarded, and the end of the stream must be
            // seen.
            Phase::Deferred(_) | Phase::Draining { .. } => !self.stream_ended,
            Phase::Finished => false,
        }
    }

    /// Tells whether the messages that wait for the application reach the `receive_queue_limit`.
    fn is_receive_queue_full(&self) -> bool {
        self.events.len() >= self.receive_limit()
    }

    /// Tells whether the write side of the stream should be shut down, because everything is written and nothing
    /// follows. It can stay true after that was done; doing it again does no harm.
    pub fn wants_shutdown(&self) -> bool {
        self.buffered_amount() == 0
            && self
                .phase
                .shuts_down(self.role, self.version, self.stream_ended)
    }

    /// Tells whether the connection is over and the stream can be closed.
    ///
    /// The [end](Event::Closed) was taken by then, or is the last of the events, and nothing is left to write. Events
    /// can still be taken.
    pub fn is_finished(&self) -> bool {
        self.phase
            .is_finished(self.stream_ended && self.buffered_amount() == 0)
    }

    /// Returns the state: connected, closing or closed.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Open(_) => State::Connected,
            _ if self.is_finished() => State::Closed,
            Phase::Sent { .. } | Phase::Deferred(_) | Phase::Draining { .. } | Phase::Finished => {
                State::Closing
            }
        }
    }

    /// Returns how the connection ended, once [`Event::Closed`] was queued. It is `None` while the end waits until the
    /// messages before it were taken.
    ///
    /// If the stream ended before our close was written, `clean` is false here, although the event said otherwise if
    /// it was taken earlier.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_deref()
    }

    /// Tells whether [`poll_event`](Self::poll_event) has something to return: an event, or the end that waits until
    /// the application has taken what came before it. [`take_event`](Self::take_event) does not return an end that
    /// waits.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty() || matches!(self.phase, Phase::Deferred(_))
    }

    /// Returns the role of this side.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the version of the protocol.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the number of bytes that wait to be written, headers included.
    pub fn buffered_amount(&self) -> usize {
        self.outgoing.len() + self.in_flight.len()
    }

    /// Returns the number of bytes that the events that wait for the application count against the
    /// `receive_queue_limit`: their payloads, and the size of an event for each.
    pub fn queued_len(&self) -> usize {
        self.events.len()
    }

    /// Tells whether messages can be sent at all: until a close is sent, or the [end](Self::closed) is known. An end
    /// waits until the application has taken what came before it.
    pub fn is_writable(&self) -> bool {
        self.phase.sends()
    }

    /// Tells whether a message is being sent in fragments: until its last fragment, or until nothing can be sent any
    /// more.
    pub fn is_message_open(&self) -> bool {
        self.open_message.is_some() && self.phase.sends()
    }

    /// Tells whether the send queue has capacity for a message.
    #[inline]
    pub fn has_capacity(&self) -> bool {
        self.config
            .send_queue_limit
            .is_none_or(|limit| self.buffered_amount() < limit)
    }

    /// Returns the number of messages that arrived.
    pub fn messages_received(&self) -> u64 {
        self.messages_received
    }

    /// Returns the number of payload bytes that arrived in messages, and in the fragments that were given out of a
    /// message that is not whole yet.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Returns the number of pings that were queued, those of the keepalive included.
    pub fn pings_sent(&self) -> u64 {
        self.pings_sent
    }

    /// Returns the number of pings that arrived.
    pub fn pings_received(&self) -> u64 {
        self.pings_received
    }

    /// Returns the number of bytes written so far, the end of the opening handshake included: the bytes that left
    /// [`outgoing`](Self::outgoing), and those that were [taken](Self::take_outgoing) and then
    /// [reported as written](Self::handle_written).
    pub fn bytes_written(&self) -> u64 {
        self.outgoing.left()
    }

    /// Returns the `send_queue_limit`, in bytes.
    pub fn send_queue_limit(&self) -> Option<usize> {
        self.config.send_queue_limit
    }

    fn receive_limit(&self) -> usize {
        // At least one: with a limit of zero nothing would ever be read, not even a close.
        self.config
            .receive_queue_limit
            .map_or(usize::MAX, |limit| limit.max(1))
    }
}
