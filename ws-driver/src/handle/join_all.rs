//! Runs many small futures in one task. Each future has a waker of its own and is polled only after a wake. So the work
//! is linear in the number of wakes, and not in the number of futures that wait.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::util::wakers;

/// Waits for all futures. Returns how many of them returned `true`.
///
/// If it is dropped, the futures that have not ended are dropped.
pub(crate) async fn count_true<F>(futures: impl Iterator<Item = F>) -> usize
where
    F: Future<Output = bool>,
{
    let woken = Arc::<Woken>::default();
    let mut waiting: Vec<_> = futures
        .enumerate()
        .map(|(index, future)| {
            let future_waker = Arc::new(FutureWaker {
                index,
                is_listed: AtomicBool::new(false),
                woken: Arc::clone(&woken),
            });
            future_waker.wake_by_ref();
            Some((Box::pin(future), future_waker))
        })
        .collect();
    let (mut count, mut left) = (0, waiting.len());
    poll_fn(|cx| {
        // Registers the waker of the task before the polls, so that a wake during them is not lost.
        for index in woken.take(cx) {
            let Some((future, future_waker)) = &mut waiting[index] else {
                continue;
            };
            // Before the poll: a wake during the poll has to list the future again.
            future_waker.is_listed.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(future_waker));
            let future: Pin<&mut F> = future.as_mut();
            if let Poll::Ready(is_true) = future.poll(&mut Context::from_waker(&waker)) {
                waiting[index] = None;
                count += usize::from(is_true);
                left -= 1;
            }
        }
        match left {
            0 => Poll::Ready(count),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Wakes one of the futures.
struct FutureWaker {
    index: usize,
    /// Whether the index is in the list already. So the list is no longer than the number of futures.
    is_listed: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for FutureWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_listed.swap(true, Ordering::SeqCst) {
            self.woken.add(self.index);
        }
    }
}

/// The indices of the futures that have to be polled, and the waker of the task.
#[derive(Default)]
struct Woken(Mutex<(Vec<usize>, Option<Waker>)>);

impl Woken {
    fn add(&self, index: usize) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.push(index);
        let task = inner.1.take();
        // The waker is foreign code, so it runs without the lock.
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn take(&self, cx: &Context<'_>) -> Vec<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = wakers::keep(&mut inner.1, cx);
        let indices = std::mem::take(&mut inner.0);
        // Unlocked first: to drop a waker runs foreign code, too.
        drop(inner);
        drop(replaced);
        indices
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use event_listener::Event as Notice;

    use super::*;

    /// Only woken futures are polled again, and all futures are waited for.
    #[test]
    fn each_is_polled_when_it_was_woken() {
        let notices: Vec<_> = (0..10).map(|_| Notice::new()).collect();
        let polls = Mutex::new(Vec::new());
        let futures = notices.iter().enumerate().map(|(index, notice)| {
            let mut listener = notice.listen();
            let polls = &polls;
            poll_fn(move |cx| {
                polls.lock().unwrap().push(index);
                Pin::new(&mut listener).poll(cx).map(|()| index % 2 == 0)
            })
        });
        let mut all = pin!(count_true(futures));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(all.as_mut().poll(&mut cx).is_pending());
        polls.lock().unwrap().clear();
        for index in [3, 4] {
            notices[index].notify(1);
        }
        assert!(all.as_mut().poll(&mut cx).is_pending());
        assert_eq!(*polls.lock().unwrap(), [3, 4]);
        for notice in &notices {
            notice.notify(1);
        }
        assert_eq!(all.as_mut().poll(&mut cx), Poll::Ready(5));
    }

    /// A task's waker may be dropped when the task polls with another one, and its destructor may wake a future. Breaks if
    /// it is dropped under the lock of the list.
    #[cfg(not(shuttle))]
    #[test]
    fn the_waker_of_the_task_before_is_dropped_unlocked() {
        wakers::kit::within_limit(|| {
            let notice = Arc::new(Notice::new());
            let listener = notice.listen();
            let mut all = pin!(count_true(std::iter::once(async {
                listener.await;
                true
            })));
            let waker = wakers::kit::with_destructor(move || {
                notice.notify(1);
            });
            let mut cx = Context::from_waker(&waker);
            assert!(all.as_mut().poll(&mut cx).is_pending());
            drop(waker);
            let mut cx = Context::from_waker(Waker::noop());
            // The future is woken in this poll, once its list is taken, and polled in the next one.
            assert!(all.as_mut().poll(&mut cx).is_pending());
            assert_eq!(all.as_mut().poll(&mut cx), Poll::Ready(1));
        });
    }
}
