//! When a stream reads, gives way and waits, if its reactor is asked anew for each wait, as that of async-io is.
//!
//! Such a reactor registers a socket for one event. A wait costs a system call to register, and a turn of the reactor
//! costs five more. So a stream asks the reactor as late as possible, and does not read before the reactor has woken it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use crate::driver::fairness;
use crate::runtime::Runtime;

/// The reads of one stream, for adapters whose reactor is asked anew for each wait, as that of async-io is.
///
/// After a read that did not fill its buffer the socket is empty, but under load the peer's next message arrives while
/// the other tasks run. So the next read is pending once and lets them run, and then reads without asking the reactor.
/// A task that is woken for another reason, such as a message to send, does not read.
#[derive(Debug, Default)]
pub struct SocketReads {
    /// What the reactor wakes. Made by the first read, because a stream may never be read.
    waker: Option<Arc<ReactorWaker>>,
    next: Next,
    /// Yields since the reactor was asked or has looked. Less than [`YIELDS_IN_A_ROW`].
    yields: u8,
}

/// What the next poll does.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    /// Reads.
    #[default]
    Read,
    /// Lets other tasks run.
    Yield,
    /// Reads if the reactor has woken the task.
    Wait,
}

impl SocketReads {
    /// Polls `read`, which reads from the socket into a buffer of `buffer_len` bytes, or lets other tasks run first.
    ///
    /// If `read` is pending it has to wake the task of the context that it gets, once there is something to read.
    ///
    /// # Errors
    ///
    /// Fails if `read` does.
    pub fn poll_read<R: Runtime>(
        &mut self,
        runtime: &R,
        cx: &mut Context<'_>,
        buffer_len: usize,
        read: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx, |cx| fairness::give_way(runtime, cx)));
        self.read(cx, buffer_len, read)
    }

    /// Is ready if it is time to read; otherwise the task will be woken.
    fn poll_turn(&mut self, cx: &mut Context<'_>, look: impl FnOnce(&mut Context<'_>)) -> Poll<()> {
        match self.next {
            Next::Read => Poll::Ready(()),
            Next::Yield => {
                self.next = Next::Read;
                self.yields += 1;
                // While streams find something to read after each yield, the executor is never idle, and it looks at
                // the sockets of others after many polls only.
                if self.yields == YIELDS_IN_A_ROW {
                    self.yields = 0;
                    look(cx);
                } else {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Next::Wait => match &self.waker {
                Some(waker) if waker.still_waits_for(cx) => Poll::Pending,
                Some(_) | None => Poll::Ready(()),
            },
        }
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        buffer_len: usize,
        read: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let waker = Waker::from(ReactorWaker::renew(&mut self.waker, cx));
        let read = read(&mut Context::from_waker(&waker));
        self.next = match &read {
            Poll::Pending => {
                self.yields = 0;
                Next::Wait
            }
            Poll::Ready(Ok(len)) if (1..buffer_len).contains(len) => Next::Yield,
            Poll::Ready(Ok(_) | Err(_)) => Next::Read,
        };
        read
    }
}

/// A waker for the reactor that remembers whether it was called. A task does not know otherwise what woke it, and would
/// read in vain for each message that it is to send.
#[derive(Debug)]
struct ReactorWaker {
    task: Waker,
    was_called: AtomicBool,
}

impl ReactorWaker {
    /// Returns the waker in `kept` as one that was not called, or a new one if the task has changed.
    fn renew(kept: &mut Option<Arc<Self>>, cx: &Context<'_>) -> Arc<Self> {
        if let Some(waker) = kept.as_ref().filter(|waker| waker.is_for(cx)) {
            // Before the socket is registered. A call after that stays noted, even if the read has not returned yet.
            waker.was_called.store(false, Ordering::Release);
            return Arc::clone(waker);
        }
        let waker = Arc::new(Self {
            task: cx.waker().clone(),
            was_called: AtomicBool::new(false),
        });
        *kept = Some(Arc::clone(&waker));
        waker
    }

    /// Returns whether the reactor will wake the task that runs.
    fn still_waits_for(&self, cx: &Context<'_>) -> bool {
        self.is_for(cx) && !self.was_called.load(Ordering::Acquire)
    }

    fn is_for(&self, cx: &Context<'_>) -> bool {
        self.task.will_wake(cx.waker())
    }
}

impl Wake for ReactorWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.was_called.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// Yields of a stream in a row after which the runtime looks at its sockets, if that is due. Few enough to bound how long
/// streams with much traffic keep others waiting, and so many that the looks cost nothing.
const YIELDS_IN_A_ROW: u8 = 16;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const BUFFER_LEN: usize = 8;

    /// A task that counts its wakes.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Task {
        /// Returns the wakes since the last call.
        fn wakes(&self) -> usize {
            self.0.swap(0, Ordering::SeqCst)
        }
    }

    /// What one poll did.
    #[derive(Debug, PartialEq)]
    enum Did {
        Read(Poll<Option<usize>>),
        LetOthersRun,
        Look,
        Wait,
    }

    /// Reads, and a reactor that keeps the waker of the last read that was pending.
    #[derive(Default)]
    struct Socket {
        reads: SocketReads,
        reactor: Option<Waker>,
    }

    impl Socket {
        /// Polls in a task. If the socket is read, it has `len` bytes.
        fn poll(&mut self, task: &Arc<Task>, len: Poll<io::Result<usize>>) -> Did {
            let waker = Waker::from(Arc::clone(task));
            let cx = &mut Context::from_waker(&waker);
            let mut has_looked = false;
            let turn = self.reads.poll_turn(cx, |_| has_looked = true);
            if turn.is_pending() {
                return match (has_looked, task.wakes()) {
                    (true, 0) => Did::Look,
                    (false, 1) => Did::LetOthersRun,
                    (false, 0) => Did::Wait,
                    (_, wakes) => panic!("{wakes} wakes by one poll"),
                };
            }
            let read = self.reads.read(cx, BUFFER_LEN, |cx| {
                if len.is_pending() {
                    self.reactor = Some(cx.waker().clone());
                }
                len
            });
            Did::Read(read.map(Result::ok))
        }

        fn wake(&mut self) {
            self.reactor.take().expect("a read was pending").wake();
        }
    }

    fn ready(len: usize) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(len))
    }

    fn has_read(len: usize) -> Did {
        Did::Read(Poll::Ready(Some(len)))
    }

    const WAITS: Did = Did::Read(Poll::Pending);

    /// Behind a read that did not fill its buffer other tasks run, once.
    #[test]
    fn a_short_read_lets_other_tasks_run_before_the_next() {
        let (mut socket, task) = (Socket::default(), Arc::default());
        assert_eq!(socket.poll(&task, ready(3)), has_read(3));
        assert_eq!(socket.poll(&task, ready(3)), Did::LetOthersRun);
        assert_eq!(socket.poll(&task, ready(3)), has_read(3));
        assert_eq!(socket.poll(&task, Poll::Pending), Did::LetOthersRun);
        assert_eq!(socket.poll(&task, Poll::Pending), WAITS);
    }

    /// A full buffer, the end of the stream and an error say nothing of an empty socket.
    #[test]
    fn other_reads_are_followed_by_a_read() {
        let reset = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let (mut socket, task) = (Socket::default(), Arc::default());
        for _ in 0..2 {
            assert_eq!(socket.poll(&task, ready(BUFFER_LEN)), has_read(BUFFER_LEN));
            assert_eq!(socket.poll(&task, reset()), Did::Read(Poll::Ready(None)));
            assert_eq!(socket.poll(&task, ready(0)), has_read(0));
        }
    }

    /// A task that was woken for a message that it is to send does not read, until the reactor wakes it.
    #[test]
    fn only_the_reactor_ends_a_wait() {
        let (mut socket, task) = (Socket::default(), Arc::<Task>::default());
        for _ in 0..2 {
            assert_eq!(socket.poll(&task, Poll::Pending), WAITS);
            assert_eq!(socket.poll(&task, ready(3)), Did::Wait);
            assert_eq!(socket.poll(&task, ready(3)), Did::Wait);
            socket.wake();
            assert_eq!(task.wakes(), 1);
        }
        assert_eq!(socket.poll(&task, ready(3)), has_read(3));
    }

    /// The reactor may be in another thread, and wake the task before the read has returned.
    #[test]
    fn a_wake_inside_of_the_read_ends_the_wait() {
        let (mut socket, task) = (Socket::default(), Arc::<Task>::default());
        for _ in 0..2 {
            let waker = Waker::from(Arc::clone(&task));
            let read = socket
                .reads
                .read(&mut Context::from_waker(&waker), BUFFER_LEN, |cx| {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                });
            assert!(read.is_pending());
            assert_eq!(task.wakes(), 1);
        }
        assert_eq!(socket.poll(&task, ready(3)), has_read(3));
    }

    /// A stream that another task polls wakes that task.
    #[test]
    fn a_wait_goes_on_in_another_task() {
        let (mut socket, first, second) =
            (Socket::default(), Arc::default(), Arc::<Task>::default());
        assert_eq!(socket.poll(&first, Poll::Pending), WAITS);
        assert_eq!(socket.poll(&second, Poll::Pending), WAITS);
        assert_eq!(socket.poll(&second, ready(3)), Did::Wait);
        socket.wake();
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
        assert_eq!(socket.poll(&second, ready(3)), has_read(3));
    }

    /// A stream that finds something after each yield has the runtime look at its sockets now and then. Breaks if every
    /// yield only wakes the task.
    #[test]
    fn the_runtime_looks_after_some_yields_in_a_row() {
        let (mut socket, task) = (Socket::default(), Arc::default());
        for _ in 0..2 {
            for _ in 1..YIELDS_IN_A_ROW {
                assert_eq!(socket.poll(&task, ready(3)), has_read(3));
                assert_eq!(socket.poll(&task, ready(3)), Did::LetOthersRun);
            }
            assert_eq!(socket.poll(&task, ready(3)), has_read(3));
            assert_eq!(socket.poll(&task, ready(3)), Did::Look);
        }
    }

    /// A stream that asked the reactor begins to count anew: the thread had nothing to do, or will look soon.
    #[test]
    fn a_wait_ends_the_row_of_yields() {
        let (mut socket, task) = (Socket::default(), Arc::<Task>::default());
        for _ in 0..usize::from(YIELDS_IN_A_ROW) * 2 {
            assert_eq!(socket.poll(&task, ready(3)), has_read(3));
            assert_eq!(socket.poll(&task, ready(3)), Did::LetOthersRun);
            assert_eq!(socket.poll(&task, Poll::Pending), WAITS);
            socket.wake();
            assert_eq!(task.wakes(), 1);
            assert_eq!(socket.poll(&task, ready(BUFFER_LEN)), has_read(BUFFER_LEN));
        }
    }
}
