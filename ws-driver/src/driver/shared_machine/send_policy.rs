//! Messages for a peer that reads too slowly, from a sender that does not wait: the policy decides about them, and the
//! backlog keeps what the machine cannot take yet.

use ws_proto::{CloseCode, CloseReason, SendError, hooks};

use super::{Inner, Item, SharedMachine};
use crate::driver::slow_peer::SlowPeer;
use crate::driver::workspace;
use crate::util::sync::MutexGuard;

impl SharedMachine {
    /// Applies the policy to a message that was not queued for lack of capacity. It takes the lock that saw the full
    /// queue, so that no message is taken in between.
    pub(super) fn apply(&self, mut inner: MutexGuard<'_, Inner>, policy: SlowPeer) {
        match policy {
            SlowPeer::Wait => {}
            SlowPeer::DropNewest | SlowPeer::DropOldest => inner.tally.messages_dropped += 1,
            SlowPeer::Close => {
                inner.is_too_slow = true;
                let now = self.clock.now();
                let code = Some(CloseCode::TRY_AGAIN);
                inner.machine.close(now, code, TOO_SLOW);
                // Drops and counts what was kept back: the connection takes no more messages.
                inner.refill();
                self.wake_driver(inner);
                self.changed.notify(usize::MAX);
            }
        }
    }
}

impl Inner {
    /// Adds a message that the machine cannot take now to the backlog, if the limit allows it.
    pub(super) fn keep(&mut self, item: &mut dyn Item, policy: SlowPeer) -> Result<(), SendError> {
        // Checked now, because the sender has gone on when the machine would refuse the message.
        let version = self.machine.version();
        if !item.is_text() && !version.features().binary {
            let what = "binary messages";
            return Err(SendError::Unsupported { version, what });
        }
        let limit = self.machine.send_queue_limit().unwrap_or(usize::MAX);
        let has_capacity = match policy {
            SlowPeer::Wait | SlowPeer::DropNewest | SlowPeer::Close => {
                self.buffered_amount() < limit && self.backlog.cost() < limit
            }
            // The oldest messages make way below. A limit of zero allows none at all.
            SlowPeer::DropOldest => limit > 0,
        };
        if !has_capacity {
            let buffered = self.buffered_amount();
            return Err(SendError::QueueFull { buffered, limit });
        }
        self.backlog.push_back(item.take_prepared());
        if policy == SlowPeer::DropOldest {
            self.tally.messages_dropped += self.backlog.shorten(limit);
        }
        Ok(())
    }

    /// Queues a message above the limit: behind what is kept back, so that the order stays.
    pub(super) fn queue_over_limit(&mut self, item: &mut dyn Item) -> Result<(), SendError> {
        let message = item.take_prepared();
        if !self.backlog.is_empty() {
            self.backlog.push_back(message);
            return Ok(());
        }
        workspace::with_streams(&mut self.machine, |machine| {
            hooks::send_over_limit(machine, &message)
        })?;
        self.tally.note_sent(message.len(), true);
        Ok(())
    }

    /// Moves messages from the backlog to the machine, as many as it takes. Once the connection is closing, the rest is
    /// dropped and counted.
    #[inline]
    pub(super) fn refill(&mut self) {
        // Each step of a turn asks, and few connections ever have a backlog.
        if !self.backlog.is_empty() {
            self.refill_some();
        }
    }

    #[cold]
    fn refill_some(&mut self) {
        while let Some(message) = self.backlog.oldest() {
            match workspace::with_streams(&mut self.machine, |machine| {
                machine.send_prepared(message)
            }) {
                Ok(()) => {
                    self.tally.note_sent(message.len(), true);
                    self.backlog.pop();
                }
                Err(error) => {
                    if error == SendError::Closed {
                        self.tally.messages_dropped += self.backlog.clear();
                    }
                    return;
                }
            }
        }
    }
}

/// The reason of a close by the policy.
const TOO_SLOW: CloseReason<'_> = CloseReason::from_static("too slow");

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};
    use std::time::Instant;

    use ws_proto::{Connection as Machine, ConnectionConfig, Message, PreparedMessage, Version};

    use super::super::tests::{around, outgoing};
    use super::super::{Draft, IfOpen, Part, Then};
    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn machine(version: Version) -> SharedMachine {
        let config = ConnectionConfig::new().send_queue_limit(Some(1000));
        around(Machine::server(version, config, Instant::now()))
    }

    fn offer_message(
        machine: &SharedMachine,
        message: impl Into<Message>,
        policy: SlowPeer,
    ) -> Result<(), SendError> {
        machine.send_by_policy(message.into(), policy)
    }

    /// While a message is sent in fragments, other messages wait for its end and then go out in order. No policy takes
    /// the wait for slowness while there is capacity.
    #[test]
    fn an_offer_waits_for_the_end_of_an_open_message() {
        for policy in [
            SlowPeer::Wait,
            SlowPeer::DropNewest,
            SlowPeer::DropOldest,
            SlowPeer::Close,
        ] {
            let machine = machine(Version::Rfc6455);
            let fragment = |text: &str, last| {
                let part = Part::new(text.into(), last);
                let sent = machine.send_wait(part, IfOpen::Refuse, Then::Write);
                assert_eq!(poll(pin!(sent)), Poll::Ready(Ok(())), "{policy:?}");
            };
            fragment("a", false);
            assert_eq!(offer_message(&machine, "b", policy), Ok(()), "{policy:?}");
            assert_eq!(
                machine.send_prepared_by_policy(&PreparedMessage::from("c"), policy),
                Ok(())
            );
            assert_eq!(outgoing(&machine), b"\x01\x01a");
            // Whoever holds the connection is told at once; a wait would never end.
            let draft = Draft::new("whole".into());
            let whole = machine.send_wait(draft, IfOpen::Refuse, Then::Write);
            assert_eq!(poll(pin!(whole)), Poll::Ready(Err(SendError::MessageOpen)));
            fragment("d", true);
            assert_eq!(outgoing(&machine), b"\x80\x01d\x81\x01b\x81\x01c");
            assert_eq!(machine.buffered_amount(), 0);
            assert_eq!(machine.counters().messages_dropped, 0);
        }
    }

    /// A part that waits for capacity is woken when there is some, although a message is kept back: that one waits for
    /// the part.
    #[test]
    fn a_part_waits_for_capacity_and_not_for_the_backlog() {
        let machine = machine(Version::Rfc6455);
        let part = |text: String, last| {
            let part = Part::new(text.into(), last);
            machine.send_wait(part, IfOpen::Refuse, Then::Write)
        };
        assert_eq!(
            poll(pin!(part("a".repeat(1000), false))),
            Poll::Ready(Ok(()))
        );
        let kept =
            machine.send_prepared_by_policy(&PreparedMessage::from("b"), SlowPeer::DropOldest);
        assert_eq!(kept, Ok(()));
        let mut last = pin!(part("c".into(), true));
        assert_eq!(poll(last.as_mut()), Poll::Pending, "the queue is full");
        assert_eq!(outgoing(&machine).len(), 1004);
        assert_eq!(poll(last.as_mut()), Poll::Ready(Ok(())));
        assert_eq!(outgoing(&machine), b"\x80\x01c\x81\x01b");
    }

    /// Messages that wait for the end of an open message are bounded, and at the limit the policy applies.
    #[test]
    fn what_waits_for_an_open_message_is_bounded() {
        for (policy, slow_closes) in [
            (SlowPeer::Wait, 0),
            (SlowPeer::DropNewest, 0),
            (SlowPeer::DropOldest, 0),
            (SlowPeer::Close, 1),
        ] {
            let machine = machine(Version::Rfc6455);
            let open = machine.command(|machine, _| machine.send_fragment("a", false));
            open.unwrap();
            let offer = || offer_message(&machine, "x".repeat(100), policy);
            let taken = (0..100).take_while(|_| offer().is_ok()).count();
            let has_error = policy != SlowPeer::DropOldest;
            assert_eq!(taken == 100, !has_error, "{policy:?} took {taken}");
            assert!(taken > 5 && machine.buffered_amount() < 1200);
            let tally = machine.tally();
            assert_eq!(tally.slow_closes, slow_closes, "{policy:?}");
            assert_eq!(tally.messages_dropped > 0, policy != SlowPeer::Wait);
        }
    }

    /// A message that the version cannot carry is refused at once, not kept for later.
    #[test]
    fn a_backlog_takes_only_what_the_version_can_carry() {
        let machine = machine(Version::Draft76);
        let open = machine.command(|machine, _| machine.send_fragment("a", false));
        open.unwrap();
        let refused = offer_message(&machine, b"binary", SlowPeer::DropOldest);
        assert!(matches!(refused, Err(SendError::Unsupported { .. })));
        assert_eq!(
            offer_message(&machine, "text", SlowPeer::DropOldest),
            Ok(())
        );
        let last = machine.command(|machine, _| machine.send_fragment("z", true));
        last.unwrap();
        assert_eq!(outgoing(&machine), b"\0az\xff\0text\xff");
    }
}
