//! What a client demands of an answer, for each version.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod handshake_support;

use std::time::Instant;

use handshake_support::{
    ACCEPT_LINE, Fixed, Outcome, URL, answer, client, drain, offering, rfc6455_answer, run,
    subprotocols,
};
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, HandshakeError, HandshakeEvent, ServerConfig, State,
    Version,
};

/// R-C7 to R-C12: every rule of an RFC 6455 answer whose status is 101; handshake_refusal.rs has the others.
#[test]
fn an_rfc6455_answer_is_checked() {
    const SWITCH: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let plain = ClientConfig::new();
    let offers = offering(ClientConfig::new(), &["chat", "superchat"]);
    let demands = offers.clone().require_subprotocol(true);
    let mismatch = |name, seen: &str, expected: &str| {
        Some(Err(HandshakeError::Mismatch {
            name,
            seen: seen.into(),
            expected: expected.into(),
        }))
    };
    let missing = |name| Some(Err(HandshakeError::MissingHeader { name }));
    let duplicate = |name| Some(Err(HandshakeError::DuplicateHeader { name }));
    let good = || Some(Ok(()));
    let protocol = |value: &str| {
        [
            SWITCH,
            ACCEPT_LINE,
            "Sec-WebSocket-Protocol: ",
            value,
            "\r\n",
        ]
        .concat()
    };
    let expected_hash = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    for (rule, config, text, expected) in [
        (
            "good",
            &plain,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat()),
            good(),
        ),
        (
            "any order, any reason",
            &plain,
            format!("HTTP/1.1 101\r\n{ACCEPT_LINE}{SWITCH}\r\n"),
            good(),
        ),
        (
            "incomplete",
            &plain,
            format!("HTTP/1.1 101 \r\n{SWITCH}{ACCEPT_LINE}\r"),
            None,
        ),
        (
            "R-C7",
            &plain,
            format!("HTTP/1.0 101 \r\n{SWITCH}{ACCEPT_LINE}\r\n"),
            Some(Err(HandshakeError::HttpVersion {
                seen: http::Version::HTTP_10,
            })),
        ),
        (
            "R-C8",
            &plain,
            rfc6455_answer(&["Connection: Upgrade\r\n", ACCEPT_LINE].concat()),
            missing("Upgrade"),
        ),
        (
            "R-C8",
            &plain,
            rfc6455_answer(&["Upgrade: h2c\r\nConnection: Upgrade\r\n", ACCEPT_LINE].concat()),
            mismatch("Upgrade", "h2c", "websocket"),
        ),
        (
            "R-C8 case",
            &plain,
            rfc6455_answer(
                &[
                    "Upgrade: WEBSocket\r\nConnection: x, upgrade\r\n",
                    ACCEPT_LINE,
                ]
                .concat(),
            ),
            good(),
        ),
        (
            "R-C9",
            &plain,
            rfc6455_answer(&["Upgrade: websocket\r\n", ACCEPT_LINE].concat()),
            missing("Connection"),
        ),
        (
            "R-C9",
            &plain,
            rfc6455_answer(&["Upgrade: websocket\r\nConnection: close\r\n", ACCEPT_LINE].concat()),
            mismatch("Connection", "close", "Upgrade"),
        ),
        (
            "R-C10",
            &plain,
            rfc6455_answer(SWITCH),
            missing("Sec-WebSocket-Accept"),
        ),
        (
            "R-C10",
            &plain,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE, ACCEPT_LINE].concat()),
            duplicate("Sec-WebSocket-Accept"),
        ),
        (
            "R-C10",
            &plain,
            rfc6455_answer(&[SWITCH, &ACCEPT_LINE.to_lowercase()].concat()),
            mismatch(
                "Sec-WebSocket-Accept",
                &expected_hash.to_lowercase(),
                expected_hash,
            ),
        ),
        (
            "R-C10 spaces",
            &plain,
            rfc6455_answer(
                &[
                    SWITCH,
                    &ACCEPT_LINE.replace(": ", ":  ").replace("\r", " \r"),
                ]
                .concat(),
            ),
            good(),
        ),
        (
            "R-C11",
            &plain,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE, "Sec-WebSocket-Extensions: a\r\n"].concat()),
            Some(Err(HandshakeError::ExtensionNotOffered {
                seen: "a".to_owned(),
            })),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&protocol("superchat")),
            good(),
        ),
        (
            "R-C12 none",
            &offers,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat()),
            good(),
        ),
        (
            "R-C12 demanded",
            &demands,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat()),
            Some(Err(HandshakeError::NoSubprotocol)),
        ),
        (
            "R-C12 demanded",
            &demands,
            rfc6455_answer(&protocol("chat")),
            good(),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&protocol("Chat")),
            Some(Err(HandshakeError::SubprotocolNotOffered {
                seen: "Chat".to_owned(),
            })),
        ),
        (
            "R-C12",
            &plain,
            rfc6455_answer(&protocol("chat")),
            Some(Err(HandshakeError::SubprotocolNotOffered {
                seen: "chat".to_owned(),
            })),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&protocol("chat, superchat")),
            Some(Err(HandshakeError::SubprotocolNotOffered {
                seen: "chat, superchat".to_owned(),
            })),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&(protocol("chat") + "Sec-WebSocket-Protocol: chat\r\n")),
            duplicate("Sec-WebSocket-Protocol"),
        ),
    ] {
        let (handshake, outcome) = answer(config, &text);
        assert_eq!(outcome, expected, "{rule}: {text:?}");
        if expected == Some(Ok(())) {
            let sent = text
                .split("\r\n")
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
            assert_eq!(
                handshake.response_head().unwrap().subprotocol(),
                sent,
                "{rule}"
            );
        }
    }
}

const DRAFT76_LINES: &str = "Upgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: ws://example.com/demo\r\n\
    Sec-WebSocket-Protocol: sample\r\n";

/// The digest for the keys of [`client`]: what the library's own server answers.
fn draft76_digest(config: &ClientConfig) -> Vec<u8> {
    let (url, randomness) = (URL.parse().unwrap(), Box::new(Fixed(b"the sample nonce")));
    let mut client = ClientHandshake::new(&url, config, randomness, Instant::now()).unwrap();
    let server = ServerConfig::new().subprotocols(subprotocols(&["sample"]));
    let request = drain(client.outgoing());
    let (_, outcome, answer) = run(&server, &[&request], &Accept::new());
    assert_eq!(outcome, Outcome::Open);
    answer[answer.len() - 16..].to_vec()
}

/// D76-V1 to D76-V8: every rule of a draft-76 answer.
#[test]
fn a_draft76_answer_is_checked() {
    let config = offering(ClientConfig::new().version(Version::Draft76), &["sample"]);
    let digest = draft76_digest(&config);
    let head = |line: &str, lines: &str| format!("HTTP/1.1 {line}\r\n{lines}\r\n");
    let reason = "101 WebSocket Protocol Handshake";
    let edit = |from: &str, to: &str| head(reason, &DRAFT76_LINES.replace(from, to));
    let more = |line: &str| head(reason, &[DRAFT76_LINES, line].concat());
    let good = head(reason, DRAFT76_LINES);
    for (rule, text, expected) in [
        ("good", good.clone(), "open"),
        ("any reason", head("101 x", DRAFT76_LINES), "open"),
        ("HTTP version", good.replace("HTTP/1.1", "HTTP/1.0"), "open"),
        (
            "other fields",
            more("Set-Cookie: a=b\r\nDate: x\r\n"),
            "open",
        ),
        (
            "V6 case",
            edit("Connection: Upgrade", "cOnnection: uPGRADE"),
            "open",
        ),
        (
            "V1",
            good.replace(" WebSocket Protocol Handshake", ""),
            "malformed HTTP head: the first line has fewer than two spaces",
        ),
        (
            "V1",
            "HTTP/1.1\r\n\r\n".to_owned(),
            "malformed HTTP head: the HTTP version is neither 1.0 nor 1.1",
        ),
        (
            "V1",
            "hello\r\n\r\n".to_owned(),
            "\"h\" is not the beginning of an HTTP/1 head",
        ),
        (
            "V2",
            head("1o1 x", ""),
            "malformed HTTP head: the status is not a number of three digits",
        ),
        (
            "V2",
            head("407 x", DRAFT76_LINES),
            "the server answered 407 Proxy Authentication Required; 101 would accept",
        ),
        (
            "V3",
            edit("\r\nConn", "\nConn"),
            "malformed HTTP head: an LF does not follow a CR",
        ),
        (
            "V3",
            edit("Conn", "Co\rnn"),
            "malformed HTTP head: a CR is not followed by an LF",
        ),
        (
            "V4",
            edit("Upgrade: WebSocket\r\n", ""),
            "header Upgrade is missing",
        ),
        (
            "V4",
            edit("Connection: Upgrade\r\n", ""),
            "header Connection is missing",
        ),
        (
            "V4",
            edit("Sec-WebSocket-Origin: http://example.com\r\n", ""),
            "header Sec-WebSocket-Origin is missing",
        ),
        (
            "V4",
            edit("Sec-WebSocket-Location: ws://example.com/demo\r\n", ""),
            "header Sec-WebSocket-Location is missing",
        ),
        (
            "V4",
            edit("Sec-WebSocket-Protocol: sample\r\n", ""),
            "header Sec-WebSocket-Protocol is missing",
        ),
        (
            "V4",
            more("Upgrade: WebSocket\r\n"),
            "header Upgrade is there more than once; once is allowed",
        ),
        (
            "V4",
            more("connection: Upgrade\r\n"),
            "header Connection is there more than once; once is allowed",
        ),
        (
            "V4",
            more("Sec-WebSocket-Origin: http://example.com\r\n"),
            "header Sec-WebSocket-Origin is there more than once; once is allowed",
        ),
        (
            "V4",
            more("Sec-WebSocket-Location: ws://example.com/demo\r\n"),
            "header Sec-WebSocket-Location is there more than once; once is allowed",
        ),
        (
            "V4",
            more("Sec-WebSocket-Protocol: sample\r\n"),
            "header Sec-WebSocket-Protocol is there more than once; once is allowed",
        ),
        (
            "V4",
            more(": x\r\n"),
            "malformed HTTP head: a header name is not a token",
        ),
        (
            "V5",
            edit("WebSocket\r\nConn", "websocket\r\nConn"),
            "header Upgrade with value \"websocket\"; it must be \"WebSocket\"",
        ),
        (
            "V6",
            edit(": Upgrade", ": Upgrade, x"),
            "header Connection with value \"Upgrade, x\"; it must be \"Upgrade\"",
        ),
        (
            "V7",
            edit("http://example", "http://Example"),
            "header Sec-WebSocket-Origin with value \"http://Example.com\"; it must be \
             \"http://example.com\"",
        ),
        (
            "V7",
            edit("ws://", "wss://"),
            "header Sec-WebSocket-Location with value \"wss://example.com/demo\"; it must be \
             \"ws://example.com/demo\"",
        ),
        (
            "V7",
            edit("sample", "other"),
            "header Sec-WebSocket-Protocol with value \"other\"; it must be \"sample\"",
        ),
    ] {
        let mut handshake = client(&config);
        handshake.handle_read(Instant::now(), &[text.as_bytes(), &digest].concat());
        let outcome = match handshake.poll_event() {
            Some(HandshakeEvent::Open) => "open".to_owned(),
            Some(HandshakeEvent::Failed(error)) => error.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(outcome, expected, "{rule}: {text:?}");
    }

    // V8: no byte of the digest may differ, and none may be missing.
    for index in 0..16 {
        let mut wrong = digest.clone();
        wrong[index] ^= 1;
        let mut handshake = client(&config);
        handshake.handle_read(Instant::now(), good.as_bytes());
        handshake.handle_read(Instant::now(), &wrong[..15]);
        assert!(handshake.poll_event().is_none() && handshake.wants_read());
        handshake.handle_read(Instant::now(), &wrong[15..]);
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!("{index}")
        };
        assert_eq!(error, HandshakeError::WrongChallengeResponse);
    }
    let mut handshake = client(&config);
    handshake.handle_read(Instant::now(), &[good.as_bytes(), &digest[..15]].concat());
    handshake.handle_eof();
    let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
        panic!()
    };
    assert_eq!(
        error,
        HandshakeError::Disconnected {
            state: State::Handshaking
        }
    );

    // Whoever asks for no subprotocol ignores one.
    let config = ClientConfig::new().version(Version::Draft76);
    let digest = draft76_digest(&config);
    let mut handshake = client(&config);
    handshake.handle_read(Instant::now(), &[good.as_bytes(), &digest].concat());
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    assert_eq!(handshake.response_head().unwrap().subprotocol(), None);
}

/// D75-R1 to D75-R8: every rule of a draft-75 answer.
#[test]
fn a_draft75_answer_is_checked() {
    const GOOD: &str = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
        Connection: Upgrade\r\nWebSocket-Origin: http://example.com\r\n\
        WebSocket-Location: ws://example.com/demo\r\nWebSocket-Protocol: sample\r\n\r\n";
    const FIXED: &str = "malformed HTTP head: it does not begin with the fixed lines of draft-75";
    let asking = offering(ClientConfig::new().version(Version::Draft75), &["sample"]);
    let silent = ClientConfig::new().version(Version::Draft75);
    let edit = |from: &str, to: &str| GOOD.replacen(from, to, 1);
    let more = |line: &str| GOOD.replace("sample\r\n", &["sample\r\n", line].concat());
    for (rule, config, text, expected) in [
        ("good", &asking, GOOD.to_owned(), "open"),
        (
            "R1 more headers",
            &asking,
            more("Set-Cookie: a=b\r\n"),
            "open",
        ),
        ("R4 not asked for", &silent, GOOD.to_owned(), "open"),
        (
            "R4 not asked for",
            &silent,
            edit("WebSocket-Protocol: sample\r\n", ""),
            "open",
        ),
        (
            "R5 case",
            &asking,
            edit("WebSocket-Origin", "websocket-ORIGIN"),
            "open",
        ),
        ("R1", &asking, edit("Web Socket", "WebSocket"), FIXED),
        (
            "R1",
            &asking,
            edit("Upgrade: WebSocket\r\n", "Upgrade: websocket\r\n"),
            FIXED,
        ),
        (
            "R1",
            &asking,
            edit(
                "Upgrade: WebSocket\r\n",
                "Server: x\r\nUpgrade: WebSocket\r\n",
            ),
            FIXED,
        ),
        (
            "R1",
            &asking,
            edit("Connection: Upgrade", "connection: Upgrade"),
            FIXED,
        ),
        (
            "R2",
            &asking,
            edit("http://e", "http://E"),
            "header WebSocket-Origin with value \"http://Example.com\"; it must be \
             \"http://example.com\"",
        ),
        (
            "R3",
            &asking,
            edit("/demo", "/"),
            "header WebSocket-Location with value \"ws://example.com/\"; it must be \
             \"ws://example.com/demo\"",
        ),
        (
            "R3",
            &asking,
            edit("example.com/demo", "example.com:80/demo"),
            "header WebSocket-Location with value \"ws://example.com:80/demo\"; it must be \
             \"ws://example.com/demo\"",
        ),
        (
            "R4",
            &asking,
            edit("WebSocket-Protocol: sample\r\n", ""),
            "header WebSocket-Protocol is missing",
        ),
        (
            "R4",
            &asking,
            edit("sample", "sampler"),
            "header WebSocket-Protocol with value \"sampler\"; it must be \"sample\"",
        ),
        (
            "R4",
            &asking,
            more("WebSocket-Protocol: sample\r\n"),
            "header WebSocket-Protocol is there more than once; once is allowed",
        ),
        (
            "R5",
            &asking,
            more("WebSocket-Origin: http://example.com\r\n"),
            "header WebSocket-Origin is there more than once; once is allowed",
        ),
        (
            "R5",
            &asking,
            edit("WebSocket-Location: ws://example.com/demo\r\n", ""),
            "header WebSocket-Location is missing",
        ),
        (
            "R1 empty name",
            &asking,
            more(": x\r\n"),
            "malformed HTTP head: a header name is not a token",
        ),
        (
            "R6",
            &asking,
            more("A: b\n"),
            "malformed HTTP head: an LF does not follow a CR",
        ),
        (
            "R6",
            &asking,
            more("A\rB: c\r\n"),
            "malformed HTTP head: a CR is not followed by an LF",
        ),
        (
            "R7",
            &asking,
            edit("101 Web Socket Protocol Handshake", "407 No"),
            "the server answered 407 Proxy Authentication Required; 101 would accept",
        ),
        ("R7", &asking, edit("HTTP/1.1", "HTTP/1.0"), FIXED),
    ] {
        let (_, outcome) = answer(config, &text);
        let outcome = match outcome {
            Some(Ok(())) => "open".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "nothing".to_owned(),
        };
        assert_eq!(outcome, expected, "{rule}: {text:?}");
    }
}
