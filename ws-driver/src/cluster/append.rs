//! The way into a log.

use bytes::Bytes;
use ws_proto::Message;

use super::envelope::{self, Draft, Kind};
use super::error::BackplaneError;
use super::log::position::{AppendError, LogAppend, Position};
use super::question::{ANSWER_WAIT, AskError};
use super::seat::SeatRequest;
use super::shared::SharedCluster;
use crate::util::sync::Arc;
use crate::util::sync::atomic::Ordering;

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
        let (len, limit) = (message.len(), exchange.inbound.message_limit());
        if len > limit {
            return Err(AppendError::TooLarge { len, limit });
        }
        let number = exchange.appending.fetch_add(1, Ordering::Relaxed);
        let entry = envelope::encode_entry(self.node, number, message);
        let head = Draft::new(Kind::Log, false, self.node, &[]).head();
        let append = |asked_before| LogAppend {
            topic: Arc::clone(topic),
            entry: Bytes::clone(&entry),
            head: Bytes::clone(&head),
            entries: config.entries,
            age: config.age,
            asked_before,
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
