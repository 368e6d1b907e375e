//! The messages on the wire: one JSON object in each text message. Knows nothing of the members.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize, Serializer};
use ws_tokio::{BackplaneError, ClusterId, Message, SendToError, TopicError, Version};

/// The most characters of a name.
pub const NAME_LIMIT: usize = 32;

/// The most characters of the name of a room.
pub const ROOM_LIMIT: usize = 32;

/// The most rooms that are listed, those with the most people.
pub const ROOM_LIST_LIMIT: usize = 50;

/// The room of who names none.
pub const LOBBY: &str = "lobby";

/// The most characters of a text.
pub const TEXT_LIMIT: usize = 2000;

/// What a client sends, for instance `{"type":"join","name":"Ana"}`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Request {
    /// Comes into the chat, under a name that nobody has there.
    Join { name: String, room: Option<String> },
    /// Moves to a room, which is there as soon as somebody is in it.
    Enter { room: String },
    /// Asks which rooms there are, now and whenever that changes, and who leaves the chat from now on.
    Rooms,
    /// Says something to all in the room.
    Say { text: String },
    /// Says something to one, wherever they are.
    Tell { to: String, text: String },
}

/// What the server sends, for instance `{"type":"left","id":"…","name":"Ana"}`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Event<'a> {
    /// Answers who joined or entered a room: where they are, and who else is there.
    Welcome {
        #[serde(serialize_with = "displayed")]
        id: ClusterId,
        name: &'a str,
        room: &'a str,
        here: Vec<Person<'a>>,
    },
    /// Somebody came into the room.
    Joined(Person<'a>),
    /// Somebody left the room, for another one or for good.
    Left {
        #[serde(serialize_with = "displayed")]
        id: ClusterId,
        name: &'a str,
    },
    Said {
        #[serde(serialize_with = "displayed")]
        from: ClusterId,
        name: &'a str,
        text: &'a str,
    },
    Told {
        #[serde(serialize_with = "displayed")]
        from: ClusterId,
        name: &'a str,
        #[serde(serialize_with = "displayed")]
        to: ClusterId,
        text: &'a str,
    },
    /// The rooms that have people on this server.
    Rooms {
        rooms: Vec<Room<'a>>,
    },
    /// Somebody left the chat, from whatever room.
    Gone {
        #[serde(serialize_with = "displayed")]
        id: ClusterId,
    },
    Error {
        text: &'a str,
    },
}

/// A room, and how many are in it.
#[derive(Serialize)]
pub struct Room<'a> {
    pub name: &'a str,
    pub people: usize,
}

/// Somebody who has joined.
#[derive(Serialize)]
pub struct Person<'a> {
    #[serde(serialize_with = "displayed")]
    pub id: ClusterId,
    pub name: &'a str,
    #[serde(serialize_with = "displayed")]
    pub version: Version,
}

/// So that an event goes wherever a message does: `connection.send(Event::Error { text })`.
impl From<Event<'_>> for Message {
    fn from(event: Event<'_>) -> Self {
        let json = serde_json::to_string(&event);
        json.expect("an event is made of text and lists").into()
    }
}

fn displayed<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Why a request was not done, in words for whoever sent it.
#[derive(Debug)]
pub enum Refusal {
    NotText,
    NotUnderstood(serde_json::Error),
    JoinFirst,
    JoinedAlready,
    BadName,
    NameTaken { name: String },
    BadRoom,
    NotEntered(TopicError),
    BadText,
    NobodyThere { id: String },
    NotSent(SendToError),
    NotPublished(BackplaneError),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("Please send text messages."),
            Self::NotUnderstood(error) => write!(f, "This was not understood: {error}."),
            Self::JoinFirst => f.write_str("Please join first."),
            Self::JoinedAlready => f.write_str("You have joined already."),
            Self::BadName => write!(
                f,
                "A name has 1 to {NAME_LIMIT} characters, and no control characters."
            ),
            Self::NameTaken { name } => {
                write!(
                    f,
                    "Somebody here is called {name} already. Please pick another name."
                )
            }
            Self::BadRoom => write!(
                f,
                "The name of a room has 1 to {ROOM_LIMIT} characters, and no control characters."
            ),
            Self::NotEntered(error) => write!(f, "The room was not entered: {error}."),
            Self::BadText => write!(f, "A message has 1 to {TEXT_LIMIT} characters."),
            Self::NobodyThere { id } => write!(f, "Nobody here has the id {id:?}."),
            Self::NotSent(error) => write!(f, "The message was not sent: {error}."),
            Self::NotPublished(error) => write!(f, "Only this server heard it: {error}."),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::NotUnderstood(error)
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::NotEntered(error)
    }
}

impl From<SendToError> for Refusal {
    fn from(error: SendToError) -> Self {
        Self::NotSent(error)
    }
}

impl From<BackplaneError> for Refusal {
    fn from(error: BackplaneError) -> Self {
        Self::NotPublished(error)
    }
}
