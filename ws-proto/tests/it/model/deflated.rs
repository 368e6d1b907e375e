//! Generates connections on which compression was agreed on, and messages that are compressed, among all
//! else that happens to a connection.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ws_proto::{Role, Version};

use super::streams;
use ws_testing::model::op::{Content, Op, Sent};
use ws_testing::model::peer::{Deflated, Harm, How};
use ws_testing::model::view::{Agreement, Setup};
use ws_testing::plain::Way;

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let keeps_to_it = prop::bool::weighted(0.7);
    let parts = (streams::setup(Version::Rfc6455), agreement(), keeps_to_it);
    parts.prop_map(|(mut setup, mut agreed, keeps_to_it)| {
        // Only a client can be told that its window is 256 bytes, and a server to receive from no other.
        match setup.rules.role {
            Role::Server => {
                agreed.sends.window_bits = agreed.sends.window_bits.max(9);
                agreed.receives.window_bits = agreed.receives.window_bits.max(9);
            }
            Role::Client => {}
        }
        if keeps_to_it {
            // Zlib has no less, so that this peer may go beyond a window of 256 bytes.
            let window_bits = agreed.receives.window_bits.max(9);
            agreed.peer = Way {
                window_bits,
                ..agreed.receives
            };
        }
        setup.rules.has_code_1004 = false;
        // Generated messages are longer.
        setup.rules.message_limit = setup.rules.message_limit.map(|limit| limit * 10);
        setup.rules.inflates = Some(agreed.receives);
        setup.deflate = Some(agreed);
        setup
    })
}

fn agreement() -> impl Strategy<Value = Agreement> {
    let way = || {
        let bits = prop_oneof![3 => 8_u8..11, 1 => 11_u8..16];
        (bits, any::<bool>()).prop_map(|(window_bits, takeover)| Way {
            window_bits,
            takeover,
        })
    };
    // Level 0 makes stored blocks of a length that depends on the room that there is.
    let level = 1_u8..10;
    let threshold = prop_oneof![3 => Just(0_usize), 1 => 1_usize..200];
    let peer = prop::bool::weighted(0.8).prop_map(|takeover| Way {
        window_bits: 15,
        takeover,
    });
    (level, threshold, way(), way(), peer, any::<bool>()).prop_map(
        |(level, threshold, sends, receives, peer, lends)| Agreement {
            level,
            threshold,
            sends,
            receives,
            peer,
            lends,
        },
    )
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let content = || {
        prop_oneof![
            2 => text().prop_map(Content::Text),
            1 => bytes().prop_map(Content::Binary),
        ]
    };
    let window = option::weighted(0.8, 9_u8..16);
    let group = prop_oneof![
        4 => message().prop_map(|message| vec![Op::PeerDeflated(message)]),
        1 => content().prop_map(|content| vec![Op::Send(content)]),
        1 => (content(), any::<bool>())
            .prop_map(|(content, last)| vec![Op::SendFragment(content, last)]),
        1 => (content(), window).prop_map(|(content, bits)| vec![Op::SendToMany(content, bits)]),
        2 => vec(any::<u8>(), 200..2000).prop_map(twice),
        1 => (content(), content()).prop_map(|(one, other)| {
            [vec![Op::Send(one)], silence(), vec![Op::Send(other)]].concat()
        }),
        4 => streams::ops(Version::Rfc6455).prop_map(|mut ops| {
            ops.truncate(4);
            ops
        }),
    ];
    vec(group, 0..20).prop_map(|groups| groups.concat())
}

/// What cannot be compressed but by referring to the first time.
fn twice(content: Vec<u8>) -> Vec<Op> {
    let message = Deflated {
        is_text: false,
        content,
        how: How::Stream,
        harm: None,
        cuts: vec![],
    };
    let once = [Op::PeerDeflated(message), Op::Read(usize::MAX)];
    [once.clone(), once].concat()
}

/// Four waits, of the keepalive or of the compressor's context, in which nothing is sent.
fn silence() -> Vec<Op> {
    let pong = Op::Peer(Sent::Frame {
        first_byte: 0x8a,
        payload: vec![],
    });
    let round = [Op::Timeout(true), pong, Op::Read(usize::MAX)];
    vec![round; 4].concat()
}

fn message() -> impl Strategy<Value = Deflated> {
    let content = prop_oneof![
        5 => text().prop_map(|text| (true, text.into_bytes())),
        1 => streams::wire_text(Version::Rfc6455).prop_map(|bytes| (true, bytes)),
        3 => bytes().prop_map(|bytes| (false, bytes)),
        1 => vec(any::<u8>(), 500..2000).prop_map(|bytes| (false, bytes)),
    ];
    let how = prop_oneof![
        6 => Just(How::Stream),
        2 => option::of(any::<Index>()).prop_map(How::Alone),
        2 => any::<Index>().prop_map(How::Ended),
        1 => Just(How::Final),
        1 => any::<Index>().prop_map(How::Stored),
    ];
    let harm = prop_oneof![
        4 => any::<Index>().prop_map(Harm::Flip),
        2 => any::<Index>().prop_map(Harm::Cut),
        1 => Just(Harm::Trailer),
        1 => any::<u8>().prop_map(Harm::More),
    ];
    let cuts = || prop_oneof![2 => Just(vec![]), 1 => vec(any::<Index>(), 1..4)];
    let compressed = (content, how, option::weighted(0.1, harm), cuts()).prop_map(
        |((is_text, content), how, harm, cuts)| Deflated {
            is_text,
            content,
            how,
            harm,
            cuts,
        },
    );
    let raw = prop_oneof![
        1 => select(vectors()),
        1 => vec(any::<u8>(), 0..30),
    ];
    let raw = (any::<bool>(), raw, cuts()).prop_map(|(is_text, content, cuts)| Deflated {
        is_text,
        content,
        how: How::Raw,
        harm: None,
        cuts,
    });
    prop_oneof![9 => compressed, 1 => raw]
}

/// PROTOCOL.md §6.4 and §6.5, and what is on the edge of it.
fn vectors() -> Vec<Vec<u8>> {
    let vectors: [&[u8]; 12] = [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\xf2\x00\x11\x00\x00",
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        b"\x00",
        b"\x03\x00\x00",
        b"",
        // The trailer is the content of a block.
        b"\x00\x04\x00\xfb\xff",
        // A code of lengths with no length.
        b"\x04\x00\x00\x00\x00\x00",
    ];
    vectors.map(<[u8]>::to_vec).to_vec()
}

/// Text that can be compressed: it repeats itself within a message and from one to the next.
fn text() -> impl Strategy<Value = String> {
    let words = select(vec![
        "the ",
        "peer ",
        "sends ",
        "κόσμε ",
        "{\"id\":",
        "},",
        "\u{10ffff}",
    ]);
    let word = prop_oneof![4 => words.prop_map(str::to_owned), 1 => "[a-z]{1,8}"];
    let count = prop_oneof![6 => 0_usize..12, 2 => 12_usize..80, 1 => 80_usize..300];
    count
        .prop_flat_map(move |count| vec(word.clone(), count))
        .prop_map(|words| words.concat())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), 0_usize..40).prop_map(|(byte, len)| vec![byte; len]);
    let noise = vec(any::<u8>(), 0..20);
    vec(prop_oneof![2 => run, 1 => noise], 0..12).prop_map(|parts| parts.concat())
}
