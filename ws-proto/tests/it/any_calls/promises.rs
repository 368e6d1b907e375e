//! Any calls in any order, both roles, all versions, with every limit at zero, one, some or none.
//!
//! `PROPTEST_CASES` sets the number of cases.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::{ConnectionConfig, Role, Version};

use super::driver::{Call, Driver};
use ws_testing::connections::{Frame, all, close_frame};

fn cases(count: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config.cases,
        None => count,
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..config
    }
}

/// What a peer may send, and must not.
fn inputs(role: Role, version: Version) -> Vec<Vec<u8>> {
    let frame = |first_byte, payload: &[u8]| Frame::new(first_byte, payload).to(role);
    match version {
        Version::Rfc6455 => vec![
            frame(0x81, b"text"),
            frame(0x82, &[7; 300]),
            frame(0x81, b""),
            frame(0x01, b"part"),
            frame(0x00, b"part"),
            frame(0x80, b"end"),
            frame(0x89, b""),
            frame(0x89, &[b'p'; 125]).repeat(40),
            frame(0x8a, b"pong"),
            close_frame(1000, "bye").to(role),
            frame(0x88, b""),
            frame(0x83, b""),
            frame(0x81, b"a").repeat(50),
            frame(0x89, b"").repeat(3000),
        ],
        Version::Draft75 | Version::Draft76 => vec![
            b"\0text\xff".to_vec(),
            b"\0\xff".repeat(50),
            b"\0half".to_vec(),
            b"\xff".to_vec(),
            b"\xff\x00".to_vec(),
            b"\x05".to_vec(),
            b"\0a\xff\0b\xff\xff\x00".to_vec(),
        ],
    }
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..30_usize,
        2 => 100..140_usize,
        1 => 4000..6000_usize,
        1 => Just(66_000_usize),
    ]
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0_usize), 1..20_usize, 20..5000_usize, Just(usize::MAX)]
}

fn call() -> impl Strategy<Value = Call> {
    let control = prop_oneof![0..10_usize, 120..130_usize];
    let times = prop_oneof![Just(0_u64), 1..5_000_000_u64, Just(15_000_000_u64)];
    prop_oneof![
        8 => (any::<usize>(), count()).prop_map(|(which, len)| Call::Read(which, len)),
        8 => (any::<usize>(), count()).prop_map(|(which, len)| Call::ReadSome(which, len)),
        1 => Just(Call::Eof),
        1 => Just(Call::Reset),
        5 => times.prop_map(|time| Call::Timeout(Duration::from_micros(time))),
        3 => Just(Call::PollEvent),
        2 => Just(Call::TakeEvent),
        3 => Just(Call::PollEvents),
        2 => Just(Call::TakeEvents),
        3 => (0..20_usize).prop_map(Call::Work),
        2 => (any::<bool>(), prop_oneof![Just(0_usize), 120..126_usize])
            .prop_map(|(has_code, len)| Call::Close(has_code, len)),
        5 => count().prop_map(Call::Write),
        3 => count().prop_map(Call::Take),
        3 => count().prop_map(Call::TakeInto),
        5 => count().prop_map(Call::Written),
        2 => Just(Call::Lend),
        2 => Just(Call::Reclaim),
        5 => (any::<bool>(), len()).prop_map(|(is_text, len)| Call::Send(is_text, len)),
        3 => (any::<bool>(), 0..30_usize).prop_map(|(is_text, len)| Call::Send(is_text, len)),
        4 => (any::<bool>(), len(), any::<bool>())
            .prop_map(|(is_text, len, last)| Call::SendFragment(is_text, len, last)),
        2 => len().prop_map(Call::SendPrepared),
        4 => control.clone().prop_map(Call::Ping),
        2 => control.prop_map(Call::Pong),
    ]
}

fn limit(some: usize) -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(0)),
        1 => Just(Some(1)),
        3 => Just(Some(some)),
    ]
}

fn wait() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Duration::ZERO)),
        1 => Just(Some(Duration::MAX)),
        3 => (1..3000_u64).prop_map(|millis| Some(Duration::from_millis(millis))),
    ]
}

fn config() -> impl Strategy<Value = ConnectionConfig> {
    let limits = (limit(1000), limit(200), limit(3));
    let waits = (wait(), wait(), wait(), 1..3000_u64);
    (limits, waits, any::<[bool; 4]>()).prop_map(|(limits, waits, flags)| {
        ConnectionConfig::new()
            .message_limit(limits.0)
            .frame_limit(limits.1)
            .fragment_limit(limits.2)
            .keepalive_interval(waits.0)
            .pong_timeout(waits.1)
            .stall_timeout(waits.2)
            .close_timeout(Duration::from_millis(waits.3))
            .control_events(flags[0])
            .receive_fragments(flags[1])
            .replace_invalid_utf8(flags[2])
            .close_reasons(flags[3])
    })
}

proptest! {
    #![proptest_config(cases(150))]

    /// Proves what `Driver` asks after each call: of the states that stay what they are, of what is wanted
    /// and refused, of what waits and is bounded, of deadlines, and of the end.
    #[test]
    fn what_the_pages_promise_holds_whatever_is_called(
        config in config(),
        queue_limits in (limit(500), limit(5000)),
        calls in vec(call(), 1..60),
    ) {
        for (role, version) in all() {
            let mut driver = Driver::new(role, version, config.clone(), queue_limits);
            driver.run(&calls, &inputs(role, version));
        }
    }
}

/// Proves that the promises are asked for at all: a driver whose list of bytes is not the connection's is
/// found out.
#[test]
#[should_panic(expected = "assertion")]
fn a_driver_that_loses_bytes_is_found_out() {
    let config = ConnectionConfig::new();
    let mut driver = Driver::new(Role::Server, Version::Rfc6455, config, (None, None));
    driver.connection.send("lost").unwrap();
    drop(driver.connection.take_outgoing(usize::MAX));
    driver.run(&[], &inputs(Role::Server, Version::Rfc6455));
}
