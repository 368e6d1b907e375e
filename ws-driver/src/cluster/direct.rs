//! Messages for one connection of another node, and the answers what became of them.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ws_proto::{Message, SendError, Version};

use super::channel::Channel;
use super::envelope::{Address, Draft, Envelope, Kind, Malformed};
use super::error::BackplaneError;
use super::question::{ANSWER_WAIT, Answer, Asker, Share};
use super::shared::{Exchange, SharedCluster};
use crate::driver::shared_machine::{self, IfOpen, SharedMachine, Then};
use crate::id::cluster::{ClusterId, NodeId};
use crate::runtime::{Runtime, sleep};
use crate::util::race::{Winner, race};
use crate::util::sync::{Arc, Mutex, PoisonError};

/// How a message to one connection of a [`Cluster`](crate::Cluster) is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The connection is one of this node, and its send queue has the message.
    Queued,
    /// The message is queued for the node that has the connection. What becomes of it there is not known.
    Forwarded,
}

/// Why a message was not sent to a connection of a [`Cluster`](crate::Cluster), or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterSendError {
    /// The node of the connection has no open connection with that id.
    NoSuchClient {
        /// The id.
        id: ClusterId,
    },
    /// No node with that id lives, as far as this node knows: its server has ended, or it has been cut off for 15 s.
    NoSuchNode {
        /// The id of the connection.
        id: ClusterId,
    },
    /// The connection did not take the message.
    Send(SendError),
    /// The message was not queued for the node that has the connection.
    Backplane(BackplaneError),
    /// The node did not say in time what became of the message. The connection may get it.
    Unknown {
        /// The time that was waited.
        waited: Duration,
    },
}

impl fmt::Display for ClusterSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchClient { id } => write!(f, "no open connection has the id {id}"),
            Self::NoSuchNode { id } => write!(f, "the node of the connection {id} is gone"),
            Self::Send(error) => error.fmt(f),
            Self::Backplane(error) => error.fmt(f),
            Self::Unknown { waited } => write!(
                f,
                "the node of the connection did not say within {waited:?} what became of the message"
            ),
        }
    }
}

impl std::error::Error for ClusterSendError {
    /// Returns the source of the cause, because the text of the cause is the whole text of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Send(error) => error.source(),
            Self::Backplane(error) => error.source(),
            Self::NoSuchClient { .. } | Self::NoSuchNode { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// How long the node of a slow connection waits for capacity before it answers that the send queue is full. Shorter than
/// the wait for its answer.
const CAPACITY_WAIT: Duration = Duration::from_secs(4);
/// The most messages that wait for capacity at a time. The next one is answered at once.
const WAITING_LIMIT: usize = 256;

// The sender's side.

impl SharedCluster {
    /// Sends a message to one connection, on whichever node it is.
    pub(crate) fn send(&self, id: ClusterId, message: Message) -> Result<Sent, ClusterSendError> {
        if id.node == self.node {
            let machine = self.machine(id)?;
            let policy = self.registry.options.slow_peer;
            let sent = machine.send_by_policy(message, policy);
            return sent.map(|()| Sent::Queued).map_err(ClusterSendError::Send);
        }
        let exchange = self.exchange_with(id)?;
        self.forward(exchange, id, None, &message)?;
        Ok(Sent::Forwarded)
    }

    /// Sends a message to one connection, waits for capacity in its send queue, and returns what became of it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection gets the message or not.
    pub(crate) async fn send_wait(
        &self,
        id: ClusterId,
        message: Message,
    ) -> Result<(), ClusterSendError> {
        if id.node == self.node {
            let machine = self.machine(id)?;
            let draft = shared_machine::Draft::new(message);
            let sent = machine.send_wait(draft, IfOpen::Wait, Then::Write).await;
            return sent.map_err(ClusterSendError::Send);
        }
        let exchange = self.exchange_with(id)?;
        let asker = Asker::new();
        let wait = OutcomeWait::begin(exchange, id.node, asker.place());
        let deadline = self.clock.now() + ANSWER_WAIT;
        self.forward(exchange, id, Some(wait.number), &message)?;
        // It is on its way, and its memory is not needed any more.
        drop(message);
        let answered = pin!(asker.answered());
        match race(answered, pin!(self.passed(exchange, deadline))).await {
            Winner::First(Ok(outcome)) => outcome.into_result(id),
            Winner::First(Err(_)) | Winner::Second(()) => Err(ClusterSendError::Unknown {
                waited: ANSWER_WAIT,
            }),
        }
    }

    fn machine(&self, id: ClusterId) -> Result<Arc<SharedMachine>, ClusterSendError> {
        let machine = self.registry.get(id.local);
        machine.ok_or(ClusterSendError::NoSuchClient { id })
    }

    /// Returns the way to the node of a connection, if that lives.
    fn exchange_with(&self, id: ClusterId) -> Result<&Exchange, ClusterSendError> {
        let exchange = self.exchange.as_ref();
        let exchange = exchange.ok_or(ClusterSendError::NoSuchNode { id })?;
        let now = self.clock.now();
        if exchange.lock().knows(id.node, now) {
            Ok(exchange)
        } else {
            Err(ClusterSendError::NoSuchNode { id })
        }
    }

    fn forward(
        &self,
        exchange: &Exchange,
        id: ClusterId,
        question: Option<u64>,
        message: &Message,
    ) -> Result<(), ClusterSendError> {
        let to = Address {
            connection: id.local,
            question,
        };
        let (kind, payload) = match message {
            Message::Text(text) => (Kind::Text, text.as_bytes()),
            Message::Binary(bytes) => (Kind::Binary, &bytes[..]),
        };
        let checked = exchange.check_len(payload.len());
        checked.map_err(ClusterSendError::Backplane)?;
        let draft = Draft::addressed(kind, self.node, to, payload);
        let pushed = exchange.lock().push(Channel::Node(id.node), draft);
        exchange.ready.notify(1);
        pushed.map_err(ClusterSendError::Backplane)
    }
}

/// The messages whose senders wait for an outcome: as many as there are futures that wait.
#[derive(Default)]
pub(super) struct OutcomeWaits(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    /// By number: the node that has to answer, and the place for the answer.
    places: HashMap<u64, (NodeId, Arc<Answer<Outcome>>)>,
}

/// A sender that waits.
struct OutcomeWait<'a> {
    exchange: &'a Exchange,
    number: u64,
}

impl<'a> OutcomeWait<'a> {
    fn begin(exchange: &'a Exchange, node: NodeId, place: Arc<Answer<Outcome>>) -> Self {
        let mut waiting = exchange.outcomes.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.places.insert(number, (node, place));
        drop(waiting);
        Self { exchange, number }
    }
}

impl Drop for OutcomeWait<'_> {
    fn drop(&mut self) {
        let place = self.exchange.outcomes.lock().places.remove(&self.number);
        drop(place);
    }
}

impl OutcomeWaits {
    /// Takes what another node says of a message. Only the node that was asked is believed.
    pub(super) fn note(&self, node: NodeId, mut payload: Bytes) -> Result<(), Malformed> {
        let number = payload.try_get_u64_le().map_err(|_| Malformed)?;
        let outcome = Outcome::decode(payload)?;
        let place = self.lock().places.get(&number).cloned();
        if let Some((_, place)) = place.filter(|(asked, _)| *asked == node) {
            place.give(Ok(outcome));
        }
        Ok(())
    }

    fn lock(&self) -> crate::util::sync::MutexGuard<'_, Waiting> {
        // A poisoned lock is used on: no user code runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// The receiver's side.

/// Hands a message of another node to one connection of this one, and answers if it asks.
pub(super) fn hand_to_one<R: Runtime>(
    runtime: &R,
    shared: &Arc<SharedCluster>,
    exchange: &Exchange,
    to: Address,
    envelope: Envelope,
) {
    let asker = envelope.node;
    let Ok(message) = envelope.into_message() else {
        exchange.inbound.note_malformed();
        return;
    };
    let machine = shared.registry.get(to.connection);
    let Some(question) = to.question else {
        let policy = shared.registry.options.slow_peer;
        let sent = machine.map(|machine| machine.send_by_policy(message, policy));
        if !matches!(sent, Some(Ok(()))) {
            exchange.inbound.note_undelivered();
        }
        return;
    };
    let reply = Reply { asker, question };
    let Some(machine) = machine else {
        reply.send(shared, exchange, &Outcome::NoSuchClient);
        return;
    };
    match machine.try_send(message) {
        Ok(()) => reply.send(shared, exchange, &Outcome::Sent),
        Err(refused) if is_temporary(refused.reason()) => {
            let share = exchange.waiting_sends.take(1, WAITING_LIMIT);
            let error = refused.reason().clone();
            let Some(share) = share else {
                reply.send(shared, exchange, &Outcome::Refused(error));
                return;
            };
            let message = refused.into_message();
            let slow = SlowSend {
                shared: Arc::clone(shared),
                reply,
                error,
                _share: share,
            };
            runtime.spawn(slow.run(runtime.clone(), machine, message));
        }
        Err(refused) => {
            let outcome = Outcome::Refused(refused.reason().clone());
            reply.send(shared, exchange, &outcome);
        }
    }
}

fn is_temporary(error: &SendError) -> bool {
    matches!(error, SendError::QueueFull { .. } | SendError::MessageOpen)
}

/// A message that waits for capacity in the send queue of its connection.
struct SlowSend {
    shared: Arc<SharedCluster>,
    reply: Reply,
    /// What is answered if there is none in time.
    error: SendError,
    _share: Share,
}

impl SlowSend {
    async fn run<R: Runtime>(self, runtime: R, machine: Arc<SharedMachine>, message: Message) {
        let draft = shared_machine::Draft::new(message);
        let sending = pin!(machine.send_wait(draft, IfOpen::Wait, Then::Wake));
        let outcome = match race(sending, pin!(sleep(&runtime, CAPACITY_WAIT))).await {
            Winner::First(Ok(())) => Outcome::Sent,
            Winner::First(Err(error)) => Outcome::Refused(error),
            Winner::Second(()) => Outcome::Refused(self.error),
        };
        if let Some(exchange) = &self.shared.exchange {
            self.reply.send(&self.shared, exchange, &outcome);
        }
    }
}

/// Whom to tell what became of a message.
#[derive(Clone, Copy)]
struct Reply {
    asker: NodeId,
    question: u64,
}

impl Reply {
    fn send(self, shared: &SharedCluster, exchange: &Exchange, outcome: &Outcome) {
        let mut payload = BytesMut::new();
        payload.put_u64_le(self.question);
        outcome.encode(&mut payload);
        let draft = Draft::new(Kind::Outcome, false, shared.node, &payload);
        // If the queue has no place for it, the asker's wait ends by itself.
        exchange
            .lock()
            .push_uncounted(Channel::Node(self.asker), draft);
        exchange.ready.notify(1);
    }
}

/// What became of a message for one connection, as its node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    NoSuchClient,
    Refused(SendError),
}

/// The first byte of an outcome.
mod code {
    pub(super) const SENT: u8 = 0;
    pub(super) const NO_SUCH_CLIENT: u8 = 1;
    pub(super) const CLOSED: u8 = 2;
    pub(super) const NO_BINARY: u8 = 3;
    pub(super) const MESSAGE_OPEN: u8 = 4;
    pub(super) const QUEUE_FULL: u8 = 5;
}

impl Outcome {
    fn encode(&self, bytes: &mut BytesMut) {
        match self {
            Self::Sent => bytes.put_u8(code::SENT),
            Self::NoSuchClient => bytes.put_u8(code::NO_SUCH_CLIENT),
            Self::Refused(SendError::Unsupported { version, .. }) => {
                bytes.put_u8(code::NO_BINARY);
                let place = Version::ALL.iter().position(|it| it == version);
                bytes.put_u8(u8::try_from(place.unwrap_or(0)).unwrap_or(0));
            }
            Self::Refused(SendError::MessageOpen) => bytes.put_u8(code::MESSAGE_OPEN),
            Self::Refused(SendError::QueueFull { buffered, limit }) => {
                bytes.put_u8(code::QUEUE_FULL);
                bytes.put_u64_le(u64::try_from(*buffered).unwrap_or(u64::MAX));
                bytes.put_u64_le(u64::try_from(*limit).unwrap_or(u64::MAX));
            }
            // No other error refuses a message.
            Self::Refused(_) => bytes.put_u8(code::CLOSED),
        }
    }

    /// Decodes any bytes.
    fn decode(mut bytes: Bytes) -> Result<Self, Malformed> {
        let malformed = |_| Malformed;
        let refused = match bytes.try_get_u8().map_err(malformed)? {
            code::SENT => return Ok(Self::Sent),
            code::NO_SUCH_CLIENT => return Ok(Self::NoSuchClient),
            code::CLOSED => SendError::Closed,
            code::NO_BINARY => {
                let place = bytes.try_get_u8().map_err(malformed)?;
                let version = Version::ALL.get(usize::from(place)).ok_or(Malformed)?;
                SendError::Unsupported {
                    version: *version,
                    what: "binary messages",
                }
            }
            code::MESSAGE_OPEN => SendError::MessageOpen,
            code::QUEUE_FULL => {
                let mut number = || {
                    let number = bytes.try_get_u64_le().map_err(malformed)?;
                    usize::try_from(number).map_err(|_| Malformed)
                };
                SendError::QueueFull {
                    buffered: number()?,
                    limit: number()?,
                }
            }
            _ => return Err(Malformed),
        };
        Ok(Self::Refused(refused))
    }

    fn into_result(self, id: ClusterId) -> Result<(), ClusterSendError> {
        match self {
            Self::Sent => Ok(()),
            Self::NoSuchClient => Err(ClusterSendError::NoSuchClient { id }),
            Self::Refused(error) => Err(ClusterSendError::Send(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way in which a message can be refused comes back as it was, and whatever else is sent is malformed.
    #[test]
    fn an_outcome_reads_back() {
        let outcomes = [
            Outcome::Sent,
            Outcome::NoSuchClient,
            Outcome::Refused(SendError::Closed),
            Outcome::Refused(SendError::MessageOpen),
            Outcome::Refused(SendError::QueueFull {
                buffered: 7,
                limit: 9,
            }),
        ];
        let unsupported = Version::ALL.map(|version| {
            Outcome::Refused(SendError::Unsupported {
                version,
                what: "binary messages",
            })
        });
        for outcome in outcomes.into_iter().chain(unsupported) {
            let mut bytes = BytesMut::new();
            outcome.encode(&mut bytes);
            let bytes = bytes.freeze();
            assert_eq!(Outcome::decode(bytes.clone()), Ok(outcome));
            for len in 0..bytes.len() {
                assert_eq!(Outcome::decode(bytes.slice(..len)), Err(Malformed));
            }
        }
        for bytes in [&[6][..], &[255; 40], &[code::NO_BINARY, 3]] {
            let decoded = Outcome::decode(Bytes::copy_from_slice(bytes));
            assert_eq!(decoded, Err(Malformed));
        }
    }

    /// Only the node that was asked is believed, and only while somebody waits.
    #[test]
    fn a_stranger_answers_nothing() {
        let (waits, asker) = (OutcomeWaits::default(), Asker::new());
        waits.lock().places.insert(7, (NodeId(1), asker.place()));
        let answer = |number: u64| {
            let mut payload = BytesMut::new();
            payload.put_u64_le(number);
            Outcome::Sent.encode(&mut payload);
            payload.freeze()
        };
        assert_eq!(waits.note(NodeId(2), answer(7)), Ok(()));
        assert_eq!(waits.note(NodeId(1), answer(8)), Ok(()));
        assert!(!asker.is_answered());
        assert_eq!(waits.note(NodeId(1), answer(7)), Ok(()));
        assert!(asker.is_answered());
        assert_eq!(waits.note(NodeId(1), Bytes::new()), Err(Malformed));
    }
}
