//! Tools for the tests of open connections: making them, feeding them, reading their events and bytes.

use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{Connection, ConnectionConfig, Event, Message, Randomness, Role, Version};

use crate::plain;

/// Masks that tests can foresee: 1, 2, 3, … in each byte.
#[derive(Default)]
pub struct Counting(u8);

impl Randomness for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// Both roles, every version.
pub fn all() -> impl Iterator<Item = (Role, Version)> {
    let roles = [Role::Server, Role::Client];
    roles
        .into_iter()
        .flat_map(|role| Version::ALL.into_iter().map(move |version| (role, version)))
}

pub fn connect(role: Role, version: Version, config: ConnectionConfig, now: Instant) -> Connection {
    match role {
        Role::Server => Connection::server(version, config, now),
        Role::Client => Connection::client(version, config, now, Box::<Counting>::default()),
    }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Takes all bytes that wait to be written.
pub fn written(connection: &mut Connection) -> Vec<u8> {
    let mut outgoing = connection.outgoing();
    let mut bytes = Vec::new();
    while outgoing.has_remaining() {
        let chunk = outgoing.chunk();
        bytes.extend_from_slice(chunk);
        let count = chunk.len();
        outgoing.advance(count);
    }
    bytes
}

/// Takes all events.
pub fn events(connection: &mut Connection, now: Instant) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll_event(now)).collect()
}

/// Takes all events and describes them in short: `text:…`, `binary:…`, `closed:CODE …`.
pub fn told(connection: &mut Connection, now: Instant) -> Vec<String> {
    events(connection, now).iter().map(describe).collect()
}

pub fn describe(event: &Event) -> String {
    match event {
        Event::Message(Message::Text(text)) => format!("text:{text}"),
        Event::Message(Message::Binary(payload)) => format!("binary:{}", payload.escape_ascii()),
        Event::Ping(payload) => format!("ping:{}", payload.escape_ascii()),
        Event::Pong(payload) => format!("pong:{}", payload.escape_ascii()),
        Event::Closed(closed) => format!(
            "closed:{} {:?} clean={} by={:?} {:?}",
            closed.code, closed.reason, closed.clean, closed.by, closed.cause
        ),
        other => format!("{other:?}"),
    }
}

/// Says what a plain decoder would call it.
///
/// # Panics
///
/// Panics if it is the end, which no decoder tells.
pub fn item(event: &Event) -> plain::Item {
    let bytes = |message: &Message| message.as_bytes().to_vec();
    match event {
        Event::Message(message) => plain::Item::Message(message.is_text(), bytes(message)),
        Event::Fragment(part) => {
            let content = bytes(&part.content);
            plain::Item::Part(part.content.is_text(), content, part.first, part.last)
        }
        Event::Ping(payload) => plain::Item::Ping(payload.to_vec()),
        Event::Pong(payload) => plain::Item::Pong(payload.to_vec()),
        other => panic!("not on the wire: {other:?}"),
    }
}

/// Builds RFC 6455 frames by hand, independently of the code under test.
pub struct Frame {
    pub first_byte: u8,
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(first_byte: u8, payload: impl AsRef<[u8]>) -> Self {
        Self {
            first_byte,
            mask: None,
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn masked(mut self) -> Self {
        self.mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        self
    }

    /// As the peer of `role` must send it.
    pub fn to(self, role: Role) -> Vec<u8> {
        match role {
            Role::Server => self.masked().bytes(),
            Role::Client => self.bytes(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first_byte];
        let len = self.payload.len();
        if len < 126 {
            bytes.push(mask_bit | u8::try_from(len).unwrap());
        } else if let Ok(len) = u16::try_from(len) {
            bytes.push(mask_bit | 126);
            bytes.extend(len.to_be_bytes());
        } else {
            bytes.push(mask_bit | 127);
            bytes.extend(u64::try_from(len).unwrap().to_be_bytes());
        }
        bytes.extend(self.mask.iter().flatten());
        let key = self.mask.unwrap_or_default();
        bytes.extend(
            self.payload
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ key[i % 4]),
        );
        bytes
    }
}

/// A close frame with a code.
pub fn close_frame(code: u16, reason: &str) -> Frame {
    Frame::new(0x88, [&code.to_be_bytes(), reason.as_bytes()].concat())
}
