//! The buffer that streams are read into. It belongs to the thread, so that an idle connection holds
//! none (P5), and each read has room to spare.

use std::cell::Cell;
use std::task::Poll;

/// Bytes that one read can take. Large enough that the kernel is asked rarely, small enough to stay
/// in the cache while its content is parsed.
const SCRATCH_LEN: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer. Inside of itself it lends a fresh one.
pub(crate) fn with<T>(use_buffer: impl FnOnce(&mut [u8]) -> Poll<T>) -> Poll<T> {
    let mut buffer = SCRATCH.take();
    buffer.resize(SCRATCH_LEN, 0);
    let result = use_buffer(&mut buffer);
    SCRATCH.set(buffer);
    result
}
