//! Counts allocations, if the feature is on.

#[cfg(feature = "count-allocations")]
mod counting {
    use std::alloc::System;

    use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

    #[global_allocator]
    static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

    pub(crate) fn so_far() -> Option<(usize, usize)> {
        let stats = ALLOCATOR.stats();
        Some((
            stats.allocations + stats.reallocations,
            stats.bytes_allocated,
        ))
    }
}

#[cfg(not(feature = "count-allocations"))]
mod counting {
    pub(crate) fn so_far() -> Option<(usize, usize)> {
        None
    }
}

/// Returns how many allocations and reallocations there were so far, and of how many bytes.
pub(crate) use self::counting::so_far;
