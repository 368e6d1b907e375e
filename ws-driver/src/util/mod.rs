//! What knows nothing of connections: locks and notices, random numbers, panics.

pub(crate) mod panics;
pub(crate) mod random;
pub(crate) mod sync;
