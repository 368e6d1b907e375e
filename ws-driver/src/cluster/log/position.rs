//! Places in a log, and what stands there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use ws_proto::{Message, SendError};

use crate::cluster::error::BackplaneError;
use crate::id::cluster::ClusterId;
use crate::registry::topics::TopicError;
use crate::util::sync::Arc;

/// The place of a message in the log of a topic. A client keeps the last one that it has seen, and
/// [resumes](crate::ClusterTopic::resume) behind it.
///
/// It is displayed as `epoch-offset` and parsed from the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The log that the offset counts in. The log of a topic gets another one whenever messages can have been lost: when
    /// the engine starts anew, or a replica takes its place.
    pub epoch: u64,
    /// The number of the message in its epoch, from 1. Zero is the place before the first.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Error from parsing a [`Position`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePositionError(());

impl fmt::Display for ParsePositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a position in a log, which is two numbers with a dash between them")
    }
}

impl std::error::Error for ParsePositionError {}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| digits.parse().ok()).flatten();
            number.ok_or(ParsePositionError(()))
        };
        let (epoch, offset) = text.split_once('-').ok_or(ParsePositionError(()))?;
        Ok(Self {
            epoch: number(epoch)?,
            offset: number(offset)?,
        })
    }
}

/// What a member of a topic gets from its log, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogEvent {
    /// The connection has resumed without a position, and gets everything behind this place. It is the first that it gets: a
    /// client that goes away before a message came resumes from here.
    Start {
        /// The place of the last message in the log, or the place before the oldest one.
        position: Position,
    },
    /// A message.
    Message {
        /// Its place. A client that has it resumes from here.
        position: Position,
        /// What was appended.
        message: Message,
    },
    /// Messages are missing: the log no longer has them, or may have lost them.
    Gap {
        /// The place behind them: the next message is the one after it.
        position: Position,
        /// How many they are. `None` if nobody knows, because the epoch is another one.
        missed: Option<u64>,
    },
}

/// Where a connection [resumes](crate::ClusterTopic::resume) in a log. `None` is the end, and `Some` a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeFrom {
    /// Behind a position that the client has seen.
    After(Position),
    /// At the oldest message that the log still has, for a client that has seen none and wants the history.
    Oldest,
    /// At the end: nothing that was appended before is sent.
    End,
}

impl From<Position> for ResumeFrom {
    fn from(position: Position) -> Self {
        Self::After(position)
    }
}

impl From<Option<Position>> for ResumeFrom {
    fn from(position: Option<Position>) -> Self {
        position.map_or(Self::End, Self::After)
    }
}

/// What a [`resume`](crate::ClusterTopic::resume) has sent to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumed {
    /// All that the log has behind the position. Nothing was missed.
    Complete {
        /// The place of the last message in the log. Later ones follow.
        position: Position,
        /// The number of messages that were sent.
        replayed: u64,
    },
    /// A [`LogEvent::Gap`], and what the log has behind it.
    Gap {
        /// The place of the last message in the log. Later ones follow.
        position: Position,
        /// The number of messages that were sent.
        replayed: u64,
        /// How many are missing; `None` if nobody knows.
        missed: Option<u64>,
    },
}

impl LogEvent {
    /// Returns the place from which a client resumes that has got this.
    pub fn position(&self) -> Position {
        match self {
            Self::Start { position }
            | Self::Message { position, .. }
            | Self::Gap { position, .. } => *position,
        }
    }
}

impl Resumed {
    /// Returns the place from which the connection gets everything.
    pub fn position(&self) -> Position {
        match self {
            Self::Complete { position, .. } | Self::Gap { position, .. } => *position,
        }
    }
}

/// Why a message was not appended to a log, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The topic has no log: option [`ClusterConfig::log`](crate::ClusterConfig::log).
    NoLog,
    /// The message is longer than a message of a client may be.
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit: option `message_limit`.
        limit: usize,
    },
    /// The name of the topic is too long, so no connection can join it.
    NameTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit: [`TOPIC_NAME_LIMIT`](crate::TOPIC_NAME_LIMIT).
        limit: usize,
    },
    /// The message was not appended.
    Backplane(BackplaneError),
    /// The engine did not answer in time. The message may have been appended.
    Unknown {
        /// The time that was waited.
        waited: Duration,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLog => f.write_str(NO_LOG),
            Self::TooLarge { len, limit } => write!(
                f,
                "the message has {len} bytes; {limit} are allowed in a log (option message_limit)"
            ),
            Self::NameTooLong { len, limit } => write!(
                f,
                "the name of the topic has {len} bytes; {limit} are allowed (TOPIC_NAME_LIMIT)"
            ),
            Self::Backplane(error) => error.fmt(f),
            Self::Unknown { waited } => write!(
                f,
                "the engine of the cluster did not say within {waited:?} whether it appended the message"
            ),
        }
    }
}

const NO_LOG: &str = "the topic has no log (option log of ClusterConfig)";

impl std::error::Error for AppendError {
    /// Returns the source of the cause, because the text of the cause is the whole text of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Backplane(error) => error.source(),
            Self::NoLog
            | Self::TooLarge { .. }
            | Self::NameTooLong { .. }
            | Self::Unknown { .. } => None,
        }
    }
}

/// Why a connection did not resume. It has not joined the topic, but may have got some of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The topic has no log: option [`ClusterConfig::log`](crate::ClusterConfig::log).
    NoLog,
    /// The connection is a member of the topic already, and gets what is appended.
    AlreadyMember,
    /// The connection is not one of this node.
    OtherNode {
        /// The id.
        id: ClusterId,
    },
    /// The connection could not join the topic.
    Topic(TopicError),
    /// The connection did not take a message.
    Send(SendError),
    /// The engine did not answer.
    Backplane(BackplaneError),
    /// More is appended to the topic than the connection takes.
    TooFast,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLog => f.write_str(NO_LOG),
            Self::AlreadyMember => f.write_str(
                "the connection is a member of the topic; one that resumes must not have joined it",
            ),
            Self::OtherNode { id } => write!(f, "the connection {id} is not one of this node"),
            Self::Topic(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Backplane(error) => error.fmt(f),
            Self::TooFast => f.write_str("more is appended to the topic than the connection takes"),
        }
    }
}

impl std::error::Error for ResumeError {
    /// Returns the source of the cause, because the text of the cause is the whole text of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Topic(error) => error.source(),
            Self::Send(error) => error.source(),
            Self::Backplane(error) => error.source(),
            Self::NoLog | Self::AlreadyMember | Self::OtherNode { .. } | Self::TooFast => None,
        }
    }
}

impl From<BackplaneError> for ResumeError {
    fn from(error: BackplaneError) -> Self {
        Self::Backplane(error)
    }
}

// What an engine keeps.

/// An entry for the log of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogAppend {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// What to keep. Its first [`LOG_KEY_LEN`] bytes differ from those of every other entry.
    pub entry: Bytes,
    /// What to publish on [`Channel::Topic`](crate::Channel::Topic) begins with this. The offset, the epoch, both as
    /// little-endian `u64`, and the entry follow.
    pub head: Bytes,
    /// How many entries to keep at least, and for how long at least behind the last one.
    pub entries: u64,
    /// See `entries`.
    pub age: Duration,
    /// If the question was asked before on a link that broke: a time in which that was. Then the entry may be there, and is not
    /// to be appended again. An engine that cannot tell answers `None`.
    pub asked_before: Option<Duration>,
}

/// The length of what identifies an entry.
pub const LOG_KEY_LEN: usize = 16;

impl LogAppend {
    /// Returns what to publish, for an entry at a place.
    pub fn envelope(&self, position: Position) -> Bytes {
        let parts = [
            &self.head[..],
            &position.offset.to_le_bytes(),
            &position.epoch.to_le_bytes(),
            &self.entry,
        ];
        parts.concat().into()
    }
}

/// A part of a log to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LogRead {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// The place behind which to read. If its epoch is not that of the log, all of the log is read. `None` reads nothing but
    /// the end.
    pub after: Option<Position>,
    /// The most entries to return. An engine may return fewer, but at least one if there is one.
    pub limit: usize,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The place of the last entry. Its offset is zero if there never was one in this epoch.
    pub end: Position,
    /// The entries from the place on, or from the oldest that is kept, in their order.
    pub entries: Vec<LogEntry>,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its offset.
    pub offset: u64,
    /// What was appended.
    pub entry: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_from_what_it_displays() {
        for (epoch, offset) in [(0, 0), (7, 9), (u64::MAX, u64::MAX)] {
            let position = Position { epoch, offset };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in [
            "",
            "-",
            "1-",
            "-1",
            "1",
            "1--1",
            "+1-1",
            "1-1-1",
            "1-99999999999999999999",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }
}
