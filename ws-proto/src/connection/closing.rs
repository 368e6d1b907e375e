//! The end of a connection: the closing handshake, a failure, and the end of the stream.
//!
//! | phase      | what happened                              | what is awaited                        |
//! |------------|--------------------------------------------|----------------------------------------|
//! | `Open`     | nothing                                    | -                                      |
//! | `Sent`     | we sent a close                            | the peer's, until the close timeout    |
//! | `Deferred` | the end came, messages before it wait      | that they are taken, until the timeout |
//! | `Draining` | the end is queued as an event              | the end of the stream, until the timeout |
//! | `Finished` | the wait is over                           | nothing                                |
//!
//! An end is deferred because a peer can send a message and close at once, in one segment. If the close were answered
//! where it is parsed, the application could not answer the message any more, because nothing may follow our close.
//! Whether it could would then depend on how the bytes were chopped. So the end waits until the application has taken
//! what came before and has asked for more, but no longer than the `close_timeout`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Connection;
use super::closed::{ABNORMAL, CloseCause, Closed, Initiator, NO_STATUS};
use super::event::Event;
use super::rate_limit::RateLimiter;
use super::sending::count;
use super::timers::Timer;
use crate::close_code::{CloseCode, CloseReason};
use crate::error::ProtocolError;
use crate::message::{Payload, Utf8Bytes};
use crate::state::Role;
use crate::version::Version;

/// The phase of a connection on its way to the end.
///
/// `close_end` is the position behind our close, in the count of all bytes that ever [left](Outgoing::left); zero if no
/// close was queued. Our close is unwritten while that count is below it.
#[derive(Debug)]
pub(super) enum Phase {
    /// With the state of the rate limit, if there is a limit. It is here because only an open connection is limited, and
    /// because this variant has the place that others need for a number.
    Open(Option<Box<RateLimiter>>),
    /// In draft-75, which has no close frame, shutting down the write side is the close.
    Sent {
        close_end: u64,
    },
    // Boxed, because a reason and an error are larger than all the rest, and most connections have no end to defer.
    Deferred(Box<End>),
    Draining {
        /// Whether the peer sent a close.
        clean: bool,
        close_end: u64,
    },
    Finished,
}

/// The cause of an end.
#[derive(Debug)]
pub(super) enum End {
    PeerClose {
        code: Option<u16>,
        reason: Utf8Bytes,
    },
    Failed(ProtocolError),
    Eof {
        at_boundary: bool,
    },
    Reset,
}

impl End {
    /// Tells whether the end can wait until the application has taken what came before it.
    fn can_wait(&self) -> bool {
        // Not after a reset or a stall, because nothing can be written: the application may be blocked on just that
        // write, and would never take the rest.
        !matches!(
            self,
            Self::Reset | Self::Failed(ProtocolError::WriteStalled { .. })
        )
    }
}

impl Phase {
    /// Tells whether input is looked at; otherwise it is discarded (R-X9, R-X11, D76-X2).
    pub(super) fn reads(&self) -> bool {
        match self {
            Self::Open(_) | Self::Sent { .. } => true,
            Self::Deferred(_) | Self::Draining { .. } | Self::Finished => false,
        }
    }

    /// Tells whether messages of the application are accepted (R-F15, D76-X1).
    pub(super) fn sends(&self) -> bool {
        match self {
            Self::Open(_) | Self::Deferred(_) => true,
            Self::Sent { .. } | Self::Draining { .. } | Self::Finished => false,
        }
    }

    /// Tells whether pings are answered: until a close was received (R-F13).
    pub(super) fn answers_pings(&self) -> bool {
        self.reads()
    }

    /// Tells whether the write side ends once everything is written.
    pub(super) fn shuts_down(&self, role: Role, version: Version, stream_ended: bool) -> bool {
        let features = version.features();
        match self {
            Self::Open(_) | Self::Deferred(_) => false,
            Self::Sent { .. } => !features.close_frame,
            Self::Draining { clean, .. } => {
                // A client of RFC 6455 lets the server shut down first, so that the server is the one in TIME_WAIT
                // (R-X4, R-X5).
                !clean || stream_ended || role == Role::Server || !features.close_code
            }
            Self::Finished => true,
        }
    }

    pub(super) fn is_finished(&self, stream_is_done: bool) -> bool {
        match self {
            Self::Open(_) | Self::Sent { .. } | Self::Deferred(_) => false,
            Self::Draining { .. } => stream_is_done,
            Self::Finished => true,
        }
    }

    /// Returns the position behind our close, which moves if a control frame goes ahead of it.
    pub(super) fn close_end(&mut self) -> Option<&mut u64> {
        match self {
            Self::Sent { close_end } | Self::Draining { close_end, .. } => Some(close_end),
            Self::Open(_) | Self::Deferred(_) | Self::Finished => None,
        }
    }
}

impl Connection {
    /// Begins the closing handshake; does nothing if it has begun.
    ///
    /// Code and reason are left out where the version has no such thing. A reason needs a code: without one it is left
    /// out, too (RFC 6455 §5.5.1).
    pub fn close(&mut self, now: Instant, code: Option<CloseCode>, reason: CloseReason<'_>) {
        match self.phase {
            Phase::Open(_) => {
                let close_end = self.push_close(code, reason);
                self.phase = Phase::Sent { close_end };
                // No message follows our close, so nothing needs the context any more.
                self.compression.stop_sending();
                self.end_round_trips();
                self.timers.stop_all();
                self.timers
                    .set(Timer::Close, now, self.config.close_timeout);
            }
            // The peer's close, or another end, has come: ours answers it, and the first end is the one that counts.
            Phase::Deferred(_) => self.resolve(now),
            Phase::Sent { .. } | Phase::Draining { .. } | Phase::Finished => {}
        }
    }

    /// Takes a close frame (R-X1, R-X2, §5.6).
    pub(super) fn handle_close(&mut self, now: Instant, payload: &[u8]) {
        match parse_close(payload, self.legacy_close_codes) {
            Ok((code, reason)) => self.end(now, End::PeerClose { code, reason }),
            Err(error) => self.fail(now, error),
        }
    }

    /// Fails the connection (RFC 6455 §7.1.7, R-X9).
    pub(super) fn fail(&mut self, now: Instant, error: ProtocolError) {
        self.end(now, End::Failed(error));
    }

    /// Ends the connection: at once if the application has taken everything that came before, otherwise once it has.
    pub(super) fn end(&mut self, now: Instant, end: End) {
        // No message is completed after the end, whenever the application hears of it.
        self.assembler.clear();
        self.compression.stop_receiving();
        self.end_round_trips();
        match self.phase {
            Phase::Open(_) if !self.events.is_drained() && end.can_wait() => {
                self.phase = Phase::Deferred(Box::new(end));
                self.timers.stop_all();
                self.timers
                    .set(Timer::Close, now, self.config.close_timeout);
                // The application may still send, so the context stays, and with it the timer that ends it.
                self.watch_context();
            }
            Phase::Open(_) => self.settle(now, end, false),
            // Never deferred: after our close the application has nothing to answer any more.
            Phase::Sent { .. } => self.settle(now, end, true),
            Phase::Deferred(_) => {
                // The first end is the one that is told; a reset or a stall only ends the wait for it.
                if !end.can_wait() {
                    self.resolve(now);
                }
            }
            Phase::Draining { .. } | Phase::Finished => {}
        }
    }

    /// Ends a connection whose end was deferred.
    pub(super) fn resolve(&mut self, now: Instant) {
        if let Phase::Deferred(end) = &mut self.phase {
            // Only a placeholder: `settle` sets the next phase.
            let end = std::mem::replace(&mut **end, End::Reset);
            self.settle(now, end, false);
        }
    }

    pub(super) fn handle_close_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Sent { .. } => {
                self.push_closed(
                    ABNORMAL,
                    Utf8Bytes::new(),
                    Initiator::Local,
                    CloseCause::CloseTimeout,
                );
                self.finish();
            }
            Phase::Deferred(_) => self.resolve(now),
            Phase::Draining { .. } => self.finish(),
            Phase::Open(_) | Phase::Finished => {}
        }
    }

    /// Answers the cause of the end, and queues the event for the application.
    fn settle(&mut self, now: Instant, end: End, close_sent: bool) {
        let by = if close_sent {
            Initiator::Local
        } else {
            Initiator::Peer
        };
        let clean = matches!(end, End::PeerClose { .. });
        // A peer that is taken for dead is sent a close, if the stream takes it, but is not waited for: with the
        // defaults its stream is closed after 40 s, and not after 50 s.
        let is_dead = matches!(
            end,
            End::Failed(ProtocolError::PongTimeout { .. } | ProtocolError::WriteStalled { .. })
        );
        let wait = if is_dead {
            Some(Duration::ZERO)
        } else {
            self.config.close_timeout
        };
        let mut close_end = self.phase.close_end().copied().unwrap_or(0);
        match end {
            End::PeerClose { code, reason } => {
                // The reason is not sent back, so an answer is never longer than what it answers (X19).
                let answer = code.and_then(|code| CloseCode::new(code).ok());
                if !close_sent {
                    close_end = self.push_close(answer, CloseReason::EMPTY);
                }
                self.push_closed(code.unwrap_or(NO_STATUS), reason, by, CloseCause::Handshake);
            }
            End::Failed(error) => {
                let tells = self.config.close_reasons && !close_sent;
                let reason = if tells {
                    error.close_reason()
                } else {
                    String::new()
                };
                let reason = CloseReason::truncated(&reason);
                if !close_sent {
                    close_end = self.push_close(Some(error.close_code()), reason);
                }
                let cause = CloseCause::Failed(error);
                self.push_closed(ABNORMAL, Utf8Bytes::new(), Initiator::Local, cause);
            }
            End::Eof { at_boundary: true } if !self.version.features().close_frame => {
                self.push_closed(NO_STATUS, Utf8Bytes::new(), by, CloseCause::Handshake);
            }
            End::Eof { .. } | End::Reset => {
                self.push_closed(ABNORMAL, Utf8Bytes::new(), by, CloseCause::Disconnected);
            }
        }
        self.phase = Phase::Draining { clean, close_end };
        self.compression.stop_sending();
        self.timers.stop_all();
        self.timers.set(Timer::Close, now, wait);
    }

    /// Queues our close; returns the position behind it.
    fn push_close(&mut self, code: Option<CloseCode>, reason: CloseReason<'_>) -> u64 {
        self.codec.encode_close(code, reason, &mut self.outgoing);
        self.outgoing.left() + count(self.buffered_amount())
    }

    fn push_closed(&mut self, code: u16, reason: Utf8Bytes, by: Initiator, cause: CloseCause) {
        let features = self.version.features();
        // A draft sends fragments as one long frame. A close in the middle of it would complete the text with half of
        // its content, so no close is written then, and the end is not clean. An answer that waited when the stream
        // broke is lost.
        let could_close =
            !self.stream_broken && (features.fragments || self.open_message.is_none());
        let clean = cause == CloseCause::Handshake && features.close_frame && could_close;
        let closed = Closed {
            code,
            reason,
            clean,
            by,
            cause,
        };
        let closed = Arc::new(closed);
        self.closed = Some(Arc::clone(&closed));
        self.events.push(Event::Closed(closed));
    }

    fn finish(&mut self) {
        // First, because it asks the phase whether our close was written.
        self.forget_outgoing();
        self.phase = Phase::Finished;
        self.assembler.clear();
        self.compression.end();
        self.timers.stop_all();
    }

    /// Drops the bytes that wait to be written, because they never will be.
    pub(super) fn forget_outgoing(&mut self) {
        // The event was queued together with our close, so it can say `clean` of a close that was not written.
        let left = self.outgoing.left();
        if self.phase.close_end().is_some_and(|end| left < *end) {
            self.revoke_clean();
        }
        self.outgoing.clear();
        self.in_flight.clear();
    }

    /// Corrects the account: the closing handshake was not done after all (RFC 6455 §7.1.4). The code stays the peer's
    /// (§7.1.5).
    fn revoke_clean(&mut self) {
        let Some(closed) = self.closed.take_if(|closed| closed.clean) else {
            return;
        };
        let closed = Arc::new(Closed {
            clean: false,
            ..(*closed).clone()
        });
        self.events.replace_closed(Arc::clone(&closed));
        self.closed = Some(closed);
    }
}

/// Parses the payload of a close frame.
fn parse_close(
    payload: &[u8],
    legacy_close_codes: bool,
) -> Result<(Option<u16>, Utf8Bytes), ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok((None, Utf8Bytes::new()))
        } else {
            Err(ProtocolError::TruncatedCloseCode)
        };
    };
    let code = u16::from_be_bytes(*code);
    if CloseCode::new(code).is_err() && !(legacy_close_codes && code == TOO_BIG_OF_VERSION_8) {
        return Err(ProtocolError::InvalidCloseCode { code });
    }
    match Utf8Bytes::try_from(Payload::from(reason)) {
        Ok(reason) => Ok((Some(code), reason)),
        Err(_) => Err(ProtocolError::InvalidUtf8),
    }
}

/// The code that hybi-07 to hybi-10 have for 1009; reserved since.
const TOO_BIG_OF_VERSION_8: u16 = 1004;
