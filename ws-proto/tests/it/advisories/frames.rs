//! Lengths of the drafts, and control frames.

use std::time::Instant;

use ws_proto::{ConnectionConfig, Role, Version};

use super::limits::{LITTLE, unlimited};
use crate::meter::Meter;
use ws_testing::connections::{Frame, connect, events, told};

#[test]
fn cve_2026_54466_a_length_of_a_draft_has_an_end() {
    // faye's drivers for node and Ruby read length bytes for ever, and summed them up without a bound.
    // Here the tenth is refused, and what a length says is within the message limit.
    let now = Instant::now();
    for version in [Version::Draft75, Version::Draft76] {
        for (role, byte) in [
            (Role::Server, 0x80),
            (Role::Server, 0xff),
            (Role::Client, 0x80),
            (Role::Client, 0xff),
        ] {
            let config = ConnectionConfig::new().skip_unknown_frames(true);
            let mut connection = connect(role, version, config, now);
            let mut meter = Meter::default();
            for (count, part) in [&[0x80][..], &[byte; 9]].concat().chunks(1).enumerate() {
                assert!(!connection.has_events(), "refused after {count}");
                meter.run(|| connection.handle_read(now, part));
            }
            meter.run(|| connection.handle_read(now, &[byte]));
            let said = told(&mut connection, now);
            assert!(said[0].contains("LengthOverflow"), "{said:?}");
            assert!(meter.peak() < LITTLE);
            let config = ConnectionConfig::new().skip_unknown_frames(true);
            let mut connection = connect(role, version, config, now);
            connection.handle_read(now, b"\x80\xff\xff\xff\xff\x7f");
            assert!(told(&mut connection, now)[0].contains("MessageTooBig"));
        }
    }
}

#[test]
fn cve_2026_15711_control_frames_are_short_whole_and_bounded() {
    // libsoup took control frames of any length. Here one of more than 125 bytes, or in fragments, is
    // refused by its header, and what answers a flood of pings is bounded (R-F7, R-F8, X18).
    let now = Instant::now();
    for (role, opcode) in (8..16).flat_map(|o| [(Role::Server, o), (Role::Client, o)]) {
        for frame in [
            Frame::new(0x80 | opcode, [0; 126]),
            Frame::new(0x80 | opcode, [0; 65_536]),
            Frame::new(opcode, []),
        ] {
            let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
            let (mut meter, frame) = (Meter::default(), frame.to(role));
            meter.run(|| connection.handle_read(now, &frame[..2]));
            assert!(meter.peak() < LITTLE);
            assert_eq!(events(&mut connection, now).len(), 1);
        }
    }
    let flood = Frame::new(0x89, [0; 125]).to(Role::Server).repeat(1000);
    let mut connection = connect(Role::Server, Version::Rfc6455, unlimited(), now);
    let mut meter = Meter::default();
    for _ in 0..100 {
        meter.run(|| connection.handle_read(now, &flood));
    }
    assert!(meter.peak() < 64 << 10, "{meter:?}");
    assert!(connection.buffered_amount() <= (16 << 10) + 127);
}
