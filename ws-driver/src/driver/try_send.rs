//! The error of a send that does not wait.

use std::fmt;

use ws_proto::{Message, SendError};

/// Error from a `try_send`, with the message that was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrySendError {
    message: Message,
    reason: SendError,
}

impl TrySendError {
    pub(crate) fn new(message: Message, reason: SendError) -> Self {
        Self { message, reason }
    }

    /// Returns why the message was not queued.
    pub fn reason(&self) -> &SendError {
        &self.reason
    }

    /// Returns the message, so that it can be sent later or elsewhere.
    pub fn into_message(self) -> Message {
        self.message
    }
}

impl From<TrySendError> for SendError {
    fn from(error: TrySendError) -> Self {
        error.reason
    }
}

/// Displays the reason. The message is never shown.
impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for TrySendError {}
