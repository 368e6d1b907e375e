//! A value that is handed over once, and need not be cloned for that. Knows nothing of connections.

use crate::util::sync::{Arc, Mutex, PoisonError};

/// A place for a value that somebody takes. Its clones share the value, because what stands in `http::Extensions` has
/// to be `Clone`.
pub(crate) struct Once<T>(Arc<Mutex<Option<T>>>);

impl<T> Once<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Takes the value, if nobody has taken it before.
    pub(crate) fn take(&self) -> Option<T> {
        // A poisoned lock is used on, because nothing under it panics.
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        value.take()
    }
}

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
