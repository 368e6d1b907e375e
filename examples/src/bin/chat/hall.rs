//! The members of the chat, the room of each one, and their messages. A room is a topic of the cluster.
//!
//! One lock guards the list and every announcement, so that all members on this server see what happens here in one
//! order. Nothing waits while it is held, because a broadcast only queues. The server closes a client that reads too
//! slowly, as it does by default: a gap in the conversation would be worse.
//!
//! The list has the members on this server. What is announced, said and told reaches those on other servers, too, but
//! a welcome does not name them, and a name is for one on each server.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ws_tokio::{Clients, Cluster, ClusterId, ClusterTopic, Connection, Message, Sender};

use crate::protocol::{
    Event, NAME_LIMIT, Person, ROOM_LIMIT, ROOM_LIST_LIMIT, Refusal, Room, TEXT_LIMIT,
};

pub struct Hall {
    clients: Clients,
    cluster: Cluster,
    reach: Reach,
    people: Mutex<People>,
}

/// Where members can be.
#[derive(Clone, Copy)]
pub enum Reach {
    ThisServer,
    /// On this server and on others.
    Cluster,
}

/// Those who have a seat.
type People = BTreeMap<ClusterId, Member>;

#[derive(Clone)]
struct Member {
    name: String,
    room: String,
    sender: Sender,
}

/// Somebody's place in the hall; dropping it is how they leave.
pub struct Seat<'a> {
    hall: &'a Hall,
    id: ClusterId,
}

impl Hall {
    pub fn new(clients: Clients, cluster: Cluster, reach: Reach) -> Self {
        Self {
            clients,
            cluster,
            reach,
            people: Mutex::default(),
        }
    }

    pub fn join(
        &self,
        connection: &Connection,
        name: &str,
        room: &str,
    ) -> Result<Seat<'_>, Refusal> {
        let name = trimmed(name, NAME_LIMIT).ok_or(Refusal::BadName)?;
        let room = trimmed(room, ROOM_LIMIT).ok_or(Refusal::BadRoom)?;
        let mut people = self.people();
        let folded = name.to_lowercase();
        if let Some(namesake) = people.values().find(|it| it.name.to_lowercase() == folded) {
            let name = namesake.name.clone();
            return Err(Refusal::NameTaken { name });
        }
        let member = Member {
            name: name.to_owned(),
            room: room.to_owned(),
            sender: connection.sender(),
        };
        let id = connection.cluster_id();
        if matches!(self.reach, Reach::Cluster) {
            connection.join(&person_topic(id))?;
        }
        self.admit(&people, &member, connection)?;
        self.announce_joined(&member);
        people.insert(id, member);
        Ok(Seat { hall: self, id })
    }

    /// Tells those who asked which rooms there are, if that has changed since the last time.
    pub fn announce_rooms(&self, told: &mut Message) {
        let people = self.people();
        let rooms = list_of_rooms(&people);
        if *told != rooms {
            *told = rooms.clone();
            self.clients.topic(ROOMS_TOPIC).broadcast(rooms);
        }
    }

    /// Welcomes somebody to their room and lets them hear what goes on in it.
    fn admit(
        &self,
        people: &People,
        member: &Member,
        connection: &Connection,
    ) -> Result<(), Refusal> {
        let (id, name, room) = (connection.cluster_id(), &*member.name, &*member.room);
        let others = people.iter().filter(|(other, _)| **other != id);
        let in_room = others.filter(|(_, other)| other.room == room);
        let here = in_room.map(|(_, other)| other.person()).collect();
        let welcome = Event::Welcome {
            id,
            name,
            room,
            here,
        };
        self.clients.send(connection.id(), welcome)?;
        connection.join(&room_topic(room))?;
        Ok(())
    }

    fn announce_joined(&self, member: &Member) {
        let joined = Event::Joined(member.person());
        self.room(&member.room)
            .broadcast_except(member.sender.id(), joined);
    }

    fn announce_left(&self, member: &Member, room: &str) {
        let (id, name) = (member.sender.cluster_id(), &*member.name);
        self.room(room)
            .broadcast_except(member.sender.id(), Event::Left { id, name });
    }

    fn room(&self, name: &str) -> ClusterTopic {
        self.cluster.topic(room_topic(name))
    }

    fn people(&self) -> MutexGuard<'_, People> {
        // The list is whole at any time, so it is of use even after a panic.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn person(&self) -> Person<'_> {
        Person {
            id: self.sender.cluster_id(),
            name: &self.name,
            version: self.sender.version(),
        }
    }
}

impl Seat<'_> {
    /// Returns the topic of the room.
    pub fn topic(&self) -> String {
        room_topic(&self.hall.people()[&self.id].room)
    }

    /// Moves to a room; to the one they are in, it only says once more who is there.
    pub fn enter(&self, connection: &Connection, room: &str) -> Result<(), Refusal> {
        let room = trimmed(room, ROOM_LIMIT).ok_or(Refusal::BadRoom)?;
        let mut people = self.hall.people();
        let mut me = people[&self.id].clone();
        let old_room = mem::replace(&mut me.room, room.to_owned());
        self.hall.admit(&people, &me, connection)?;
        if old_room != room {
            connection.leave(&room_topic(&old_room));
            self.hall.announce_left(&me, &old_room);
            self.hall.announce_joined(&me);
            people.insert(self.id, me);
        }
        Ok(())
    }

    /// Says which rooms there are, now and whenever that changes, and who leaves the chat.
    pub fn list_rooms(&self, connection: &Connection) -> Result<(), Refusal> {
        let people = self.hall.people();
        let rooms = list_of_rooms(&people);
        self.hall.clients.send(connection.id(), rooms)?;
        connection.join(ROOMS_TOPIC)?;
        Ok(())
    }

    /// Says something to all in the room, oneself included.
    pub fn say(&self, text: &str) -> Result<(), Refusal> {
        check(text)?;
        let people = self.hall.people();
        let (from, Member { name, room, .. }) = (self.id, &people[&self.id]);
        let said = Event::Said { from, name, text };
        Ok(self.hall.room(room).broadcast(said).remote?)
    }

    /// Says something to one, in whatever room they are, with a copy to oneself.
    pub fn tell(&self, to: &str, text: &str) -> Result<(), Refusal> {
        check(text)?;
        let people = self.hall.people();
        let nobody = || Refusal::NobodyThere { id: to.to_owned() };
        let to: ClusterId = to.parse().map_err(|_| nobody())?;
        let (from, me) = (self.id, &people[&self.id]);
        let told = Event::Told {
            from,
            name: &me.name,
            to,
            text,
        };
        let message = Message::from(told);
        match (people.get(&to), self.hall.reach) {
            (Some(_), _) if to == from => {}
            (Some(member), _) => self
                .hall
                .clients
                .send(member.sender.id(), message.clone())?,
            // Whether somebody is there only that server knows.
            (None, Reach::Cluster) if to.node != self.hall.cluster.node() => {
                let person = self.hall.cluster.topic(person_topic(to));
                person.broadcast(message.clone()).remote?;
            }
            (None, _) => return Err(nobody()),
        }
        self.hall.clients.send(me.sender.id(), message)?;
        Ok(())
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut people = self.hall.people();
        if let Some(member) = people.remove(&self.id) {
            self.hall.announce_left(&member, &member.room);
            // Those who talk with them alone can be in any room.
            let pages = self.hall.cluster.topic(ROOMS_TOPIC);
            pages.broadcast(Event::Gone { id: self.id });
        }
    }
}

/// Makes the list of rooms, the fullest first.
fn list_of_rooms(people: &People) -> Message {
    let mut lens = BTreeMap::<&str, usize>::new();
    for member in people.values() {
        *lens.entry(&member.room).or_default() += 1;
    }
    let listed = lens.into_iter();
    let mut rooms: Vec<_> = listed.map(|(name, people)| Room { name, people }).collect();
    rooms.sort_by_key(|room| Reverse(room.people));
    rooms.truncate(ROOM_LIST_LIMIT);
    Event::Rooms { rooms }.into()
}

/// The topic of those who asked which rooms there are, and who leaves the chat.
const ROOMS_TOPIC: &str = "rooms";

/// The topic of all in a room.
fn room_topic(room: &str) -> String {
    format!("room/{room}")
}

/// The topic of one alone, for those on other servers.
fn person_topic(id: ClusterId) -> String {
    format!("person/{id}")
}

/// Returns a name without the spaces around it, if it is one.
fn trimmed(name: &str, limit: usize) -> Option<&str> {
    let name = name.trim();
    let has_len = (1..=limit).contains(&name.chars().count());
    (has_len && !name.contains(char::is_control)).then_some(name)
}

fn check(text: &str) -> Result<(), Refusal> {
    match text.chars().count() {
        1..=TEXT_LIMIT => Ok(()),
        _ => Err(Refusal::BadText),
    }
}
