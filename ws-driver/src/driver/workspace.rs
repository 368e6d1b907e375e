//! The memory of a thread, so that an idle connection holds none (P5): the buffer that streams are read into, with
//! room to spare for each read, and the [`Workspace`] of the connection at work.

use std::cell::RefCell;
use std::task::Poll;

use ws_proto::{Connection as Machine, Workspace};
#[cfg(feature = "deflate")]
use ws_proto::{Deflate, PreparedMessage};

/// Bytes that one read can take. Large enough that the kernel is asked rarely, small enough to stay
/// in the cache while its content is parsed.
const BUFFER_LEN: usize = 128 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WORKSPACE: RefCell<Workspace> = const { RefCell::new(Workspace::new()) };
}

/// Lends the thread's buffer. Inside of itself, and once the thread ends, it lends a fresh one.
pub(crate) fn with_buffer<T>(use_buffer: impl FnOnce(&mut [u8]) -> Poll<T>) -> Poll<T> {
    let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
    buffer.resize(BUFFER_LEN, 0);
    let result = use_buffer(&mut buffer);
    // A thread that ends has no use for it.
    let _ = BUFFER.try_with(|place| place.replace(buffer));
    result
}

/// Lends the thread's workspace; once the thread ends, a fresh one. Nothing in here lends it again.
#[inline]
pub(crate) fn with<T>(work: impl FnOnce(&mut Workspace) -> T) -> T {
    let mut work = Some(work);
    let mut take = || work.take().expect("it is called once");
    match WORKSPACE.try_with(|workspace| take()(&mut workspace.borrow_mut())) {
        Ok(result) => result,
        Err(_) => take()(&mut Workspace::new()),
    }
}

/// Lets a machine work on messages with the thread's streams of zlib, if it has use for them.
#[inline]
pub(crate) fn with_streams<T>(machine: &mut Machine, work: impl FnOnce(&mut Machine) -> T) -> T {
    if machine.has_deflate() {
        with(|workspace| {
            machine.attach_streams(workspace);
            let result = work(machine);
            machine.detach_streams(workspace);
            result
        })
    } else {
        work(machine)
    }
}

/// Compresses a message for many, or before it is sent, with the thread's streams of zlib.
#[cfg(feature = "deflate")]
pub(crate) fn compress(message: PreparedMessage, options: &Deflate) -> PreparedMessage {
    with(|workspace| message.compress_for(options, workspace))
}
