//! The tasks of a session: one for each request until it is answered, and one for the output of each socket. They are
//! counted, so that the session knows when it is idle, and does not end before them. The peer's waits for an answer are bounded here,
//! because hyper has no bound for a peer that gives no window.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::runtime::Runtime;
use crate::server::http::pace::Pace;
use crate::server::shared::SharedServer;

/// Counts the tasks of a session.
#[derive(Default)]
pub(super) struct SessionTasks(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    count: usize,
    /// The session's task. Woken when the count becomes zero.
    session: Option<Waker>,
}

impl SessionTasks {
    /// Is ready while there is no task, and wakes the session once there is none.
    pub(super) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.count == 0 {
            return Poll::Ready(());
        }
        // The old one is dropped once this is unlocked: it can own a future.
        let old = counted.session.replace(waker);
        drop(counted);
        drop(old);
        Poll::Pending
    }

    /// Waits until there is no task.
    pub(super) async fn ended(&self) {
        poll_fn(|cx| self.poll_idle(cx)).await;
    }

    fn enter(self: &Arc<Self>) -> Place {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.count += 1;
        Place(Arc::clone(self))
    }
}

/// The place of a task in the count.
struct Place(Arc<SessionTasks>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut counted = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.count -= 1;
        let session = if counted.count == 0 {
            counted.session.take()
        } else {
            None
        };
        drop(counted);
        if let Some(session) = session {
            session.wake();
        }
    }
}

/// Spawns the tasks of a session.
pub(super) struct SessionExecutor<R> {
    runtime: R,
    tasks: Arc<SessionTasks>,
    /// The option `body_timeout`.
    timeout: Option<Duration>,
}

impl<R: Runtime> SessionExecutor<R> {
    pub(super) fn new(shared: &SharedServer<R>, tasks: &Arc<SessionTasks>) -> Self {
        Self {
            runtime: shared.runtime.clone(),
            tasks: Arc::clone(tasks),
            timeout: shared.settings.http.body_timeout,
        }
    }
}

impl<R: Runtime> Clone for SessionExecutor<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            tasks: Arc::clone(&self.tasks),
            timeout: self.timeout,
        }
    }
}

impl<R: Runtime, F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F>
    for SessionExecutor<R>
{
    fn execute(&self, task: F) {
        // Only the task of a request has one: hyper calls the service, and then this, without anything in between.
        let progress = BEGUN.take();
        let place = self.tasks.enter();
        let pace = Pace::new(&self.runtime, self.timeout.filter(|_| progress.is_some()));
        self.runtime.spawn(async move {
            let _place = place;
            let mut task = pin!(task);
            let (mut pace, progress) = (pace, progress.unwrap_or_default());
            poll_fn(|cx| {
                if task.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match &mut pace {
                    // The task is dropped then, and hyper resets the stream.
                    Some(pace) => progress.poll_late(pace, cx),
                    None => Poll::Pending,
                }
            })
            .await;
        });
    }
}

thread_local! {
    /// The progress of the request whose service was called last.
    static BEGUN: Cell<Option<Arc<Progress>>> = const { Cell::new(None) };
}

/// Begins the answer to a request. Its task is spawned next.
pub(super) fn begin() -> Arc<Progress> {
    let progress = Arc::<Progress>::default();
    BEGUN.set(Some(Arc::clone(&progress)));
    progress
}

/// How far the answer to a request is.
#[derive(Default)]
pub(super) struct Progress {
    /// Whether what is there of the answer waits for the peer, and not for the application.
    is_with_peer: AtomicBool,
    /// The bytes that hyper has taken since the task looked last.
    moved: AtomicUsize,
}

impl Progress {
    /// Notes that hyper has taken `len` bytes, which go to the peer.
    pub(super) fn note_taken(&self, len: usize) {
        self.moved.fetch_add(len, Ordering::Relaxed);
        self.is_with_peer.store(true, Ordering::Relaxed);
    }

    /// Notes that hyper waits for the application.
    pub(super) fn note_waits(&self) {
        self.is_with_peer.store(false, Ordering::Relaxed);
    }

    /// Is ready once the peer has taken too little for too long. Called in the task that polls the answer, behind it.
    fn poll_late(&self, pace: &mut Pace, cx: &mut Context<'_>) -> Poll<()> {
        let moved = self.moved.swap(0, Ordering::Relaxed);
        let is_with_peer = self.is_with_peer.load(Ordering::Relaxed);
        if moved > 0 || !is_with_peer {
            pace.note_moved(moved);
        }
        if !is_with_peer {
            return Poll::Pending;
        }
        pace.poll_late(cx).map(|error| {
            tracing::debug!(target: "ws", "an answer in HTTP/2 is given up: {error}");
        })
    }
}
