//! What a frame declares costs nothing: lengths of RFC 6455 in every form, and the lengths of the
//! drafts, which are skipped.

use std::time::Instant;

use ws_proto::{CloseCause, ConnectionConfig, Event, ProtocolError, Role, Version};

use super::{LITTLE, unlimited};
use crate::meter::Meter;
use ws_testing::connections::{Frame, connect};

/// Lengths at the borders of everything that a length field, or a program, can hold.
const LENS: [u64; 17] = [
    0,
    1,
    124,
    125,
    126,
    127,
    65_535,
    65_536,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 62,
    (1 << 62) + 1,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
];

/// The header of a frame that declares `len` bytes, in each form that can hold it, the shortest or
/// not.
fn headers(first_byte: u8, masked: bool, len: u64) -> Vec<Vec<u8>> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut forms = vec![[&[first_byte, mask_bit | 127], &len.to_be_bytes()[..]].concat()];
    if let Ok(len) = u16::try_from(len) {
        forms.push([&[first_byte, mask_bit | 126], &len.to_be_bytes()[..]].concat());
    }
    if let Some(len) = u8::try_from(len).ok().filter(|len| *len < 126) {
        forms.push(vec![first_byte, mask_bit | len]);
    }
    if masked {
        for form in &mut forms {
            form.extend([1, 2, 3, 4]);
        }
    }
    forms
}

/// Allocation by declared length, and length overflow: proves for every opcode and flag, masked and
/// not, alone and behind a partial message, with and without limits, in one read and byte by byte,
/// that a header allocates nothing to speak of, and that the first bytes of its payload do not
/// either (X14).
#[test]
fn a_declared_length_allocates_nothing() {
    let now = Instant::now();
    let mut most = 0;
    let partial = Frame::new(0x01, "partial");
    for role in [Role::Server, Role::Client] {
        let partial = Frame::new(0x01, &partial.payload).to(role);
        for config in [ConnectionConfig::new(), unlimited()] {
            for first_byte in (0..16).flat_map(|opcode| [opcode, 0x80 | opcode, 0xc0 | opcode]) {
                for (masked, len) in LENS.iter().flat_map(|len| [(false, *len), (true, *len)]) {
                    for header in headers(first_byte, masked, len) {
                        for (begun, step) in [(false, 100), (true, 100), (false, 1), (true, 1)] {
                            let mut connection =
                                connect(role, Version::Rfc6455, config.clone(), now);
                            if begun {
                                connection.handle_read(now, &partial);
                            }
                            let mut meter = Meter::default();
                            for part in header.chunks(step) {
                                meter.run(|| connection.handle_read(now, part));
                            }
                            meter.run(|| connection.handle_read(now, &[b'a'; 100]));
                            most = most.max(meter.peak());
                        }
                    }
                }
            }
        }
    }
    println!("most for a header and 100 bytes: {most}");
    assert!(most < LITTLE, "{most} bytes");
}

/// The same for the drafts, whose lengths are skipped: proves that a skipped frame costs nothing,
/// however long it says it is and however much of it comes (Q27).
#[test]
fn a_skipped_frame_costs_nothing() {
    let now = Instant::now();
    let lengths: [&[u8]; 4] = [
        b"\x8f\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x80",
        b"\xff\xff",
    ];
    let part = vec![b'x'; 64 << 10];
    for version in [Version::Draft75, Version::Draft76] {
        for role in [Role::Client, Role::Server] {
            for frame_type in [0x01, 0x7f, 0x80, 0xfe, 0xff] {
                for length in lengths {
                    let config = unlimited().skip_unknown_frames(true);
                    let mut connection = connect(role, version, config, now);
                    let mut meter = Meter::default();
                    meter.run(|| connection.handle_read(now, &[frame_type]));
                    if frame_type >= 0x80 {
                        meter.run(|| connection.handle_read(now, length));
                    }
                    for _ in 0..16 {
                        meter.run(|| connection.handle_read(now, &part));
                    }
                    let peak = meter.peak();
                    assert!(
                        peak < LITTLE,
                        "{version} {frame_type:x} {length:x?}: {peak}"
                    );
                }
            }
        }
    }
}

/// Proves that a length of a draft that never ends is refused at its tenth byte, for every type that
/// has one, both roles, whether unknown frames are skipped or not, in one read and byte by byte, and
/// that it allocates nothing to speak of (X16).
#[test]
fn a_length_without_an_end_is_refused_and_costs_nothing() {
    let now = Instant::now();
    let mut most = 0;
    for version in [Version::Draft75, Version::Draft76] {
        for role in [Role::Server, Role::Client] {
            for (frame_type, byte) in (0x80..=0xff).flat_map(|kind| [(kind, 0xff), (kind, 0x80)]) {
                for (skips, step) in [(false, 1), (true, 1), (false, usize::MAX), (true, 4096)] {
                    let config = unlimited().skip_unknown_frames(skips);
                    let mut connection = connect(role, version, config, now);
                    let wire = [&[frame_type][..], &[byte; 16_384]].concat();
                    // Byte by byte it must be over after ten of them.
                    let len = if step == 1 { 11 } else { wire.len() };
                    let mut meter = Meter::default();
                    for part in wire[..len].chunks(step) {
                        meter.run(|| connection.handle_read(now, part));
                    }
                    most = most.max(meter.peak());
                    let refused = match connection.poll_event(now) {
                        Some(Event::Closed(closed)) => closed.cause.clone(),
                        other => panic!("{version} {role:?} {frame_type:x}: {other:?}"),
                    };
                    let is_unknown = frame_type != 0xff && role == Role::Server && !skips;
                    let expected = match is_unknown {
                        true => ProtocolError::UnknownFrameType { frame_type },
                        false => ProtocolError::LengthOverflow,
                    };
                    assert_eq!(refused, CloseCause::Failed(expected), "{version} {role:?}");
                }
            }
        }
    }
    println!("most for an endless length: {most}");
    assert!(most < LITTLE, "{most} bytes");
}
