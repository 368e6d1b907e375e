//! Two of our own endpoints and a pipe between them that chops and delays, but loses nothing: every
//! message that one accepts for sending arrives at the other, in order, however they close.

use std::collections::VecDeque;
use std::time::Instant;

use arbitrary::{Result, Unstructured};
use bytes::Buf;
use ws_proto::{
    CloseCause, CloseCode, CloseReason, Connection, ConnectionConfig, Deflate, DeflateTerms, Event,
    Message, Outgoing, PreparedMessage, Role, SendError, Version,
};

use crate::deflate;
use crate::merge::Merge;
use ws_testing::connections::connect;

/// Steps of one conversation.
const STEP_LIMIT: usize = 64;

/// Rounds in which a conversation that nobody adds to must come to rest.
const REST_LIMIT: usize = 8;

/// One endpoint, its half of the pipe, and what must come out of the other half.
struct Side {
    connection: Connection,
    /// What messages are compressed with for many, if they are compressed here.
    deflate: Option<Deflate>,
    /// Taken from the connection, but not in the pipe yet.
    writing: Outgoing,
    /// On the way to the other side.
    pipe: VecDeque<u8>,
    /// The write side is shut down; the other side is told when the pipe is empty.
    is_shut_down: bool,
    end_is_told: bool,
    sent: Vec<Message>,
    /// What was sent of a message that is not complete.
    open: Vec<u8>,
    received: Vec<Message>,
    merge: Merge,
}

/// Choices: version and compression, limits, how it is compressed, then one byte or more for each step.
pub(crate) fn talk(u: &mut Unstructured<'_>) -> Result<()> {
    let place = usize::from(u.arbitrary::<u8>()?);
    let count = Version::ALL.len();
    let version = Version::ALL[place % count];
    let compresses = place >= count && version.features().extensions;
    let mut config = ConnectionConfig::new();
    if u.arbitrary()? {
        config = config
            .send_queue_limit(64)
            .receive_queue_limit(64)
            .receive_fragments(true);
    }
    let agreed = match compresses {
        true => Some(agree(u)?),
        false => None,
    };
    let now = Instant::now();
    let mut sides = [(Role::Client, 0), (Role::Server, 1)].map(|(role, who)| Side {
        connection: match &agreed {
            Some((_, terms)) => {
                connect(role, version, config.clone(), now).with_deflate(&terms[who])
            }
            None => connect(role, version, config.clone(), now),
        },
        deflate: agreed.as_ref().map(|(options, _)| options.clone()),
        writing: Outgoing::new(),
        pipe: VecDeque::new(),
        is_shut_down: false,
        end_is_told: false,
        sent: Vec::new(),
        open: Vec::new(),
        received: Vec::new(),
        merge: Merge::default(),
    });
    for count in 0..STEP_LIMIT {
        if u.is_empty() {
            break;
        }
        let who = usize::from(u.ratio(1, 2)?);
        step(u, &mut sides, who, count, now)?;
    }
    rest(&mut sides, now);
    Ok(())
}

/// Has a client offer compression and a server answer. Returns the options of the server, and what the
/// client and the server have understood.
fn agree(u: &mut Unstructured<'_>) -> Result<(Deflate, [DeflateTerms; 2])> {
    // Short messages, too; and quickly, as how well it is done does not matter here.
    let mut options = || -> Result<Deflate> {
        let options = deflate::options(u)?.threshold(*u.choose(&[0, 1024])?);
        Ok(options.level(1).expect("there is such a level"))
    };
    let (client, server) = (options()?, options()?);
    let offer = deflate::one_line(&client.offer());
    let accepted = server.accept(&offer).expect("ours is well-formed");
    let answer = deflate::one_line(&accepted.to_string());
    let confirmed = client.confirm(&answer).expect("so is the answer");
    Ok((server, [confirmed.expect("it agrees"), accepted]))
}

fn step(
    u: &mut Unstructured<'_>,
    sides: &mut [Side; 2],
    who: usize,
    count: usize,
    now: Instant,
) -> Result<()> {
    match u.int_in_range(0..=8)? {
        0 => sides[who].send(text(u, count)?),
        1 => {
            let message = text(u, count)?;
            let prepared = sides[who].prepare(u, &message)?;
            sides[who].send_prepared(message, &prepared);
        }
        2 => sides[who].send(Message::from(vec![u.arbitrary()?; len(u)?])),
        3 => match sides[who].connection.ping(u.bytes(2)?) {
            Ok(()) | Err(SendError::Closed | SendError::Unsupported { .. }) => {}
            Err(error) => panic!("{error}"),
        },
        4 => sides[who].receive(u.int_in_range(1..=9)?, now),
        5 => sides[who].write(usize::from(u.arbitrary::<u8>()?) + 1),
        6 => transfer(sides, who, usize::from(u.arbitrary::<u16>()?), now),
        // A draft cannot close in the middle of a text, so that nothing would end it here but time.
        7 if sides[who].connection.version().features().fragments => {
            let content = vec![u.arbitrary()?; len(u)?];
            sides[who].send_fragment(content, u.arbitrary()?);
        }
        _ => {
            let code = *u.choose(&[None, Some(CloseCode::NORMAL), Some(CloseCode::GOING_AWAY)])?;
            let reason = CloseReason::from_static("bye");
            sides[who].connection.close(now, code, reason);
        }
    }
    Ok(())
}

/// A text that tells which one it is, so that no two are equal.
fn text(u: &mut Unstructured<'_>, count: usize) -> Result<Message> {
    Ok(format!("{count} {}", "κ".repeat(len(u)?)).into())
}

/// Lengths on both sides of every limit: inline, one-byte lengths, copies, much that waits.
fn len(u: &mut Unstructured<'_>) -> Result<usize> {
    let around = *u.choose(&[0, 38, 125, 1000, 4096, 65_534])?;
    Ok(around + u.int_in_range(0..=2)?)
}

/// Moves bytes from the pipe of a side to the other one.
fn transfer(sides: &mut [Side; 2], who: usize, count: usize, now: Instant) {
    let [client, server] = sides;
    let (from, to) = if who == 0 {
        (client, server)
    } else {
        (server, client)
    };
    if !to.connection.wants_read() {
        return;
    }
    let count = count.min(from.pipe.len());
    let bytes: Vec<u8> = from.pipe.drain(..count).collect();
    to.connection.handle_read(now, &bytes);
    if from.pipe.is_empty() && from.is_shut_down && !from.end_is_told {
        from.end_is_told = true;
        to.connection.handle_eof(now);
    }
}

/// Lets everything that is under way arrive, then compares.
fn rest(sides: &mut [Side; 2], now: Instant) {
    for _ in 0..REST_LIMIT {
        for who in [0, 1] {
            sides[who].write(usize::MAX);
            transfer(sides, who, usize::MAX, now);
            sides[1 - who].receive(usize::MAX, now);
        }
    }
    let [client, server] = sides;
    for (from, to) in [(&*client, &*server), (&*server, &*client)] {
        assert!(from.pipe.is_empty() && from.connection.buffered_amount() == 0);
        assert!(
            from.sent == to.received,
            "sent {} messages, of which {} arrived",
            from.sent.len(),
            to.received.len()
        );
    }
    let ends = [&client.connection, &server.connection].map(|side| side.closed().is_some());
    assert_eq!(ends[0], ends[1], "both ends know of the end, or none");
    assert_eq!(client.connection.is_finished(), ends[0]);
    assert_eq!(server.connection.is_finished(), ends[1]);
}

impl Side {
    /// Sends as an application does, and remembers what was accepted.
    fn send(&mut self, message: Message) {
        let sent = self.connection.send(message.clone());
        self.note(message, sent);
    }

    /// The same for a message that was encoded before.
    fn send_prepared(&mut self, message: Message, prepared: &PreparedMessage) {
        let sent = self.connection.send_prepared(prepared);
        self.note(message, sent);
    }

    /// Encodes a message for many, in one of the ways that there are.
    fn prepare(&self, u: &mut Unstructured<'_>, message: &Message) -> Result<PreparedMessage> {
        let message = message.clone();
        let Some(deflate) = &self.deflate else {
            return Ok(PreparedMessage::new(message));
        };
        Ok(match u.int_in_range(0..=2)? {
            0 => PreparedMessage::new(message),
            1 => PreparedMessage::plain(message),
            _ => PreparedMessage::compressed(message, deflate),
        })
    }

    fn note(&mut self, message: Message, sent: std::result::Result<(), SendError>) {
        match sent {
            Ok(()) => self.sent.push(message),
            Err(SendError::Closed | SendError::QueueFull { .. }) => {}
            Err(SendError::MessageOpen) => assert!(self.connection.is_message_open()),
            Err(SendError::Unsupported { .. }) => assert!(!message.is_text()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a part of a binary message.
    fn send_fragment(&mut self, content: Vec<u8>, last: bool) {
        match self.connection.send_fragment(content.clone(), last) {
            Ok(()) => self.open.extend(content),
            Err(SendError::Closed | SendError::QueueFull { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        if last {
            let message = std::mem::take(&mut self.open);
            self.sent.push(message.into());
        }
    }

    /// Takes events as an application does.
    fn receive(&mut self, limit: usize, now: Instant) {
        for _ in 0..limit {
            let Some(event) = self.connection.poll_event(now) else {
                break;
            };
            match self.merge.whole(event) {
                Some(Event::Message(message)) => self.received.push(message),
                Some(Event::Closed(closed)) => assert!(
                    matches!(closed.cause, CloseCause::Handshake),
                    "between the two of us: {closed}"
                ),
                Some(event) => panic!("not asked for: {event:?}"),
                // A fragment, with more to come.
                None => {}
            }
        }
    }

    /// Writes as a driver does: takes what waits, moves a part of it, shuts down if that is wanted.
    fn write(&mut self, limit: usize) {
        let mut left = limit;
        while left > 0 {
            if !self.writing.has_remaining() {
                self.writing = self.connection.take_outgoing(limit.min(64 << 10));
            }
            let count = self.writing.chunk().len().min(left);
            if count == 0 {
                break;
            }
            assert!(!self.is_shut_down, "nothing is written behind the end");
            self.pipe.extend(&self.writing.chunk()[..count]);
            self.writing.advance(count);
            self.connection.handle_written(count);
            left -= count;
        }
        self.is_shut_down |= self.connection.wants_shutdown();
    }
}
