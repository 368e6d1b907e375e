//! Events in their order, in two lists. A read can bring thousands of short messages. Those are kept as blocks of
//! three words, which are written and read in a few instructions. All other events are kept in full.
//!
//! A single queue of the public enum was slower by measurement: its parts are written in smaller stores than they are
//! read in, so the processor waits for each of them.

use std::collections::VecDeque;

use super::event::Event;
use crate::message::inline::Inline;
use crate::message::{Message, Payload};

/// The events of a connection, in order: see [`Connection::take_events`](crate::Connection::take_events).
///
/// A batch that is emptied keeps its memory, so it can be used again without an allocation.
#[derive(Debug, Default)]
pub struct EventBatch {
    /// Boxed, because a connection at rest has no lists.
    lists: Option<Box<Lists>>,
}

#[derive(Debug, Default)]
struct Lists {
    /// The short messages; marked if they are binary.
    short: VecDeque<Inline>,
    /// The other events, each with the number of short messages that were ever added before it.
    others: VecDeque<(u64, Event)>,
    /// The number of short messages that were taken.
    short_out: u64,
    /// Whether the lists belong to a workspace, which takes them back without a change.
    is_attached: bool,
}

impl EventBatch {
    /// Makes an empty batch, without memory.
    pub const fn new() -> Self {
        Self { lists: None }
    }

    /// Takes the first event.
    #[inline]
    pub fn pop(&mut self) -> Option<Event> {
        match self.pop_short() {
            Some(message) => Some(Event::Message(message)),
            None => {
                let others = &mut self.lists.as_mut()?.others;
                others.pop_front().map(|(_, event)| event)
            }
        }
    }

    /// Takes the first event if it is a short message: the fast part of [`pop`](Self::pop).
    #[inline]
    pub(crate) fn pop_short(&mut self) -> Option<Message> {
        let lists = self.lists.as_mut()?;
        if let Some((before, _)) = lists.others.front() {
            if *before == lists.short_out {
                return None;
            }
        }
        let (inline, is_binary) = lists.short.pop_front()?.unmarked();
        lists.short_out = lists.short_out.wrapping_add(1);
        let payload = Payload::from(inline);
        Some(if is_binary {
            Message::Binary(payload)
        } else {
            Message::text_of(payload)
        })
    }

    /// Tells whether there are no events.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of events.
    #[inline]
    pub fn len(&self) -> usize {
        let lists = self.lists.as_ref();
        lists.map_or(0, |lists| lists.short.len() + lists.others.len())
    }

    /// Calls a function for each message and each fragment; see [`hooks::each_payload`](crate::hooks::each_payload).
    pub(crate) fn each_payload(&self, mut call: impl FnMut(usize, bool)) {
        let Some(lists) = &self.lists else {
            return;
        };
        for inline in &lists.short {
            call(inline.len(), true);
        }
        for (_, event) in &lists.others {
            match event {
                Event::Message(message) => call(message.len(), true),
                Event::Fragment(fragment) => call(fragment.content.len(), fragment.last),
                Event::Ping(_) | Event::Pong(_) | Event::Closed(_) => {}
            }
        }
    }

    /// Returns the number of bytes of memory that the batch holds, without the payloads of its events.
    pub(crate) fn memory_len(&self) -> usize {
        self.lists.as_ref().map_or(0, |lists| {
            size_of::<Lists>()
                + lists.short.capacity() * size_of::<Inline>()
                + lists.others.capacity() * size_of::<(u64, Event)>()
        })
    }

    /// Tells whether the batch holds memory.
    #[inline]
    pub(crate) fn has_memory(&self) -> bool {
        self.lists.is_some()
    }

    /// Notes whether its memory, if it has any, belongs to a workspace.
    pub(super) fn mark_attached(&mut self, is_attached: bool) {
        if let Some(lists) = &mut self.lists {
            lists.is_attached = is_attached;
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.lists.as_ref().is_some_and(|lists| lists.is_attached)
    }

    pub(crate) fn push(&mut self, event: Event) {
        let lists = self.lists.get_or_insert_default();
        if lists.others.len() == lists.others.capacity() {
            // By half, because an event counts less against the `receive_queue_limit` than it takes here: twice as
            // much memory would be beyond the bound that `handle_read_some` promises.
            let len = lists.others.len();
            grow(&mut lists.others, len / 2);
        }
        lists.others.push_back((lists.short_in(), event));
    }

    /// Returns the last event that is not a short message.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Event> {
        let (_, event) = self.lists.as_mut()?.others.back_mut()?;
        Some(event)
    }

    /// Adds a short message, whose bytes were checked if it is text.
    // Inlined, so that the payload goes from register to list.
    #[inline(always)]
    pub(crate) fn push_short(&mut self, payload: Inline, is_text: bool) {
        let lists = self.lists.get_or_insert_default();
        if lists.short.len() == lists.short.capacity() {
            let len = lists.short.len();
            grow(&mut lists.short, len);
        }
        lists.short.push_back(payload.marked(!is_text));
    }

    /// Moves all events of another batch behind its own.
    pub(crate) fn append(&mut self, other: &mut Self) {
        // The usual case: the application has emptied its batch. The memory is exchanged along, and no event moves.
        if self.is_empty() {
            return std::mem::swap(self, other);
        }
        while let Some(event) = other.pop() {
            self.push(event);
        }
    }

    /// Frees all memory but that for one event of each list.
    pub(crate) fn shrink(&mut self) {
        if let Some(lists) = &mut self.lists {
            lists.short.shrink_to(1);
            lists.others.shrink_to(1);
        }
    }

    /// Moves all events to memory of their own length; returns the memory that they had, as an empty batch.
    pub(crate) fn take_memory(&mut self) -> Self {
        let mut memory = std::mem::take(self);
        if let Some(lists) = memory.lists.as_mut().filter(|lists| !lists.is_empty()) {
            self.lists = Some(Box::new(lists.split()));
        }
        memory
    }
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.short.is_empty() && self.others.is_empty()
    }

    /// Returns the number of short messages that were ever added.
    fn short_in(&self) -> u64 {
        self.short_out.wrapping_add(count(self.short.len()))
    }

    /// Moves all events to lists of their own length.
    fn split(&mut self) -> Self {
        let short_in = self.short_in();
        let mut lists = Self {
            short: VecDeque::with_capacity(self.short.len()),
            others: VecDeque::with_capacity(self.others.len()),
            short_out: std::mem::replace(&mut self.short_out, short_in),
            is_attached: false,
        };
        lists.short.append(&mut self.short);
        lists.others.append(&mut self.others);
        lists
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).expect("a list has fewer than 2^64")
}

/// Reserves memory for at least one more element.
#[cold]
fn grow<T>(list: &mut VecDeque<T>, additional: usize) {
    // For one event at first, because most events that come alone stay alone. Then for a few, because twice the growth
    // would be much for two events that came in four bytes. Later for so many that it seldom happens.
    let least = if list.capacity() == 0 { 1 } else { GROWTH };
    list.reserve_exact(least.max(additional));
}

/// The least number of events by which a list grows after its first one.
const GROWTH: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Mask;

    fn short(byte: u8) -> (Inline, bool) {
        let (inline, _) = Inline::unmasked(&[byte], 1, Mask::NONE).unwrap();
        (inline, byte % 2 == 0)
    }

    fn event(byte: u8) -> Event {
        match byte % 5 {
            0 => Event::Pong(Payload::from(&[byte])),
            _ if byte % 2 == 0 => Event::Message(Message::text_of(Payload::from(&[byte]))),
            _ => Event::Message(Message::from(&[byte])),
        }
    }

    fn push(batch: &mut EventBatch, byte: u8) {
        match byte % 5 {
            0 => batch.push(event(byte)),
            _ => {
                let (inline, is_text) = short(byte);
                batch.push_short(inline, is_text);
            }
        }
    }

    /// Short messages and other events come out as they went in, whatever is taken in between, and
    /// whichever way they move from one batch to another.
    #[test]
    fn events_keep_their_order() {
        for stride in 1..20 {
            let mut batch = EventBatch::new();
            let mut next = 0;
            for byte in 0..=127 {
                push(&mut batch, byte);
                if byte % stride == 0 {
                    assert_eq!(batch.pop(), Some(event(next)));
                    next += 1;
                }
                if byte % 11 == 0 {
                    let memory = batch.take_memory();
                    assert!(memory.is_empty());
                    assert!(batch.memory_len() <= batch.len() * 64 + size_of::<Lists>());
                }
                if byte % 13 == 0 {
                    let mut first = std::mem::take(&mut batch);
                    push(&mut batch, 0);
                    first.append(&mut batch);
                    let last = first.lists.as_mut().unwrap().others.pop_back();
                    assert_eq!(last.map(|(_, event)| event), Some(event(0)));
                    batch = first;
                }
                assert_eq!(batch.len(), usize::from(byte + 1 - next));
            }
            while let Some(found) = batch.pop() {
                assert_eq!(found, event(next));
                next += 1;
            }
            assert_eq!(next, 128);
            assert!(batch.is_empty());
        }
    }
}
