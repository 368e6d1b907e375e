//! The choice of the version from a request's headers: PROTOCOL.md §4, read a second time and in
//! another way, against what the server does.

use std::time::Instant;

use arbitrary::{Result, Unstructured};
use ws_proto::{
    Accept, HandshakeEvent, OriginPolicy, Request, ServerConfig, ServerHandshake, State, Version,
    Versions,
};

use ws_testing::handshake::{drain, subprotocols};

/// Headers that say something about a WebSocket, and one that does not.
const NAMES: [&str; 16] = [
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Key1",
    "Sec-WebSocket-Key2",
    "Sec-WebSocket-Draft",
    "Origin",
    "Sec-WebSocket-Origin",
    "Sec-WebSocket-Protocol",
    "WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Content-Length",
    "sec-websocket-VERSION",
    "X-Other",
];

/// Values that are good for one of them or nearly so. The last one stands for bytes of the fuzzer.
const VALUES: [&[u8]; 28] = [
    b"example.com",
    b"WebSocket",
    b"Upgrade",
    b"13",
    b"dGhlIHNhbXBsZSBub25jZQ==",
    b"4 @1  46546xW%0l 1 5",
    b"12998 5 Y3 1  .P00",
    b"0",
    b"http://example.com",
    b"sample",
    b"keep-alive, Upgrade",
    b"websocket, h2c",
    b"8",
    b"7",
    b"6",
    b"013",
    b"256",
    b"2",
    b"",
    b"null",
    b"permessage-deflate; client_max_window_bits",
    b"chat, sample",
    b"example.com:0x50",
    b"example.com:",
    b"websocket",
    b",chat,",
    b"a; b=\"c, d\"",
    b"*",
];

/// Which rows of PROTOCOL.md §4 a request matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// Rows 1 and 2.
    Rfc6455,
    /// Row 6.
    Draft76,
    /// Row 9, with an origin.
    Draft75,
    /// Rows 3 and 9: 426.
    OtherVersion,
    /// Rows 4, 5, 7, 8 and 10: 400.
    Unclear,
}

/// Choices: versions, origins, then a name and a value for each header, up to an end.
pub(crate) fn decide(u: &mut Unstructured<'_>) -> Result<()> {
    let enabled: u8 = u.arbitrary()?;
    let versions: Versions = (0..3)
        .filter(|bit| enabled & (1 << bit) == 0)
        .map(|bit: usize| Version::ALL[bit])
        .collect();
    let origins = match u.int_in_range(0..=2)? {
        0 => OriginPolicy::Any,
        1 => OriginPolicy::SameHost,
        _ => OriginPolicy::list(["http://example.com"]).expect("it is an origin"),
    };
    let config = ServerConfig::new()
        .versions(versions)
        .origins(origins)
        .require_origin(enabled & 8 == 0)
        .reveal_reasons(enabled & 16 == 0)
        .subprotocols(subprotocols(&["sample"]));
    let head = head(u)?;
    let (version, answer) = answer(&config, &head);
    let lines = lines(&head);
    check_answer(&lines, &answer, version);
    let row = row(&lines);
    if let Some(version) = version {
        check_accepted(&lines, row, version);
        assert!(versions.contains(version), "{version} is not enabled");
    } else if answer.starts_with(b"HTTP/1.1 426 ") {
        let is_disabled = match row {
            Row::Rfc6455 => !versions.contains(Version::Rfc6455),
            Row::Draft76 => !versions.contains(Version::Draft76),
            Row::Draft75 => !versions.contains(Version::Draft75),
            Row::OtherVersion => true,
            Row::Unclear => false,
        };
        assert!(is_disabled, "426 for {row:?}");
        let lists_versions = find(&answer, b"\r\nSec-WebSocket-Version: 13, 8, 7\r\n");
        assert_eq!(lists_versions, versions.contains(Version::Rfc6455));
    }
    Ok(())
}

fn head(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut head = b"GET /chat?a=b HTTP/1.1\r\n".to_vec();
    while !u.is_empty() {
        let name = u.choose(&NAMES)?;
        let value = match *u.choose(&VALUES)? {
            b"*" => {
                let len = u.int_in_range(0..=32)?.min(u.len());
                u.bytes(len)?
            }
            value => value,
        };
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    Ok(head)
}

/// What a server that accepts whatever it can writes, and the version it then speaks.
fn answer(config: &ServerConfig, head: &[u8]) -> (Option<Version>, Vec<u8>) {
    let now = Instant::now();
    let mut handshake = ServerHandshake::new(config, now);
    handshake.handle_read(now, head);
    let request = match handshake.poll_event() {
        Some(HandshakeEvent::Request(Request::Upgrade(request))) => request,
        Some(HandshakeEvent::Request(Request::Http)) => return (None, Vec::new()),
        Some(HandshakeEvent::Failed(error)) => {
            assert!(error.status().is_some(), "a whole head gets an answer");
            return (None, drain(handshake.outgoing()));
        }
        other => panic!("a whole head ends in a request or an error: {other:?}"),
    };
    assert!(!handshake.is_finished());
    handshake.accept(Accept::new()).expect("it is pending");
    let answer = drain(handshake.outgoing());
    if handshake.state() == State::Closed {
        // A subprotocol that a draft demands and that is not spoken.
        return (None, answer);
    }
    if request.version() == Version::Draft76 && handshake.state() == State::Waiting {
        handshake.handle_read(now, b"^n:ds[4U");
        assert_eq!(drain(handshake.outgoing()).len(), 16);
    }
    assert_eq!(handshake.state(), State::Connected);
    assert_eq!(handshake.into_connection(now).version(), request.version());
    (Some(request.version()), answer)
}

/// The header lines of the head, as name in lower case and value: whatever the fuzzer smuggled in.
fn lines(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut rest = head;
    let mut is_first = true;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            break;
        }
        if std::mem::take(&mut is_first) {
            continue;
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        let value = line.get(colon + 1..).unwrap_or_default();
        lines.push((name, trim(value).to_vec()));
    }
    lines
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn values<'a>(lines: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    let named = lines.iter().filter(|(seen, _)| seen == name);
    named.map(|(_, value)| value.as_slice()).collect()
}

fn row(lines: &[(String, Vec<u8>)]) -> Row {
    let versions = values(lines, "sec-websocket-version");
    let [key, key1, key2, draft, origin, upgrade] = [
        "sec-websocket-key",
        "sec-websocket-key1",
        "sec-websocket-key2",
        "sec-websocket-draft",
        "origin",
        "upgrade",
    ]
    .map(|name| values(lines, name));
    match (&*versions, key.len(), key1.len(), key2.len(), &*draft) {
        ([b"13" | b"8" | b"7"], ..) => Row::Rfc6455,
        ([number], ..) if is_version(number) => Row::OtherVersion,
        ([_, ..], ..) | ([], 1.., ..) => Row::Unclear,
        ([], 0, 1, 1, [] | [b"0"]) => Row::Draft76,
        ([], 0, 0, 0, []) if origin.is_empty() || upgrade != [b"WebSocket"] => Row::OtherVersion,
        ([], 0, 0, 0, []) => Row::Draft75,
        ([], 0, ..) => Row::Unclear,
    }
}

/// 0 to 255 in decimal, without a leading zero.
fn is_version(value: &[u8]) -> bool {
    (0..=255_u8).any(|number| number.to_string().as_bytes() == value)
}

/// What must be there for a 101, and what makes it one of its version.
fn check_accepted(lines: &[(String, Vec<u8>)], row: Row, version: Version) {
    for (name, token) in [("upgrade", "websocket"), ("connection", "upgrade")] {
        let is_there = values(lines, name)
            .iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|element| trim(element).eq_ignore_ascii_case(token.as_bytes()));
        assert!(is_there, "a 101 without {name}: {token}");
    }
    assert_eq!(values(lines, "host").len(), 1);
    let expected = match version {
        Version::Draft75 => Row::Draft75,
        Version::Draft76 => Row::Draft76,
        Version::Rfc6455 => Row::Rfc6455,
    };
    assert_eq!(row, expected);
    if version == Version::Rfc6455 {
        assert_eq!(values(lines, "sec-websocket-key").len(), 1);
    }
}

/// What is written is a head without a hole, and says the same as the state.
fn check_answer(lines: &[(String, Vec<u8>)], answer: &[u8], version: Option<Version>) {
    if answer.is_empty() {
        return;
    }
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let head = &answer[..end.expect("an answer has a whole head")];
    let text = std::str::from_utf8(head).expect("an answer is ASCII");
    let (first, rest) = text.split_once("\r\n").expect("an answer has headers");
    let starts = match version {
        Some(Version::Draft75) => first == "HTTP/1.1 101 Web Socket Protocol Handshake",
        Some(Version::Draft76) => first == "HTTP/1.1 101 WebSocket Protocol Handshake",
        Some(Version::Rfc6455) => first == "HTTP/1.1 101 Switching Protocols",
        None => first.starts_with("HTTP/1.1 4"),
    };
    assert!(starts, "{first} with {version:?}");
    for line in rest.split("\r\n") {
        let (name, value) = line.split_once(": ").expect("a header line has a colon");
        assert!(
            value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{name} has a control byte: {value:?}"
        );
    }
    // Only what the request had is echoed, and only by the drafts.
    for line in rest.split("\r\n") {
        for (name, source) in [
            ("WebSocket-Origin: ", "origin"),
            ("Sec-WebSocket-Origin: ", "origin"),
        ] {
            if let Some(echo) = line.strip_prefix(name) {
                assert_eq!(values(lines, source), [echo.as_bytes()]);
            }
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
