//! The notes on the board, and the clients that watch it. Knows nothing of HTTP: it sends to the clients of
//! a server.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use ws_tokio::{Clients, Connection};

/// The most notes; the oldest falls down when there is one more.
const NOTE_LIMIT: usize = 50;

/// The most characters of a note.
const TEXT_LIMIT: usize = 280;

pub struct Board {
    clients: Clients,
    /// Locked while a change is told, so that all hear of the changes in one order; to tell never waits.
    pinned: Mutex<Pinned>,
}

#[derive(Default)]
struct Pinned {
    notes: VecDeque<Note>,
    last_id: u64,
    watching: usize,
}

/// A note on the board.
#[derive(Clone, Serialize)]
pub struct Note {
    id: u64,
    text: String,
}

/// A note that somebody wants to pin up.
#[derive(Deserialize)]
pub struct Draft {
    text: String,
}

/// Why a note was not pinned up.
#[derive(Clone, Copy)]
pub enum Refusal {
    Empty,
    TooLong,
    NotJson,
}

/// What clients are told.
#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "event")]
enum Event<'a> {
    Board { notes: &'a VecDeque<Note> },
    Pinned { note: &'a Note },
    Unpinned { id: u64 },
    Watching { count: usize },
    Refused { why: String },
}

impl Board {
    pub fn new(clients: Clients) -> Self {
        Self {
            clients,
            pinned: Mutex::default(),
        }
    }

    pub fn notes(&self) -> Vec<Note> {
        self.lock().notes.iter().cloned().collect()
    }

    pub fn pin(&self, draft: &Draft) -> Result<Note, Refusal> {
        let text = draft.text.trim();
        if text.is_empty() {
            return Err(Refusal::Empty);
        }
        if text.chars().count() > TEXT_LIMIT {
            return Err(Refusal::TooLong);
        }
        let mut pinned = self.lock();
        pinned.last_id += 1;
        let note = Note {
            id: pinned.last_id,
            text: text.to_owned(),
        };
        if pinned.notes.len() == NOTE_LIMIT
            && let Some(oldest) = pinned.notes.pop_front()
        {
            self.tell(&Event::Unpinned { id: oldest.id });
        }
        pinned.notes.push_back(note.clone());
        self.tell(&Event::Pinned { note: &note });
        Ok(note)
    }

    /// Takes a note down; tells whether it was there.
    pub fn unpin(&self, id: u64) -> bool {
        let mut pinned = self.lock();
        let Some(place) = pinned.notes.iter().position(|note| note.id == id) else {
            return false;
        };
        pinned.notes.remove(place);
        self.tell(&Event::Unpinned { id });
        true
    }

    /// Makes a client one of those who look at the board: it hears what is there, and then each change.
    pub fn sit_down(&self, connection: &Connection) -> Seat<'_> {
        let mut pinned = self.lock();
        pinned.watching += 1;
        // Its send queue is empty, or it has gone already.
        let _ = connection.try_send(text(&Event::Board {
            notes: &pinned.notes,
        }));
        let _ = connection.join(TOPIC);
        self.tell(&Event::Watching {
            count: pinned.watching,
        });
        Seat { board: self }
    }

    /// Called with the lock held: see there.
    fn tell(&self, event: &Event<'_>) {
        self.clients.topic(TOPIC).broadcast(text(event));
    }

    fn lock(&self) -> MutexGuard<'_, Pinned> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who look at the board. Not all connections: one may just be opening, and has to hear what is
/// there before it hears of changes.
const TOPIC: &str = "board";

/// Somebody's place in front of the board; dropping it is how they leave.
pub struct Seat<'a> {
    board: &'a Board,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut pinned = self.board.lock();
        pinned.watching -= 1;
        self.board.tell(&Event::Watching {
            count: pinned.watching,
        });
    }
}

/// What the one who tried is told.
pub fn refused(refusal: Refusal) -> String {
    let why = refusal.to_string();
    text(&Event::Refused { why })
}

fn text(event: &Event<'_>) -> String {
    serde_json::to_string(event).expect("an event is numbers and text")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a note says something"),
            Self::TooLong => write!(f, "a note has {TEXT_LIMIT} characters at most"),
            Self::NotJson => f.write_str("a note is sent as {\"text\": \"…\"}"),
        }
    }
}
