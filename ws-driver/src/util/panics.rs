//! Keeps a panic in the application's code from harming anybody but the connection it is about (P8).

use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// The application's code panicked; the panic hook has told where.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Calls the application's code.
///
/// What it leaves behind is never looked at again but to be dropped, so it need not be unwind safe.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Panicked)
}

/// Polls a future of the application. It must not be polled again if it panicked.
pub(crate) fn poll<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch(|| future.poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    }
}

/// Makes a future of the application and waits for it.
pub(crate) async fn run<F: Future>(make: impl FnOnce() -> F) -> Result<F::Output, Panicked> {
    let mut future = pin!(catch(make)?);
    poll_fn(|cx| poll(future.as_mut(), cx)).await
}
