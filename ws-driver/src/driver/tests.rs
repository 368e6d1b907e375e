//! Changes that other tasks make to a connection at the end of a turn.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use ws_proto::{CloseReason, ConnectionConfig, Version};

use super::*;
use crate::driver::head::Head;
use crate::driver::shared_machine::Facts;
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

    async fn accept(&self, (): &()) -> io::Result<(Silent, SocketAddr)> {
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

fn polled_once(meddle: fn(&SharedMachine)) -> (Poll<()>, usize, Arc<SharedMachine>) {
    let version = Version::Draft75;
    let machine = Machine::server(version, ConnectionConfig::new(), Instant::now());
    let facts = Facts {
        id: ConnectionId::of_client(),
        peer_addr: None,
        version,
        agreed: None,
        head: Head::Unknown,
    };
    let machine = Arc::new(SharedMachine::new(facts, machine, Arc::new(Instant::now)));
    let shutdowns = Arc::new(AtomicUsize::new(0));
    let stream = Silent(Arc::clone(&shutdowns));
    let meddler = Meddler(Arc::clone(&machine), Some(meddle));
    let (unread, shared) = (Bytes::new(), Arc::clone(&machine));
    let mut task = Driver::new(Still, stream, unread, shared, meddler)
        .with_handler(std::future::pending::<()>);
    let polled = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
    (polled, shutdowns.load(Ordering::SeqCst), machine)
}

/// A close that comes near the end of a turn is seen before the task waits, also in draft-75, where it has no bytes to
/// write: nothing would wake the task for it.
#[test]
fn a_close_at_the_end_of_a_turn_is_not_missed() {
    let (polled, shutdowns, _) =
        polled_once(|machine| machine.close(CloseCode::NORMAL, CloseReason::EMPTY));
    assert_eq!((polled, shutdowns), (Poll::Pending, 1));
}

/// An abort that comes then ends the task, which sets no timer before that.
#[test]
fn an_abort_at_the_end_of_a_turn_is_not_missed() {
    let (polled, _, machine) = polled_once(SharedMachine::abort);
    assert_eq!(polled, Poll::Ready(()));
    assert!(machine.closed().is_some());
    assert_eq!(TIMER_SETS.get(), 0);
}
