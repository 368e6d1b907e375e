//! Events in their order. A read can bring thousands of short messages, so those are kept as what they
//! are, blocks of three words, which are written and read in a few instructions; all else in full.

use std::collections::VecDeque;

use super::event::Event;
use crate::message::inline::Inline;
use crate::message::{Message, Payload};

/// What happened on a connection, in order: see
/// [`Connection::take_events`](crate::Connection::take_events).
///
/// It is used again and again: one that is empty keeps its room.
#[derive(Debug, Default)]
pub struct EventBatch {
    /// Boxed, as a connection at rest has none.
    lists: Option<Box<Lists>>,
}

#[derive(Debug, Default)]
struct Lists {
    /// Marked if they are binary.
    short: VecDeque<Inline>,
    /// Each with how many short messages there ever were before it.
    others: VecDeque<(u64, Event)>,
    /// How many short messages have been taken.
    short_out: u64,
}

impl EventBatch {
    /// Makes an empty one; it has no room yet.
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

    /// Takes the first event if that is a message of a few bytes: what [`pop`](Self::pop) does, sooner.
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
        Some(match is_binary {
            true => Message::Binary(payload),
            false => Message::text_of(payload),
        })
    }

    /// Tells whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many there are.
    #[inline]
    pub fn len(&self) -> usize {
        let lists = self.lists.as_ref();
        lists.map_or(0, |lists| lists.short.len() + lists.others.len())
    }

    /// Returns the bytes of memory that it holds, its events' own apart.
    pub(crate) fn room(&self) -> usize {
        self.lists.as_ref().map_or(0, |lists| {
            size_of::<Lists>()
                + lists.short.capacity() * size_of::<Inline>()
                + lists.others.capacity() * size_of::<(u64, Event)>()
        })
    }

    /// Tells whether it has no room.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.lists.is_none()
    }

    pub(crate) fn push(&mut self, event: Event) {
        let lists = self.lists.get_or_insert_default();
        if lists.others.len() == lists.others.capacity() {
            // By half, as an event counts less against the `receive_queue_limit` than it takes here.
            let len = lists.others.len();
            grow(&mut lists.others, len / 2);
        }
        lists.others.push_back((lists.short_in(), event));
    }

    /// Returns the last event that is no short message.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Event> {
        let (_, event) = self.lists.as_mut()?.others.back_mut()?;
        Some(event)
    }

    /// Adds a message of a few bytes; a text if they are known to be one.
    #[inline(always)]
    pub(crate) fn push_short(&mut self, payload: Inline, is_text: bool) {
        let lists = self.lists.get_or_insert_default();
        if lists.short.len() == lists.short.capacity() {
            let len = lists.short.len();
            grow(&mut lists.short, len);
        }
        lists.short.push_back(payload.marked(!is_text));
    }

    /// Moves all events of another one behind its own.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            return std::mem::swap(self, other);
        }
        while let Some(event) = other.pop() {
            self.push(event);
        }
    }

    /// Gives back the room that is more than it takes for one event of each kind.
    pub(crate) fn shrink(&mut self) {
        if let Some(lists) = &mut self.lists {
            lists.short.shrink_to(1);
            lists.others.shrink_to(1);
        }
    }

    /// Moves all events to room of their own length; returns the room they had, empty.
    pub(crate) fn replace_room(&mut self) -> Self {
        let mut room = std::mem::take(self);
        if let Some(lists) = room.lists.as_mut().filter(|lists| !lists.is_empty()) {
            self.lists = Some(Box::new(lists.split()));
        }
        room
    }
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.short.is_empty() && self.others.is_empty()
    }

    /// How many short messages there ever were.
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
        };
        lists.short.append(&mut self.short);
        lists.others.append(&mut self.others);
        lists
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).expect("a list has fewer than 2^64")
}

/// Makes room: for one at first, as most of what comes alone stays alone; then for some more, as twice as
/// much would be much for two that came in four bytes; later for so many that it is seldom done.
#[cold]
fn grow<T>(list: &mut VecDeque<T>, additional: usize) {
    let least = if list.capacity() == 0 { 1 } else { GROWTH };
    list.reserve_exact(least.max(additional));
}

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
                    let room = batch.replace_room();
                    assert!(room.is_empty());
                    assert!(batch.room() <= batch.len() * 64 + size_of::<Lists>());
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
