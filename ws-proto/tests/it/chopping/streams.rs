//! Generates streams that mean something most of the time.

use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::Role;

use ws_testing::connections;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Frame {
        first_byte: u8,
        payload: Vec<u8>,
        key: [u8; 4],
    },
    /// A frame with all that a peer can do wrong: the mask bit and the form of the length.
    Odd {
        first_byte: u8,
        wrong_mask: bool,
        form: u8,
        len: u64,
        payload: Vec<u8>,
    },
    Raw(Vec<u8>),
}

impl Op {
    pub(crate) fn write(&self, role: Role, bytes: &mut Vec<u8>) {
        match self {
            Self::Frame {
                first_byte,
                payload,
                key,
            } => {
                let mask = (role == Role::Server).then_some(*key);
                let frame = connections::Frame {
                    first_byte: *first_byte,
                    mask,
                    payload: payload.clone(),
                };
                bytes.extend(frame.bytes());
            }
            Self::Odd {
                first_byte,
                wrong_mask,
                form,
                len,
                payload,
            } => {
                let mask_bit = if (role == Role::Server) != *wrong_mask {
                    0x80
                } else {
                    0
                };
                bytes.push(*first_byte);
                bytes.push(mask_bit | form);
                match form {
                    126 => bytes.extend(u16::try_from(*len & 0xffff).unwrap().to_be_bytes()),
                    127 => bytes.extend(len.to_be_bytes()),
                    _ => {}
                }
                bytes.extend(payload);
            }
            Self::Raw(raw) => bytes.extend(raw),
        }
    }
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ -~κé€\u{10ffff}\0]{0,30}",
        1 => (120_usize..6000).prop_map(|len| "é".repeat(len / 2)),
    ]
}

fn frame(first_byte: u8, payload: Vec<u8>) -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(move |key| Op::Frame {
        first_byte,
        payload: payload.clone(),
        key,
    })
}

/// A message in one or more fragments, cut anywhere, with pings and pongs in between.
fn message() -> impl Strategy<Value = Vec<Op>> {
    let content = prop_oneof![
        4 => text().prop_map(|text| (0x01, text.into_bytes())),
        2 => vec(any::<u8>(), 0..150).prop_map(|bytes| (0x02, bytes)),
        1 => vec(0x70_u8..0xff, 1..8).prop_map(|bytes| (0x01, bytes)),
    ];
    let cuts = prop_oneof![3 => Just(vec![]), 2 => vec((any::<usize>(), any::<bool>()), 1..8)];
    (content, cuts, any::<[u8; 4]>()).prop_map(|((opcode, bytes), cuts, key)| {
        let mut ends: Vec<_> = cuts
            .iter()
            .map(|(cut, ping)| (cut % (bytes.len() + 1), *ping))
            .collect();
        ends.sort_unstable();
        let mut ops = Vec::new();
        let (mut start, mut opcode) = (0, opcode);
        for (end, ping) in ends {
            ops.push(Op::Frame {
                first_byte: opcode,
                payload: bytes[start..end].to_vec(),
                key,
            });
            (start, opcode) = (end, 0x00);
            if ping {
                ops.push(Op::Frame {
                    first_byte: 0x89,
                    payload: vec![b'p'; end % 126],
                    key,
                });
            }
        }
        ops.push(Op::Frame {
            first_byte: 0x80 | opcode,
            payload: bytes[start..].to_vec(),
            key,
        });
        ops
    })
}

pub(crate) fn rfc6455_stream() -> impl Strategy<Value = Vec<Op>> {
    let control = (0x89_u8..=0x8a, vec(any::<u8>(), 0..126))
        .prop_flat_map(|(first_byte, payload)| frame(first_byte, payload));
    let close = prop_oneof![
        Just(vec![]),
        vec(any::<u8>(), 0..5),
        (990_u16..1020, text()).prop_map(|(code, reason)| {
            let mut payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
            payload.truncate(125);
            payload
        }),
    ]
    .prop_flat_map(|payload| frame(0x88, payload));
    let len = prop_oneof![0_u64..200, 65_500_u64..65_600, any::<u64>()];
    let form = prop_oneof![0_u8..126, Just(126), Just(127)];
    let odd = (
        any::<u8>(),
        any::<bool>(),
        form,
        len,
        vec(any::<u8>(), 0..40),
    )
        .prop_map(|(first_byte, wrong_mask, form, len, payload)| Op::Odd {
            first_byte,
            wrong_mask,
            form,
            len,
            payload,
        });
    let ops = prop_oneof![
        24 => message(),
        6 => control.prop_map(|op| vec![op]),
        2 => close.prop_map(|op| vec![op]),
        1 => odd.prop_map(|op| vec![op]),
        1 => vec(any::<u8>(), 1..20).prop_map(|raw| vec![Op::Raw(raw)]),
    ];
    vec(ops, 1..12).prop_map(|ops| ops.concat())
}

pub(crate) fn draft_stream() -> impl Strategy<Value = Vec<u8>> {
    let length = (0_u8..6, 0_usize..250).prop_map(|(padding, len)| {
        let mut bytes = vec![0x80; usize::from(padding)];
        bytes.push(0x80 | u8::try_from(len / 128).unwrap());
        bytes.push(u8::try_from(len % 128).unwrap());
        (bytes, len)
    });
    let skipped =
        (0x80_u8..=0xff, length, any::<u8>()).prop_map(|(frame_type, (length, len), filler)| {
            [&[frame_type][..], &length, &vec![filler; len]].concat()
        });
    let frames = prop_oneof![
        24 => text().prop_map(|text| [b"\0", text.as_bytes(), b"\xff"].concat()),
        3 => vec(0_u8..0xff, 0..12).prop_map(|bytes| [b"\0", &*bytes, b"\xff"].concat()),
        3 => (1_u8..0x80, vec(0_u8..0xff, 0..120))
            .prop_map(|(frame_type, bytes)| [&[frame_type][..], &bytes, b"\xff"].concat()),
        3 => skipped,
        1 => prop_oneof![Just(b"\xff\0".to_vec()), Just(b"\xff\x80\0".to_vec())],
        1 => vec(prop_oneof![Just(0x80_u8), Just(0xff), any::<u8>()], 1..20),
    ];
    vec(frames, 1..12).prop_map(|frames| frames.concat())
}
