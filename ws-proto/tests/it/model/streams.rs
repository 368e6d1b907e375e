//! Generates what happens to a connection: mostly what means something, and everything that a peer
//! can do wrong by PROTOCOL.md, with calls of the application between any two reads.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ws_proto::{InvalidText, Role, Version};

use ws_testing::model::op::{Content, Op, Sent};
use ws_testing::model::view::{RateSetup, Setup, Tokens};
use ws_testing::plain::Rules;

pub(crate) fn setup(version: Version) -> impl Strategy<Value = Setup> {
    let role = prop_oneof![Just(Role::Server), Just(Role::Client)];
    // So small that generated messages lie on both sides of them.
    let limits = (
        prop_oneof![2 => Just(None), 3 => (0_usize..160).prop_map(Some)],
        prop_oneof![3 => Just(None), 1 => (0_usize..160).prop_map(Some)],
        prop_oneof![2 => Just(None), 1 => (1_usize..5).prop_map(Some)],
        prop_oneof![2 => Just(None), 1 => (0_usize..400).prop_map(Some)],
        prop_oneof![2 => Just(None), 1 => (0_usize..400).prop_map(Some)],
    );
    let wait = || {
        option::weighted(
            0.8,
            (0_u64..4).prop_map(|count| Duration::from_secs(5 * count)),
        )
    };
    // An end that is out of reach, too.
    let stall = prop_oneof![9 => wait(), 1 => Just(Some(Duration::MAX))];
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let message = prop_oneof![9 => wait(), 1 => Just(Some(Duration::MAX))];
    (
        role,
        limits,
        (wait(), wait(), wait(), stall, message),
        (rate_limit(), tolerance()),
        flags,
    )
        .prop_map(
            move |(role, limits, waits, (rate_limit, tolerance), flags)| {
                let (wrong_masking, padded_lengths, invalid_text) = tolerance;
                let (replaces, skips, fragments, control_events, is_8) = flags;
                Setup {
                    rules: Rules {
                        message_limit: limits.0,
                        frame_limit: limits.1,
                        fragment_limit: limits.2,
                        replaces,
                        skips,
                        wrong_masking,
                        padded_lengths,
                        invalid_text,
                        has_code_1004: is_8 && role == Role::Server && version == Version::Rfc6455,
                        fragments,
                        ..Rules::new(version, role)
                    },
                    send_queue_limit: limits.3,
                    receive_queue_limit: limits.4,
                    keepalive_interval: waits.0,
                    pong_timeout: waits.1,
                    close_timeout: waits.2,
                    stall_timeout: waits.3,
                    message_timeout: waits.4,
                    rate_limit,
                    control_events,
                    deflate: None,
                }
            },
        )
}

/// What a peer of RFC 6455 may do wrong: mostly nothing.
fn tolerance() -> impl Strategy<Value = (bool, bool, InvalidText)> {
    let text = prop_oneof![
        3 => Just(InvalidText::Fail),
        1 => Just(InvalidText::Replace),
        1 => Just(InvalidText::Binary),
    ];
    let is_on = || prop::bool::weighted(0.3);
    (is_on(), is_on(), text)
}

/// A limit that generated streams reach: a few messages and bytes at once, and as many in the waits of other options.
fn rate_limit() -> impl Strategy<Value = Option<RateSetup>> {
    let tokens = || {
        let per_second = prop::sample::select(vec![1_u32, 2, 5, 10, 100, 1000]);
        (per_second, 1_u32..8).prop_map(|(per_second, burst)| Tokens { per_second, burst })
    };
    let bytes = (tokens(), 1_u32..20).prop_map(|(tokens, times)| Tokens {
        burst: tokens.burst * times,
        ..tokens
    });
    let limit = (option::of(tokens()), option::of(bytes), any::<bool>());
    option::weighted(
        0.3,
        limit.prop_map(|(messages, bytes, closes)| RateSetup {
            messages,
            bytes,
            closes,
        }),
    )
}

pub(crate) fn ops(version: Version) -> impl Strategy<Value = Vec<Op>> {
    let peer = match version {
        Version::Rfc6455 => rfc6455().boxed(),
        Version::Draft75 | Version::Draft76 => draft().boxed(),
    };
    let group = prop_oneof![
        6 => peer,
        5 => read().prop_map(|op| vec![op]),
        5 => call().prop_map(|op| vec![op]),
    ];
    vec(group, 0..30).prop_map(|groups| groups.concat())
}

/// Bytes that mean nothing, or little.
pub(crate) fn noise() -> impl Strategy<Value = Vec<Op>> {
    let telling = prop_oneof![
        Just(0x00_u8),
        Just(0xff),
        Just(0x80),
        Just(0x81),
        Just(0x88)
    ];
    let byte = prop_oneof![2 => any::<u8>(), 1 => telling];
    let raw = vec(byte, 0..60).prop_map(|bytes| Op::Peer(Sent::Raw(bytes)));
    vec(prop_oneof![2 => raw, 2 => read(), 1 => call()], 0..12)
}

fn read() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1_usize..8).prop_map(Op::Read),
        2 => (1_usize..80).prop_map(Op::Read),
        2 => Just(Op::Read(usize::MAX)),
        1 => Just(Op::ReadEach),
    ]
}

fn call() -> impl Strategy<Value = Op> {
    let wait = prop_oneof![
        (0_u64..8).prop_map(Duration::from_secs),
        (0_u64..20_000).prop_map(Duration::from_millis),
    ];
    let code = prop_oneof![
        1 => Just(None),
        2 => prop::sample::select(vec![1000_u16, 1001, 1011, 3000, 4999]).prop_map(Some),
    ];
    let reason = prop_oneof![3 => Just(String::new()), 2 => "[ -~é]{0,20}", 1 => "[a]{121,125}"];
    let payload = || prop_oneof![3 => vec(any::<u8>(), 0..10), 1 => vec(Just(7), 120..130)];
    prop_oneof![
        3 => content().prop_map(Op::Send),
        1 => content().prop_map(Op::SendPrepared),
        2 => (content(), any::<bool>()).prop_map(|(content, last)| Op::SendFragment(content, last)),
        1 => payload().prop_map(Op::Ping),
        1 => payload().prop_map(Op::Pong),
        1 => (code, reason).prop_map(|(code, reason)| Op::Close(code, reason)),
        3 => any::<bool>().prop_map(Op::Poll),
        2 => Just(Op::PollAll),
        2 => prop_oneof![(0_usize..60).prop_map(Op::Write), Just(Op::Write(usize::MAX))],
        1 => (0_usize..200).prop_map(Op::TakeOutgoing),
        1 => (0_usize..200).prop_map(Op::Written),
        3 => wait.prop_map(Op::Pass),
        4 => any::<bool>().prop_map(Op::Timeout),
        1 => prop_oneof![3 => Just(Op::Eof), 1 => Just(Op::Reset)],
    ]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        2 => text().prop_map(Content::Text),
        1 => vec(any::<u8>(), 0..140).prop_map(Content::Binary),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[ -~\0éκ€\u{fffd}\u{ffff}\u{10ffff}]{0,20}",
        1 => (30_usize..80).prop_map(|count| "é".repeat(count)),
    ]
}

/// Text that is good, or bad in one place (R-U4).
pub(crate) fn wire_text(version: Version) -> impl Strategy<Value = Vec<u8>> {
    let bad: &[&[u8]] = &[
        b"\x80",
        b"\xc0\xaf",
        b"\xc1",
        b"\xf5",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe1\xbd",
        b"\xf0\x9f\x98",
        b"\xc3",
        b"\xff",
    ];
    // A 0xFF would end a draft's text.
    let count = bad.len() - usize::from(version != Version::Rfc6455);
    let bad = prop::sample::select(bad[..count].to_vec());
    (
        text(),
        option::weighted(0.2, (any::<prop::sample::Index>(), bad)),
    )
        .prop_map(|(text, bad)| {
            let mut bytes = text.into_bytes();
            if let Some((at, bad)) = bad {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, bad.iter().copied());
            }
            bytes
        })
}

fn frame(first_byte: u8, payload: Vec<u8>) -> Op {
    Op::Peer(Sent::Frame {
        first_byte,
        payload,
    })
}

fn rfc6455() -> impl Strategy<Value = Vec<Op>> {
    let control = (
        0x89_u8..=0x8a,
        prop_oneof![3 => vec(any::<u8>(), 0..6), 1 => vec(any::<u8>(), 120..126)],
    )
        .prop_map(|(first_byte, payload)| vec![frame(first_byte, payload)]);
    let code = prop_oneof![
        990_u16..1020,
        Just(2999_u16),
        Just(3000),
        Just(4999),
        Just(5000),
        any::<u16>()
    ];
    let close = prop_oneof![
        vec(any::<u8>(), 0..4),
        (code, wire_text(Version::Rfc6455)).prop_map(|(code, reason)| {
            let mut payload = [&code.to_be_bytes(), &*reason].concat();
            payload.truncate(125);
            payload
        }),
    ];
    // Pongs for these reach their limit (X18).
    let flood = (125_usize..135).prop_map(|count| vec![frame(0x89, vec![7; 125]); count]);
    prop_oneof![
        20 => message(),
        8 => control,
        2 => close.prop_map(|payload| vec![frame(0x88, payload)]),
        5 => odd().prop_map(|sent| vec![Op::Peer(sent)]),
        1 => vec(any::<u8>(), 1..20).prop_map(|bytes| vec![Op::Peer(Sent::Raw(bytes))]),
        1 => prop_oneof![9 => Just(vec![]), 1 => flood],
    ]
}

/// A message in one or more fragments, cut anywhere, with all that may happen in between.
fn message() -> impl Strategy<Value = Vec<Op>> {
    let content = prop_oneof![
        3 => wire_text(Version::Rfc6455).prop_map(|text| (0x01, text)),
        1 => vec(any::<u8>(), 0..140).prop_map(|bytes| (0x02, bytes)),
    ];
    let between = prop_oneof![
        3 => Just(vec![]),
        2 => vec(any::<u8>(), 0..5).prop_map(|payload| vec![frame(0x89, payload)]),
        2 => read().prop_map(|op| vec![op]),
        1 => call().prop_map(|op| vec![op]),
    ];
    let cuts = prop_oneof![
        2 => Just(vec![]),
        2 => vec((any::<prop::sample::Index>(), between), 1..6),
    ];
    (content, cuts).prop_map(|((opcode, bytes), cuts)| {
        let mut cuts: Vec<_> = cuts
            .into_iter()
            .map(|(cut, between)| (cut.index(bytes.len() + 1), between))
            .collect();
        cuts.sort_by_key(|(cut, _)| *cut);
        let mut ops = Vec::new();
        let (mut start, mut opcode) = (0, opcode);
        for (end, between) in cuts {
            ops.push(frame(opcode, bytes[start..end].to_vec()));
            ops.extend(between);
            (start, opcode) = (end, 0x00);
        }
        ops.push(frame(0x80 | opcode, bytes[start..].to_vec()));
        ops
    })
}

/// One thing wrong, or more (R-F1 to R-F6, R-F8, R-F10, R-F12).
fn odd() -> impl Strategy<Value = Sent> {
    let first_byte = prop_oneof![
        4 => prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x80, 0x00]),
        2 => prop::sample::select(vec![0x88_u8, 0x89, 0x8a, 0x08, 0x09, 0x0a]),
        1 => any::<u8>(),
    ];
    let form = prop_oneof![1 => 0_u8..126, 2 => Just(126_u8), 2 => Just(127_u8)];
    let len = prop_oneof![
        2 => 0_u64..200,
        1 => prop::sample::select(vec![125_u64, 126, 65_535, 65_536]),
        3 => prop::sample::select(vec![1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1]),
        1 => any::<u64>(),
    ];
    (
        first_byte,
        prop::bool::weighted(0.1),
        form,
        len,
        vec(any::<u8>(), 0..30),
    )
        .prop_map(|(first_byte, wrong_mask, form, len, then)| Sent::Header {
            first_byte,
            wrong_mask,
            form,
            len,
            then,
        })
}

fn draft() -> impl Strategy<Value = Vec<Op>> {
    let text = || wire_text(Version::Draft76).prop_map(|text| [b"\0", &*text, b"\xff"].concat());
    let length = (0_usize..11, 0_u8..2, 0_u8..100).prop_map(|(padding, high, low)| {
        let len = usize::from(high) * 128 + usize::from(low);
        ([&*vec![0x80; padding], &[0x80 | high, low]].concat(), len)
    });
    let counted =
        (0x80_u8..=0xff, length, any::<u8>()).prop_map(|(first, (length, len), filler)| {
            [&[first], &*length, &*vec![filler; len]].concat()
        });
    let overlong = (0x80_u8..=0xff, vec(0x80_u8..=0xff, 1..12), 0_u8..0x80)
        .prop_map(|(first, length, last)| [&[first], &*length, &[last]].concat());
    let terminated = (1_u8..0x80, vec(0_u8..0xff, 0..120))
        .prop_map(|(first, bytes)| [&[first], &*bytes, b"\xff"].concat());
    let close = prop::sample::select(vec![b"\xff\0".to_vec(), b"\xff\x80\0".to_vec()]);
    let not_close = prop::sample::select(vec![
        b"\x80\0".to_vec(),
        b"\xfe\0".to_vec(),
        b"\xff\x01A".to_vec(),
    ]);
    let open = wire_text(Version::Draft76).prop_map(|text| [b"\0", &*text].concat());
    prop_oneof![
        24 => text(),
        3 => counted,
        1 => overlong,
        3 => terminated,
        2 => close,
        2 => not_close,
        1 => open,
        1 => vec(any::<u8>(), 1..20),
    ]
    .prop_map(|bytes| vec![Op::Peer(Sent::Raw(bytes))])
}
