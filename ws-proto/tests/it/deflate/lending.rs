//! Streams of zlib that are lent: connections use them in turn, no byte differs for it, and who is lent them
//! allocates none of its own.

use std::time::Instant;

use ws_proto::{
    CloseReason, Connection, ConnectionConfig, Deflate, Event, Message, PreparedMessage, Role,
    Version, Workspace,
};

use super::peer::{self, Deflater};
use super::{all_terms, eager, noise, open, prose};
use crate::meter::Meter;
use ws_testing::connections::{connect, events, seconds, written};

fn unlimited() -> ConnectionConfig {
    ConnectionConfig::new().send_queue_limit(None)
}

/// More than frames and messages take here, and less than any stream.
const NO_STREAM: u64 = 40_000;

/// Proves that each message after the first costs no stream, in either direction, whichever connection it is on.
#[test]
fn connections_use_a_lent_stream_in_turn() {
    let now = Instant::now();
    let options = eager().client_no_context_takeover(true);
    let mut workspace = Workspace::new();
    let compressed = Deflater::new(15, false).compress(prose(3000, 0).as_bytes());
    for round in 0..4 {
        let mut connection = open(Role::Server, &options, unlimited(), now);
        let mut meter = Meter::default();
        meter.run(|| {
            connection.attach_streams(&mut workspace);
            let read = peer::message(true, &compressed).to(Role::Server);
            connection.handle_read(now, &read);
            assert_eq!(
                events(&mut connection, now),
                [Event::Message(prose(3000, 0).into())]
            );
            connection.send(prose(3000, round)).unwrap();
            connection.detach_streams(&mut workspace);
        });
        let allocated = u64::try_from(meter.total()).unwrap();
        assert_eq!(allocated < NO_STREAM, round > 0, "{round}: {allocated}");
    }
}

/// Proves that no byte differs, with all terms, and where connections of different options take turns.
#[test]
fn what_is_lent_changes_no_byte() {
    let now = Instant::now();
    let mut workspace = Workspace::new();
    for options in all_terms().chain([eager().level(1).unwrap(), eager().level(9).unwrap()]) {
        for role in [Role::Server, Role::Client] {
            let [mut lent, mut own] = [(); 2].map(|()| open(role, &options, unlimited(), now));
            for round in 0..5_u32 {
                for message in [
                    Message::from(prose(2000, round)),
                    Message::from(noise(500, round.into())),
                    Message::from(prose(2000, 0)),
                ] {
                    lent.attach_streams(&mut workspace);
                    lent.send(message.clone()).unwrap();
                    lent.send_fragment(message.clone(), round % 2 == 0).unwrap();
                    lent.detach_streams(&mut workspace);
                    own.send(message.clone()).unwrap();
                    own.send_fragment(message.clone(), round % 2 == 0).unwrap();
                    if round % 2 == 1 {
                        lent.send_fragment(message.clone(), true).unwrap();
                        own.send_fragment(message, true).unwrap();
                    }
                }
                assert!(written(&mut lent) == written(&mut own), "{options:?}");
            }
        }
    }
}

/// Proves that a message which was compressed elsewhere with the options of a connection is what the connection
/// makes of it, and that there are such options just where no context is kept.
#[test]
fn what_is_compressed_elsewhere_is_the_same() {
    let now = Instant::now();
    let mut workspace = Workspace::new();
    for options in all_terms().chain([Deflate::new().level(1).unwrap()]) {
        for role in [Role::Server, Role::Client] {
            let [mut here, mut elsewhere] =
                [(); 2].map(|()| open(role, &options, unlimited(), now));
            let terms = options.offer();
            let resets = match role {
                Role::Server => terms.contains("server_no_context_takeover"),
                Role::Client => terms.contains("client_no_context_takeover"),
            };
            let alone = here.deflate_alone();
            assert_eq!(alone.is_some(), resets, "{options:?}");
            let Some(alone) = alone else { continue };
            for round in 0..5_u32 {
                for message in [
                    Message::from(prose(5000, round)),
                    Message::from(prose(500, round)),
                    Message::from(noise(3000, round.into())),
                    Message::from(""),
                ] {
                    here.send(message.clone()).unwrap();
                    let prepared =
                        PreparedMessage::new(message).compress_for(&alone, &mut workspace);
                    elsewhere.send_prepared(&prepared).unwrap();
                    assert!(written(&mut here) == written(&mut elsewhere), "{options:?}");
                }
            }
        }
    }
}

/// Proves that a message which is only half there keeps its stream when that is taken back.
#[test]
fn a_message_keeps_its_stream_until_it_is_whole() {
    let now = Instant::now();
    let mut workspace = Workspace::new();
    let text = prose(3000, 7);
    let compressed = Deflater::new(15, true).compress(text.as_bytes());
    let read = peer::message(true, &compressed).to(Role::Server);
    let [mut one, mut other] = [(); 2].map(|()| open(Role::Server, &eager(), unlimited(), now));
    for half in [&read[..read.len() / 2], &read[read.len() / 2..]] {
        for connection in [&mut one, &mut other] {
            connection.attach_streams(&mut workspace);
            connection.handle_read(now, half);
            connection.detach_streams(&mut workspace);
        }
    }
    for connection in [&mut one, &mut other] {
        assert_eq!(
            events(connection, now),
            [Event::Message(text.clone().into())]
        );
    }
}

/// Proves that streams come back after every end: also those that were at work on a message, or kept a
/// context for the next one.
#[test]
fn lent_streams_come_back_after_every_end() {
    let now = Instant::now();
    let compressed = Deflater::new(15, true).compress(prose(3000, 7).as_bytes());
    let read = peer::message(true, &compressed).to(Role::Server);
    let ends: [fn(&mut Connection, Instant); 3] = [
        |connection, now| connection.handle_eof(now),
        |connection, now| connection.handle_reset(now),
        |connection, now| connection.close(now, None, CloseReason::EMPTY),
    ];
    for end in ends {
        let mut workspace = Workspace::new();
        let mut connection = open(Role::Server, &eager(), unlimited(), now);
        connection.attach_streams(&mut workspace);
        connection.send(prose(3000, 1)).unwrap();
        connection.handle_read(now, &read[..read.len() / 2]);
        end(&mut connection, now);
        connection.handle_timeout(now + seconds(10));
        assert!(connection.is_finished());
        connection.detach_streams(&mut workspace);
        let streams = format!("{workspace:?}");
        assert!(!streams.contains("compressor: None"), "{streams}");
        assert!(!streams.contains("inflater: None"), "{streams}");
        assert!(connection.has_deflate(), "it was agreed on");
        let mut others = Workspace::new();
        connection.detach_streams(&mut others);
        assert!(is_empty(&others));
    }
}

/// Proves that nothing is taken where nothing was agreed on, or twice.
#[test]
fn only_who_needs_streams_takes_them() {
    let now = Instant::now();
    let mut workspace = Workspace::new();
    let mut one = open(Role::Server, &eager(), unlimited(), now);
    one.attach_streams(&mut workspace);
    one.send("a message").unwrap();
    // It has some.
    let mut others = Workspace::new();
    one.attach_streams(&mut others);
    one.detach_streams(&mut workspace);
    let version = Version::Rfc6455;
    let mut plain = connect(Role::Server, version, unlimited(), now);
    plain.attach_streams(&mut workspace);
    assert!(!is_empty(&workspace));
    plain.detach_streams(&mut others);
    assert!(is_empty(&others));
}

/// Whether there are no streams in it.
fn is_empty(workspace: &Workspace) -> bool {
    let text = format!("{workspace:?}");
    text.contains("DeflateStreams { compressor: None, inflater: None }")
}
