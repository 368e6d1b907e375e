//! Opening handshakes: what the bytes say does not depend on how they are cut.

use std::time::Instant;

use arbitrary::{Result, Unstructured};
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, Connection, HandshakeEvent, ServerConfig, State, Version,
};

use crate::chop::chop;
use crate::memory::bounded;
use ws_testing::connections::told;
use ws_testing::handshake::{Fixed, URL, client, drain, offering, run, subprotocols};

/// Inputs beyond this show nothing new.
const INPUT_LIMIT: usize = 4096;

/// Choices: limits, step.
pub(crate) fn request(u: &mut Unstructured<'_>) -> Result<()> {
    let is_small = u.arbitrary()?;
    let step = u.arbitrary()?;
    let bytes = rest(u);
    let config = ServerConfig::new()
        .subprotocols(subprotocols(&["sample", "chat"]))
        .head_limit(if is_small { 256_usize } else { 16 << 10 })
        .header_limit(if is_small { 8_usize } else { 100 });
    let whole = bounded(bytes.len(), || served(&config, &[bytes]));
    let chopped = bounded(bytes.len(), || served(&config, &chop(bytes, step)));
    assert_eq!(whole, chopped, "reads of {step}");
    Ok(())
}

/// What a server does with reads, in full: the outcome, the answer, what is left.
fn served(config: &ServerConfig, reads: &[&[u8]]) -> (String, String, Vec<String>) {
    let (mut handshake, outcome, written) = run(config, reads, &Accept::new());
    let rest = match handshake.state() {
        State::Connected => events(handshake.into_connection(Instant::now())),
        State::Unknown | State::Opening | State::Waiting | State::Closed | State::Closing => {
            handshake.handle_eof();
            assert_eq!(handshake.state(), State::Closed, "the stream has ended");
            vec![format!("{:?}", handshake.poll_event())]
        }
        State::Handshaking => vec![format!("{:?}", handshake.into_received())],
    };
    (
        format!("{outcome:?}"),
        written.escape_ascii().to_string(),
        rest,
    )
}

/// Choices: version, whether a subprotocol is offered, step.
pub(crate) fn response(u: &mut Unstructured<'_>) -> Result<()> {
    let mut config = ClientConfig::new().version(*u.choose(&Version::ALL)?);
    if u.arbitrary()? {
        config = offering(config, &["sample"]);
    }
    let step = u.arbitrary()?;
    let bytes = rest(u);
    let whole = bounded(bytes.len(), || received(&config, &[bytes]));
    let chopped = bounded(bytes.len(), || received(&config, &chop(bytes, step)));
    assert_eq!(whole, chopped, "reads of {step}");
    Ok(())
}

/// What a client does with reads, in full.
fn received(config: &ClientConfig, reads: &[&[u8]]) -> (String, Vec<String>) {
    let mut handshake = client(config);
    for read in reads {
        handshake.handle_read(Instant::now(), read);
    }
    if handshake.state() == State::Handshaking {
        handshake.handle_eof();
    }
    let event = handshake.poll_event();
    assert!(handshake.poll_event().is_none(), "one event is the last");
    match event {
        Some(HandshakeEvent::Open) => {
            let head = format!("{:?}", handshake.response_head());
            (head, events(handshake.into_connection(Instant::now())))
        }
        other => (format!("{other:?}"), Vec::new()),
    }
}

/// What our server answers to that client.
pub(crate) fn right_answer(version: Version, offers: bool) -> Vec<u8> {
    let names: &[&str] = if offers { &["sample"] } else { &[] };
    let config = offering(ClientConfig::new().version(version), names);
    let url = URL.parse().expect("it is a URL");
    let randomness = Box::new(Fixed(KEY_BYTES));
    let mut client = ClientHandshake::new(&url, &config, randomness, Instant::now())
        .expect("the options make sense");
    let request = drain(client.outgoing());
    let config = ServerConfig::new().subprotocols(subprotocols(&["sample"]));
    let (_, _, answer) = run(&config, &[&request], &Accept::new());
    answer
}

/// The random bytes of that client.
const KEY_BYTES: &[u8] = b"the sample nonce";

/// What an open connection says of the bytes that came behind the handshake.
fn events(mut connection: Connection) -> Vec<String> {
    let now = Instant::now();
    connection.handle_eof(now);
    told(&mut connection, now)
}

fn rest<'a>(u: &mut Unstructured<'a>) -> &'a [u8] {
    let len = u.len().min(INPUT_LIMIT);
    u.bytes(len).unwrap_or_default()
}
