//! Frames of draft-75 and draft-76: PROTOCOL.md §2.7 and §2.10, row by row, and what a hostile peer
//! makes of them.

use std::time::Instant;

use ws_proto::{CloseCause, ConnectionConfig, Event, ProtocolError, Role, SendError, Version};
use ws_testing::connections::{connect, describe, events, told, written};

const DRAFTS: [Version; 2] = [Version::Draft75, Version::Draft76];

/// What one end makes of a row: the events in short, `closed` for the peer's close, `refused:TYPE`
/// for a frame that failed the connection.
type Outcome = &'static [&'static str];

struct Row {
    bytes: &'static str,
    /// A client, and a server with `skip_unknown_frames`: draft-75, draft-76.
    lenient: [Outcome; 2],
    /// A server: draft-75, draft-76.
    strict: [Outcome; 2],
}

const HELLO: Outcome = &["text:Hello"];
const NOTHING: Outcome = &[];

const fn same(bytes: &'static str, outcome: Outcome) -> Row {
    Row {
        bytes,
        lenient: [outcome; 2],
        strict: [outcome; 2],
    }
}

const ROWS: [Row; 18] = [
    same("00 48 65 6c 6c 6f ff", HELLO),
    same("00 ff", &["text:"]),
    same(
        "00 48 65 6c 6c 6f ff 00 48 65 6c 6c 6f ff",
        &["text:Hello", "text:Hello"],
    ),
    same(
        "00 41 70 70 6c 65 20 3d 20 ef a3 bf ff",
        &["text:Apple = \u{f8ff}"],
    ),
    same("00 00 ff", &["text:\0"]),
    same("00 41 42 43", NOTHING),
    Row {
        bytes: "66 48 65 6c 6c 6f ff 00 41 ff",
        lenient: [&["text:A"]; 2],
        strict: [&["refused:66"]; 2],
    },
    Row {
        bytes: "80 02 48 65 00 48 65 6c 6c 6f ff",
        lenient: [HELLO; 2],
        strict: [&["refused:80"]; 2],
    },
    Row {
        bytes: "80 03 00 ff 41 00 41 ff",
        lenient: [&["text:A"]; 2],
        strict: [&["refused:80"]; 2],
    },
    Row {
        bytes: "80 00 00 41 ff",
        lenient: [&["text:A"]; 2],
        strict: [&["refused:80"]; 2],
    },
    Row {
        bytes: "ff 00",
        lenient: [NOTHING, &["closed"]],
        strict: [NOTHING, &["closed"]],
    },
    Row {
        bytes: "ff 80 00",
        lenient: [NOTHING, &["closed"]],
        strict: [NOTHING, &["closed"]],
    },
    Row {
        bytes: "ff 00 00 48 69 ff",
        lenient: [&["text:Hi"], &["closed"]],
        strict: [&["text:Hi"], &["closed"]],
    },
    Row {
        bytes: "ff 01 41 00 42 ff",
        lenient: [&["text:B"]; 2],
        strict: [&["refused:ff"]; 2],
    },
    Row {
        bytes: "81 81 00 41",
        lenient: [NOTHING; 2],
        strict: [&["refused:81"]; 2],
    },
    Row {
        bytes: "fe 00 ff 00",
        lenient: [NOTHING, &["closed"]],
        strict: [&["refused:fe"]; 2],
    },
    same("ff", NOTHING),
    Row {
        bytes: "7f ff 01 ff 00 41 ff",
        lenient: [&["text:A"]; 2],
        strict: [&["refused:7f"]; 2],
    },
];

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn short(event: &Event) -> String {
    let Event::Closed(closed) = event else {
        return describe(event);
    };
    match &closed.cause {
        CloseCause::Handshake => "closed".to_owned(),
        CloseCause::Failed(ProtocolError::UnknownFrameType { frame_type }) => {
            format!("refused:{frame_type:02x}")
        }
        cause => format!("{cause:?}"),
    }
}

/// Feeds the parts one by one; returns the events in short, and what was written.
fn run<'a>(
    role: Role,
    version: Version,
    config: &ConnectionConfig,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Vec<u8>) {
    let now = Instant::now();
    let mut connection = connect(role, version, config.clone(), now);
    let mut outcome = Vec::new();
    for part in parts {
        connection.handle_read(now, part);
        outcome.extend(events(&mut connection, now).iter().map(short));
    }
    (outcome, written(&mut connection))
}

/// Proves each row of §2.10 for both drafts, both roles and the option `skip_unknown_frames`, whole
/// and split at every byte (D75-F2 to D75-F5, D76-F1 to D76-F5, D76-X2, Q20 to Q22, Q25).
#[test]
fn frame_vectors_are_understood_however_they_are_split() {
    let strict = ConnectionConfig::new();
    let skipping = ConnectionConfig::new().skip_unknown_frames(true);
    for (index, version) in DRAFTS.into_iter().enumerate() {
        for row in &ROWS {
            let ends = [
                (Role::Server, &strict, row.strict[index]),
                (Role::Server, &skipping, row.lenient[index]),
                (Role::Client, &strict, row.lenient[index]),
                (Role::Client, &skipping, row.lenient[index]),
            ];
            let bytes = hex(row.bytes);
            for (role, config, outcome) in ends {
                let ended = outcome.iter().any(|event| !event.starts_with("text:"));
                let answer = if ended && version == Version::Draft76 {
                    "ff 00"
                } else {
                    ""
                };
                let expected = (
                    outcome.iter().map(ToString::to_string).collect(),
                    hex(answer),
                );
                let context = format!("{version} {role:?} {}", row.bytes);
                for split in 0..=bytes.len() {
                    let (head, rest) = bytes.split_at(split);
                    assert_eq!(
                        run(role, version, config, [head, rest]),
                        expected,
                        "{context}"
                    );
                }
                assert_eq!(
                    run(role, version, config, bytes.chunks(1)),
                    expected,
                    "{context}"
                );
            }
        }
    }
}

/// Proves that a length skips exactly as many bytes as it says, in any form (D75-F5): the text that
/// follows is seen, and what is skipped may look like anything.
#[test]
fn a_length_skips_as_many_bytes_as_it_says() {
    let lengths = [
        ("00", 0),
        ("7f", 127),
        ("81 00", 128),
        ("80 a4 34", 0x1234),
        ("80 00", 0),
    ];
    for version in DRAFTS {
        for (length, count) in lengths {
            for filler in [0x00, 0x41, 0xff] {
                let skipped = vec![filler; count];
                let bytes = [&[0x80], &*hex(length), &*skipped, b"\0A\xff"].concat();
                let (outcome, _) = run(
                    Role::Client,
                    version,
                    &ConnectionConfig::new(),
                    [&bytes[..]],
                );
                assert_eq!(outcome, ["text:A"], "{version} {length} {filler:x}");
            }
        }
    }
}

/// Proves that skipped lengths are held to the message limit, exactly (D75-F6, D76-F6, Q27, X14).
#[test]
fn a_length_over_the_limit_fails_the_connection() {
    let lengths = [
        ("7f", 127),
        ("81 00", 128),
        ("80 a4 34", 0x1234),
        ("8f ff ff ff 7f", 4_294_967_295),
        ("ff ff ff ff 7f", 34_359_738_367),
        ("ff ff ff ff ff ff ff ff 7f", 9_223_372_036_854_775_807),
    ];
    for version in DRAFTS {
        for (length, count) in lengths {
            let bytes = [&[0x80], &*hex(length)].concat();
            let config = ConnectionConfig::new().message_limit(count);
            let (outcome, _) = run(Role::Client, version, &config, [&bytes[..]]);
            assert_eq!(outcome, [""; 0], "{version} {length} at the limit");
            let limit = count - 1;
            let config = config.message_limit(limit);
            let (outcome, _) = run(Role::Client, version, &config, [&bytes[..]]);
            let error = ProtocolError::MessageTooBig {
                len: u64::try_from(count).unwrap(),
                limit,
            };
            let expected = [format!("{:?}", CloseCause::Failed(error))];
            assert_eq!(outcome, expected, "{version} {length} over the limit");
        }
    }
}

/// Proves that the bytes of a length that never ends are refused at the tenth, whatever their value
/// (X16; CVE-2026-54466, CVE-2026-54463), even if no limit is set on what a length may say.
#[test]
fn an_endless_length_is_refused_at_its_tenth_byte() {
    let config = ConnectionConfig::new()
        .message_limit(None)
        .skip_unknown_frames(true);
    for (version, role) in DRAFTS
        .into_iter()
        .flat_map(|version| [(version, Role::Server), (version, Role::Client)])
    {
        for frame_type in [0x80, 0x81, 0xfe, 0xff] {
            for byte in [0x80, 0x81, 0xff] {
                let now = Instant::now();
                let mut connection = connect(role, version, config.clone(), now);
                connection.handle_read(now, &[frame_type]);
                let mut taken = 0;
                while events(&mut connection, now).is_empty() {
                    connection.handle_read(now, &[byte]);
                    taken += 1;
                    assert!(taken <= 10, "{version} {role:?} {frame_type:x} {byte:x}");
                }
                assert_eq!(taken, 10, "{version} {role:?} {frame_type:x} {byte:x}");
                let bytes = [&[frame_type][..], &[byte; 10]].concat();
                let (outcome, _) = run(role, version, &config, [&bytes[..]]);
                assert_eq!(outcome, ["Failed(LengthOverflow)"]);
            }
        }
    }
}

/// Proves that text, and skipped frames, that never end are refused at the first byte over the limit
/// while they arrive (X15, Q27), and that a text of just the limit passes.
#[test]
fn text_without_an_end_is_refused_at_the_limit() {
    const LIMIT: usize = 1000;
    let config = ConnectionConfig::new()
        .message_limit(LIMIT)
        .skip_unknown_frames(true);
    let too_big = "Failed(MessageTooBig { len: 1001, limit: 1000 })";
    for version in DRAFTS {
        for role in [Role::Server, Role::Client] {
            for frame_type in [0x00, 0x01, 0x7f] {
                let endless = [&[frame_type][..], &[b'a'; LIMIT + 500]].concat();
                for step in [1, 7, LIMIT, LIMIT + 1, usize::MAX] {
                    let (outcome, _) = run(role, version, &config, endless.chunks(step));
                    assert_eq!(
                        outcome,
                        [too_big],
                        "{version} {role:?} {frame_type:x} {step}"
                    );
                }
                let just = [&endless[..=LIMIT], b"\xff\0A\xff"].concat();
                let (outcome, _) = run(role, version, &config, just.chunks(7));
                assert_eq!(outcome.last().unwrap(), "text:A", "{version} {role:?}");
                let expected = if frame_type == 0 { 2 } else { 1 };
                assert_eq!(outcome.len(), expected, "{version} {role:?} {frame_type:x}");
            }
        }
    }
}

/// Proves that the frame limit holds in the drafts, too, where a frame is a whole message; of two
/// limits the lower one is named.
#[test]
fn the_frame_limit_holds_for_text_that_does_not_declare_its_length() {
    let cases = [
        (Some(8), Some(10), "FrameTooBig { len: 9, limit: 8 }"),
        (Some(8), None, "FrameTooBig { len: 9, limit: 8 }"),
        (Some(10), Some(8), "MessageTooBig { len: 9, limit: 8 }"),
        (Some(8), Some(8), "MessageTooBig { len: 9, limit: 8 }"),
    ];
    for version in DRAFTS {
        for (frame_limit, message_limit, error) in cases {
            let config = ConnectionConfig::new()
                .frame_limit(frame_limit)
                .message_limit(message_limit);
            for step in [1, 4, usize::MAX] {
                let bytes = b"\x0012345678\xff\x00123456789\xff";
                let (outcome, _) = run(Role::Server, version, &config, bytes.chunks(step));
                let expected = ["text:12345678".to_owned(), format!("Failed({error})")];
                assert_eq!(outcome, expected, "{version} {step}");
            }
        }
    }
}

/// Proves what becomes of invalid UTF-8 (Q26, D75-X2, D76-X8): a server fails the connection, in
/// draft-76 with a close; a client replaces it, and so does a server with `replace_invalid_utf8`.
#[test]
fn invalid_utf8_fails_a_server_and_is_replaced_for_a_client() {
    let cases = [
        ("00 c3 28 ff", "text:\u{fffd}("),
        ("00 61 80 62 ff", "text:a\u{fffd}b"),
        ("00 ed a0 80 ff", "text:\u{fffd}\u{fffd}\u{fffd}"),
        ("00 61 e1 bd ff", "text:a\u{fffd}"),
    ];
    let strict = ConnectionConfig::new();
    let replacing = ConnectionConfig::new().replace_invalid_utf8(true);
    for version in DRAFTS {
        let answer = hex(if version == Version::Draft76 {
            "ff 00"
        } else {
            ""
        });
        for (bytes, replaced) in cases {
            let bytes = hex(bytes);
            for step in [1, 2, usize::MAX] {
                let failed = (vec!["Failed(InvalidUtf8)".to_owned()], answer.clone());
                let replaced = (vec![replaced.to_owned()], Vec::new());
                let steps = || bytes.chunks(step);
                assert_eq!(
                    run(Role::Server, version, &strict, steps()),
                    failed,
                    "{bytes:x?}"
                );
                assert_eq!(
                    run(Role::Server, version, &replacing, steps()),
                    replaced,
                    "{bytes:x?}"
                );
                assert_eq!(
                    run(Role::Client, version, &strict, steps()),
                    replaced,
                    "{bytes:x?}"
                );
            }
        }
    }
}

/// Proves that the option to replace invalid UTF-8 does not reach RFC 6455 (R-U1).
#[test]
fn replacing_invalid_utf8_is_for_the_drafts_only() {
    let config = ConnectionConfig::new()
        .replace_invalid_utf8(true)
        .skip_unknown_frames(true);
    let bytes = hex("81 02 c3 28");
    let (outcome, _) = run(Role::Client, Version::Rfc6455, &config, [&bytes[..]]);
    assert_eq!(outcome, ["Failed(InvalidUtf8)"]);
}

/// Proves that a failed server stays failed: nothing after the bad frame is looked at, nothing can
/// be sent, and the write side ends (D76-F2, D76-F3).
#[test]
fn nothing_follows_a_refused_frame() {
    for version in DRAFTS {
        let now = Instant::now();
        let mut connection = connect(Role::Server, version, ConnectionConfig::new(), now);
        connection.handle_read(now, b"\x01\xff\x00late\xff\xff\x00");
        connection.handle_read(now, b"\x00later\xff");
        let said = told(&mut connection, now);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("closed:1006") && said[0].contains("clean=false"),
            "{said:?}"
        );
        assert_eq!(connection.send("more"), Err(SendError::Closed));
        let expected = hex(if version == Version::Draft76 {
            "ff 00"
        } else {
            ""
        });
        assert_eq!(written(&mut connection), expected);
        assert!(connection.wants_shutdown() && !connection.is_finished());
    }
}

/// Proves that text is sent between 0x00 and 0xFF by both roles, unmasked, short or long (D75-F1,
/// D75-F7, D76-F1).
#[test]
fn text_is_sent_between_its_two_marks() {
    for version in DRAFTS {
        for role in [Role::Server, Role::Client] {
            let now = Instant::now();
            let mut connection = connect(role, version, ConnectionConfig::new(), now);
            let texts = ["Hello", "", "\0", "Apple = \u{f8ff}", &"κ".repeat(5000)];
            for text in texts {
                connection.send(text).unwrap();
                let expected = [b"\0", text.as_bytes(), b"\xff"].concat();
                assert_eq!(written(&mut connection), expected, "{version} {role:?}");
            }
        }
    }
}

/// Proves that what the drafts do not have is refused by name, queues nothing and harms nothing
/// (D75-F7).
#[test]
fn what_the_drafts_do_not_have_is_refused() {
    for version in DRAFTS {
        for role in [Role::Server, Role::Client] {
            let now = Instant::now();
            let mut connection = connect(role, version, ConnectionConfig::new(), now);
            let unsupported = |what| Err(SendError::Unsupported { version, what });
            assert_eq!(connection.send(b"binary"), unsupported("binary messages"));
            let prepared = ws_proto::PreparedMessage::new(b"binary");
            assert_eq!(
                connection.send_prepared(&prepared),
                unsupported("binary messages")
            );
            assert_eq!(connection.ping(b""), unsupported("ping or pong"));
            assert_eq!(connection.pong(b""), unsupported("ping or pong"));
            assert_eq!(connection.buffered_amount(), 0);
            connection.send("text").unwrap();
            assert_eq!(written(&mut connection), b"\0text\xff");
        }
    }
}
