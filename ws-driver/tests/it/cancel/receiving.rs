//! What receives.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use ws_driver::Connection;
use ws_driver::ws_proto::{Event, Message};

use super::polling::{DROPS, at_every_poll, finish, numbered, open, polled};
use ws_testing::sim::peer::masked;
use ws_testing::sim::{ANY, Server, Sim, poll_once, seconds};

/// Four messages in two fragments each arrive in portions of a byte; receiving is dropped three
/// times, then not any more.
fn assert_receiving_loses_nothing(
    fragments: bool,
    receive: impl AsyncFn(&mut Connection) -> Option<Message> + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().receive_fragments(fragments);
        let server = builder.bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        let sent: Vec<_> = (0..4).map(numbered).collect();
        for message in &sent {
            let (first, last) = message.as_bytes().split_at(3);
            let wire = [masked(0x01, first), masked(0x80, last)].concat();
            peer.write(&wire).await;
        }
        let (mut received, mut was_dropped) = (String::new(), false);
        for _ in 0..DROPS {
            match polled(polls, receive(&mut connection)).await {
                Some(message) => received.push_str(message.unwrap().as_text().unwrap()),
                None => was_dropped = true,
            }
        }
        while received.len() < sent.concat().len() {
            let message = sim.within(seconds(1), receive(&mut connection)).await;
            received.push_str(message.unwrap().unwrap().as_text().unwrap());
        }
        assert_eq!(received, sent.concat(), "dropped after {polls} polls");
        finish(&sim, &server, connection, peer).await;
        !was_dropped
    });
}

/// No message is lost, nor the fragments of one that came while somebody waited.
#[test]
fn recv() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, Connection::recv);
    }
}

/// No fragment is lost.
#[test]
fn recv_fragment() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, async |connection| {
            Some(connection.recv_fragment().await?.content)
        });
    }
}

/// No event is lost.
#[test]
fn recv_event() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, async |connection| {
            match connection.recv_event().await? {
                Event::Message(message) => Some(message),
                Event::Fragment(fragment) => Some(fragment.content),
                event @ (Event::Ping(_) | Event::Pong(_) | Event::Closed(_) | _) => {
                    panic!("{event:?}")
                }
            }
        });
    }
}

/// The same of the connection as a stream.
#[test]
fn next_of_a_stream() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, async |connection| {
            poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
        });
    }
}

/// A `recv` that is dropped inside a message leaves what it has taken to the next call, whichever that is; nothing of one
/// message gets into another.
#[test]
fn recv_then_fragments() {
    Sim::run(async |sim| {
        let builder = Server::builder()
            .receive_fragments(true)
            .message_limit(Some(10));
        let server = builder.bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        for round in 0..20 {
            peer.write(&masked(0x02, b"\xff\xfe")).await;
            sim.settle().await;
            assert_eq!(poll_once(connection.recv()), None);
            peer.write(&masked(0x80, b"BB")).await;
            sim.settle().await;
            let mut parts = Vec::new();
            for is_last in [false, true] {
                let fragment = if round % 2 == 0 {
                    poll_once(connection.recv_fragment()).unwrap().unwrap()
                } else {
                    let event = poll_once(connection.recv_event()).unwrap().unwrap();
                    let Event::Fragment(fragment) = event else {
                        panic!("{event:?}");
                    };
                    fragment
                };
                assert_eq!((fragment.first, fragment.last), (!is_last, is_last));
                parts.extend_from_slice(fragment.content.as_bytes());
            }
            assert_eq!(parts, b"\xff\xfeBB");
            peer.write(&[masked(0x01, b"C"), masked(0x80, b"D")].concat())
                .await;
            sim.settle().await;
            assert_eq!(poll_once(connection.recv()), Some(Some("CD".into())));
        }
        finish(&sim, &server, connection, peer).await;
    });
}
