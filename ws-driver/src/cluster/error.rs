//! Why a message does not reach the other nodes, and why a connection does not get theirs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::registry::subscriptions::Subscribed;
use crate::registry::topics::TopicError;

/// Why the backplane of a cluster did not take a message, or did not confirm a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackplaneError {
    /// The queue of messages for other nodes is full: the engine is away, or slower than this node.
    Full {
        /// The limit in bytes: option `queue_limit`.
        limit: usize,
    },
    /// The message is longer than a queue may be.
    TooLarge {
        /// Its length in bytes, with the header of 28 bytes.
        len: usize,
        /// The limit in bytes: option `queue_limit`.
        limit: usize,
    },
    /// The message is longer than other nodes take, if they have the options of this one.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes: option `message_limit`.
        limit: usize,
    },
    /// There was no link to the engine, or it did not answer in time.
    Down {
        /// The time that was waited: 5 s, or the option `subscribe_timeout` for a subscription.
        waited: Duration,
    },
    /// The engine refused, as for want of a permission.
    Refused {
        /// What it said.
        error: Arc<str>,
    },
    /// The backplane, its runtime or the server has ended.
    Ended,
}

impl fmt::Display for BackplaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(
                f,
                "the messages for other nodes fill their queue of {limit} bytes (option queue_limit)"
            ),
            Self::TooLarge { len, limit } => write!(
                f,
                "the message has {len} bytes for other nodes, and their queue {limit} (option queue_limit)"
            ),
            Self::TooLong { len, limit } => write!(
                f,
                "the message has {len} bytes, and other nodes take {limit} (option message_limit)"
            ),
            Self::Down { waited } => write!(
                f,
                "the engine of the cluster did not answer within {waited:?}"
            ),
            Self::Refused { error } => write!(f, "the engine of the cluster refused: {error}"),
            Self::Ended => f.write_str("the backplane has ended, as it does with its server"),
        }
    }
}

impl std::error::Error for BackplaneError {}

/// Why [`join_wait`](crate::Connection::join_wait) failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection did not join the topic.
    Topic(TopicError),
    /// The connection joined the topic and is a member. Messages of other nodes may not arrive yet.
    Backplane(BackplaneError),
}

impl JoinError {
    /// Says what is wrong with a subscription.
    pub(crate) fn check(subscribed: Subscribed) -> Result<(), Self> {
        match subscribed {
            Subscribed::Yes => Ok(()),
            Subscribed::Refused(error) => Err(Self::Backplane(BackplaneError::Refused { error })),
            Subscribed::NotInTime(waited) => Err(Self::Backplane(BackplaneError::Down { waited })),
            Subscribed::Never => Err(Self::Backplane(BackplaneError::Ended)),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => error.fmt(f),
            Self::Backplane(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<TopicError> for JoinError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}
