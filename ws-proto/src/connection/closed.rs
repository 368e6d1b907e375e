//! The account of how a connection ended, which is its last event.

use std::fmt;

use crate::error::ProtocolError;
use crate::message::Utf8Bytes;

/// The code that reports a close without a code (RFC 6455 §7.4.1); never on the wire.
pub const NO_STATUS: u16 = 1005;

/// The code that reports the end of a connection without a close (RFC 6455 §7.4.1); never on the wire.
pub const ABNORMAL: u16 = 1006;

/// The account of how a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The close code of the peer; [`NO_STATUS`] (1005) if its close has no code; [`ABNORMAL`] (1006) if no close was
    /// received (RFC 6455 §7.1.5).
    pub code: u16,
    /// The reason that the peer gave, for logs and not for end users. Empty if it gave no reason.
    pub reason: Utf8Bytes,
    /// Whether both sides sent a close, and ours was written (RFC 6455 §7.1.4). Draft-75 has no closing handshake, so
    /// its end is never clean. The event can be taken while our close still waits. If that close is never written,
    /// [`Connection::closed`](crate::Connection::closed) is not clean afterwards.
    pub clean: bool,
    /// The side that began to close.
    pub by: Initiator,
    /// Why the connection ended.
    pub cause: CloseCause,
}

impl Closed {
    /// Makes the account of a connection that never opened, because its upgrade was rejected.
    pub fn rejected() -> Self {
        Self {
            code: ABNORMAL,
            reason: Utf8Bytes::new(),
            clean: false,
            by: Initiator::Local,
            cause: CloseCause::Rejected,
        }
    }

    /// Makes the account of a stream without a request for an upgrade: it carried plain HTTP, or nothing.
    pub fn no_upgrade() -> Self {
        Self {
            by: Initiator::Peer,
            cause: CloseCause::NoUpgrade,
            ..Self::rejected()
        }
    }

    /// Makes the account of a connection whose stream is gone, and which was not driven to its end.
    pub fn disconnected() -> Self {
        Self {
            cause: CloseCause::Disconnected,
            ..Self::rejected()
        }
    }
}

/// The side that began to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// This endpoint.
    Local,
    /// The other endpoint.
    Peer,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// A closing handshake; in draft-75, the end of the stream between two messages.
    Handshake,
    /// The stream ended or was reset without a closing handshake.
    Disconnected,
    /// The peer did not answer our close within the `close_timeout`.
    CloseTimeout,
    /// The upgrade was rejected, so the connection never opened.
    Rejected,
    /// No upgrade was requested, so there never was a connection. The stream carried plain HTTP, or nothing.
    NoUpgrade,
    /// This endpoint failed the connection because of something that the peer did or did not do.
    Failed(ProtocolError),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {:?}", self.reason)?;
        }
        let by = match self.by {
            Initiator::Local => "us",
            Initiator::Peer => "the peer",
        };
        match &self.cause {
            CloseCause::Handshake => write!(f, ", closed by {by}"),
            CloseCause::Disconnected => f.write_str(", the stream ended without a close"),
            CloseCause::CloseTimeout => f.write_str(", the peer did not answer the close in time"),
            CloseCause::Rejected => f.write_str(", the upgrade was rejected"),
            CloseCause::NoUpgrade => f.write_str(", no upgrade was asked for"),
            CloseCause::Failed(error) => write!(f, ", failed: {error}"),
        }
    }
}
