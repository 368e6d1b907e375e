//! Tools that know nothing of connections: locks and notices, random numbers, panics.
//!
//! Imports: nothing.

pub(crate) mod panics;
pub(crate) mod random;
pub(crate) mod sync;
