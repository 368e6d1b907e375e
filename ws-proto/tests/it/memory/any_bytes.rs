//! The bound of an open connection, as a function of its limits, for any bytes in any portions.
//!
//! Let M be the `message_limit` and R the `receive_queue_limit`, or what has arrived if that is less:
//! a byte of input makes at most half an event. A message can be longer than what arrived if invalid
//! UTF-8 is replaced: by three bytes for each. Then, between two calls,
//!
//! > held <= 2 * (R + longest message) + [`FLOOR`]
//!
//! because the message that is open lies in a buffer that doubles, what waits counts at least half of
//! what it holds, and control frames have a limit of their own. During a call a buffer can be there
//! twice, the old one and the one of double size:
//!
//! > peak <= 3 * (R + longest message) + 2 * [`FLOOR`]
//!
//! And as buffers double, all that was ever allocated follows the bytes that arrived:
//!
//! > total <= [`PER_BYTE`] * received + 2 * [`FLOOR`]

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::{ConnectionConfig, Event, Role, Version};

use crate::meter::Meter;
use ws_testing::connections::{Frame, all, connect};

/// What an open connection holds whatever it receives: answers to control frames, at most 16 KiB and
/// one frame in a buffer that doubles, and places in queues.
const FLOOR: usize = 2 * ((16 << 10) + 131) + (2 << 10);

/// What is allocated for each byte, in all. An event of 72 bytes can come of two bytes; the list of
/// events doubles, which makes four times of that in all; and it can begin anew whenever it was
/// emptied.
const PER_BYTE: usize = 36 * 4 * 2;

/// What one byte of input can count against the `receive_queue_limit`.
const QUEUED_PER_BYTE: usize = size_of::<Event>() / 2;

/// A part of a stream.
#[derive(Clone, Debug)]
enum Part {
    Noise(Vec<u8>),
    /// First byte, payload length, how often.
    Frames(u8, usize, usize),
    /// Payload of a text of the drafts and how often; the end is missing if it is odd.
    Texts(Vec<u8>, usize),
}

impl Part {
    fn write(&self, role: Role, version: Version, wire: &mut Vec<u8>) {
        match self {
            Self::Noise(noise) => wire.extend(noise),
            Self::Frames(first_byte, len, count) if version == Version::Rfc6455 => {
                let frame = Frame::new(*first_byte, vec![b'a'; *len]).to(role);
                wire.extend(frame.repeat(*count));
            }
            Self::Frames(_, len, count) => {
                let text = [b"\0", &*vec![b'a'; *len], b"\xff"].concat();
                wire.extend(text.repeat(*count));
            }
            Self::Texts(text, count) => {
                let end: &[u8] = if text.len() % 2 == 0 { b"\xff" } else { b"" };
                wire.extend([b"\0", &**text, end].concat().repeat(*count));
            }
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    let first_byte = prop_oneof![
        Just(0x02_u8),
        Just(0x00),
        Just(0x80),
        Just(0x82),
        Just(0x81),
        Just(0x89),
        Just(0x8a)
    ];
    let len = prop_oneof![0_usize..3, 100..140_usize, 1000..9000_usize];
    prop_oneof![
        1 => vec(any::<u8>(), 0..200).prop_map(Part::Noise),
        8 => (first_byte, len, 1..4000_usize)
            .prop_map(|(first_byte, len, count)| Part::Frames(first_byte, len, 1 + count % (1 + 20_000 / (len + 1)))),
        2 => (vec(0x80..0xff_u8, 0..300), 1..100_usize)
            .prop_map(|(text, count)| Part::Texts(text, count)),
    ]
}

/// Parts behind each other.
fn stream() -> impl Strategy<Value = Vec<Part>> {
    vec(part(), 1..12)
}

fn limit() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        Just(None),
        Just(Some(0)),
        Just(Some(1)),
        (50..40_000_usize).prop_map(Some)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Proves the bounds above for noise, floods of frames and texts, in every version and role,
    /// under any limits, in any portions, whether the application takes its messages at once, some
    /// of them, or none, as long as the stream is only read when that is wanted.
    #[test]
    fn memory_is_bounded_by_the_limits_and_by_what_arrived(
        parts in stream(),
        (message_limit, queue_limit) in (limit(), limit()),
        steps in vec(prop_oneof![1..20_usize, 1..70_000_usize], 1..10),
        takes in vec(prop_oneof![Just(0_usize), 1..50_usize, Just(usize::MAX)], 1..5),
        (fragments, controls, replaces) in any::<(bool, bool, bool)>(),
    ) {
        let now = Instant::now();
        for (role, version) in all() {
            let mut wire = Vec::new();
            parts.iter().for_each(|part| part.write(role, version, &mut wire));
            let config = ConnectionConfig::new()
                .message_limit(message_limit)
                .receive_queue_limit(queue_limit)
                .fragment_limit(None)
                .receive_fragments(fragments)
                .control_events(controls)
                .replace_invalid_utf8(replaces);
            let mut connection = connect(role, version, config, now);
            let mut meter = Meter::default();
            let (mut rest, mut received) = (&wire[..], 0);
            let (mut steps, mut takes) = (steps.iter().cycle(), takes.iter().cycle());
            // Ends, as every round takes a byte or an event, or is one of few in which it may not.
            for _ in 0..2 * wire.len() + 100 {
                if connection.wants_read() && !rest.is_empty() {
                    let (part, _) = rest.split_at(rest.len().min(*steps.next().unwrap()));
                    let len = meter.run(|| connection.handle_read_some(now, part));
                    rest = &rest[len..];
                    received += len;
                }
                let longest = match version {
                    Version::Rfc6455 => 1,
                    _ => 3,
                } * message_limit.unwrap_or(usize::MAX).min(received);
                let queued = queue_limit
                    .unwrap_or(usize::MAX)
                    .min(QUEUED_PER_BYTE * received);
                let bound = queued + longest;
                prop_assert!(
                    meter.held() <= 2 * bound + FLOOR,
                    "{version} {role:?}: {} held after {received}; {queued}, {longest}",
                    meter.held()
                );
                prop_assert!(
                    meter.peak() <= 3 * bound + 2 * FLOOR,
                    "{version} {role:?}: {} at the peak after {received}; {queued}, {longest}",
                    meter.peak()
                );
                prop_assert!(
                    meter.total() <= PER_BYTE * received + 2 * FLOOR,
                    "{version} {role:?}: {} in all for {received}",
                    meter.total()
                );
                for _ in 0..*takes.next().unwrap() {
                    if meter.run(|| connection.poll_event(now).is_none()) {
                        break;
                    }
                }
                if rest.is_empty() {
                    break;
                }
            }
            meter.run(|| drop(connection));
            prop_assert_eq!(meter.held(), 0);
        }
    }
}
