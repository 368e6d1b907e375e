//! What lies between a stream and hyper: finds where each request begins, and lets plain ones pass. All heads of
//! a stream are read by `ws-proto`, the first as those that come later, so what is no head, and what asks for an
//! upgrade, never reaches hyper: it is handed back with the stream. Knows no sockets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ws_proto::{HandshakeEvent, Request, ServerConfig, ServerHandshake};

use super::body_end::BodyEnd;

/// Bytes that are read at once while hyper is busy, at most: what a client sends before it has its answer.
pub(super) const AHEAD_LIMIT: usize = 8 << 10;

/// Stands between a stream and hyper.
pub(crate) struct Gate {
    config: Arc<ServerConfig>,
    stage: Stage,
    /// Read, and not looked at.
    received: BytesMut,
    /// Looked at, and on its way to hyper.
    passing: Bytes,
    /// Whether hyper has a request whose answer is not written yet. It must not be told of the end of the stream
    /// then, as it would take the answer back.
    is_busy: bool,
    /// Set once the last part of an answer is handed out.
    answered: Answered,
    /// Whether hyper asked for more while it was busy, and more was there.
    is_awaited: bool,
}

enum Stage {
    /// The head of a request is read, once its first byte is there.
    Head(Option<Box<ServerHandshake>>),
    Body(BodyEnd),
    /// This is no request for hyper, or the end of the stream.
    Over(Option<Box<Taken>>),
}

/// A request that is no plain one, with what its handshake says of it.
pub(crate) struct Taken {
    pub(crate) handshake: ServerHandshake,
    pub(crate) event: HandshakeEvent,
}

/// What hyper gets.
pub(super) enum Step {
    Pass(Bytes),
    /// First the stream is to be read, up to so many bytes, and [`Gate::handle_read`] told.
    Read,
    Wait,
    End,
}

/// What all that is written by now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    Part,
    Answer,
    /// An answer, for the end of which hyper was told to wait: it has to be asked again.
    AnswerBefore,
}

/// Tells a [`Gate`] that an answer was handed out as a whole. What is left of it is to be written.
#[derive(Clone, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

impl Answered {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Gate {
    /// Begins with what was read already.
    pub(super) fn new(config: Arc<ServerConfig>, received: Bytes) -> Self {
        Self {
            config,
            stage: Stage::Head(None),
            received: received.into(),
            passing: Bytes::new(),
            is_busy: false,
            answered: Answered::default(),
            is_awaited: false,
        }
    }

    /// Returns what is to be told of each answer.
    pub(super) fn answered(&self) -> Answered {
        self.answered.clone()
    }

    /// Says what is next for hyper, which has room for so many bytes.
    ///
    /// # Errors
    ///
    /// Fails if a body is malformed.
    pub(super) fn step(&mut self, now: Instant, room: usize) -> io::Result<Step> {
        loop {
            if !self.passing.is_empty() {
                let len = self.passing.len().min(room);
                return Ok(Step::Pass(self.passing.split_to(len)));
            }
            match &mut self.stage {
                Stage::Over(_) => return Ok(Step::End),
                Stage::Body(end) if end.is_over() => self.stage = Stage::Head(None),
                Stage::Body(_) if self.received.is_empty() => return Ok(Step::Read),
                Stage::Body(end) => {
                    let len = end.pass(&self.received)?;
                    self.passing = self.received.split_to(len).freeze();
                }
                Stage::Head(_) if self.is_busy => {
                    self.is_awaited = !self.received.is_empty();
                    return Ok(match self.is_awaited {
                        true => Step::Wait,
                        // So that hyper hears of a peer that has gone.
                        false => Step::Read,
                    });
                }
                Stage::Head(_) if self.received.is_empty() => return Ok(Step::Read),
                Stage::Head(_) => self.read_head(now)?,
            }
        }
    }

    /// Takes bytes that were read, or the end of the stream.
    pub(super) fn handle_read(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            return self.received.extend_from_slice(bytes);
        }
        let taken = self.take_head(ServerHandshake::handle_eof);
        self.stage = Stage::Over(taken);
    }

    /// Takes that all is written that hyper has written.
    pub(super) fn handle_flush(&mut self) -> Flushed {
        if !self.answered.0.swap(false, Ordering::Acquire) {
            return Flushed::Part;
        }
        self.is_busy = false;
        match std::mem::take(&mut self.is_awaited) {
            true => Flushed::AnswerBefore,
            false => Flushed::Answer,
        }
    }

    /// Takes that a request did not come in time.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let taken = self.take_head(|handshake| {
            let deadline = handshake.poll_timeout().unwrap_or(now);
            handshake.handle_timeout(now.max(deadline));
        });
        if taken.is_some() {
            self.stage = Stage::Over(taken);
        }
    }

    /// Returns the request that is not for hyper, if one came.
    pub(super) fn into_taken(self) -> Option<Taken> {
        match self.stage {
            Stage::Over(taken) => taken.map(|taken| *taken),
            Stage::Head(_) | Stage::Body(_) => None,
        }
    }

    /// Ends a head that is not whole.
    fn take_head(&mut self, end: impl FnOnce(&mut ServerHandshake)) -> Option<Box<Taken>> {
        let Stage::Head(Some(handshake)) = &mut self.stage else {
            return None;
        };
        end(handshake);
        let event = handshake.poll_event()?;
        let Stage::Head(Some(handshake)) = std::mem::replace(&mut self.stage, Stage::Over(None))
        else {
            return None;
        };
        let handshake = *handshake;
        Some(Box::new(Taken { handshake, event }))
    }

    fn read_head(&mut self, now: Instant) -> io::Result<()> {
        let Stage::Head(begun) = &mut self.stage else {
            return Ok(());
        };
        let mut handshake = begun
            .take()
            .unwrap_or_else(|| Box::new(ServerHandshake::shared(Arc::clone(&self.config), now)));
        handshake.handle_read(now, &self.received.split());
        self.stage = match handshake.poll_event() {
            None => Stage::Head(Some(handshake)),
            Some(event) => match (event, handshake.plain_request()) {
                (HandshakeEvent::Request(Request::Http), Some(plain)) => {
                    let mut received = handshake.into_received();
                    self.passing = received.split_to(plain.head_len());
                    self.received = received.into();
                    self.is_busy = true;
                    Stage::Body(BodyEnd::new(plain.body())?)
                }
                (event, _) => {
                    let handshake = *handshake;
                    Stage::Over(Some(Box::new(Taken { handshake, event })))
                }
            },
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ws_proto::{Accept, HandshakeError};

    use super::*;

    const PLAIN: &str = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
                         POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET \
                         PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                         4\r\nGET \r\n0\r\nT: u\r\n\r\n";

    const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                           Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Version: 13\r\n\r\n";

    /// What hyper gets of a stream that comes in reads of so many bytes, and what is handed back. Each answer is
    /// written only when there is nothing else to do.
    fn run(bytes: &[u8], len: usize) -> (Vec<u8>, Option<Taken>) {
        let mut gate = Gate::new(Arc::default(), Bytes::new());
        let (mut reads, mut passed) = (bytes.chunks(len), Vec::new());
        let now = Instant::now();
        for _ in 0..10 * bytes.len() + 100 {
            match gate.step(now, 3).unwrap() {
                Step::Pass(bytes) => passed.extend(bytes),
                Step::End => return (passed, gate.into_taken()),
                Step::Read => match reads.next() {
                    Some(read) => gate.handle_read(read),
                    None if gate.is_busy => {
                        gate.answered().note();
                        gate.handle_flush();
                        assert!(!gate.is_busy);
                    }
                    None => gate.handle_read(b""),
                },
                Step::Wait => {
                    gate.handle_flush();
                    assert!(gate.is_busy, "nothing was answered");
                    gate.answered().note();
                    gate.handle_flush();
                }
            }
        }
        panic!("it never ends");
    }

    /// X13: hyper gets every byte of plain requests and no other, at any chopping; the next request that is none is
    /// handed back once they are answered, with what comes behind it.
    #[test]
    fn plain_requests_pass_and_others_are_handed_back() {
        let refused = "GET / HTTP/1.1\nHost: a\n\n";
        for len in [1, 2, 3, 7, 64, 1000] {
            let (passed, taken) = run(PLAIN.as_bytes(), len);
            assert_eq!(String::from_utf8(passed).unwrap(), PLAIN);
            assert!(taken.is_none(), "the stream has ended");

            let (passed, taken) = run([PLAIN, UPGRADE, "early"].concat().as_bytes(), len);
            assert_eq!(String::from_utf8(passed).unwrap(), PLAIN);
            let mut taken = taken.unwrap();
            let event = format!("{:?}", taken.event);
            assert!(event.starts_with("Request(Upgrade("), "{event}");
            taken.handshake.accept(Accept::new()).unwrap();
            let early = taken.handshake.take_early();
            assert!(b"early".starts_with(&early), "the rest is in the stream");

            let (passed, taken) = run([PLAIN, refused].concat().as_bytes(), len);
            assert_eq!(String::from_utf8(passed).unwrap(), PLAIN);
            let event = taken.unwrap().event;
            assert!(
                matches!(
                    event,
                    HandshakeEvent::Failed(HandshakeError::MalformedHead { .. })
                ),
                "{event:?}"
            );

            let (passed, taken) = run([PLAIN, "GET /"].concat().as_bytes(), len);
            assert_eq!(String::from_utf8(passed).unwrap(), PLAIN);
            let event = taken.unwrap().event;
            assert!(
                matches!(
                    event,
                    HandshakeEvent::Failed(HandshakeError::Disconnected { .. })
                ),
                "{event:?}"
            );
        }
    }

    /// A head that does not come to its end in time is answered as the first one of a stream is; one that has not
    /// begun is nothing to answer.
    #[test]
    fn a_head_that_is_late_is_handed_back() {
        let now = Instant::now();
        for (begun, is_answered) in [("", false), ("GET / HT", true)] {
            let mut gate = Gate::new(Arc::default(), Bytes::from(begun));
            assert!(matches!(gate.step(now, 9), Ok(Step::Read)));
            gate.handle_timeout(now);
            let status = gate.into_taken().map(|taken| match taken.event {
                HandshakeEvent::Failed(error) => error.status(),
                event @ (HandshakeEvent::Request(_) | _) => panic!("{event:?}"),
            });
            let expected = is_answered.then_some(Some(http::StatusCode::REQUEST_TIMEOUT));
            assert_eq!(status, expected);
        }
    }
}
