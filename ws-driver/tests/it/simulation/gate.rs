//! A gate that opens once and lets everybody through who waits at it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use ws_testing::sim::lock;

/// A gate. Cheap to clone; all clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    inner: Arc<Mutex<(bool, Vec<Waker>)>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        let waiting = {
            let mut inner = lock(&self.inner);
            inner.0 = true;
            std::mem::take(&mut inner.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.inner).0
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            let mut inner = lock(&self.inner);
            if inner.0 {
                return Poll::Ready(());
            }
            // Who comes back has one place here.
            inner.1.retain(|waker| !waker.will_wake(cx.waker()));
            inner.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
