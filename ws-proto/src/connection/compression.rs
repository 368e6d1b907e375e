//! Compression on a connection: the terms are set, compressed messages become frames, input is read in steps, and a
//! context that is not used is given back. The algorithm is in `deflate/`.

use std::time::{Duration, Instant};

use super::Connection;
use super::timers::Timer;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::deflate::{Compression, DeflateTerms};
use crate::frame::Opcode;
use crate::outgoing::FramePayload;

impl Connection {
    /// Sets the terms of compression of an opening handshake that was done elsewhere; see
    /// [`Deflate::accept`](crate::Deflate::accept) and [`Deflate::confirm`](crate::Deflate::confirm).
    /// Call it before anything is read or sent.
    ///
    /// # Panics
    ///
    /// Panics if the version is a draft, because the drafts have no extensions; if the terms are those of the other
    /// role; if the connection has terms already; and if a message was read or sent, or a part of one.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(mut self, terms: &DeflateTerms) -> Self {
        assert!(
            self.version.features().extensions,
            "{} has no extensions",
            self.version
        );
        let (own, theirs) = (self.role, terms.role());
        assert!(
            own == theirs,
            "a {own:?} was given the terms of a {theirs:?}"
        );
        assert!(!self.has_deflate(), "the connection has terms already");
        assert!(
            self.is_unused(),
            "with_deflate was called on a connection that is in use"
        );
        self.set_compression(Some(terms));
        self
    }

    /// Tells whether permessage-deflate was agreed on; never without the feature `deflate`.
    pub fn has_deflate(&self) -> bool {
        self.compression.is_on()
    }

    /// Returns the options with which [`PreparedMessage::compressed`](crate::PreparedMessage::compressed) makes the
    /// same bytes of a message as [`send`](Self::send). So a message can be compressed elsewhere before it is sent.
    /// `None` where messages are sent plain, or with a context.
    #[cfg(feature = "deflate")]
    pub fn deflate_alone(&self) -> Option<Deflate> {
        self.compression.standalone_options()
    }

    /// Tells whether no message was read and nothing was sent, as far as the state shows it.
    #[cfg(feature = "deflate")]
    fn is_unused(&self) -> bool {
        let has_read = self.messages_received > 0
            || self.bytes_received > 0
            || self.pings_received > 0
            || !self.codec.is_between_frames()
            || !self.assembler.is_between_messages();
        let has_sent = self.buffered_amount() > 0 || self.outgoing.left() > 0;
        let has_ended = !matches!(self.phase, super::Phase::Open(_));
        !(has_read || has_sent || has_ended || self.has_events())
    }

    pub(super) fn set_compression(&mut self, terms: Option<&DeflateTerms>) {
        self.compression = Compression::new(terms);
    }

    /// Queues a compressed message.
    pub(super) fn encode_compressed(&mut self, is_text: bool, payload: FramePayload<'_>) {
        self.encode_compressed_fragment(is_text, true, true, payload);
    }

    /// Queues a part of a compressed message.
    pub(super) fn encode_compressed_fragment(
        &mut self,
        is_text: bool,
        first: bool,
        last: bool,
        payload: FramePayload<'_>,
    ) {
        let opcode = match (first, is_text) {
            (false, _) => Opcode::Continuation,
            (true, true) => Opcode::Text,
            (true, false) => Opcode::Binary,
        };
        let outgoing = &mut self.outgoing;
        self.codec
            .encode_compressed(opcode, last, payload, outgoing);
        // Everything that is compressed goes out here, and only compressing makes or drops a context.
        self.watch_context();
    }

    /// Arms the timer of the compressor's context while there is one, and stops it otherwise.
    pub(super) fn watch_context(&mut self) {
        if !self.compression.keeps_context() {
            self.timers.stop(Timer::Context);
        } else if !self.timers.is_set(Timer::Context) {
            // A send has no clock, so the first lap counts from an earlier time and can be over at once. That
            // gives nothing away: the compressor was used in this lap, and the next one begins with a clock.
            let told = self.last_known_time();
            self.timers.set(Timer::Context, told, Some(CONTEXT_REST));
        }
    }

    pub(super) fn handle_context_timeout(&mut self, now: Instant) {
        self.compression.release_if_idle();
        if self.compression.keeps_context() {
            self.timers.set(Timer::Context, now, Some(CONTEXT_REST));
        }
    }

    /// Returns how much of the input is looked at in one step.
    pub(super) fn step_len(&self, input_len: usize) -> usize {
        // Fragments bound the memory of a message only if a short input cannot inflate to all of it at once.
        if self.compression.is_on() && self.config.receive_fragments {
            input_len.min(STEP_LEN)
        } else {
            input_len
        }
    }
}

/// How long a lap is in which nothing must be compressed before the context goes. It is the default of the
/// `keepalive_interval`: long enough that a connection that sends every few seconds keeps its context.
const CONTEXT_REST: Duration = Duration::from_secs(20);

/// The input of one step. DEFLATE's ratio is at most 1032, so a step gives out at most half a MiB, and usually a few
/// KiB.
const STEP_LEN: usize = 512;
