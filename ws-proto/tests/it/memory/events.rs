//! What waits for an application that takes nothing.

use std::time::Instant;

use ws_proto::{Event, Role, Version};

use super::unlimited;
use crate::meter::Meter;
use ws_testing::connections::{Frame, connect};

/// Proves what `handle_read_some` promises, with events of every kind and so many that what it allows
/// besides does not count: they are kept in lists that grow, with something of their own beside each.
#[test]
fn events_of_every_kind_keep_to_the_promise_of_memory() {
    /// A few more than fill a list that doubles, so that it is nearly twice as long as what is in it.
    const COUNT: usize = (16 << 10) + 10;
    const BESIDES: usize = 40 << 10;
    let now = Instant::now();
    for first_byte in [0x81, 0x82, 0x89, 0x8a, 0x01] {
        for len in [0, 1, 23, 24, 100, 125] {
            let limit = COUNT * (len + size_of::<Event>());
            let config = unlimited()
                .receive_queue_limit(limit)
                .message_limit(125)
                .receive_fragments(true)
                .control_events(true);
            let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
            let mut frames = Frame::new(first_byte, vec![b'a'; len]).to(Role::Server);
            if first_byte == 0x01 {
                frames.extend(Frame::new(0x80, "").to(Role::Server));
            }
            let frames = frames.repeat(100);
            let mut meter = Meter::default();
            let mut most = 0;
            while connection.wants_read() {
                let len = meter.run(|| connection.handle_read_some(now, &frames));
                assert!(len > 0, "it takes what it wants");
                most = most.max(meter.held());
                // A read can end inside of a frame, and the next one begins a frame.
                if len < frames.len() {
                    break;
                }
            }
            assert!(connection.queued_len() >= limit);
            meter.print(&format!("{first_byte:#x}, {len} bytes each"));
            assert!(
                most <= 2 * (limit + 125) + BESIDES,
                "{first_byte:#x} of {len}: {most} bytes are held"
            );
        }
    }
}
