//! A list that is put together from what all nodes say.

use std::ops::Deref;
use std::time::Duration;

/// What the nodes of a cluster say, as the engine knows it. It is read as a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    items: Vec<T>,
    is_complete: bool,
    age: Duration,
}

impl<T> Listing<T> {
    pub(super) fn new(items: Vec<T>, is_complete: bool, age: Duration) -> Self {
        Self {
            items,
            is_complete,
            age,
        }
    }

    /// Puts an item first, in place of the one with the same key.
    pub(super) fn with_first<K: PartialEq>(mut self, item: T, key: impl Fn(&T) -> K) -> Self {
        let own = key(&item);
        self.items.retain(|other| key(other) != own);
        self.items.insert(0, item);
        self
    }

    /// Returns whether no living node is missing. It is false while there is no link to the engine, and in the first
    /// 15 s of an engine that knew nothing, because nodes may not have come back to it yet; for presence also in the first
    /// 5 s of a node, which may not have stored its own yet.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns how long ago the engine said this. Zero means now; without a link it is what was known last.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns the items.
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }
}

impl<T> Deref for Listing<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> IntoIterator for Listing<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Listing<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}
