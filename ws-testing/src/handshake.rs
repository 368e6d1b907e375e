//! Tools for the tests of the opening handshakes: requests, and ways to run a handshake.

use std::time::Instant;

use bytes::Buf;
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, HandshakeError, HandshakeEvent, Randomness, Request,
    ServerConfig, ServerHandshake, State, Subprotocol, UpgradeRequest,
};

/// RFC 6455 §1.3.
pub const RFC6455: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// PROTOCOL.md §1.3.
pub const DRAFT75: &str = "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\n\
    Connection: Upgrade\r\nHost: example.com\r\nOrigin: http://example.com\r\n\
    WebSocket-Protocol: sample\r\n\r\n";

/// PROTOCOL.md §2.9, vector A1, without key3.
pub const DRAFT76: &str = "GET /demo HTTP/1.1\r\nHost: example.com\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\
    Sec-WebSocket-Protocol: sample\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n";

/// Replaces a line of a request; nothing takes it out.
pub fn with(request: &str, name: &str, lines: &str) -> String {
    let (head, rest) = request.split_once("\r\n\r\n").unwrap();
    let prefix = format!("{name}: ");
    let kept = head.split("\r\n").filter(|line| !line.starts_with(&prefix));
    let mut text: Vec<_> = kept
        .chain(lines.split("\r\n").filter(|line| !line.is_empty()))
        .collect();
    text.push("\r\n");
    text.join("\r\n") + rest
}

/// Makes a list of subprotocols.
pub fn subprotocols(names: &[&str]) -> Vec<Subprotocol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// What DRAFT75 and DRAFT76 need.
pub fn sample_config() -> ServerConfig {
    ServerConfig::new().subprotocols(subprotocols(&["sample"]))
}

/// The status of an answer, and its `Sec-WebSocket-Version`.
pub fn status_of(answer: &str) -> (u16, Option<&str>) {
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .map_or(0, |rest| rest[..3].parse().unwrap());
    let mut lines = answer.split("\r\n").take_while(|line| !line.is_empty());
    (
        status,
        lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Version: ")),
    )
}

/// Takes all bytes that wait.
pub fn drain(mut outgoing: impl Buf) -> Vec<u8> {
    let len = outgoing.remaining();
    outgoing.copy_to_bytes(len).to_vec()
}

/// How a handshake ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Open,
    Http,
    Failed(HandshakeError),
    Unfinished,
}

/// Gives `bytes` to a server and accepts what can be accepted.
pub fn serve(config: &ServerConfig, bytes: &[u8]) -> (Outcome, String) {
    let (handshake, outcome, written) = run(config, &[bytes], &Accept::new());
    if let Outcome::Failed(_) = outcome {
        assert!(handshake.is_finished());
        assert_eq!(handshake.state(), State::Closed);
    }
    (outcome, String::from_utf8_lossy(&written).into_owned())
}

/// Gives `reads` to a server, one by one, and accepts what can be accepted.
pub fn run(
    config: &ServerConfig,
    reads: &[&[u8]],
    accept: &Accept,
) -> (ServerHandshake, Outcome, Vec<u8>) {
    let now = Instant::now();
    let mut handshake = ServerHandshake::new(config, now);
    let (mut outcome, mut written) = (Outcome::Unfinished, Vec::new());
    for read in reads {
        handshake.handle_read(now, read);
        while let Some(event) = handshake.poll_event() {
            match event {
                HandshakeEvent::Request(Request::Upgrade(_)) => {
                    handshake.accept(accept.clone()).unwrap();
                }
                HandshakeEvent::Request(Request::Http) => outcome = Outcome::Http,
                HandshakeEvent::Open => outcome = Outcome::Open,
                HandshakeEvent::Failed(error) => outcome = Outcome::Failed(error),
                other => panic!("unexpected event {other:?}"),
            }
        }
        written.extend(drain(handshake.outgoing()));
    }
    (handshake, outcome, written)
}

/// Takes the next event, which must be an upgrade.
pub fn upgrade(handshake: &mut ServerHandshake) -> UpgradeRequest {
    match handshake.poll_event() {
        Some(HandshakeEvent::Request(Request::Upgrade(request))) => request,
        other => panic!("not an upgrade: {other:?}"),
    }
}

/// The accept hash for the key of [`client`].
pub const ACCEPT_LINE: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// Where a [`client`] connects to.
pub const URL: &str = "ws://Example.com/demo";

/// Lets a client offer subprotocols.
pub fn offering(config: ClientConfig, names: &[&str]) -> ClientConfig {
    config.subprotocols(
        names
            .iter()
            .map(|name| name.parse().unwrap())
            .collect::<Vec<_>>(),
    )
}

/// A client whose key is that of RFC 6455 §1.3, with its request written.
pub fn client(config: &ClientConfig) -> ClientHandshake {
    let randomness = Box::new(Fixed(b"the sample nonce"));
    let url = URL.parse().unwrap();
    let mut handshake = ClientHandshake::new(&url, config, randomness, Instant::now()).unwrap();
    drain(handshake.outgoing());
    handshake
}

/// Gives an answer to a client; returns how the handshake ended, if it did.
pub fn answer(
    config: &ClientConfig,
    answer: &str,
) -> (ClientHandshake, Option<Result<(), HandshakeError>>) {
    let mut handshake = client(config);
    handshake.handle_read(Instant::now(), answer.as_bytes());
    let outcome = match handshake.poll_event() {
        Some(HandshakeEvent::Open) => Some(Ok(())),
        Some(HandshakeEvent::Failed(error)) => Some(Err(error)),
        Some(other) => panic!("unexpected event {other:?}"),
        None => None,
    };
    assert!(
        handshake.poll_event().is_none(),
        "there is one event at most"
    );
    let state = match outcome {
        Some(Ok(())) => State::Connected,
        Some(Err(_)) => State::Closed,
        None => State::Handshaking,
    };
    assert_eq!(handshake.state(), state);
    (handshake, outcome)
}

/// A 101 with these lines.
pub fn rfc6455_answer(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n")
}

/// Reproducible noise (SplitMix64); good enough for tests only.
pub struct Seeded(pub u64);

impl Randomness for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed ^ (mixed >> 31)).to_le_bytes()[0];
        }
    }
}

/// The same bytes again and again, so that a key is known.
pub struct Fixed(pub &'static [u8]);

impl Randomness for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for (byte, fixed) in bytes.iter_mut().zip(self.0.iter().cycle()) {
            *byte = *fixed;
        }
    }
}
