//! Compresses long messages before the lock is taken, so that neither the driver nor other senders wait for that.
//! This is possible only where no context is kept: with a context, messages have to leave in the order of their
//! compression.

#[cfg(feature = "deflate")]
use ws_proto::Message;

use super::{Draft, IfFull, SharedMachine};
#[cfg(feature = "deflate")]
use crate::driver::workspace;

/// The longest message, in bytes, that is compressed under the lock. It takes some hundred microseconds.
#[cfg(feature = "deflate")]
const UNDER_LOCK_LIMIT: usize = 16 << 10;

impl SharedMachine {
    /// Compresses a message as the machine would, if that takes long and the message would be queued now. Otherwise the
    /// machine does it.
    #[cfg(feature = "deflate")]
    pub(super) fn precompress(&self, draft: &mut Draft, full: IfFull) {
        let message = draft.message.as_ref();
        let is_long = |message: &&Message| message.len() > UNDER_LOCK_LIMIT;
        let Some(message) = message.filter(is_long) else {
            return;
        };
        if draft.compressed.is_some() {
            // The sender has had to wait since.
            return;
        }
        // The answer can be out of date once the lock is released. Then the draft has to wait or is refused after all,
        // with its compressed message.
        let options = {
            let inner = self.lock();
            let may_send = match full {
                IfFull::Wait => !inner.is_full(),
                IfFull::Refuse | IfFull::Policy(_) | IfFull::Exceed => inner.has_capacity(),
            };
            let alone = inner.machine.deflate_alone();
            alone.filter(|_| inner.machine.is_writable() && may_send)
        };
        if let Some(options) = options {
            let compressed = workspace::compress(message.clone().into(), &options);
            draft.compressed = Some(Box::new(compressed));
        }
    }

    #[cfg(not(feature = "deflate"))]
    pub(super) fn precompress(&self, _: &mut Draft, _: IfFull) {
        debug_assert!(!self.facts.compresses(), "nothing is agreed on");
    }
}

#[cfg(all(test, feature = "deflate"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use ws_proto::{Deflate, PreparedMessage};

    use super::super::tests::{compressing, outgoing};
    use super::*;
    use crate::driver::slow_peer::SlowPeer;

    const FULL: [IfFull; 3] = [
        IfFull::Wait,
        IfFull::Refuse,
        IfFull::Policy(SlowPeer::DropOldest),
    ];

    /// Numbers, which take their time.
    fn text(len: usize) -> String {
        let mut text: String = (0..len / 4).map(|i| format!("{:x} ", i * i)).collect();
        text.truncate(len);
        text
    }

    /// Proves that a message is the same bytes wherever it is compressed, and that only long messages on connections
    /// without a context are compressed before the lock is taken.
    #[test]
    fn a_message_is_the_same_wherever_it_is_compressed() {
        for (keeps, len) in [(false, UNDER_LOCK_LIMIT), (false, 50_000), (true, 50_000)] {
            let options = Deflate::new().server_no_context_takeover(!keeps);
            let [apart, under_lock] = [(); 2].map(|()| compressing(&options));
            let message = Message::from(text(len));
            let is_apart = |full| {
                let mut draft = Draft::new(message.clone());
                apart.precompress(&mut draft, full);
                draft.compressed.is_some()
            };
            let is_expected = !keeps && len > UNDER_LOCK_LIMIT;
            assert!(FULL.iter().all(|full| is_apart(*full) == is_expected));
            apart.try_send(message.clone()).unwrap();
            let queued = under_lock.command(|machine, _| machine.send(message.clone()));
            assert_eq!(queued, Ok(()));
            assert!(outgoing(&apart) == outgoing(&under_lock));
            // A message that would not be queued is not compressed.
            let plain = PreparedMessage::plain(vec![0; 1 << 20]);
            while apart.try_send_prepared(&plain).is_ok() {}
            assert!(!FULL.iter().any(|full| is_apart(*full)));
        }
    }

    /// Proves that others can lock the connection while a message is compressed: of some messages at least one does not
    /// keep them waiting, however busy the machine is.
    #[test]
    fn nobody_waits_for_a_message_that_is_compressed() {
        let machine = compressing(&Deflate::new());
        let message = Message::from(text(4 << 20));
        let shortest = (0..5).map(|_| {
            let is_sent = AtomicBool::new(false);
            thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let begin = Instant::now();
                    let sent = machine.try_send(message.clone());
                    is_sent.store(true, Ordering::Release);
                    sent.map(|()| begin.elapsed())
                });
                let mut longest = Duration::ZERO;
                while !is_sent.load(Ordering::Acquire) {
                    let begin = Instant::now();
                    drop(machine.lock());
                    longest = longest.max(begin.elapsed());
                }
                let took = sender.join().unwrap().unwrap();
                outgoing(&machine);
                longest.as_secs_f64() / took.as_secs_f64()
            })
        });
        let shortest = shortest.fold(f64::INFINITY, f64::min);
        assert!(shortest < 0.5, "waited {shortest} of the time");
    }
}
