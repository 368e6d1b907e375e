//! Tells the tasks of a server to stop, and who has heard it.

use std::future::Future;
use std::pin::pin;

use event_listener::listener;

use crate::util::race::race;
use crate::util::sync::Notice;
use crate::util::sync::atomic::{AtomicU8, Ordering};

/// How far a server has stopped, after it ran. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It accepts no more; what is open goes on.
    Closed,
    /// What is open is being closed.
    ShuttingDown,
    /// What is still open is dropped.
    Aborting,
}

#[derive(Default)]
pub(crate) struct Stop {
    phase: AtomicU8,
    changed: Notice,
}

impl Stop {
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase.number(), Ordering::SeqCst);
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn has_reached(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) >= phase.number()
    }

    /// Waits until the server has come to `phase`.
    pub(crate) async fn wait(&self, phase: Phase) {
        loop {
            // On the stack: every stream waits for this while it is opened.
            listener!(self.changed => changed);
            if self.has_reached(phase) {
                return;
            }
            changed.await;
        }
    }

    /// Waits for `work`; `None` if the server has come to `phase` before that. If both are so at once the work counts,
    /// and it is polled once even if the server came to `phase` long ago: an answer that is ready is still written.
    pub(crate) async fn unless<T>(&self, phase: Phase, work: impl Future<Output = T>) -> Option<T> {
        race(pin!(work), pin!(self.wait(phase))).await.first()
    }
}

impl Phase {
    const fn number(self) -> u8 {
        match self {
            Self::Closed => 1,
            Self::ShuttingDown => 2,
            Self::Aborting => 3,
        }
    }
}
