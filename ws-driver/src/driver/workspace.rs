//! The buffers of a thread, so that an idle connection holds none (P5): one that streams are read into,
//! with room to spare for each read, and what is lent to the connection at work: a buffer for what it
//! sends, room for the events of what it reads, and the streams of zlib by which it compresses and inflates.

use std::cell::Cell;
use std::task::Poll;

use ws_proto::{Connection as Machine, EventBatch, Outgoing};
#[cfg(feature = "deflate")]
use ws_proto::{Deflate, DeflateStreams, PreparedMessage};

/// Bytes that one read can take. Large enough that the kernel is asked rarely, small enough to stay
/// in the cache while its content is parsed.
const SCRATCH_LEN: usize = 128 << 10;

/// Room that a thread keeps for what a connection sends in one turn; a buffer that has grown beyond it
/// is given up.
const SPARE_LIMIT: usize = 128 << 10;

/// Room that a thread keeps for events, in bytes: enough for most reads of short messages. What has grown
/// beyond it is given up.
const EVENTS_LIMIT: usize = 64 << 10;

thread_local! {
    static EVENTS: Cell<EventBatch> = const { Cell::new(EventBatch::new()) };
    static SPARE: Cell<Outgoing> = const { Cell::new(Outgoing::new()) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[cfg(feature = "deflate")]
thread_local! {
    static STREAMS: Cell<DeflateStreams> = const { Cell::new(DeflateStreams::new()) };
}

/// Lends the thread's buffer. Inside of itself it lends a fresh one.
pub(crate) fn with<T>(use_buffer: impl FnOnce(&mut [u8]) -> Poll<T>) -> Poll<T> {
    let mut buffer = SCRATCH.take();
    buffer.resize(SCRATCH_LEN, 0);
    let result = use_buffer(&mut buffer);
    SCRATCH.set(buffer);
    result
}

/// Returns the thread's memory for what is sent; none if it is lent already.
pub(crate) fn take_spare() -> Outgoing {
    let spare = SPARE.take();
    match spare.room() {
        0 => Outgoing::spare(),
        _ => spare,
    }
}

/// Keeps memory for the thread's next connection.
pub(crate) fn give_spare(spare: Outgoing) {
    if spare.room() > 0 && spare.room() <= SPARE_LIMIT {
        SPARE.set(spare);
    }
}

/// Returns the thread's room for events, empty; none if it is lent already.
pub(crate) fn take_events() -> EventBatch {
    EVENTS.take()
}

/// Keeps room for events for the thread's next connection.
pub(crate) fn give_events(room: EventBatch) {
    debug_assert!(room.is_empty(), "events would be lost");
    if room.room() > 0 && room.room() <= EVENTS_LIMIT {
        EVENTS.set(room);
    }
}

/// Lets a machine work on messages with the thread's streams of zlib, if it has use for them.
#[cfg(feature = "deflate")]
#[inline]
pub(crate) fn with_streams<T>(machine: &mut Machine, work: impl FnOnce(&mut Machine) -> T) -> T {
    if !machine.has_deflate() {
        return work(machine);
    }
    let mut streams = STREAMS.take();
    machine.lend_deflate(&mut streams);
    let result = work(machine);
    STREAMS.set(machine.reclaim_deflate());
    result
}

/// Compresses a message for many, or before it is sent, with the thread's streams of zlib.
#[cfg(feature = "deflate")]
pub(crate) fn compress(message: PreparedMessage, options: &Deflate) -> PreparedMessage {
    let mut streams = STREAMS.take();
    let compressed = message.compress_for(options, &mut streams);
    STREAMS.set(streams);
    compressed
}

/// Lets a machine work on messages.
#[cfg(not(feature = "deflate"))]
#[inline]
pub(crate) fn with_streams<T>(machine: &mut Machine, work: impl FnOnce(&mut Machine) -> T) -> T {
    work(machine)
}
