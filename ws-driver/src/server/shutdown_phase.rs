//! The shutdown phase of a server: set by the server's handles, awaited by its tasks.

use std::future::Future;
use std::pin::pin;

use event_listener::listener;

use crate::util::race::race;
use crate::util::sync::Notice;
use crate::util::sync::atomic::{AtomicU8, Ordering};

/// A phase of a server's shutdown. A server never returns to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// The server accepts no more streams. Open connections go on.
    Closed,
    /// The server closes its connections.
    ShuttingDown,
    /// The server drops the connections that are still open.
    Aborting,
}

/// The current phase, and the notice of a change.
#[derive(Default)]
pub(crate) struct ShutdownSignal {
    /// The [number](ShutdownPhase::number) of the phase; zero while the server runs.
    phase: AtomicU8,
    changed: Notice,
}

impl ShutdownSignal {
    pub(crate) fn advance(&self, phase: ShutdownPhase) {
        // `fetch_max`, because `close` can be called while a shutdown is under way.
        self.phase.fetch_max(phase.number(), Ordering::SeqCst);
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn has_reached(&self, phase: ShutdownPhase) -> bool {
        self.phase.load(Ordering::SeqCst) >= phase.number()
    }

    /// Waits until the server has reached `phase`.
    pub(crate) async fn wait(&self, phase: ShutdownPhase) {
        loop {
            // On the stack, because every stream waits for this during its handshake: no allocation. It listens before
            // it looks at the phase, so that no change is missed.
            listener!(self.changed => changed);
            if self.has_reached(phase) {
                return;
            }
            changed.await;
        }
    }

    /// Waits for `work`. Returns `None` if the server reaches `phase` first.
    ///
    /// The work is [`Unpin`] for the same reason as in a [`race`].
    pub(crate) async fn unless<T>(
        &self,
        phase: ShutdownPhase,
        work: impl Future<Output = T> + Unpin,
    ) -> Option<T> {
        // The work comes first: it is polled once even if the server reached `phase` long ago, so that an answer that
        // is ready is still written.
        race(work, pin!(self.wait(phase))).await.first()
    }
}

impl ShutdownPhase {
    const fn number(self) -> u8 {
        match self {
            Self::Closed => 1,
            Self::ShuttingDown => 2,
            Self::Aborting => 3,
        }
    }
}
