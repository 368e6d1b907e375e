//! A relay on `ws-proto` alone, in memory: answers that go to other connections, as docs/embedding.md
//! states the contract for them.

use std::ops::Range;
use std::time::Instant;

use bytes::Buf;
use ws_proto::{
    CloseCode, CloseReason, Connection, ConnectionConfig, Event, PreparedMessage, SendError,
    Version,
};

/// Sends what arrived at the source to all destinations, while each of them has room. The rest stays
/// in the source, which stops reading at its `receive_queue_limit`.
fn relay(source: &mut Connection, destinations: &mut [Connection], now: Instant) {
    while destinations.iter().all(may_send) {
        match source.poll_event(now) {
            Some(Event::Message(message)) => {
                let message = PreparedMessage::new(message);
                for destination in &mut *destinations {
                    // Fails if the destination is closing, or speaks a draft and the message is
                    // binary. To wait would change neither.
                    let _ = destination.send_prepared(&message);
                }
            }
            Some(_) => {}
            None => break,
        }
    }
}

/// Asked before an event is taken, when its kind is not known. Every version has text, so only what
/// passes holds the source up: a full send queue, and a message that is being sent in fragments.
fn may_send(destination: &Connection) -> bool {
    match destination.check_send(true) {
        Err(SendError::QueueFull { .. } | SendError::MessageOpen) => false,
        // An error that stays, such as `Closed`, loses a message for this destination alone.
        Ok(()) | Err(_) => true,
    }
}

/// The frames of draft-76 with these numbers, which look the same in both directions.
fn frames(numbers: Range<usize>) -> Vec<u8> {
    let frame = |number| [b"\0", format!("{number:09}").as_bytes(), b"\xff"].concat();
    numbers.flat_map(frame).collect()
}

/// Makes a source on draft-76 at which the messages 0 to 9 have arrived, of 9 bytes each.
fn source(now: Instant) -> Connection {
    let mut source = Connection::server(Version::Draft76, ConnectionConfig::new(), now);
    source.handle_read(now, &frames(0..10));
    source
}

/// Makes a destination that has room for three frames of 11 bytes.
fn destination(version: Version, now: Instant) -> Connection {
    Connection::server(version, ConnectionConfig::new().send_queue_limit(33), now)
}

fn drain(connection: &mut Connection) -> Vec<u8> {
    let mut outgoing = connection.outgoing();
    let len = outgoing.remaining();
    outgoing.copy_to_bytes(len).to_vec()
}

/// Gives the relay turns until the source has no event left. Returns what the destination wrote.
fn relay_all(source: &mut Connection, destination: Connection, now: Instant) -> Vec<u8> {
    let mut destinations = [destination];
    let mut written = Vec::new();
    for _ in 0..10 {
        relay(source, &mut destinations, now);
        written.extend(drain(&mut destinations[0]));
    }
    assert!(!source.has_events());
    written
}

/// Proves that a full destination loses no message, and that nothing but its own room says when to
/// look at the source again: the source has no deadline.
#[test]
fn a_full_destination_holds_the_source_up() {
    let now = Instant::now();
    let mut source = source(now);
    let mut destinations = [
        destination(Version::Draft76, now),
        destination(Version::Draft76, now),
    ];
    relay(&mut source, &mut destinations, now);
    assert!(source.has_events());
    assert_eq!(source.poll_timeout(), None);

    // One of the two is not enough.
    assert_eq!(drain(&mut destinations[0]), frames(0..3));
    relay(&mut source, &mut destinations, now);
    assert_eq!(drain(&mut destinations[0]), b"");
    assert_eq!(drain(&mut destinations[1]), frames(0..3));
    relay(&mut source, &mut destinations, now);
    for destination in &mut destinations {
        assert_eq!(drain(destination), frames(3..6));
    }
}

/// Proves that the messages of a source that cannot be written to any more wait for room as well: its
/// own `is_writable` is not asked.
#[test]
fn a_source_that_was_reset_loses_no_message() {
    let now = Instant::now();
    let mut source = source(now);
    source.handle_reset(now);
    assert!(!source.is_writable());
    let written = relay_all(&mut source, destination(Version::Draft76, now), now);
    assert_eq!(written, frames(0..10));
}

/// Proves that a message in fragments holds the source up, although its destination has capacity.
#[test]
fn a_message_in_fragments_holds_the_source_up() {
    let now = Instant::now();
    let mut source = source(now);
    let mut destinations = [destination(Version::Rfc6455, now)];
    destinations[0].send_fragment("first", false).unwrap();
    assert!(destinations[0].has_capacity());
    relay(&mut source, &mut destinations, now);
    assert_eq!(source.messages_received(), 10);
    assert_eq!(drain(&mut destinations[0]), b"\x01\x05first");

    destinations[0].send_fragment("last", true).unwrap();
    relay(&mut source, &mut destinations, now);
    assert!(drain(&mut destinations[0]).starts_with(b"\x80\x04last\x81\x09000000000"));
}

/// Proves that neither a destination that is closing nor a binary message to a draft holds up the
/// source and the other destinations.
#[test]
fn an_error_that_stays_holds_nobody_up() {
    let now = Instant::now();
    let mut source = Connection::server(Version::Rfc6455, ConnectionConfig::new(), now);
    // A binary message and a text, with masks of zeros.
    source.handle_read(now, b"\x82\x81\0\0\0\0b\x81\x81\0\0\0\0t");
    let mut destinations = [
        destination(Version::Draft76, now),
        destination(Version::Rfc6455, now),
        destination(Version::Rfc6455, now),
    ];
    destinations[2].close(now, Some(CloseCode::TRY_AGAIN), CloseReason::EMPTY);
    relay(&mut source, &mut destinations, now);
    let written: Vec<_> = destinations.iter_mut().map(drain).collect();
    let expected: [&[u8]; 3] = [b"\0t\xff", b"\x82\x01b\x81\x01t", b"\x88\x02\x03\xf5"];
    assert_eq!(written, expected);
}
