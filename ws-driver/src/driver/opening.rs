//! Moves the bytes of an opening handshake, on either side, between its machine and the stream.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Buf;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::hooks::{self, PackedEvent};
use ws_proto::{ClientHandshake, HandshakeEvent, Outgoing, ServerHandshake, State};

use super::deadline::DeadlineTimer;
use super::fairness::{self, Budget};
use super::workspace;
use crate::runtime::Runtime;
use crate::util::race::{Winner, race};

/// The methods that the handshakes of both sides share.
pub(crate) trait Handshake {
    type Event;
    fn poll_event(&mut self) -> Option<Self::Event>;
    fn outgoing(&mut self) -> &mut Outgoing;
    fn wants_read(&self) -> bool;
    fn poll_timeout(&self) -> Option<Instant>;
    fn state(&self) -> State;
    fn handle_read(&mut self, now: Instant, data: &[u8]);
    fn handle_eof(&mut self);
    fn handle_timeout(&mut self, now: Instant);
}

macro_rules! impl_handshake {
    ($machine:ty, $event:ty, $poll_event:path) => {
        impl Handshake for $machine {
            type Event = $event;
            fn poll_event(&mut self) -> Option<$event> {
                $poll_event(self)
            }
            fn outgoing(&mut self) -> &mut Outgoing {
                Self::outgoing(self)
            }
            fn wants_read(&self) -> bool {
                Self::wants_read(self)
            }
            fn poll_timeout(&self) -> Option<Instant> {
                Self::poll_timeout(self)
            }
            fn state(&self) -> State {
                Self::state(self)
            }
            fn handle_read(&mut self, now: Instant, data: &[u8]) {
                Self::handle_read(self, now, data);
            }
            fn handle_eof(&mut self) {
                Self::handle_eof(self);
            }
            fn handle_timeout(&mut self, now: Instant) {
                Self::handle_timeout(self, now);
            }
        }
    };
}

// Most applications never ask for the headers of a request, so no map of them is made here.
impl_handshake!(ServerHandshake, PackedEvent, hooks::poll_packed_event);
impl_handshake!(ClientHandshake, HandshakeEvent, ClientHandshake::poll_event);

/// A stream with the clock and the timer that a handshake on it needs.
pub(crate) struct Exchange<R: Runtime, S> {
    runtime: R,
    stream: S,
    timer: DeadlineTimer<R>,
    read_ended: bool,
    /// Whether bytes of the handshake were written and not flushed.
    needs_flush: bool,
    /// Reads in a row, without a wait, whose bytes were discarded.
    discarded: usize,
}

impl<R: Runtime, S: AsyncRead + AsyncWrite + Unpin> Exchange<R, S> {
    pub(crate) fn new(runtime: R, stream: S) -> Self {
        let timer = DeadlineTimer::new(&runtime);
        Self {
            runtime,
            stream,
            timer,
            read_ended: false,
            needs_flush: false,
            discarded: 0,
        }
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Returns the timer, too, so that the connection can use it again.
    pub(crate) fn into_parts(self) -> (S, DeadlineTimer<R>) {
        (self.stream, self.timer)
    }

    /// Waits for the next event of the machine, and writes meanwhile.
    pub(crate) async fn next_event<M: Handshake>(
        &mut self,
        machine: &mut M,
    ) -> io::Result<M::Event> {
        poll_fn(|cx| {
            loop {
                if let Some(event) = machine.poll_event() {
                    return Poll::Ready(Ok(event));
                }
                // Whether all is written does not matter here: the peer can answer what it has.
                let _ = self.poll_write(cx, machine.outgoing())?;
                if !self.poll_progress(cx, machine)? {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Returns the next event of the machine if the bytes that have arrived complete one. It neither writes nor waits.
    pub(crate) async fn ready_event<M: Handshake>(
        &mut self,
        machine: &mut M,
    ) -> io::Result<Option<M::Event>> {
        poll_fn(|cx| {
            loop {
                if let Some(event) = machine.poll_event() {
                    return Poll::Ready(Ok(Some(event)));
                }
                if !self.poll_progress(cx, machine)? {
                    return Poll::Ready(Ok(None));
                }
            }
        })
        .await
    }

    /// Waits for a decision of the application. Returns `None` if the deadline of the machine passes or the peer
    /// goes; then the machine has an event.
    pub(crate) async fn decide<T>(
        &mut self,
        machine: &mut impl Handshake,
        decision: impl Future<Output = T>,
    ) -> io::Result<Option<T>> {
        let over = poll_fn(|cx| {
            while self.poll_progress(cx, machine)? {
                if machine.state() == State::Closed {
                    return Poll::Ready(Ok(()));
                }
            }
            Poll::Pending
        });
        match race(pin!(decision), over).await {
            Winner::First(decision) => Ok(Some(decision)),
            Winner::Second(over) => over.map(|()| None),
        }
    }

    /// Writes the rest of a refusal, and closes the stream so that the peer can still read it: ends our side, then
    /// discards what arrives until the peer ends its side, or until the deadline. Each step is tried once even if the
    /// deadline has passed, so a stream that takes the refusal at once gets it.
    ///
    /// The stream keeps its place in the `connection_limit` meanwhile, because it costs as much as any other. So the
    /// deadline bounds all of it: the answer, the close_notify of TLS, the end of the peer's side.
    pub(crate) async fn finish(&mut self, outgoing: &mut Outgoing, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.timer.set(deadline);
        }
        // A race by hand, because both sides are parts of `self`.
        poll_fn(|cx| match self.poll_finish(cx, outgoing) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.timer.poll(&self.runtime, cx),
        })
        .await;
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<()> {
        match self.poll_write(cx, outgoing) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => return Poll::Pending,
            Err(_) => return Poll::Ready(()),
        }
        match ready!(Pin::new(&mut self.stream).poll_close(cx)) {
            Ok(()) => {}
            Err(_) => return Poll::Ready(()),
        }
        // A stream that is closed with unread bytes is reset, and the refusal would be lost.
        let mut budget = Budget::new();
        while self.discarded < DISCARD_LIMIT {
            // A peer that sends without a pause must not keep the thread.
            if budget.is_spent() {
                fairness::give_way(&self.runtime, cx);
                return Poll::Pending;
            }
            let stream = Pin::new(&mut self.stream);
            match workspace::with_buffer(|buffer| stream.poll_read(cx, buffer)) {
                Poll::Ready(Ok(len @ 1..)) => {
                    budget.spend(len);
                    self.discarded += 1;
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    // A peer that pauses is waited for, until the deadline: only reads in a row count.
                    self.discarded = 0;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    /// Reads once, or else looks at the time; returns whether the machine may have news.
    fn poll_progress(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut impl Handshake,
    ) -> io::Result<bool> {
        let now = self.runtime.now();
        if machine.wants_read() && !self.read_ended {
            let stream = Pin::new(&mut self.stream);
            let read = workspace::with_buffer(|buffer| {
                stream.poll_read(cx, buffer).map_ok(|len| {
                    match len {
                        0 => machine.handle_eof(),
                        _ => machine.handle_read(now, &buffer[..len]),
                    }
                    len
                })
            });
            if let Poll::Ready(len) = read {
                self.read_ended = len? == 0;
                return Ok(true);
            }
        }
        // Behind the read: bytes that came in time count, even if the task runs late.
        let Some(deadline) = machine.poll_timeout() else {
            return Ok(false);
        };
        self.timer.set(deadline);
        let is_late = self.timer.poll(&self.runtime, cx).is_ready();
        if is_late {
            // A clock that is a little behind the timer would have the machine do nothing.
            machine.handle_timeout(now.max(deadline));
        }
        Ok(is_late)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
    ) -> io::Result<Poll<()>> {
        let mut stream = Pin::new(&mut self.stream);
        while outgoing.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = outgoing.chunks_vectored(&mut slices);
            match stream.as_mut().poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(len) => {
                    outgoing.advance(len?);
                    self.needs_flush = true;
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        // A flush without bytes of our own would write what TLS has left to send behind its handshake. That is to leave
        // with our bytes, in one write.
        if self.needs_flush && stream.poll_flush(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        self.needs_flush = false;
        Ok(Poll::Ready(()))
    }
}

/// Reads in a row, without a wait, whose bytes are discarded after a refusal. If a peer sends faster than that, its
/// end is not waited for.
const DISCARD_LIMIT: usize = 64;
