//! Whatever happens, in any order: the states only go on, and the end comes once.

use std::time::Instant;

use proptest::prelude::*;
use ws_proto::{CloseCode, CloseReason, Event, State, Version};

use super::peer::{draft_frames, frames, open, peer_closes, text_to};
use ws_testing::connections::{self, all, describe, seconds, written};

#[derive(Clone, Debug)]
enum Step {
    Text,
    Garbage(Vec<u8>),
    PeerClose,
    Send,
    Ping,
    Close,
    Poll,
    Write,
    Pass(u64),
    Eof,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Text),
        1 => proptest::collection::vec(any::<u8>(), 1..4).prop_map(Step::Garbage),
        2 => Just(Step::PeerClose),
        3 => Just(Step::Send),
        1 => Just(Step::Ping),
        2 => Just(Step::Close),
        3 => Just(Step::Poll),
        2 => Just(Step::Write),
        2 => (1_u64..25).prop_map(Step::Pass),
        1 => Just(Step::Eof),
        1 => Just(Step::Reset),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves for any order of events: the states only go on, at most one close is sent, behind it no frame
    /// but answers to pings, which are due until the peer's close (R-F13), the end is told once and last, a finished connection stays finished, and with time
    /// every connection that began to close is finished (R-F15, R-X6, X19, X20).
    #[test]
    fn whatever_happens_the_end_comes_once(steps in steps()) {
        for (role, version) in all() {
            let mut now = Instant::now();
            let mut connection = open(role, version, now);
            let (mut sent, mut said) = (Vec::new(), Vec::new());
            let (mut was_closing, mut was_finished, mut stream_ended) = (false, false, false);
            for step in &steps {
                match step {
                    Step::Text if !stream_ended => {
                        connection.handle_read(now, &text_to(role, version, "text"));
                    }
                    Step::Garbage(bytes) if !stream_ended => connection.handle_read(now, bytes),
                    Step::PeerClose if !stream_ended => {
                        peer_closes(&mut connection, now);
                        stream_ended = version == Version::Draft75;
                    }
                    Step::Text | Step::Garbage(_) | Step::PeerClose => {}
                    Step::Send => {
                        let refused = connection.send("text").is_err();
                        prop_assert!(refused || !was_finished);
                    }
                    Step::Ping => drop(connection.ping(b"ping")),
                    Step::Close => connection.close(now, Some(CloseCode::NORMAL), CloseReason::EMPTY),
                    Step::Poll => said.extend(connection.poll_event(now)),
                    Step::Write => sent.extend(written(&mut connection)),
                    Step::Pass(count) => {
                        now += seconds(*count);
                        connection.handle_timeout(now);
                    }
                    Step::Eof => {
                        connection.handle_eof(now);
                        stream_ended = true;
                    }
                    Step::Reset => {
                        connection.handle_reset(now);
                        stream_ended = true;
                    }
                }
                let is_closing = connection.state() != State::Connected;
                prop_assert!(is_closing || !was_closing, "{version} {role:?} opened again");
                prop_assert!(connection.is_finished() || !was_finished, "{version} {role:?}");
                was_closing = is_closing;
                was_finished = connection.is_finished();
                prop_assert_eq!(connection.state() == State::Closed, was_finished);
            }
            connection.close(now, None, CloseReason::EMPTY);
            for _ in 0..3 {
                said.extend(connections::events(&mut connection, now));
                sent.extend(written(&mut connection));
                now += seconds(10);
                connection.handle_timeout(now);
            }
            prop_assert!(connection.is_finished(), "{version} {role:?} never ends");
            prop_assert_eq!(connection.poll_timeout(), None);
            let ends = said.iter().filter(|event| matches!(event, Event::Closed(_))).count();
            let last = said.last().map(describe).unwrap_or_default();
            prop_assert!(ends == 1 && last.starts_with("closed:"), "{:?}", said);
            let opcodes: Vec<u8> = match version {
                Version::Draft75 | Version::Draft76 => draft_frames(&sent),
                Version::Rfc6455 => frames(&sent).iter().map(|(first, _)| *first).collect(),
            };
            let is_close = |first: &u8| matches!(first, 0x88 | 0xff);
            let first_close = opcodes.iter().position(is_close).unwrap_or(opcodes.len());
            let mut behind = opcodes.iter().skip(first_close + 1);
            let is_pong = |first: &u8| version == Version::Rfc6455 && *first == 0x8a;
            prop_assert!(behind.all(is_pong), "{version} {role:?} {opcodes:x?}");
            prop_assert!(version != Version::Draft75 || first_close == opcodes.len());
        }
    }
}
