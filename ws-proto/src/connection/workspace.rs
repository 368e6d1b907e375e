//! The memory that a connection works with while it has something to do. A program that runs connections one at a
//! time, in a thread for instance, owns it, so that a connection at rest holds no such memory (P5).

use super::Connection;
use super::event_batch::EventBatch;
use crate::deflate::DeflateStreams;
use crate::outgoing::{Outgoing, Spares};

/// The most memory for outgoing bytes that is kept from one connection to the next. Memory that has grown beyond it is
/// freed, because one large message would hold it for the life of the thread otherwise.
const OUTGOING_LIMIT: usize = 128 << 10;

/// The same limit for events, in bytes: enough for most reads of short messages.
const EVENTS_LIMIT: usize = 64 << 10;

/// Memory that connections use in turn: for the messages that they send and receive, and zlib's streams, by which they
/// compress and inflate.
///
/// It is an optimization, and never needed: a connection without a workspace has memory of its own while something
/// waits in it. With a workspace, a message of up to 23 bytes costs no allocation, and a longer one that of its payload.
/// The streams are up to 430 KB and take long to make; they are made once. A thread that runs many connections owns one
/// workspace. It [attaches](Connection::attach) the workspace to a connection before it works on it, and
/// [detaches](Connection::detach) it before it goes on to the next connection.
///
/// A workspace begins empty, and keeps up to 192 KiB besides the streams. In the driver of this family of crates, where a
/// broadcast uses small pieces of it for many connections at a time, these are up to 512 KiB more.
#[derive(Debug, Default)]
pub struct Workspace {
    outgoing: Outgoing,
    /// Small memory for connections that are sent to while another one has `outgoing`.
    spares: Spares,
    events: EventBatch,
    streams: DeflateStreams,
}

impl Workspace {
    /// Makes an empty workspace.
    pub const fn new() -> Self {
        Self {
            outgoing: Outgoing::new(),
            spares: Spares::new(),
            events: EventBatch::new(),
            streams: DeflateStreams::new(),
        }
    }

    /// Takes back the memory that left an attached connection with bytes that were
    /// [taken](Connection::take_outgoing_into). Bytes that still wait move to memory of their own.
    pub fn recycle(&mut self, taken: &mut Outgoing) {
        if let Some(memory) = taken.detach() {
            if self.outgoing.has_memory() {
                self.spares.keep(memory);
            } else if memory.memory_len() <= OUTGOING_LIMIT {
                self.outgoing = memory;
            }
        }
    }

    /// Takes back the memory that left an attached connection with [events](Connection::take_events). Does nothing
    /// while the batch has events.
    pub fn recycle_events(&mut self, batch: &mut EventBatch) {
        if batch.is_empty() && (1..=EVENTS_LIMIT).contains(&batch.memory_len()) {
            self.events = std::mem::take(batch);
        }
    }

    /// Returns the number of bytes of memory that the workspace keeps for the next connection, without its streams.
    pub fn memory(&self) -> usize {
        self.outgoing.memory_len() + self.spares.memory_len() + self.events.memory_len()
    }

    /// Returns zlib's streams, for messages that are compressed for many connections.
    #[cfg(feature = "deflate")]
    pub(super) fn streams(&mut self) -> &mut DeflateStreams {
        &mut self.streams
    }
}

impl Connection {
    /// Gives the memory of a workspace to the connection, unless the connection has memory of its own. It is used for
    /// what is sent and received next. To attach a workspace twice costs little and does no harm.
    pub fn attach(&mut self, workspace: &mut Workspace) {
        self.outgoing.attach(&mut workspace.outgoing);
        self.events.attach(&mut workspace.events);
    }

    #[inline]
    pub(crate) fn has_outgoing_memory(&self) -> bool {
        self.outgoing.has_memory()
    }

    /// Gives a small piece of memory to a connection that is sent to while another one is attached.
    #[inline]
    pub(crate) fn attach_spare(&mut self, workspace: &mut Workspace) {
        if !self.outgoing.has_memory() {
            self.outgoing.attach(&mut workspace.spares.take());
        }
    }

    /// Gives all memory back. Bytes and events that still wait, for a slow peer or a slow application, move to memory
    /// of their own length.
    pub fn detach(&mut self, workspace: &mut Workspace) {
        workspace.recycle_events(&mut self.events.detach());
        workspace.recycle(&mut self.outgoing);
    }

    /// Gives zlib's streams of a workspace to the connection, for the next calls that compress or inflate.
    ///
    /// A connection without them makes streams for each message. Does nothing where compression was not agreed on, and
    /// without the feature `deflate`.
    ///
    /// This is not a part of [`attach`](Self::attach), because two connections can be at work at the same time: the
    /// handler of one sends on the other. Both need the streams only for one call at a time.
    #[inline]
    pub fn attach_streams(&mut self, workspace: &mut Workspace) {
        self.compression.attach(&mut workspace.streams);
    }

    /// Gives the streams back. A stream that is in the middle of a message, or keeps a context, stays with the
    /// connection.
    #[inline]
    pub fn detach_streams(&mut self, workspace: &mut Workspace) {
        self.compression.detach(&mut workspace.streams);
    }
}
