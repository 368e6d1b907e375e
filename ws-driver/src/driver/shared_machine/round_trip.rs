//! Pings whose pong somebody waits for. Which pong answers which ping, and when a wait ends, is decided in the machine:
//! a task only sleeps until the machine has an answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use ws_proto::hooks::{self, PingId, RoundTrip};
use ws_proto::{SendError, State};

use super::{Inner, SharedMachine};
use crate::driver::round_trip::RoundTripError;

/// A wait for a pong. If it is dropped, the machine forgets it.
struct RoundTripWait<'a> {
    machine: &'a SharedMachine,
    id: PingId,
    listener: Option<EventListener>,
}

impl SharedMachine {
    pub(crate) fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.command(|machine, clock| machine.ping_at(clock.now(), payload))
    }

    pub(crate) fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.command(|machine, _| machine.pong(payload))
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.lock().machine.latency()
    }

    /// Sends a ping and waits for its pong.
    pub(crate) async fn round_trip(&self) -> Result<Duration, RoundTripError> {
        let begun = self.command(|machine, clock| hooks::begin_round_trip(machine, clock.now()));
        let mut wait = RoundTripWait {
            machine: self,
            id: begun?,
            listener: None,
        };
        poll_fn(|cx| wait.poll(cx)).await
    }
}

impl RoundTripWait<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Duration, RoundTripError>> {
        loop {
            if let Some(listener) = &mut self.listener {
                ready!(Pin::new(listener).poll(cx));
                self.listener = None;
            }
            let mut inner = self.machine.lock();
            let measured = match hooks::take_round_trip(&mut inner.machine, self.id) {
                RoundTrip::Waiting => {
                    // Made under the lock, so that no change is missed between the look and the wait.
                    self.listener = Some(self.machine.listen(&mut inner));
                    continue;
                }
                RoundTrip::Answered(took) => Ok(took),
                RoundTrip::TimedOut { waited } => Err(RoundTripError::TimedOut { waited }),
                RoundTrip::Closed => Err(RoundTripError::Send(SendError::Closed)),
            };
            return Poll::Ready(measured);
        }
    }
}

impl Drop for RoundTripWait<'_> {
    fn drop(&mut self) {
        // The driver is not woken: its timer can only run out too early then, which does no harm.
        let mut inner = self.machine.lock();
        hooks::forget_round_trip(&mut inner.machine, self.id);
    }
}

impl Inner {
    /// Returns a value that changes when a wait for a pong ends.
    pub(super) fn round_trips(&self) -> (u64, bool) {
        // A wait also ends when the connection begins to close.
        let is_open = self.machine.state() == State::Connected;
        (hooks::round_trips_settled(&self.machine), is_open)
    }
}
