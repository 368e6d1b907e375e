//! The error of a wait for a pong.

use std::fmt;
use std::time::Duration;

use ws_proto::SendError;

/// Why a [round trip](crate::Connection::round_trip) was not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoundTripError {
    /// The ping was not sent, or the connection began to close before the pong came: then it is
    /// [`SendError::Closed`].
    Send(SendError),
    /// No pong came within the option `pong_timeout`. The connection stays open.
    TimedOut {
        /// The length of the wait.
        waited: Duration,
    },
}

impl From<SendError> for RoundTripError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl fmt::Display for RoundTripError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(error) => error.fmt(f),
            Self::TimedOut { waited } => write!(
                f,
                "no pong came within {waited:?} after a ping (option pong_timeout)"
            ),
        }
    }
}

impl std::error::Error for RoundTripError {
    /// Returns the source of the cause, because the text of the cause is the whole text of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Send(error) => error.source(),
            Self::TimedOut { .. } => None,
        }
    }
}
