//! A subscriber of `tracing` for one thread, in a process whose other threads log too.

use std::sync::LazyLock;

use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default, with_default};
use tracing::{Dispatch, Subscriber};

/// Keeps `tracing` from asking the current thread alone whether anybody wants a line that is reached for the first
/// time: it does so while there is one subscriber, and what a thread without one says then holds for all of them.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// Calls a function with a subscriber that hears what this thread logs.
pub fn with_subscriber<T>(
    subscriber: impl Subscriber + Send + Sync + 'static,
    function: impl FnOnce() -> T,
) -> T {
    LazyLock::force(&SECOND);
    with_default(subscriber, function)
}

/// As [`with_subscriber`], until the guard is dropped.
pub fn set_subscriber(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    LazyLock::force(&SECOND);
    set_default(subscriber)
}
