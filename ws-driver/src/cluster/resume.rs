//! A connection that comes back: it reads the log from where it was, at its own pace, and joins the topic where the members
//! are.

use std::pin::pin;
use std::time::Duration;

use super::error::{BackplaneError, JoinError};
use super::follow::{LogWork, READ_LIMIT, Splice, Spliced, frame};
use super::log::cursor::follow;
use super::log::position::{
    LogEvent, LogRange, LogRead, Position, ResumeError, ResumeFrom, Resumed,
};
use super::question::{ANSWER_WAIT, Asker};
use super::seat::SeatRequest;
use super::shared::{Exchange, SharedCluster};
use crate::driver::shared_machine::{Draft, IfOpen, SharedMachine, Then};
use crate::id::cluster::ClusterId;
use crate::registry::topics::TopicError;
use crate::util::race::{Winner, race};
use crate::util::sync::Arc;

/// How often a connection reads on when it finds that the topic has moved on.
const TRIES: usize = 16;

/// A place in no log, behind which all of a log is read.
const NOWHERE: Position = Position {
    epoch: 0,
    offset: 0,
};

/// What a connection has got of a log.
struct Replay<'a> {
    shared: &'a SharedCluster,
    exchange: &'a Exchange,
    topic: &'a Arc<str>,
    machine: Arc<SharedMachine>,
    seen: Option<Position>,
    replayed: u64,
    /// Whether something is missing, and how much if somebody knows.
    gap: Option<Option<u64>>,
}

impl SharedCluster {
    /// Sends a connection what it missed of a log, and lets it join the topic.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection has got a part, and may have joined.
    pub(crate) async fn resume(
        &self,
        topic: &Arc<str>,
        id: ClusterId,
        from: ResumeFrom,
    ) -> Result<Resumed, ResumeError> {
        if self.logs.of(topic).is_none() {
            return Err(ResumeError::NoLog);
        }
        let exchange = self.exchange.as_ref().ok_or(ResumeError::NoLog)?;
        if id.node != self.node {
            return Err(ResumeError::OtherNode { id });
        }
        let id = id.local;
        let machine = self.registry.get(id);
        let machine = machine.ok_or(ResumeError::Topic(TopicError::Closed))?;
        if self.registry.is_member(topic, id) {
            return Err(ResumeError::AlreadyMember);
        }
        // Before anything is read, so that what is published meanwhile arrives.
        let _wanted = self
            .registry
            .want_topic(topic)
            .map_err(ResumeError::Topic)?;
        let subscribed = self.registry.subscribed(topic, || self.clock.now()).await;
        JoinError::check(subscribed).map_err(|error| match error {
            JoinError::Topic(error) => ResumeError::Topic(error),
            JoinError::Backplane(error) => ResumeError::Backplane(error),
        })?;
        let mut replay = Replay {
            shared: self,
            exchange,
            topic,
            machine,
            seen: None,
            replayed: 0,
            gap: None,
        };
        match from {
            ResumeFrom::After(position) => replay.seen = Some(position),
            ResumeFrom::Oldest => replay.start_at_oldest().await?,
            ResumeFrom::End => {}
        }
        replay.run().await
    }
}

impl Replay<'_> {
    async fn run(mut self) -> Result<Resumed, ResumeError> {
        for _ in 0..TRIES {
            self.read_on().await?;
            match self.splice().await? {
                Spliced::Joined { position, replayed } => {
                    return Ok(Resumed::new(position, self.replayed + replayed, self.gap));
                }
                Spliced::NotYet => self.wait().await,
                Spliced::Behind(behind) => {
                    self.seen = Some(behind.seen);
                    self.replayed += behind.replayed;
                }
                Spliced::Failed(error) => return Err(error),
            }
        }
        Err(ResumeError::TooFast)
    }

    /// Begins before the oldest entry that is kept.
    async fn start_at_oldest(&mut self) -> Result<(), ResumeError> {
        let range = self.read(NOWHERE).await?;
        let oldest = range.entries.first();
        let before = oldest.map_or(range.end.offset, |entry| entry.offset.saturating_sub(1));
        let position = Position {
            offset: before,
            ..range.end
        };
        self.send(&LogEvent::Start { position }).await?;
        self.seen = Some(position);
        Ok(())
    }

    /// Reads the log behind a place.
    async fn read(&self, after: Position) -> Result<LogRange, BackplaneError> {
        let read = LogRead {
            topic: Arc::clone(self.topic),
            after: Some(after),
            limit: READ_LIMIT,
        };
        let (shared, exchange) = (self.shared, self.exchange);
        let range = exchange.log_reads.get(read.clone(), || {
            shared.ask(exchange, read.clone(), SeatRequest::ReadLog)
        });
        range.await
    }

    /// Waits for a tick of the keeper.
    async fn wait(&self) {
        let soon = self.shared.clock.now() + Duration::from_millis(1);
        self.shared.passed(self.exchange, soon).await;
    }

    /// Reads the log up to its end and sends it, as fast as the connection takes it.
    async fn read_on(&mut self) -> Result<(), ResumeError> {
        let Some(mut seen) = self.seen else {
            return Ok(());
        };
        loop {
            let next = follow(seen, self.read(seen).await?);
            for event in &next.events {
                self.send(event).await?;
            }
            seen = next.seen;
            self.seen = Some(seen);
            if next.is_at_end {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, event: &LogEvent) -> Result<(), ResumeError> {
        match event {
            LogEvent::Start { .. } => {}
            LogEvent::Message { .. } => self.replayed += 1,
            LogEvent::Gap { missed, .. } => {
                let known = self.gap.unwrap_or(Some(0));
                let sum = known.zip(*missed).map(|(known, more)| known + more);
                self.gap = Some(sum);
            }
        }
        let Some(message) = frame(self.shared, self.topic, event) else {
            return Ok(());
        };
        let draft = Draft::new(message);
        let sent = self
            .machine
            .send_wait(draft, IfOpen::Wait, Then::Write)
            .await;
        sent.map_err(ResumeError::Send)
    }

    /// Asks the worker of the topic to let the connection join where the members are.
    async fn splice(&self) -> Result<Spliced, ResumeError> {
        let asker = Asker::new();
        let splice = Splice {
            topic: Arc::clone(self.topic),
            machine: Arc::clone(&self.machine),
            seen: self.seen,
            reply: asker.place(),
        };
        self.exchange
            .inbound
            .push_log_work(self.topic, LogWork::Splice(splice));
        let deadline = self.shared.clock.now() + ANSWER_WAIT;
        let passed = pin!(self.shared.passed(self.exchange, deadline));
        match race(pin!(asker.answered()), passed).await {
            Winner::First(Ok(spliced)) => Ok(spliced),
            Winner::First(Err(_)) | Winner::Second(()) => {
                let error = if self.exchange.lock().link.has_ended() {
                    BackplaneError::Ended
                } else {
                    BackplaneError::Down {
                        waited: ANSWER_WAIT,
                    }
                };
                Err(ResumeError::Backplane(error))
            }
        }
    }
}
