//! Tools that know nothing of connections: locks and notices, wakers, races of futures, random numbers, pauses, panics,
//! streams in memory.
//!
//! Imports: nothing.

pub(crate) mod backoff;
#[cfg(feature = "test-kit")]
pub(crate) mod duplex;
pub(crate) mod panics;
pub(crate) mod race;
pub(crate) mod random;
pub(crate) mod sync;
pub(crate) mod wakers;
