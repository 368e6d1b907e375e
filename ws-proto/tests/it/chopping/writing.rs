//! What is written in any pieces is still made of whole frames.

use std::time::Instant;

use bytes::Buf;
use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::{Role, Version};

use super::endpoint::{config, frames};
use ws_testing::connections::{connect, written};

#[derive(Clone, Debug)]
enum Writing {
    Send {
        len: usize,
        count: usize,
    },
    Ping,
    /// Writes so many bytes in place.
    Advance(usize),
    Take(usize),
}

fn writing() -> impl Strategy<Value = Writing> {
    let send = prop_oneof![
        3 => (0_usize..300, 1_usize..300),
        2 => (4000_usize..5000, 1_usize..20),
        1 => (60_000_usize..70_000, Just(1)),
    ];
    prop_oneof![
        4 => send.prop_map(|(len, count)| Writing::Send { len, count }),
        4 => Just(Writing::Ping),
        4 => prop_oneof![1_usize..100, 1_usize..100_000].prop_map(Writing::Advance),
        1 => (0_usize..100_000).prop_map(Writing::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves that however the bytes are written, control frames that go ahead of waiting messages
    /// cut none of them; that messages keep their order, and that no ping is lost or doubled. Pings
    /// may overtake each other, which is harmless: a pong tells by its payload what it answers
    /// (R-F9, R-F13, R-F18).
    #[test]
    fn control_frames_go_ahead_between_frames_only(ops in vec(writing(), 1..40)) {
        for role in [Role::Server, Role::Client] {
            let now = Instant::now();
            let mut connection = connect(role, Version::Rfc6455, config(None), now);
            let (mut messages, mut pings, mut sent) = (Vec::new(), Vec::new(), Vec::new());
            for op in &ops {
                match op {
                    Writing::Send { len, count } => {
                        for _ in 0..*count {
                            let payload = vec![u8::try_from(messages.len() % 251).unwrap(); *len];
                            connection.send(payload.clone()).unwrap();
                            messages.push(payload);
                        }
                    }
                    Writing::Ping => {
                        let payload = pings.len().to_string().into_bytes();
                        connection.ping(&payload).unwrap();
                        pings.push(payload);
                    }
                    Writing::Advance(count) => {
                        let mut outgoing = connection.outgoing();
                        let count = (*count).min(outgoing.remaining());
                        sent.extend(outgoing.copy_to_bytes(count));
                    }
                    Writing::Take(limit) => {
                        let mut taken = connection.take_outgoing(*limit);
                        let count = taken.len();
                        sent.extend(taken.copy_to_bytes(count));
                        connection.handle_written(count);
                    }
                }
            }
            sent.extend(written(&mut connection));
            let (control, data): (Vec<_>, Vec<_>) =
                frames(role, &sent).into_iter().partition(|(first, _)| *first == 0x89);
            prop_assert!(data.iter().all(|(first, _)| *first == 0x82));
            prop_assert!(data.into_iter().map(|(_, payload)| payload).eq(messages));
            let mut control: Vec<_> = control.into_iter().map(|(_, payload)| payload).collect();
            control.sort_by_key(|payload| (payload.len(), payload.clone()));
            prop_assert_eq!(control, pings);
        }
    }
}
