//! Counts what is allocated: memory must follow the bytes that arrived, never a declared length.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What may be allocated in any case, in all and not at a time: handshakes copy their options, and
/// tests describe what they see.
const FLOOR: usize = 256 << 10;

/// What may be allocated for each byte of input, in all: growing by doubling, descriptions of
/// events, and the list of events itself, where two bytes can make one.
const PER_BYTE: usize = 2048;

/// Runs `work` and panics if it allocates more than `len` bytes of input justify.
///
/// Other threads are counted, too, so that tests must run it with a single one.
pub(crate) fn bounded<T>(len: usize, work: impl FnOnce() -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let result = work();
    let allocated = region.change().bytes_allocated;
    let limit = FLOOR + len * PER_BYTE;
    assert!(
        allocated <= limit,
        "{allocated} bytes were allocated for {len} bytes of input; {limit} are allowed"
    );
    result
}
