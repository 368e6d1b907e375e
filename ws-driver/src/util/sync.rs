//! Mutex, atomics and notification. Under `--cfg shuttle` they are those of a checker that tries the orders in which
//! threads can run (`tests/races`). Only this file knows of the checker.
//!
//! Not for a lock that is taken while a [`Notice`] wakes a task, as in `join_all.rs`: the notice holds a lock of its
//! own meanwhile, and the checker does not know that lock.

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

    /// An [`Event`] that lets the checker switch threads before each use.
    pub(crate) struct Notice {
        event: Event,
        /// The checker switches threads at each load. The value means nothing.
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

    /// The macro for listeners on the stack needs the event itself.
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
