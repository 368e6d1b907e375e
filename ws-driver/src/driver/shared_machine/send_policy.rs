//! What is done with a message for a peer that reads too slowly, if its sender does not wait: what the policy
//! says, and the backlog of what the machine cannot take yet.

use ws_proto::{CloseCode, CloseReason, SendError};

use super::{Inner, Item, SharedMachine};
use crate::driver::slow_peer::SlowPeer;
use crate::driver::workspace;
use crate::util::sync::MutexGuard;

impl SharedMachine {
    /// Does what the policy says about a message that was not queued for lack of room: under the same lock, so
    /// that nothing is taken in between.
    pub(super) fn apply(&self, mut inner: MutexGuard<'_, Inner>, policy: SlowPeer) {
        match policy {
            SlowPeer::Wait => {}
            SlowPeer::DropNewest | SlowPeer::DropOldest => inner.tally.messages_dropped += 1,
            SlowPeer::Close => {
                inner.is_too_slow = true;
                let now = (self.clock)();
                let code = Some(CloseCode::TRY_AGAIN);
                inner.machine.close(now, code, TOO_SLOW);
                inner.refill();
                self.wake_driver(inner);
                self.changed.notify(usize::MAX);
            }
        }
    }
}

impl Inner {
    /// Adds a message that the machine cannot take now to the backlog, as far as there is room.
    pub(super) fn keep(&mut self, item: &mut dyn Item, policy: SlowPeer) -> Result<(), SendError> {
        let version = self.machine.version();
        if !item.is_text() && !version.features().binary {
            let what = "binary messages";
            return Err(SendError::Unsupported { version, what });
        }
        let limit = self.machine.send_queue_limit().unwrap_or(usize::MAX);
        let has_room = match policy {
            SlowPeer::Wait | SlowPeer::DropNewest | SlowPeer::Close => {
                self.buffered_amount() < limit && self.backlog.cost() < limit
            }
            SlowPeer::DropOldest => limit > 0,
        };
        if !has_room {
            let buffered = self.buffered_amount();
            return Err(SendError::QueueFull { buffered, limit });
        }
        self.backlog.push_back(item.take_prepared());
        if policy == SlowPeer::DropOldest {
            self.tally.messages_dropped += self.backlog.shorten(limit);
        }
        Ok(())
    }

    /// Moves the backlog into the machine as far as that takes it; gives it up once the connection is
    /// closing.
    pub(super) fn refill(&mut self) {
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
    use std::time::Instant;

    use ws_proto::{Connection as Machine, ConnectionConfig, Message, PreparedMessage, Version};

    use super::super::Draft;
    use super::super::tests::{around, outgoing};
    use super::*;

    fn machine(version: Version) -> SharedMachine {
        let config = ConnectionConfig::new().send_queue_limit(Some(1000));
        around(Machine::server(version, config, Instant::now()))
    }

    fn offer_message(
        machine: &SharedMachine,
        message: impl Into<Message>,
        policy: SlowPeer,
    ) -> Result<(), SendError> {
        machine.offer(Draft::new(message.into()), policy)
    }

    /// While a message is sent in fragments, what is offered waits for its end, then goes out in order;
    /// no policy takes the wait for slowness as long as there is room.
    #[test]
    fn an_offer_waits_for_the_end_of_an_open_message() {
        for policy in [
            SlowPeer::Wait,
            SlowPeer::DropNewest,
            SlowPeer::DropOldest,
            SlowPeer::Close,
        ] {
            let machine = machine(Version::Rfc6455);
            let fragment = |text, last| {
                machine
                    .command(|machine, _| machine.send_fragment(text, last))
                    .unwrap();
            };
            fragment("a", false);
            assert_eq!(offer_message(&machine, "b", policy), Ok(()), "{policy:?}");
            assert_eq!(machine.offer(&PreparedMessage::from("c"), policy), Ok(()));
            assert_eq!(outgoing(&machine), b"\x01\x01a");
            fragment("d", true);
            assert_eq!(outgoing(&machine), b"\x80\x01d\x81\x01b\x81\x01c");
            assert_eq!(machine.buffered_amount(), 0);
            assert_eq!(machine.counters().messages_dropped, 0);
        }
    }

    /// What waits for the end of an open message is bounded, and then the policy holds.
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

    /// What a version cannot carry is refused at once, not kept for later.
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
