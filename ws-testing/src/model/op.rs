//! One step of a connection: bytes of the peer, a call of the application, or time that passes.

use std::fmt;
use std::time::Duration;

use ws_proto::{Message, Role};

use super::hex;
use super::peer::Deflated;
use crate::plain;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Op {
    /// The peer sends; nothing arrives before a `Read`.
    Peer(Sent),
    /// The same for a compressed message.
    PeerDeflated(Deflated),
    /// So many bytes arrive in one read.
    Read(usize),
    /// All bytes arrive, each in a read of its own.
    ReadEach,
    Eof,
    Reset,
    Send(Content),
    SendPrepared(Content),
    /// A message that is compressed once for many, in such a window, or never.
    SendToMany(Content, Option<u8>),
    SendFragment(Content, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// One event is taken; with `false`, only if it is at hand.
    Poll(bool),
    PollAll,
    /// So many bytes are written in place.
    Write(usize),
    /// So many bytes are taken to be written, and so many are written.
    TakeOutgoing(usize),
    Written(usize),
    /// Time passes and nobody looks at the timers.
    Pass(Duration),
    /// The timers are looked at, now or when the next one has run out.
    Timeout(bool),
}

/// What the application sends.
#[derive(Clone)]
pub enum Content {
    Text(String),
    Binary(Vec<u8>),
}

/// What the peer sends.
#[derive(Clone)]
pub enum Sent {
    /// A frame of RFC 6455, masked as the peer's role demands.
    Frame { first_byte: u8, payload: Vec<u8> },
    /// A header with all that can be wrong in it, and what follows.
    Header {
        first_byte: u8,
        wrong_mask: bool,
        /// The low seven bits of the second byte.
        form: u8,
        len: u64,
        then: Vec<u8>,
    },
    /// Any bytes.
    Raw(Vec<u8>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Binary(bytes) => write!(f, "Binary {}", hex(bytes)),
        }
    }
}

impl Content {
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(super) fn message(&self) -> Message {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes.clone().into(),
        }
    }
}

impl Sent {
    pub(super) fn bytes(&self, role: Role) -> Vec<u8> {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        match self {
            Self::Frame {
                first_byte,
                payload,
            } => plain::frame(*first_byte, (role == Role::Server).then_some(key), payload),
            Self::Header {
                first_byte,
                wrong_mask,
                form,
                len,
                then,
            } => {
                let is_masked = (role == Role::Server) != *wrong_mask;
                let mut bytes = vec![*first_byte, form | if is_masked { 0x80 } else { 0 }];
                match form {
                    126 => bytes.extend(&len.to_be_bytes()[6..]),
                    127 => bytes.extend(len.to_be_bytes()),
                    _ => {}
                }
                bytes.extend(then);
                bytes
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

/// In hexadecimal, as a failing case is to be read.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame {
                first_byte,
                payload,
            } => {
                write!(f, "Frame {first_byte:02x} {}", hex(payload))
            }
            Self::Header {
                first_byte,
                wrong_mask,
                form,
                len,
                then,
            } => write!(
                f,
                "Header {first_byte:02x} wrong_mask={wrong_mask} form={form} len={len} {}",
                hex(then)
            ),
            Self::Raw(bytes) => write!(f, "Raw {}", hex(bytes)),
        }
    }
}
