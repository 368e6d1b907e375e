//! Receiving on a connection: bytes become messages, answers, and the end.
//!
//! A run of whole messages takes a short way. Everything else, and everything that is wrong, is read piece by piece.
//! So each check and each error is in one place, and the short way only has to recognize what it can take.

use std::time::Instant;

use super::Connection;
use super::assembler::{Assembled, Rules};
use super::event::Event;
use crate::frame::{Opcode, Whole};
use crate::mask::Mask;
use crate::message::inline::Inline;
use crate::message::utf8;
use crate::message::{Message, Payload};

/// The bounds of one call, which stops once either is reached.
pub(super) struct Allowance {
    /// The bytes that the events may count.
    pub(super) queue_limit: usize,
    /// The frames, or pieces of frames, that may still be looked at.
    pub(super) frames: usize,
    /// Whether to stop where the rate limit makes the peer wait.
    pub(super) heeds_rate: bool,
}

impl Allowance {
    /// No bound.
    pub(super) const UNLIMITED: Self = Self {
        queue_limit: usize::MAX,
        frames: usize::MAX,
        heeds_rate: false,
    };
}

impl Connection {
    pub(super) fn read(&mut self, now: Instant, data: &[u8], mut allowance: Allowance) -> usize {
        if data.is_empty() {
            return 0;
        }
        self.last_read = self.timers.moment(now);
        self.note_alive(now);
        let mut input = data;
        while self.phase.reads() {
            self.read_messages(&mut input, &mut allowance);
            if self.events.len() >= allowance.queue_limit
                || allowance.frames == 0
                || allowance.heeds_rate && self.is_rate_waiting()
            {
                self.watch_message(now);
                return data.len() - input.len();
            }
            // The usual end of a read, behind a whole message. The codec has nothing to say of no bytes.
            if input.is_empty() {
                break;
            }
            allowance.frames -= 1;
            let (mut near, far) = input.split_at(self.step_len(input.len()));
            let allows_compressed = self.compression.is_on();
            let decoded = self
                .codec
                .decode(&mut near, &self.config, allows_compressed);
            input = &input[input.len() - far.len() - near.len()..];
            match decoded {
                Ok(Some(piece)) => {
                    if !self.may_begin(now, &piece) {
                        break;
                    }
                    let rules = Rules::new(self.version, self.role, &self.config);
                    let assembler = &mut self.assembler;
                    match assembler.handle_piece(&piece, rules, &mut self.compression) {
                        Ok(Some(assembled)) => self.handle_assembled(now, assembled),
                        Ok(None) => {}
                        Err(error) => self.fail(now, error),
                    }
                }
                Ok(None) if far.is_empty() => break,
                Ok(None) => {}
                Err(error) => self.fail(now, error),
            }
        }
        self.watch_message(now);
        data.len()
    }

    /// Takes messages from the front of `input`, as long as each is there as a whole and valid, and the allowance
    /// lasts. Leaves the rest to the way piece by piece.
    // `inline(never)`: inlined into `read`, the loop spills registers.
    #[inline(never)]
    fn read_messages(&mut self, input: &mut &[u8], allowance: &mut Allowance) {
        let Some(limit) = self.config.quick_limit() else {
            return;
        };
        if !self.assembler.is_between_messages() {
            return;
        }
        // Counted in a local variable, because a field would be written to memory for each message.
        let mut frames = allowance.frames;
        while frames > 0 && self.events.len() < allowance.queue_limit {
            let Some((whole, rest)) = self.codec.peek_message(input, limit) else {
                break;
            };
            let Whole {
                is_text,
                bytes,
                len,
                mask,
            } = whole;
            let is_taken = match Inline::unmasked(bytes, len, mask) {
                Some((payload, is_ascii)) => {
                    let is_fine = !is_text || is_ascii || utf8::is_whole(payload.as_slice());
                    if is_fine {
                        self.note_received(len, true);
                        self.events.push_short(payload, is_text, len);
                    }
                    is_fine
                }
                None => self.take_message(is_text, &bytes[..len], mask),
            };
            // Nothing was consumed. The other way finds the same message again, and says what is wrong with it.
            if !is_taken {
                break;
            }
            *input = rest;
            frames -= 1;
        }
        allowance.frames = frames;
    }

    /// Takes a message that came as a whole, if it is valid; tells whether it was.
    fn take_message(&mut self, is_text: bool, bytes: &[u8], mask: Mask) -> bool {
        let (payload, is_ascii) = Payload::unmasked_on_heap(bytes, mask);
        let is_fine = !is_text || is_ascii || utf8::is_whole(&payload);
        if is_fine {
            self.push_message(if is_text {
                Message::text_of(payload)
            } else {
                Message::Binary(payload)
            });
        }
        is_fine
    }

    fn handle_assembled(&mut self, now: Instant, assembled: Assembled) {
        if !self.admit(now, &assembled) {
            return;
        }
        match assembled {
            Assembled::Message(message) => self.push_message(message),
            Assembled::Fragment(fragment) => {
                self.note_received(fragment.content.len(), fragment.last);
                self.events.push(Event::Fragment(fragment));
            }
            Assembled::Control(Opcode::Close, payload) => self.handle_close(now, &payload),
            Assembled::Control(Opcode::Ping, payload) => {
                self.pings_received += 1;
                // A peer that pings and does not read gets 16 KiB of pongs at most. The other pings have no answer,
                // because only the latest one needs an answer (RFC 6455 §5.5.3), and another ping will come.
                if self.phase.answers_pings() && self.has_control_capacity() {
                    self.push_control(Opcode::Pong, &payload);
                }
                self.push_control_event(Event::Ping(payload));
            }
            Assembled::Control(_, payload) => {
                self.handle_pong(now, &payload);
                self.push_control_event(Event::Pong(payload));
            }
        }
    }

    fn push_message(&mut self, message: Message) {
        self.note_received(message.len(), true);
        self.events.push(Event::Message(message));
    }

    #[inline]
    fn note_received(&mut self, len: usize, last: bool) {
        self.messages_received += u64::from(last);
        self.bytes_received += u64::try_from(len).unwrap_or(u64::MAX);
    }

    fn push_control_event(&mut self, event: Event) {
        if self.config.control_events {
            self.events.push(event);
        }
    }
}
