//! What a node asks of its engine besides publishing, and the way of the answer back. Each question has one asker, who waits
//! no longer than a deadline; what nobody waits for any more is not asked.

use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::error::BackplaneError;
use super::seat::SeatRequest;
use super::shared::{Exchange, SharedCluster};
use crate::util::race::{Winner, race};
use crate::util::sync::atomic::{AtomicUsize, Ordering};
use crate::util::sync::{Arc, Mutex, MutexGuard, Notice, PoisonError};

/// A question of a node to its engine. A question that is dropped without an answer counts as unanswered, because the
/// link broke: the node asks again on the next one, if it still waits.
pub struct Question<Q, A> {
    asked: Q,
    answer: Arc<Answer<A>>,
    /// What it counts against the limit of the questions.
    share: Option<Share>,
}

/// How long a caller waits for the engine, or a tick of the keeper longer.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(5);

impl<Q, A> Question<Q, A> {
    fn new(asked: Q, answer: Arc<Answer<A>>) -> Self {
        Self {
            asked,
            answer,
            share: None,
        }
    }

    /// Returns what is asked.
    pub fn asked(&self) -> &Q {
        &self.asked
    }

    /// Gives the answer.
    pub fn answer(self, answer: A) {
        self.answer.give(Ok(answer));
    }

    /// Says that the engine refuses to answer, as for want of a permission. The text goes to logs and errors, so it must
    /// have no secret in it.
    pub fn refuse(self, error: &str) {
        self.answer.give(Err(Unanswered::Refused(error.into())));
    }

    /// Tells whether somebody waits for the answer.
    pub(super) fn is_wanted(&self) -> bool {
        self.answer.is_wanted()
    }

    /// Tells whether somebody waits for the answer, and notes that the engine is asked then.
    pub(super) fn begin(&self) -> bool {
        let mut place = self.answer.lock();
        place.was_asked |= matches!(place.given, Given::NotYet);
        matches!(place.given, Given::NotYet)
    }

    /// Holds a share of the memory for questions until it is dropped.
    pub(super) fn hold(&mut self, share: Share) {
        self.share = Some(share);
    }
}

impl<Q, A> Drop for Question<Q, A> {
    fn drop(&mut self) {
        self.answer.give(Err(Unanswered::Lost));
    }
}

impl<Q: fmt::Debug, A> fmt::Debug for Question<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Question").field(&self.asked).finish()
    }
}

/// The place where an answer is left.
pub(super) struct Answer<A> {
    place: Mutex<Place<A>>,
    changed: Notice,
}

struct Place<A> {
    given: Given<A>,
    /// Whether the question was handed to the backplane.
    was_asked: bool,
}

enum Given<A> {
    NotYet,
    Answer(Result<A, Unanswered>),
    /// Nobody waits for it, or it was taken.
    NotWanted,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The link broke before it came.
    Lost,
    /// The engine refused to give one.
    Refused(Arc<str>),
}

impl<A> Answer<A> {
    /// Leaves the answer. Returns whether somebody waits for it.
    pub(super) fn give(&self, answer: Result<A, Unanswered>) -> bool {
        let mut place = self.lock();
        if !matches!(place.given, Given::NotYet) {
            return false;
        }
        place.given = Given::Answer(answer);
        drop(place);
        self.changed.notify(usize::MAX);
        true
    }

    /// Tells whether somebody waits for the answer.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.lock().given, Given::NotYet)
    }

    fn take(&self) -> Option<Result<A, Unanswered>> {
        let mut place = self.lock();
        if matches!(place.given, Given::NotYet) {
            return None;
        }
        match std::mem::replace(&mut place.given, Given::NotWanted) {
            Given::Answer(answer) => Some(answer),
            Given::NotYet | Given::NotWanted => Some(Err(Unanswered::Lost)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place<A>> {
        // A poisoned lock is used on: no user code runs under it.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits for an answer.
pub(super) struct Asker<A>(Arc<Answer<A>>);

impl<A> Asker<A> {
    pub(super) fn new() -> Self {
        let place = Place {
            given: Given::NotYet,
            was_asked: false,
        };
        Self(Arc::new(Answer {
            place: Mutex::new(place),
            changed: Notice::new(),
        }))
    }

    /// Returns the place where the answer is to be left.
    pub(super) fn place(&self) -> Arc<Answer<A>> {
        Arc::clone(&self.0)
    }

    #[cfg(test)]
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.0.lock().given, Given::Answer(_))
    }

    pub(super) async fn answered(&self) -> Result<A, Unanswered> {
        loop {
            let changed = self.0.changed.listen();
            if let Some(answer) = self.0.take() {
                return answer;
            }
            changed.await;
        }
    }

    /// Waits no longer. Returns whether the backplane has got the question; otherwise it never will.
    fn withdraw(&self) -> bool {
        let mut place = self.0.lock();
        let was_asked = place.was_asked;
        let given = std::mem::replace(&mut place.given, Given::NotWanted);
        drop(place);
        // Outside of the lock.
        drop(given);
        was_asked
    }
}

impl<A> Drop for Asker<A> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// What several holders have in all, such as bytes of memory, up to a limit.
#[derive(Clone, Default)]
pub(super) struct Allowance(Arc<AtomicUsize>);

/// A part of it, given back with a question.
pub(super) struct Share {
    of: Allowance,
    len: usize,
}

impl Allowance {
    /// Takes a share, if that is within the limit, or if there is no other one: what is longer than the limit would never have
    /// a place.
    pub(super) fn take(&self, len: usize, limit: usize) -> Option<Share> {
        let before = self.0.fetch_add(len, Ordering::SeqCst);
        // Dropped at once if it is too much.
        let share = Share {
            of: self.clone(),
            len,
        };
        let has_place = before == 0 || before.saturating_add(len) <= limit;
        has_place.then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.len, Ordering::SeqCst);
    }
}

/// Why a question has no answer for its asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AskError {
    /// The questions fill their memory.
    Full { limit: usize },
    /// The engine refused.
    Refused { error: Arc<str> },
    /// There was no answer in time. If the engine was not asked, it never will be.
    NotInTime { waited: Duration, was_asked: bool },
    /// The backplane has ended, and the engine was not asked.
    Ended,
}

impl From<AskError> for BackplaneError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Full { limit } => Self::Full { limit },
            AskError::Refused { error } => Self::Refused { error },
            AskError::NotInTime { waited, .. } => Self::Down { waited },
            AskError::Ended => Self::Ended,
        }
    }
}

impl SharedCluster {
    /// Asks the engine, again on each new link, and waits for the answer.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the engine may be asked all the same.
    pub(super) async fn ask<Q: Clone, A>(
        &self,
        exchange: &Exchange,
        asked: Q,
        request: impl Fn(Question<Q, A>) -> SeatRequest,
    ) -> Result<A, BackplaneError> {
        let answer = self.ask_within(exchange, asked, ANSWER_WAIT, request).await;
        answer.map_err(|error| {
            if exchange.lock().link.has_ended() {
                return BackplaneError::Ended;
            }
            error.into()
        })
    }

    /// Does the same, and waits for a time.
    pub(super) async fn ask_within<Q: Clone, A>(
        &self,
        exchange: &Exchange,
        asked: Q,
        wait: Duration,
        request: impl Fn(Question<Q, A>) -> SeatRequest,
    ) -> Result<A, AskError> {
        self.ask_again(exchange, |_| asked.clone(), 0, wait, request)
            .await
    }

    /// Does the same with a question that knows whether it was asked before. `len` is the memory that it costs beyond that of
    /// the caller who waits.
    pub(super) async fn ask_again<Q, A>(
        &self,
        exchange: &Exchange,
        asked: impl Fn(bool) -> Q,
        len: usize,
        wait: Duration,
        request: impl Fn(Question<Q, A>) -> SeatRequest,
    ) -> Result<A, AskError> {
        let begin = self.clock.now();
        let mut was_asked = false;
        loop {
            let tick = exchange.time.listen();
            let asker = Asker::new();
            let question = asked(was_asked);
            let mut question = Question::new(question, asker.place());
            if len > 0 {
                let size = size_of_val(&question).saturating_add(len);
                question.hold(exchange.lock().share(size)?);
            }
            let is_queued = exchange.lock().ask(request(question));
            if is_queued {
                exchange.changed.notify(usize::MAX);
                let passed = pin!(self.passed(exchange, begin + wait));
                match race(pin!(asker.answered()), passed).await {
                    Winner::First(Ok(answer)) => return Ok(answer),
                    Winner::First(Err(Unanswered::Refused(error))) => {
                        return Err(AskError::Refused { error });
                    }
                    Winner::First(Err(Unanswered::Lost)) | Winner::Second(()) => {}
                }
            }
            was_asked |= asker.withdraw();
            let waited = self.clock.now().saturating_duration_since(begin);
            let has_ended = exchange.lock().link.has_ended();
            if has_ended && !was_asked {
                return Err(AskError::Ended);
            }
            if has_ended || waited >= wait {
                return Err(AskError::NotInTime { waited, was_asked });
            }
            // Not at once, because a backplane can drop what it does not know.
            tick.await;
        }
    }

    /// Waits until a time has passed, or a tick of the keeper longer, because the caller has no timer. It is ready at the
    /// end of the cluster, too.
    pub(super) async fn passed(&self, exchange: &Exchange, deadline: Instant) {
        loop {
            let tick = exchange.time.listen();
            if self.clock.now() >= deadline || exchange.lock().link.has_ended() {
                return;
            }
            tick.await;
        }
    }
}

/// Compiles only if a question can be held by a future that moves between threads.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Question<(), ()>>();
};

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// An answer, a refusal and a question that is dropped each end the wait; the first one counts.
    #[test]
    fn each_end_of_a_question_ends_the_wait() {
        let ask = || {
            let asker = Asker::<u8>::new();
            let question = Question::new("?", asker.place());
            assert!(poll(asker.answered()).is_pending());
            (asker, question)
        };
        let (asker, question) = ask();
        question.answer(7);
        assert_eq!(poll(asker.answered()), Poll::Ready(Ok(7)));
        let (asker, question) = ask();
        question.refuse("no");
        let refused = Err(Unanswered::Refused("no".into()));
        assert_eq!(poll(asker.answered()), Poll::Ready(refused));
        let (asker, question) = ask();
        drop(question);
        assert_eq!(poll(asker.answered()), Poll::Ready(Err(Unanswered::Lost)));
    }

    #[test]
    fn a_question_that_nobody_waits_for_says_so() {
        let asker = Asker::<u8>::new();
        let question = Question::new("?", asker.place());
        assert!(question.begin());
        assert!(asker.withdraw(), "it was asked");
        assert!(!question.begin());
        question.answer(7);
    }

    #[test]
    fn shares_are_given_back() {
        let allowance = Allowance::default();
        let share = allowance.take(60, 100).unwrap();
        assert!(allowance.take(50, 100).is_none());
        let other = allowance.take(40, 100).unwrap();
        assert!(allowance.take(1, 100).is_none());
        drop((share, other));
        assert!(allowance.take(100, 100).is_some());
        assert!(allowance.take(101, 100).is_some(), "alone");
    }
}
