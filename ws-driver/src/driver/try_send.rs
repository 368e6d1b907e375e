//! The error of a send that does not wait.

use std::fmt;

use ws_proto::{Message, SendError};

/// Error from a `try_send`, with the message that was not queued.
#[derive(Clone, PartialEq, Eq)]
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

/// Shows the reason and the length of the message, but never its content: `unwrap` prints it.
impl fmt::Debug for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrySendError")
            .field("is_text", &self.message.is_text())
            .field("len", &self.message.len())
            .field("reason", &self.reason)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `unwrap` prints `Debug`, and logs get what `Display` says: neither shows a message, which can be long or a secret.
    #[test]
    fn no_text_of_the_error_shows_the_message() {
        let error = TrySendError::new("s3cr3t".into(), SendError::Closed);
        for text in [format!("{error:?}"), error.to_string()] {
            assert!(!text.contains("s3cr3t"), "{text}");
        }
    }
}
