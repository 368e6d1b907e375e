//! What peers of RFC 6455 may do wrong if an option says so: masking, lengths, text that is not UTF-8. Each option
//! allows one thing, and without it the rule holds.

use std::time::Instant;

use ws_proto::{
    CloseCause, Connection, ConnectionConfig, Event, InvalidText, ProtocolError, Role, Version,
};

use ws_testing::connections::{Frame, connect, describe, events};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The frame as the other role would send it.
fn wrongly_masked(first_byte: u8, payload: &[u8], role: Role) -> Vec<u8> {
    Frame {
        first_byte,
        mask: (role == Role::Client).then_some(KEY),
        payload: payload.to_vec(),
    }
    .bytes()
}

/// A frame to a server with a length in this form.
fn padded(first_byte: u8, form: u8, payload: &[u8]) -> Vec<u8> {
    let len = u64::try_from(payload.len()).unwrap().to_be_bytes();
    let len = match form {
        126 => &len[6..],
        _ => &len[..],
    };
    let masked = payload
        .iter()
        .zip(KEY.iter().cycle())
        .map(|(byte, key)| byte ^ key);
    let masked: Vec<_> = masked.collect();
    [&[first_byte, 0x80 | form], len, &KEY, &masked].concat()
}

/// What comes of bytes in portions of each of some lengths, which must be the same.
fn said(role: Role, config: &ConnectionConfig, bytes: &[u8]) -> Vec<String> {
    let run = |len: usize| {
        let now = Instant::now();
        let mut connection: Connection = connect(role, Version::Rfc6455, config.clone(), now);
        let mut said = Vec::new();
        for part in bytes.chunks(len) {
            connection.handle_read(now, part);
            said.extend(events(&mut connection, now).iter().map(describe_end));
        }
        said
    };
    let whole = run(bytes.len());
    for len in [1, 2, 3, 7] {
        assert_eq!(run(len), whole, "in parts of {len}");
    }
    whole
}

fn describe_end(event: &Event) -> String {
    match event {
        Event::Closed(closed) => match &closed.cause {
            CloseCause::Failed(error) => error.to_string(),
            cause => format!("{cause:?}"),
        },
        event => describe(event),
    }
}

/// R-F1, R-F2: the wrong masking fails the connection, and the error names the option; with it such frames and right
/// ones are read, in fragments and among control frames.
#[test]
fn the_wrong_masking_is_accepted_by_option_only() {
    for role in [Role::Server, Role::Client] {
        let strict = ConnectionConfig::new();
        let wrong = wrongly_masked(0x81, "né".as_bytes(), role);
        let seen = said(role, &strict, &wrong);
        assert_eq!(seen, [ProtocolError::Masking { role }.to_string()]);
        assert!(
            seen[0].ends_with("(option accept_wrong_masking)"),
            "{seen:?}"
        );
        let config = strict.accept_wrong_masking(true);
        let bytes = [
            wrong,
            Frame::new(0x81, b"right").to(role),
            wrongly_masked(0x01, b"in ", role),
            wrongly_masked(0x89, b"ping", role),
            Frame::new(0x80, b"parts").to(role),
            wrongly_masked(0x82, b"", role),
            wrongly_masked(0x82, &[7; 300], role),
        ]
        .concat();
        let seen = said(role, &config, &bytes);
        assert_eq!(seen[..3], ["text:né", "text:right", "text:in parts"]);
        assert_eq!(seen.len(), 5, "{seen:?}");
    }
}

/// R-F6: a length that is not in its shortest form fails the connection; with the option it is read. Control frames stay
/// strict (R-F8), and so do lengths that overflow (R-F5).
#[test]
fn padded_lengths_are_accepted_by_option_only() {
    let strict = ConnectionConfig::new();
    for form in [126, 127] {
        let frame = padded(0x81, form, b"hello");
        let seen = said(Role::Server, &strict, &frame);
        assert_eq!(
            seen,
            [ProtocolError::NonMinimalLength { len: 5 }.to_string()]
        );
        assert!(
            seen[0].ends_with("(option accept_padded_lengths)"),
            "{seen:?}"
        );
        let config = strict.clone().accept_padded_lengths(true);
        let empty = padded(0x82, form, b"");
        let seen = said(Role::Server, &config, &[frame, empty].concat());
        assert_eq!(seen, ["text:hello", "binary:"]);
        let len = form;
        let ping = said(Role::Server, &config, &padded(0x89, form, b"p"));
        assert_eq!(ping, [ProtocolError::ControlTooLong { len }.to_string()]);
    }
    let config = strict.accept_padded_lengths(true);
    let overflow = [&[0x82, 0xff][..], &[0xff; 8]].concat();
    let seen = said(Role::Server, &config, &overflow);
    assert_eq!(seen, [ProtocolError::LengthOverflow.to_string()]);
}

/// R-U1, X23: text that is not UTF-8 fails the connection, or is mended, or comes as the bytes that it is. Valid text is
/// text in each case, however it is split and cut.
#[test]
fn invalid_text_becomes_what_the_option_says() {
    let invalid = [
        Frame::new(0x81, b"caf\xe9 cr\xe8me").to(Role::Server),
        // A character that is cut off at the end, and one that is split between frames.
        Frame::new(0x01, b"\xe2\x82").to(Role::Server),
        Frame::new(0x80, b"x\xe2").to(Role::Server),
        Frame::new(0x01, b"\xe2\x82").to(Role::Server),
        Frame::new(0x80, b"\xac").to(Role::Server),
    ]
    .concat();
    for fragments in [false, true] {
        let config = ConnectionConfig::new().receive_fragments(fragments);
        for (invalid_text, expected) in [
            (InvalidText::Fail, vec!["text is not valid UTF-8"]),
            (
                InvalidText::Replace,
                vec![
                    "text:caf\u{fffd} cr\u{fffd}me",
                    "text:\u{fffd}x\u{fffd}",
                    "text:€",
                ],
            ),
            (
                InvalidText::Binary,
                vec![
                    "binary:caf\\xe9 cr\\xe8me",
                    "binary:\\xe2\\x82x\\xe2",
                    "text:€",
                ],
            ),
        ] {
            if fragments && invalid_text == InvalidText::Fail {
                // Its valid front is given out, in parts that depend on the reads.
                continue;
            }
            let config = config.clone().invalid_text(invalid_text);
            assert_eq!(
                said(Role::Server, &config, &invalid),
                expected,
                "{fragments}"
            );
        }
    }
    // The reason of a close stays strict.
    let config = ConnectionConfig::new().invalid_text(InvalidText::Binary);
    let close = Frame::new(0x88, b"\x03\xe8\xff").to(Role::Server);
    assert_eq!(
        said(Role::Server, &config, &close),
        ["text is not valid UTF-8"]
    );
}

/// None of the options changes a draft, which has neither masks nor such lengths, and an option of its own for text.
#[test]
fn the_drafts_have_their_own_options() {
    let now = Instant::now();
    let config = ConnectionConfig::new()
        .invalid_text(InvalidText::Binary)
        .accept_wrong_masking(true)
        .accept_padded_lengths(true);
    let mut connection = connect(Role::Server, Version::Draft76, config, now);
    connection.handle_read(now, b"\0\xc3\xff");
    let seen = events(&mut connection, now);
    assert_eq!(describe_end(&seen[0]), "text is not valid UTF-8");
}

/// A compressed message follows the same options.
#[cfg(feature = "deflate")]
#[test]
fn compressed_messages_are_tolerated_likewise() {
    use ws_proto::Deflate;

    let now = Instant::now();
    let options = Deflate::new();
    let mut offer = http::HeaderMap::new();
    offer.insert("sec-websocket-extensions", options.offer().parse().unwrap());
    let config = ConnectionConfig::new()
        .invalid_text(InvalidText::Binary)
        .accept_wrong_masking(true);
    let connection = connect(Role::Server, Version::Rfc6455, config, now);
    let mut connection = connection.with_deflate(&options.accept(&offer).unwrap());
    let mut peer = ws_testing::zlib::Deflater::new(15, true);
    for (content, expected) in [(&b"caf\xe9"[..], "binary:caf\\xe9"), (b"cafe", "text:cafe")] {
        let frame = wrongly_masked(0xc1, &peer.compress(content), Role::Server);
        connection.handle_read(now, &frame);
        let seen = events(&mut connection, now);
        assert_eq!(seen.len(), 1);
        assert_eq!(describe(&seen[0]), expected);
    }
}
