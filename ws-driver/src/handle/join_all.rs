//! Runs many small futures beside each other in one task. Each is polled only when it was woken, so
//! that the work is linear in what happens, however many wait.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Waits for all of the futures; returns how many said `true`.
///
/// To drop it drops those that have not ended.
pub(crate) async fn count_true<F>(futures: impl Iterator<Item = F>) -> usize
where
    F: Future<Output = bool>,
{
    let woken = Arc::<Woken>::default();
    let mut waiting: Vec<_> = futures
        .enumerate()
        .map(|(index, future)| {
            let bell = Arc::new(Bell {
                index,
                has_rung: AtomicBool::new(false),
                woken: Arc::clone(&woken),
            });
            bell.wake_by_ref();
            Some((Box::pin(future), bell))
        })
        .collect();
    let (mut count, mut left) = (0, waiting.len());
    poll_fn(|cx| {
        for index in woken.take(cx) {
            let Some((future, bell)) = &mut waiting[index] else {
                continue;
            };
            bell.has_rung.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(bell));
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
struct Bell {
    index: usize,
    /// Whether it is in the list, which bounds that.
    has_rung: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.has_rung.swap(true, Ordering::SeqCst) {
            self.woken.add(self.index);
        }
    }
}

/// Which of the futures are to be polled.
#[derive(Default)]
struct Woken(Mutex<(Vec<usize>, Option<Waker>)>);

impl Woken {
    fn add(&self, index: usize) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.push(index);
        let task = inner.1.take();
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn take(&self, cx: &Context<'_>) -> Vec<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1 = Some(cx.waker().clone());
        std::mem::take(&mut inner.0)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use event_listener::Event as Notice;

    use super::*;

    /// Only futures that were woken are polled again, and all are waited for.
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
}
