//! What the tasks of a server are kept apart with, and wait for each other by: std's, and under
//! `--cfg shuttle` those of a checker that tries the orders in which threads can run
//! (`tests/races`). The one file that knows of it.
//!
//! Not for locks that are taken while a [`Notice`] wakes a task, as in `join_all.rs`: it does so with
//! its own lock held, which the checker does not know.

pub(crate) use std::sync::{Arc, PoisonError, Weak};

#[cfg(not(shuttle))]
pub(crate) use event_listener::Event as Notice;
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use std::thread::{self, ThreadId};

#[cfg(shuttle)]
pub(crate) use self::checked::Notice;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(shuttle)]
pub(crate) use shuttle::thread::{self, ThreadId};

#[cfg(shuttle)]
mod checked {
    use event_listener::{Event, EventListener};

    use super::atomic::{AtomicBool, Ordering};

    /// An [`Event`], before each use of which other threads get their chance.
    pub(crate) struct Notice {
        event: Event,
        turn: AtomicBool,
    }

    impl Notice {
        pub(crate) fn new() -> Self {
            Self {
                event: Event::new(),
                turn: AtomicBool::new(false),
            }
        }

        pub(crate) fn listen(&self) -> EventListener {
            self.turn.load(Ordering::SeqCst);
            self.event.listen()
        }

        pub(crate) fn notify(&self, count: usize) {
            self.turn.load(Ordering::SeqCst);
            self.event.notify(count);
        }
    }

    /// For listeners on the stack.
    impl std::ops::Deref for Notice {
        type Target = Event;

        fn deref(&self) -> &Event {
            self.turn.load(Ordering::SeqCst);
            &self.event
        }
    }

    impl Default for Notice {
        fn default() -> Self {
            Self::new()
        }
    }
}
