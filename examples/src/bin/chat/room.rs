//! Who has joined, and what they are told.
//!
//! One lock guards the list and whatever is announced, so that all see everything in one order.
//! Nothing waits while it is held: a send to many only queues.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ws_tokio::{
    Clients, CloseCode, Connection, ConnectionId, Message, PreparedMessage, SendError, Sender,
};

use crate::protocol::{Event, NAME_LIMIT, Person, Refusal, TEXT_LIMIT};

pub struct Room {
    clients: Clients,
    people: Mutex<People>,
}

type People = BTreeMap<ConnectionId, Member>;

struct Member {
    name: String,
    sender: Sender,
}

/// Somebody's place in the room; dropping it is how they leave.
pub struct Seat<'a> {
    room: &'a Room,
    id: ConnectionId,
    name: String,
}

impl Room {
    pub fn new(clients: Clients) -> Self {
        Self {
            clients,
            people: Mutex::default(),
        }
    }

    pub fn join(&self, connection: &Connection, name: &str) -> Result<Seat<'_>, Refusal> {
        let name = name.trim();
        let has_len = (1..=NAME_LIMIT).contains(&name.chars().count());
        if !has_len || name.contains(char::is_control) {
            return Err(Refusal::BadName);
        }
        let mut people = self.people();
        let folded = name.to_lowercase();
        if let Some(namesake) = people.values().find(|it| it.name.to_lowercase() == folded) {
            let name = namesake.name.clone();
            return Err(Refusal::NameTaken { name });
        }
        let id = connection.id();
        let here = people.values().map(Member::person).collect();
        self.clients.send(id, Event::Welcome { id, name, here })?;
        let member = Member {
            name: name.to_owned(),
            sender: connection.sender(),
        };
        announce(&people, Event::Joined(member.person()));
        people.insert(id, member);
        Ok(Seat {
            room: self,
            id,
            name: name.to_owned(),
        })
    }

    fn people(&self) -> MutexGuard<'_, People> {
        // The list is whole at any time, so it is of use even after a panic.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn person(&self) -> Person<'_> {
        Person {
            id: self.sender.id(),
            name: &self.name,
            version: self.sender.version(),
        }
    }
}

impl Seat<'_> {
    /// Says something to all, oneself included.
    pub fn say(&self, text: &str) -> Result<(), Refusal> {
        check(text)?;
        let (from, name) = (self.id, &self.name);
        announce(&self.room.people(), Event::Said { from, name, text });
        Ok(())
    }

    /// Says something to one, with a copy to oneself.
    pub fn tell(&self, to: &str, text: &str) -> Result<(), Refusal> {
        check(text)?;
        let people = self.room.people();
        let id = to.parse().ok().filter(|id| people.contains_key(id));
        let to = id.ok_or_else(|| Refusal::NobodyThere { id: to.to_owned() })?;
        let (from, name) = (self.id, &self.name);
        let message = Message::from(Event::Told {
            from,
            name,
            to,
            text,
        });
        if to != from {
            self.room.clients.send(to, message.clone())?;
        }
        self.room.clients.send(from, message)?;
        Ok(())
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let (id, name) = (self.id, &self.name);
        let mut people = self.room.people();
        people.remove(&id);
        announce(&people, Event::Left { id, name });
    }
}

fn check(text: &str) -> Result<(), Refusal> {
    match text.chars().count() {
        1..=TEXT_LIMIT => Ok(()),
        _ => Err(Refusal::BadText),
    }
}

/// Queues an event for each of them; it is encoded once. Who reads too slowly to keep up is sent
/// away, as a gap in what they hear would be worse.
fn announce(people: &People, event: Event<'_>) {
    let message = PreparedMessage::new(event);
    for Member { sender, .. } in people.values() {
        if let Err(SendError::QueueFull { .. }) = sender.try_send_prepared(&message) {
            let closing = sender.close(CloseCode::TRY_AGAIN, "too slow");
            closing.expect("a reason as short as this fits");
        }
        // Whoever is closing already is about to leave.
    }
}
