//! A dense list of connections: all that are open, or the members of a topic. Whoever sends to them takes the list as
//! it is, without a copy, and sends without the registry's lock. A change while such a list is out makes a copy first.

use std::sync::Arc;

/// An entry of a roster. The slot of the registry identifies it.
pub(crate) trait Member: Clone {
    fn slot(&self) -> usize;
}

/// The members at one moment. Later joins and leaves do not change it.
pub(crate) type Members<M> = Arc<Vec<M>>;

/// A list whose entries have a place each. The owner of the roster keeps the place of each entry, so that to remove one
/// takes constant time.
pub(super) struct Roster<M>(Members<M>);

impl<M> Default for Roster<M> {
    fn default() -> Self {
        Self(Members::default())
    }
}

impl<M: Member> Roster<M> {
    /// Adds a member; returns its place.
    pub(super) fn push(&mut self, member: M) -> usize {
        let members = Arc::make_mut(&mut self.0);
        members.push(member);
        members.len() - 1
    }

    /// Removes the member at a place. The last member moves there, so that the list stays dense. Returns the removed
    /// member, which the caller drops once the registry is unlocked, and the slot of the one that moved.
    pub(super) fn remove(&mut self, place: usize) -> (M, Option<usize>) {
        let members = Arc::make_mut(&mut self.0);
        let removed = members.swap_remove(place);
        // Memory is given back after a peak. Only from a quarter down to a half: a list that changes around a length is
        // not moved each time, and each removal pays for a constant part of the move.
        if members.len() < members.capacity() / 4 {
            members.shrink_to(members.len() * 2);
        }
        (removed, members.get(place).map(Member::slot))
    }

    pub(super) fn get(&self, place: usize) -> Option<&M> {
        self.0.get(place)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the members. It costs the same however many there are.
    pub(super) fn members(&self) -> Members<M> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that was taken stays as it was, whatever changes. While none is out, a change costs no copy.
    #[test]
    fn a_list_is_copied_only_while_it_is_out() {
        let mut roster = Roster::default();
        let places: Vec<_> = (0..8usize).map(|slot| roster.push(slot)).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7]);
        let memory = roster.0.as_ptr();
        assert_eq!(roster.remove(7), (7, None));
        assert_eq!(roster.push(9), 7);
        assert_eq!(roster.0.as_ptr(), memory);

        let taken = roster.members();
        assert_eq!(roster.remove(1), (1, Some(9)));
        roster.push(10);
        assert_eq!(*taken, [0, 1, 2, 3, 4, 5, 6, 9]);
        assert_eq!(*roster.members(), [0, 9, 2, 3, 4, 5, 6, 10]);
        drop(taken);
        let memory = roster.0.as_ptr();
        roster.remove(0);
        assert_eq!(roster.0.as_ptr(), memory);
    }

    #[test]
    fn memory_is_given_back_after_a_peak() {
        let mut roster = Roster::default();
        (0..10_000usize).for_each(|slot| {
            roster.push(slot);
        });
        (1..10_000).rev().for_each(|place| {
            roster.remove(place);
        });
        assert!(roster.0.capacity() <= 8, "{}", roster.0.capacity());
    }
}
