//! The memory of a thread, so that an idle connection holds none (P5): the buffer that streams are read into, and the
//! [`Workspace`] of the connection that the thread works on.

use std::cell::RefCell;
use std::task::Poll;

use ws_proto::{Connection as Machine, Workspace, hooks};
#[cfg(feature = "deflate")]
use ws_proto::{Deflate, PreparedMessage};

/// Bytes that one read can take. Large enough for few system calls, and small enough to stay in the cache while its
/// content is parsed.
const BUFFER_LEN: usize = 128 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WORKSPACE: RefCell<Workspace> = const { RefCell::new(Workspace::new()) };
}

/// Calls a function with the thread's buffer. A call inside of another one, and a call while the thread ends, gets a
/// fresh buffer.
pub(crate) fn with_buffer<T>(use_buffer: impl FnOnce(&mut [u8]) -> Poll<T>) -> Poll<T> {
    // Taken out and not borrowed, because a stream can be polled inside of the poll of another stream.
    let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
    buffer.resize(BUFFER_LEN, 0);
    let result = use_buffer(&mut buffer);
    // A thread that ends does not need the buffer any more.
    let _ = BUFFER.try_with(|place| place.replace(buffer));
    result
}

/// Calls a function with the thread's workspace. It gets a fresh one while the thread ends, and inside of another call:
/// the destructor of a message's bytes is code of users, and it may send.
#[inline]
pub(crate) fn with<T>(work: impl FnOnce(&mut Workspace) -> T) -> T {
    let mut work = Some(work);
    let mut take = || work.take().expect("it is called once");
    let done = WORKSPACE.try_with(|workspace| {
        let mut workspace = workspace.try_borrow_mut().ok()?;
        Some(take()(&mut workspace))
    });
    match done {
        Ok(Some(result)) => result,
        Ok(None) | Err(_) => take()(&mut Workspace::new()),
    }
}

/// Attaches a small piece of the thread's memory to a machine that has none, because a message is about to be queued
/// there. Its driver detaches it. In a broadcast each receiver would otherwise allocate.
#[inline]
pub(crate) fn attach_spare(machine: &mut Machine) {
    // Asked first: with several messages in a row only the first one needs it.
    if !hooks::has_outgoing_memory(machine) {
        with(|workspace| hooks::attach_spare(machine, workspace));
    }
}

/// Attaches the thread's zlib streams to a machine while it works on messages, if it compresses.
///
/// For one step and not for the turn, because a handler sends on other connections meanwhile.
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

/// Compresses a message outside of any machine, with the thread's zlib streams.
#[cfg(feature = "deflate")]
pub(crate) fn compress(message: PreparedMessage, options: &Deflate) -> PreparedMessage {
    with(|workspace| message.compress_for(options, workspace))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call inside of a call works. Breaks if it borrows the workspace that is in use.
    #[test]
    fn a_call_inside_of_a_call_gets_a_fresh_workspace() {
        assert_eq!(with(|_| with(|inner| inner.memory())), 0);
    }
}
