//! The open connections by their ids. A send by id looks here and does not take the lock of the registry, which all cores
//! share: when two threads sent by id, 317 of 407 waits for a lock were for that one.

use std::iter;

use crate::driver::shared_machine::SharedMachine;
use crate::id::ConnectionId;
use crate::util::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts with a lock each. Neighbouring slots are in different parts, so that cores which send to different connections
/// seldom meet at one lock.
const PARTS: usize = 32;

pub(super) struct Directory {
    parts: Box<[Part]>,
}

/// In a cache line of its own, because a core that locks one part would take the line of its neighbours otherwise.
#[repr(align(64))]
#[derive(Default)]
struct Part(Mutex<Vec<Option<Arc<SharedMachine>>>>);

impl Default for Directory {
    fn default() -> Self {
        let parts = iter::repeat_with(Part::default);
        Self {
            parts: parts.take(PARTS).collect(),
        }
    }
}

impl Directory {
    pub(super) fn get(&self, id: ConnectionId) -> Option<Arc<SharedMachine>> {
        let part = self.part(id);
        let machine = part.get(id.slot / PARTS)?.as_ref();
        // The slot can have another connection by now.
        machine.filter(|machine| machine.facts.id == id).cloned()
    }

    pub(super) fn insert(&self, machine: Arc<SharedMachine>) {
        let index = machine.facts.id.slot / PARTS;
        let mut part = self.part(machine.facts.id);
        if index >= part.len() {
            part.resize_with(index + 1, || None);
        }
        debug_assert!(part[index].is_none(), "a slot has one connection");
        part[index] = Some(machine);
    }

    /// Removes a connection, which the caller drops once no lock is held.
    pub(super) fn remove(&self, id: ConnectionId) -> Option<Arc<SharedMachine>> {
        self.part(id).get_mut(id.slot / PARTS)?.take()
    }

    fn part(&self, id: ConnectionId) -> MutexGuard<'_, Vec<Option<Arc<SharedMachine>>>> {
        let Part(part) = &self.parts[id.slot % PARTS];
        // A poisoned lock is used on: no user code runs under it.
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
