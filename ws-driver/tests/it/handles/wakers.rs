//! Wakers that own handles: an executor can keep a task's future in its waker, so that the last waker drops it.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use ws_driver::Connection;

use super::open;
use ws_testing::sim::{ANY, Server, Sim, poll_once};

/// Far longer than what it limits takes.
const TEST_LIMIT: Duration = Duration::from_secs(20);

/// A waker that owns `T`, and calls `last` with it at its end.
struct Owner<T: Send + 'static> {
    owned: Mutex<Option<T>>,
    last: fn(T),
}

impl<T: Send + 'static> Owner<T> {
    fn waker(owned: T, last: fn(T)) -> Waker {
        let owned = Mutex::new(Some(owned));
        Waker::from(Arc::new(Self { owned, last }))
    }
}

impl<T: Send + 'static> Wake for Owner<T> {
    fn wake(self: Arc<Self>) {}
}

impl<T: Send + 'static> Drop for Owner<T> {
    fn drop(&mut self) {
        if let Some(owned) = self.owned.get_mut().unwrap().take() {
            (self.last)(owned);
        }
    }
}

/// Runs a test in a thread of its own, so that a deadlock fails it and does not stop all tests.
fn within_limit(test: fn()) {
    let (done, is_done) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _done = done;
        test();
    });
    let waited = is_done.recv_timeout(TEST_LIMIT);
    assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "a deadlock");
    thread.join().unwrap();
}

/// Waits for a message, as a task with that waker would.
fn wait(connection: &mut Connection, waker: Waker) {
    let polled = pin!(connection.recv()).poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Pending);
}

/// A receiver moves to another task, and the waker of the first one asks the connection. Breaks if the old waker is dropped
/// under the connection's lock.
#[test]
fn the_waker_that_a_receiver_leaves_may_use_the_connection() {
    within_limit(|| {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (mut connection, _peer) = open(&sim, &server).await;
            let waker = Owner::waker(connection.sender(), |sender| {
                sender.state();
            });
            wait(&mut connection, waker);
            assert_eq!(poll_once(connection.recv()), None);
        });
    });
}

/// The waker of the receiver of a connection that is dropped asks that connection.
#[test]
fn the_waker_of_a_receiver_that_is_dropped_may_use_the_connection() {
    within_limit(|| {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (mut connection, _peer) = open(&sim, &server).await;
            let waker = Owner::waker(connection.sender(), |sender| {
                sender.state();
            });
            wait(&mut connection, waker);
            drop(connection);
            sim.settle().await;
            assert_eq!(
                server.clients().len(),
                1,
                "the peer has not answered the close"
            );
        });
    });
}
