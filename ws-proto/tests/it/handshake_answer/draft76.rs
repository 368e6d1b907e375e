//! The answer of draft-76: its lines, and the digest behind them.

use std::time::Instant;

use ws_proto::{
    Accept, ClientConfig, ClientHandshake, HandshakeError, HandshakeEvent, ServerConfig, State,
    Version,
};

use ws_testing::handshake::{Fixed, Outcome, URL, client, drain, offering, run, subprotocols};

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
            "the server answered 407 Proxy Authentication Required; 101 was expected",
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
            "header Upgrade appears more than once; once is allowed",
        ),
        (
            "V4",
            more("connection: Upgrade\r\n"),
            "header Connection appears more than once; once is allowed",
        ),
        (
            "V4",
            more("Sec-WebSocket-Origin: http://example.com\r\n"),
            "header Sec-WebSocket-Origin appears more than once; once is allowed",
        ),
        (
            "V4",
            more("Sec-WebSocket-Location: ws://example.com/demo\r\n"),
            "header Sec-WebSocket-Location appears more than once; once is allowed",
        ),
        (
            "V4",
            more("Sec-WebSocket-Protocol: sample\r\n"),
            "header Sec-WebSocket-Protocol appears more than once; once is allowed",
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
