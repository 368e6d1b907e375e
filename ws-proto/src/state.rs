//! The states of a connection, as an application sees them.

use std::fmt;

/// The state of a connection, from the first byte to the last.
///
/// The numbers 0 to 5 are those of node-websocket-server. Number 6 is an addition of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Nothing is known yet.
    Unknown = 0,
    /// The request head is being received.
    Opening = 1,
    /// The 101 head of draft-76 was sent, and key3 has not arrived in full.
    Waiting = 2,
    /// The request is complete and is being answered.
    Handshaking = 3,
    /// The opening handshake is done, and messages can be sent and received.
    Connected = 4,
    /// The connection has ended.
    Closed = 5,
    /// A close was sent or received, and the closing handshake is not done.
    Closing = 6,
}

impl State {
    /// Returns the number of the state.
    pub const fn number(self) -> u8 {
        // No `self as u8`: the workspace forbids `as` conversions.
        match self {
            Self::Unknown => 0,
            Self::Opening => 1,
            Self::Waiting => 2,
            Self::Handshaking => 3,
            Self::Connected => 4,
            Self::Closed => 5,
            Self::Closing => 6,
        }
    }

    /// Returns the name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Opening => "opening",
            Self::Waiting => "waiting",
            Self::Handshaking => "handshaking",
            Self::Connected => "connected",
            Self::Closed => "closed",
            Self::Closing => "closing",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The side of a connection that an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The endpoint that accepted the opening handshake.
    Server,
    /// The endpoint that started the opening handshake.
    Client,
}
