//! Puts messages together that are reported in fragments, so that they compare with whole ones.

use ws_proto::{Event, Message};

/// The message that is being put together, if there is one: whether it is text, and its bytes.
#[derive(Default)]
pub(crate) struct Merge(Option<(bool, Vec<u8>)>);

impl Merge {
    /// Takes an event; returns it, or the message that it completes.
    pub(crate) fn whole(&mut self, event: Event) -> Option<Event> {
        let fragment = match event {
            Event::Fragment(fragment) => fragment,
            Event::Message(_) => {
                assert!(self.0.is_none(), "a message inside of another one");
                return Some(event);
            }
            other => return Some(other),
        };
        let is_text = fragment.content.is_text();
        assert_eq!(
            fragment.first,
            self.0.is_none(),
            "the first one, and no other"
        );
        let (was_text, bytes) = self.0.get_or_insert((is_text, Vec::new()));
        assert_eq!(*was_text, is_text, "all fragments are of one type");
        bytes.extend(fragment.content.as_bytes());
        if !fragment.last {
            return None;
        }
        let (is_text, bytes) = self.0.take()?;
        Some(Event::Message(match is_text {
            true => String::from_utf8(bytes).expect("text is UTF-8").into(),
            false => Message::from(bytes),
        }))
    }
}
