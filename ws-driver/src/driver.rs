//! Drives one open connection: polls its stream, its timer and the handler of its user in one task
//! (P1). What is protocol is done by the machine in the mailbox; what is order and fairness, here.
//!
//! One turn is: read, poll the handler, write, shut down, look at the timer. Turns are repeated as
//! long as they get somewhere, up to a limit; then the other tasks of the thread have theirs.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Connection as Machine, Outgoing};

use crate::mailbox::Mailbox;
use crate::panics::{self, Panicked};
use crate::runtime::{Runtime, Timer};
use crate::scratch;

/// Turns in one poll of the task.
const TURN_LIMIT: usize = 16;

/// Bytes that are taken from the machine to be written at once; what is taken can not be overtaken
/// by control frames any more.
const WRITE_LEN: usize = 256 << 10;

/// Pieces in one gather write; Linux takes up to 1024.
const SLICE_LIMIT: usize = 64;

/// What a driver tells the one who started it.
pub(crate) trait Watch {
    /// The state of the machine may have changed.
    fn stirred(&mut self, mailbox: &Mailbox);
    /// The stream is closed.
    fn ended(&mut self, mailbox: &Mailbox);
    /// The handler panicked.
    fn panicked(&mut self, mailbox: &Mailbox);
}

/// Drives a connection to its end, and `handler` to its own.
pub(crate) async fn drive<R, S, H>(
    runtime: R,
    stream: S,
    mailbox: Arc<Mailbox>,
    handler: Option<H>,
    watch: impl Watch,
) where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    H: Future<Output = ()>,
{
    let mut handler = pin!(handler);
    let timer = runtime.timer();
    let mut driver = Driver {
        runtime,
        stream: Some(stream),
        read_ended: false,
        read_waits: false,
        writing: Outgoing::new(),
        needs_flush: false,
        shutdown_waits: false,
        write_ended: false,
        timer,
        armed: None,
        mailbox,
        watch,
    };
    poll_fn(|cx| driver.poll(cx, handler.as_mut())).await;
}

struct Driver<R: Runtime, S, W> {
    runtime: R,
    /// `None` once it is closed.
    stream: Option<S>,
    read_ended: bool,
    /// Whether the stream will wake the task when there is something to read.
    read_waits: bool,
    /// Taken from the machine, not written yet.
    writing: Outgoing,
    needs_flush: bool,
    /// Whether the stream will wake the task when its write side can be shut down.
    shutdown_waits: bool,
    write_ended: bool,
    timer: R::Timer,
    /// What the timer is set to.
    armed: Option<Instant>,
    mailbox: Arc<Mailbox>,
    watch: W,
}

impl<R, S, W> Driver<R, S, W>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
    W: Watch,
{
    fn poll<H>(&mut self, cx: &mut Context<'_>, mut handler: Pin<&mut Option<H>>) -> Poll<()>
    where
        H: Future<Output = ()>,
    {
        self.mailbox.note_awake();
        for _ in 0..TURN_LIMIT {
            if self.mailbox.is_aborted() {
                handler.set(None);
                self.reset(cx);
            }
            let now = self.runtime.now();
            let mut moved = self.poll_read(cx, now);
            self.poll_handler(cx, handler.as_mut());
            self.mailbox.discard_if_abandoned(now);
            moved |= self.poll_write(cx);
            moved |= self.poll_shutdown(cx);
            moved |= self.poll_timer(cx, now);
            self.watch.stirred(&self.mailbox);
            self.close_if_finished(cx);
            if self.stream.is_none() && handler.is_none() {
                return Poll::Ready(());
            }
            if !moved && self.mailbox.park(cx, |machine| self.has_work(machine)) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells whether there is anything that the driver does not wait for: others can change the machine
    /// at any time of a turn, also after the step that would have seen it.
    fn has_work(&self, machine: &mut Machine) -> bool {
        let Some(deadline) = self.stream.is_some().then(|| machine.poll_timeout()) else {
            return false;
        };
        let writes = !self.writing.has_remaining() && !machine.outgoing().is_empty();
        let reads = !self.read_ended && !self.read_waits && machine.wants_read();
        let shuts_down = !self.write_ended && !self.shutdown_waits && machine.wants_shutdown();
        let arms = deadline.is_some_and(|deadline| self.armed.is_none_or(|armed| deadline < armed));
        writes || reads || shuts_down || arms || machine.is_finished()
    }

    /// Reads once; tells whether anything came of it.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.read_ended) else {
            return false;
        };
        self.read_waits = false;
        if !self.mailbox.drive(cx, |machine| machine.wants_read()) {
            return false;
        }
        let mailbox = &self.mailbox;
        let read = scratch::with(|buffer| {
            let read = Pin::new(stream).poll_read(cx, buffer);
            read.map_ok(|len| {
                mailbox.drive(cx, |machine| match len {
                    0 => machine.handle_eof(now),
                    _ => machine.handle_read(now, &buffer[..len]),
                });
                len
            })
        });
        match read {
            Poll::Ready(Ok(len)) => {
                self.read_ended = len == 0;
                true
            }
            Poll::Ready(Err(error)) => self.handle_error(cx, &error),
            Poll::Pending => {
                self.read_waits = true;
                false
            }
        }
    }

    /// Polls the handler. If it panics only this connection ends (P8).
    fn poll_handler<H>(&mut self, cx: &mut Context<'_>, mut handler: Pin<&mut Option<H>>)
    where
        H: Future<Output = ()>,
    {
        let Some(running) = handler.as_mut().as_pin_mut() else {
            return;
        };
        match panics::poll(running, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => handler.set(None),
            Poll::Ready(Err(Panicked)) => {
                self.mailbox.abandon(CloseCode::SERVER_ERROR);
                self.watch.panicked(&self.mailbox);
                // What it held may panic again when it is dropped; that changes nothing any more.
                let _ = panics::catch(|| handler.set(None));
            }
        }
    }

    /// Writes until all is written or the stream takes no more; tells whether anything was written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) {
            if !self.writing.has_remaining() {
                self.writing = self
                    .mailbox
                    .drive(cx, |machine| machine.take_outgoing(WRITE_LEN));
            }
            let polled = if self.writing.has_remaining() {
                let mut slices = [IoSlice::new(&[]); SLICE_LIMIT];
                let count = self.writing.chunks_vectored(&mut slices);
                Pin::new(stream).poll_write_vectored(cx, &slices[..count])
            } else if self.needs_flush {
                Pin::new(stream).poll_flush(cx).map_ok(|()| {
                    self.needs_flush = false;
                    0
                })
            } else {
                break;
            };
            match polled {
                Poll::Ready(Ok(0)) if self.writing.has_remaining() => {
                    return self.handle_error(cx, &io::ErrorKind::WriteZero.into());
                }
                Poll::Ready(Ok(len)) => {
                    self.writing.advance(len);
                    self.needs_flush |= len > 0;
                    self.mailbox
                        .drive(cx, |machine| machine.handle_written(len));
                    moved |= len > 0;
                }
                Poll::Ready(Err(error)) => return self.handle_error(cx, &error),
                Poll::Pending => break,
            }
        }
        moved
    }

    /// Shuts the write side down once that is wanted; tells whether anything changed.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> bool {
        self.shutdown_waits = false;
        let Some(stream) = self.stream.as_mut().filter(|_| !self.write_ended) else {
            return false;
        };
        if !self.mailbox.drive(cx, |machine| machine.wants_shutdown()) {
            return false;
        }
        match Pin::new(stream).poll_close(cx) {
            Poll::Ready(Ok(())) => {
                self.write_ended = true;
                true
            }
            Poll::Ready(Err(error)) => self.handle_error(cx, &error),
            Poll::Pending => {
                self.shutdown_waits = true;
                false
            }
        }
    }

    /// Tells the machine the time if its deadline has passed; tells whether it had.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let deadline = self.mailbox.drive(cx, |machine| machine.poll_timeout());
        let Some(deadline) = deadline.filter(|_| self.stream.is_some()) else {
            return false;
        };
        // A timer that runs out early does no harm; setting it for each small change would.
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.timer.set(deadline);
            self.armed = Some(deadline);
        }
        if self.timer.poll(cx).is_pending() {
            return false;
        }
        let now = now.max(self.armed.take().unwrap_or(now));
        self.mailbox
            .drive(cx, |machine| machine.handle_timeout(now));
        true
    }

    fn close_if_finished(&mut self, cx: &mut Context<'_>) {
        if self.stream.is_some() && self.mailbox.drive(cx, |machine| machine.is_finished()) {
            self.stream = None;
            self.watch.ended(&self.mailbox);
            self.mailbox.note_ended();
        }
    }

    /// Takes an error of the stream; tells whether anything changed.
    fn handle_error(&mut self, cx: &mut Context<'_>, error: &io::Error) -> bool {
        if error.kind() != io::ErrorKind::Interrupted {
            self.reset(cx);
        }
        true
    }

    /// Gives the stream up.
    fn reset(&mut self, cx: &mut Context<'_>) {
        self.read_ended = true;
        self.write_ended = true;
        self.writing = Outgoing::new();
        let now = self.runtime.now();
        self.mailbox.drive(cx, |machine| machine.handle_reset(now));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use ws_proto::{ConnectionConfig, Version};

    use super::*;
    use crate::id::ConnectionId;
    use crate::mailbox::{Facts, Head};

    /// A runtime whose time stands still.
    #[derive(Clone)]
    struct Still;

    impl Runtime for Still {
        type Stream = Silent;
        type Listener = ();
        type Timer = Never;

        async fn bind(&self, _: SocketAddr) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn local_addr(&self, (): &()) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        async fn accept(&self, (): &()) -> io::Result<(Silent, SocketAddr)> {
            Err(io::ErrorKind::Unsupported.into())
        }

        async fn connect(&self, _: &str, _: u16) -> io::Result<(Silent, SocketAddr)> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn timer(&self) -> Never {
            Never
        }

        fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}

        fn now(&self) -> Instant {
            Instant::now()
        }
    }

    struct Never;

    impl Timer for Never {
        fn set(&mut self, _: Instant) {}

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    /// A stream on which nothing arrives; counts how often it is shut down.
    struct Silent(Arc<AtomicUsize>);

    impl AsyncRead for Silent {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Silent {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Poll::Ready(Ok(()))
        }
    }

    /// Does what another task might do, once, behind the last step of a turn.
    struct Meddler(Option<fn(&Mailbox)>);

    impl Watch for Meddler {
        fn stirred(&mut self, mailbox: &Mailbox) {
            if let Some(meddle) = self.0.take() {
                meddle(mailbox);
            }
        }

        fn ended(&mut self, _: &Mailbox) {}

        fn panicked(&mut self, _: &Mailbox) {}
    }

    fn polled_once(meddle: fn(&Mailbox)) -> (Poll<()>, usize, Arc<Mailbox>) {
        let version = Version::Draft75;
        let machine = Machine::server(version, ConnectionConfig::new(), Instant::now());
        let facts = Facts {
            id: ConnectionId::of_client(),
            peer_addr: None,
            version,
            subprotocol: None,
            head: Head::Unknown,
        };
        let mailbox = Arc::new(Mailbox::new(facts, machine, Arc::new(Instant::now)));
        let shutdowns = Arc::new(AtomicUsize::new(0));
        let stream = Silent(Arc::clone(&shutdowns));
        let handler = Some(std::future::pending());
        let meddler = Meddler(Some(meddle));
        let mut task = pin!(drive(Still, stream, Arc::clone(&mailbox), handler, meddler));
        let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        (polled, shutdowns.load(Ordering::SeqCst), mailbox)
    }

    /// A close that comes when a turn is all but over is seen before the task waits, also in draft-75,
    /// where it has no bytes to write: nobody would wake the task for it.
    #[test]
    fn a_close_at_the_end_of_a_turn_is_not_missed() {
        let (polled, shutdowns, _) =
            polled_once(|mailbox| mailbox.close(CloseCode::NORMAL, "").unwrap());
        assert_eq!((polled, shutdowns), (Poll::Pending, 1));
    }

    /// The same of an abort: the task ends.
    #[test]
    fn an_abort_at_the_end_of_a_turn_is_not_missed() {
        let (polled, _, mailbox) = polled_once(Mailbox::abort);
        assert_eq!(polled, Poll::Ready(()));
        assert!(mailbox.closed().is_some());
    }
}
