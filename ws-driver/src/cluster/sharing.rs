//! Readings of the engine that several callers share. When a node dies, its clients come to another one at the same moment and
//! ask for the same.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;

use super::error::BackplaneError;
use super::question::{Answer, Asker, Unanswered};
use crate::util::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The readings that are on their way, with those who wait for each.
pub(super) struct Sharing<K, V>(Mutex<HashMap<K, Waiting<V>>>);

type Waiting<V> = Vec<Arc<Answer<Result<V, BackplaneError>>>>;

impl<K, V> Default for Sharing<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Sharing<K, V> {
    /// Returns what is read for a key: by `read`, or by a caller before whose reading is on its way.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, those who wait for its reading read again.
    pub(super) async fn get<F>(&self, key: K, read: impl Fn() -> F) -> Result<V, BackplaneError>
    where
        F: Future<Output = Result<V, BackplaneError>>,
    {
        loop {
            let asker = Asker::new();
            let is_first = {
                let mut readings = self.lock();
                let waiting = readings.get_mut(&key);
                let is_first = waiting.is_none();
                match waiting {
                    Some(waiting) => waiting.push(asker.place()),
                    None => {
                        readings.insert(key.clone(), Vec::new());
                    }
                }
                is_first
            };
            if is_first {
                let reading = Reading {
                    sharing: self,
                    key: &key,
                    has_ended: false,
                };
                let value = read().await;
                for place in reading.end() {
                    place.give(Ok(value.clone()));
                }
                return value;
            }
            // Without an answer the reading was dropped.
            if let Ok(value) = asker.answered().await {
                return value;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Waiting<V>>> {
        // A poisoned lock is used on: no user code runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reading on its way.
struct Reading<'a, K: Clone + Eq + Hash, V: Clone> {
    sharing: &'a Sharing<K, V>,
    key: &'a K,
    has_ended: bool,
}

impl<K: Clone + Eq + Hash, V: Clone> Reading<'_, K, V> {
    /// Ends it. Returns those who wait.
    fn end(mut self) -> Waiting<V> {
        self.has_ended = true;
        self.sharing.lock().remove(self.key).unwrap_or_default()
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Reading<'_, K, V> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let waiting = self.sharing.lock().remove(self.key);
        for place in waiting.unwrap_or_default() {
            place.give(Err(Unanswered::Lost));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Several callers read once; if the one who reads is dropped, another one does.
    #[test]
    fn callers_share_a_reading() {
        let (sharing, reads, is_ready) = (Sharing::default(), Cell::new(0), Cell::new(false));
        let get = |key: u8| {
            sharing.get(key, || {
                reads.set(reads.get() + 1);
                std::future::poll_fn(|_| {
                    if is_ready.get() {
                        return Poll::Ready(Ok(7));
                    }
                    Poll::Pending
                })
            })
        };
        let mut first = Box::pin(get(1));
        let (mut second, mut third, mut other) = (pin!(get(1)), pin!(get(1)), pin!(get(2)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending() && poll(other.as_mut()).is_pending());
        assert_eq!(reads.get(), 2);
        drop(first);
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        assert_eq!(reads.get(), 3, "one of them reads");
        is_ready.set(true);
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(7)));
        assert_eq!(poll(third.as_mut()), Poll::Ready(Ok(7)));
        assert_eq!(poll(other.as_mut()), Poll::Ready(Ok(7)));
        assert!(sharing.lock().is_empty());
        assert_eq!(reads.get(), 3);
    }
}
