//! The gate between a stream and hyper. It finds where each request begins and lets plain requests pass. `ws-proto`
//! reads all heads of a stream, the first one and the later ones. A malformed head or a request for an upgrade never
//! reaches hyper; it is handed back with the stream. The gate does no I/O.
//!
//! Two parsers of heads would be two rules: one accepts what the other refuses, and a proxy in front of the server may
//! agree with either. The drafts also need the bytes as they are, because draft-76 has eight bytes after the head that
//! are not a body. The price is that a plain head is parsed twice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ws_proto::hooks::{PackedEvent, poll_packed_event};
use ws_proto::{ServerConfig, ServerHandshake};

use super::body_end::BodyEnd;

/// The maximum length of one read. It bounds the bytes that a client sends before it has its answer.
pub(super) const AHEAD_LIMIT: usize = 8 << 10;

/// Passes plain requests of a stream to hyper.
pub(crate) struct Gate {
    config: Arc<ServerConfig>,
    reading: Reading,
    /// Read from the stream, not parsed yet.
    received: BytesMut,
    /// Parsed, to be passed to hyper.
    passing: Bytes,
    /// Whether hyper has a request whose answer is not written yet. hyper must not see the end of the stream
    /// meanwhile, because it would drop the answer.
    is_busy: bool,
    /// Set when hyper has taken the last part of an answer.
    answered: Answered,
    /// Whether hyper waits for the next request, which has arrived while hyper was busy.
    is_awaited: bool,
}

/// What the gate reads now.
enum Reading {
    /// The head of a request; `None` before its first byte.
    Head(Option<Box<ServerHandshake>>),
    Body(BodyEnd),
    /// Nothing more: the stream has ended, or this request is not for hyper.
    Over(Option<Box<HandedBack>>),
}

/// A request that is not plain, with the first event of its handshake.
pub(crate) struct HandedBack {
    pub(crate) handshake: ServerHandshake,
    pub(crate) event: PackedEvent,
}

/// The next step of a read by hyper.
pub(super) enum Step {
    /// hyper gets these bytes.
    Pass(Bytes),
    /// The caller reads from the stream, passes the bytes to [`Gate::handle_read`] and asks again.
    Read,
    /// hyper waits until its answer is written.
    Wait,
    /// hyper sees the end of the stream.
    End,
}

/// What a flush has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// A part of an answer.
    Part,
    /// An answer.
    Answer,
    /// An answer that hyper had to [wait](Step::Wait) for before it reads on. hyper has to be polled again.
    AnswerBefore,
}

/// Tells a [`Gate`] that hyper has taken all of an answer. Bytes of it may still have to be written.
#[derive(Clone, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

impl Answered {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Gate {
    /// Starts with bytes that were read before.
    pub(super) fn new(config: Arc<ServerConfig>, received: Bytes) -> Self {
        Self {
            config,
            reading: Reading::Head(None),
            received: received.into(),
            passing: Bytes::new(),
            is_busy: false,
            answered: Answered::default(),
            is_awaited: false,
        }
    }

    /// Returns the flag that each answer sets.
    pub(super) fn answered(&self) -> Answered {
        self.answered.clone()
    }

    /// Returns the next step of a read by hyper, which has room for `room` bytes.
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
            match &mut self.reading {
                Reading::Over(_) => return Ok(Step::End),
                Reading::Body(end) if end.is_over() => self.reading = Reading::Head(None),
                Reading::Body(_) if self.received.is_empty() => return Ok(Step::Read),
                Reading::Body(end) => {
                    let len = end.pass(&self.received)?;
                    self.passing = self.received.split_to(len).freeze();
                }
                Reading::Head(_) if self.is_busy => {
                    // The next request is parsed only after the answer: if it is not plain, hyper sees the end of the
                    // stream, and that would cost the answer.
                    self.is_awaited = !self.received.is_empty();
                    return Ok(if self.is_awaited {
                        Step::Wait
                    } else {
                        // Reads on, so that hyper notices a peer that has gone.
                        Step::Read
                    });
                }
                Reading::Head(_) if self.received.is_empty() => return Ok(Step::Read),
                Reading::Head(_) => self.read_head(now)?,
            }
        }
    }

    /// Handles bytes that were read; an empty slice is the end of the stream.
    pub(super) fn handle_read(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            return self.received.extend_from_slice(bytes);
        }
        let taken = self.take_head(ServerHandshake::handle_eof);
        self.reading = Reading::Over(taken);
    }

    /// Handles a flush: all bytes of hyper are written.
    pub(super) fn handle_flush(&mut self) -> Flushed {
        if !self.answered.0.swap(false, Ordering::Acquire) {
            return Flushed::Part;
        }
        self.is_busy = false;
        if std::mem::take(&mut self.is_awaited) {
            Flushed::AnswerBefore
        } else {
            Flushed::Answer
        }
    }

    /// Handles a request that did not arrive in time.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let taken = self.take_head(|handshake| {
            // The timer that has expired is hyper's. That of the handshake may have begun later, so its deadline counts
            // as passed.
            let deadline = handshake.poll_timeout().unwrap_or(now);
            handshake.handle_timeout(now.max(deadline));
        });
        if taken.is_some() {
            self.reading = Reading::Over(taken);
        }
    }

    /// Returns the request that is not for hyper, if one arrived.
    pub(super) fn into_taken(self) -> Option<HandedBack> {
        match self.reading {
            Reading::Over(taken) => taken.map(|taken| *taken),
            Reading::Head(_) | Reading::Body(_) => None,
        }
    }

    /// Ends a head that is incomplete. Returns `None` if no head has begun.
    fn take_head(&mut self, end: impl FnOnce(&mut ServerHandshake)) -> Option<Box<HandedBack>> {
        let Reading::Head(Some(handshake)) = &mut self.reading else {
            return None;
        };
        end(handshake);
        let event = poll_packed_event(handshake)?;
        let Reading::Head(Some(handshake)) =
            std::mem::replace(&mut self.reading, Reading::Over(None))
        else {
            return None;
        };
        let handshake = *handshake;
        Some(Box::new(HandedBack { handshake, event }))
    }

    fn read_head(&mut self, now: Instant) -> io::Result<()> {
        let Reading::Head(begun) = &mut self.reading else {
            return Ok(());
        };
        let mut handshake = begun
            .take()
            .unwrap_or_else(|| Box::new(ServerHandshake::shared(Arc::clone(&self.config), now)));
        handshake.handle_read(now, &self.received.split());
        self.reading = match poll_packed_event(&mut handshake) {
            None => Reading::Head(Some(handshake)),
            Some(event) => match (event, handshake.plain_request()) {
                (PackedEvent::Http, Some(plain)) => {
                    let mut received = handshake.into_received();
                    self.passing = received.split_to(plain.head_len());
                    self.received = received.into();
                    self.is_busy = true;
                    Reading::Body(BodyEnd::new(plain.body())?)
                }
                (event, _) => {
                    let handshake = *handshake;
                    Reading::Over(Some(Box::new(HandedBack { handshake, event })))
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

    /// Returns the bytes that hyper gets of a stream that arrives in reads of `len` bytes, and the request that is
    /// handed back. Each answer is written only when there is nothing else to do.
    fn run(bytes: &[u8], len: usize) -> (Vec<u8>, Option<HandedBack>) {
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

    /// X13: hyper gets every byte of plain requests and no other, at any chopping. The first request that is not plain
    /// is handed back once the others are answered, with the bytes after it.
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
            assert!(event.starts_with("Upgrade("), "{event}");
            taken.handshake.accept(Accept::new()).unwrap();
            let early = taken.handshake.take_early();
            assert!(b"early".starts_with(&early), "the rest is in the stream");

            let (passed, taken) = run([PLAIN, refused].concat().as_bytes(), len);
            assert_eq!(String::from_utf8(passed).unwrap(), PLAIN);
            let event = taken.unwrap().event;
            assert!(
                matches!(
                    event,
                    PackedEvent::Failed(HandshakeError::MalformedHead { .. })
                ),
                "{event:?}"
            );

            let (passed, taken) = run([PLAIN, "GET /"].concat().as_bytes(), len);
            assert_eq!(String::from_utf8(passed).unwrap(), PLAIN);
            let event = taken.unwrap().event;
            assert!(
                matches!(
                    event,
                    PackedEvent::Failed(HandshakeError::Disconnected { .. })
                ),
                "{event:?}"
            );
        }
    }

    /// A head that is incomplete at the timeout is answered like the first one of a stream. A head that has not begun
    /// is not answered.
    #[test]
    fn a_head_that_is_late_is_handed_back() {
        let now = Instant::now();
        for (begun, is_answered) in [("", false), ("GET / HT", true)] {
            let mut gate = Gate::new(Arc::default(), Bytes::from(begun));
            assert!(matches!(gate.step(now, 9), Ok(Step::Read)));
            gate.handle_timeout(now);
            let status = gate.into_taken().map(|taken| match taken.event {
                PackedEvent::Failed(error) => error.status(),
                event @ (PackedEvent::Upgrade(_)
                | PackedEvent::Http
                | PackedEvent::Http2
                | PackedEvent::Open) => {
                    panic!("{event:?}")
                }
            });
            let expected = is_answered.then_some(Some(http::StatusCode::REQUEST_TIMEOUT));
            assert_eq!(status, expected);
        }
    }
}
