//! The memory that a connection works with while it has something to do: owned by whoever runs connections one at a
//! time, a thread say, so that a connection at rest has none (P5).

use super::Connection;
use super::event_batch::EventBatch;
use crate::deflate::DeflateStreams;
use crate::outgoing::Outgoing;

/// Memory for the bytes that wait to be written which is kept from one connection to the next. What has grown beyond
/// it is given up.
const OUTGOING_LIMIT: usize = 128 << 10;

/// The same for events, in bytes: enough for most reads of short messages.
const EVENTS_LIMIT: usize = 64 << 10;

/// Memory that connections work with in turn: for what they send and receive, and the streams of zlib by which they
/// compress and inflate.
///
/// It is an optimization, and never needed: a connection without one has memory of its own while something waits in it.
/// With one, messages that come and go cost no allocation, and the streams, which are up to 430 KB and take long to make,
/// are made once. A thread that runs many connections owns one workspace, [attaches](Connection::attach) it to a
/// connection before it works on it, and [detaches](Connection::detach) it before it goes on to the next.
///
/// It begins empty, and keeps up to 192 KiB besides the streams.
#[derive(Debug, Default)]
pub struct Workspace {
    outgoing: Outgoing,
    events: EventBatch,
    streams: DeflateStreams,
}

impl Workspace {
    /// Makes one that is empty.
    pub const fn new() -> Self {
        Self {
            outgoing: Outgoing::new(),
            events: EventBatch::new(),
            streams: DeflateStreams::new(),
        }
    }

    /// Takes the memory back that left an attached connection with bytes that were
    /// [taken](Connection::take_outgoing_into). Bytes that still wait move to memory of their own.
    pub fn recycle(&mut self, taken: &mut Outgoing) {
        if let Some(memory) = taken.detach() {
            if (1..=OUTGOING_LIMIT).contains(&memory.memory_len()) {
                self.outgoing = memory;
            }
        }
    }

    /// Takes the memory back that left an attached connection with [events](Connection::take_events). Does nothing
    /// while events are in it.
    pub fn recycle_events(&mut self, batch: &mut EventBatch) {
        if batch.is_empty() && (1..=EVENTS_LIMIT).contains(&batch.room()) {
            self.events = std::mem::take(batch);
        }
    }

    /// Returns the bytes of memory that it keeps for the next connection, its streams apart.
    pub fn memory(&self) -> usize {
        self.outgoing.memory_len() + self.events.room()
    }

    /// Returns the streams of zlib, for messages that are compressed for many connections.
    #[cfg(feature = "deflate")]
    pub(super) fn streams(&mut self) -> &mut DeflateStreams {
        &mut self.streams
    }
}

impl Connection {
    /// Gives the memory of a workspace to the connection, as far as it has none of its own: what is sent and received
    /// next is kept in there. To attach it again costs little and does no harm.
    pub fn attach(&mut self, workspace: &mut Workspace) {
        self.outgoing.attach(&mut workspace.outgoing);
        self.events.lend(&mut workspace.events);
    }

    /// Gives all memory back. What still waits, for a slow peer or a slow application, moves to memory of its own
    /// length.
    pub fn detach(&mut self, workspace: &mut Workspace) {
        workspace.recycle_events(&mut self.events.reclaim());
        workspace.recycle(&mut self.outgoing);
    }

    /// Gives the streams of zlib of a workspace to the connection, for the next calls that compress or inflate: without,
    /// streams are made for each message. Does nothing where compression was not agreed on, and without the feature
    /// `deflate`.
    ///
    /// Apart from [`attach`](Self::attach), because two connections can be attached at the same time, when one sends on
    /// the other, and both need streams for a call at a time only.
    #[inline]
    pub fn attach_streams(&mut self, workspace: &mut Workspace) {
        self.compression.attach(&mut workspace.streams);
    }

    /// Gives the streams back. One that is in the midst of a message, or keeps a context, stays with the connection.
    #[inline]
    pub fn detach_streams(&mut self, workspace: &mut Workspace) {
        self.compression.detach(&mut workspace.streams);
    }
}
