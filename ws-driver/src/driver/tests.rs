//! Changes that other tasks make to a connection at the end of a turn.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use ws_proto::{CloseReason, ConnectionConfig, Version};

use super::*;
use crate::driver::head::Head;
use crate::driver::shared_machine::{Clock, Facts, IfOpen};
use crate::id::ConnectionId;
use crate::runtime::BindConfig;
use crate::runtime::Timer;

/// A runtime whose time stands still.
#[derive(Clone)]
struct Still;

impl Runtime for Still {
    type Stream = Silent;
    type Listener = ();
    type Timer = Never;

    async fn bind(&self, _: SocketAddr, _: &BindConfig) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self, (): &()) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept(&self, (): &()) -> io::Result<(Silent, Option<SocketAddr>)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<Silent> {
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

thread_local! {
    /// How often a timer was set in this test.
    static TIMER_SETS: Cell<usize> = const { Cell::new(0) };
}

impl Timer for Never {
    fn set(&mut self, _: Instant) {
        TIMER_SETS.set(TIMER_SETS.get() + 1);
    }

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

/// Does once, behind the last step of a turn, what another task might do there.
struct Meddler(Arc<SharedMachine>, Option<fn(&SharedMachine)>);

impl Watch for Meddler {
    fn note_state(&mut self, _: State) {
        if let Some(meddle) = self.1.take() {
            meddle(&self.0);
        }
    }

    fn ended(&mut self) {}

    fn panicked(&mut self) {}
}

/// A shared machine without a peer.
fn shared(machine: Machine) -> Arc<SharedMachine> {
    let facts = Facts {
        id: ConnectionId::of_client(),
        peer_addr: None,
        version: machine.version(),
        http_version: http::Version::HTTP_11,
        agreed: None,
        head: Head::UNKNOWN,
    };
    Arc::new(SharedMachine::new(facts, machine, Clock::new(Instant::now)))
}

/// Whether a task was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls that are enough for a change and its consequences.
const POLL_LIMIT: usize = 4;

fn polled_while_woken(meddle: fn(&SharedMachine)) -> (Poll<()>, usize, Arc<SharedMachine>) {
    let config = ConnectionConfig::new();
    let machine = shared(Machine::server(Version::Draft75, config, Instant::now()));
    let shutdowns = Arc::new(AtomicUsize::new(0));
    let stream = Silent(Arc::clone(&shutdowns));
    let meddler = Meddler(Arc::clone(&machine), Some(meddle));
    let (unread, shared) = (Bytes::new(), Arc::clone(&machine));
    let mut task = Driver::new(Still, stream, unread, shared, meddler)
        .with_handler(std::future::pending::<()>);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut polled = Poll::Pending;
    // As often as an executor polls it, which is not at all once a wake is missed.
    for _ in 0..POLL_LIMIT {
        if polled.is_pending() && woken.0.swap(false, Ordering::SeqCst) {
            polled = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
        }
    }
    (polled, shutdowns.load(Ordering::SeqCst), machine)
}

/// A close that comes near the end of a turn is seen before the task waits, also in draft-75, where it has no bytes to
/// write: nothing would wake the task for it.
#[test]
fn a_close_at_the_end_of_a_turn_is_not_missed() {
    let (polled, shutdowns, _) =
        polled_while_woken(|machine| machine.close(CloseCode::NORMAL, CloseReason::EMPTY));
    assert_eq!((polled, shutdowns), (Poll::Pending, 1));
}

/// An abort that comes then ends the task, which sets no timer before that.
#[test]
fn an_abort_at_the_end_of_a_turn_is_not_missed() {
    let (polled, _, machine) = polled_while_woken(SharedMachine::abort);
    assert_eq!(polled, Poll::Ready(()));
    assert!(machine.closed().is_some());
    assert_eq!(TIMER_SETS.get(), 0);
}

/// A poll that gives way right after it has written tells a sender that waits for capacity. Breaks if the machine learns
/// only then what was written, and nobody looks for news.
#[test]
fn a_sender_hears_of_capacity_although_the_task_gives_way() {
    let config = ConnectionConfig::new().send_queue_limit(Some(1));
    let machine = shared(Machine::server(Version::Draft75, config, Instant::now()));
    machine.try_send("a".into()).unwrap();
    let mut listener = pin!(machine.listen_if_full(IfOpen::Refuse).unwrap());
    // Bytes that came with the handshake spend the budget of the poll.
    let unread = Bytes::from_static(b"\x00b\xff");
    let stream = Silent(Arc::default());
    let watch = Meddler(Arc::clone(&machine), None);
    let mut task = Driver::new(Still, stream, unread, Arc::clone(&machine), watch)
        .with_handler(std::future::pending::<()>);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
    assert_eq!(machine.buffered_amount(), 0);
    assert!(listener.as_mut().poll(&mut cx).is_ready());
}
