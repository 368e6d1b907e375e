//! The way into a log.

use std::time::Duration;

use bytes::Bytes;
use ws_proto::Message;

use super::envelope::{self, Draft, Kind};
use super::error::BackplaneError;
use super::log::position::{AppendError, LogAppend, Position};
use super::question::{ANSWER_WAIT, AskError};
use super::seat::SeatRequest;
use super::shared::SharedCluster;
use crate::registry::topics::TOPIC_NAME_LIMIT;
use crate::util::sync::Arc;
use crate::util::sync::atomic::Ordering;

/// Longer than an engine can read a question behind the one before it: both are asked within the wait, and each breaks its
/// link after some seconds.
const ASKED_SPAN: Duration = Duration::from_secs(30);

impl SharedCluster {
    /// Appends a message to the log of a topic.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message is appended or not.
    pub(crate) async fn append(
        &self,
        topic: &Arc<str>,
        message: &Message,
    ) -> Result<Position, AppendError> {
        let config = self.logs.of(topic).ok_or(AppendError::NoLog)?;
        let exchange = self.exchange.as_ref().ok_or(AppendError::NoLog)?;
        if topic.len() > TOPIC_NAME_LIMIT {
            let (len, limit) = (topic.len(), TOPIC_NAME_LIMIT);
            return Err(AppendError::NameTooLong { len, limit });
        }
        let (len, limit) = (message.len(), exchange.inbound.message_limit());
        if len > limit {
            return Err(AppendError::TooLarge { len, limit });
        }
        let number = exchange.appending.fetch_add(1, Ordering::Relaxed);
        let entry = envelope::encode_entry(self.node, number, message);
        let head = Draft::new(Kind::Log, false, self.node, &[]).head();
        let append = |was_asked: bool| LogAppend {
            topic: Arc::clone(topic),
            entry: Bytes::clone(&entry),
            head: Bytes::clone(&head),
            entries: config.entries,
            age: config.age,
            asked_before: was_asked.then_some(ASKED_SPAN),
        };
        let asked = self.ask_again(
            exchange,
            append,
            entry.len(),
            ANSWER_WAIT,
            SeatRequest::AppendLog,
        );
        match asked.await {
            Ok(Some(position)) => {
                exchange.appended.fetch_add(1, Ordering::Relaxed);
                Ok(position)
            }
            Ok(None)
            | Err(AskError::NotInTime {
                was_asked: true, ..
            }) => {
                let waited = ANSWER_WAIT;
                Err(AppendError::Unknown { waited })
            }
            Err(error) => Err(AppendError::Backplane(BackplaneError::from(error))),
        }
    }
}
