//! Catches panics in the application's code, so that a panic ends only the connection that it concerns (P8).

use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// The application's code panicked. The panic hook has reported where.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Calls the application's code.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The code need not be unwind safe: after a panic its values are only dropped.
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
