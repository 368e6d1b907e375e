//! What sends on one connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_sink::Sink;
use ws_driver::ws_proto::SendError;
use ws_driver::{Connection, PreparedMessage};

use super::polling::{DROPS, at_every_poll, finish, numbered, open, polled_while, read};
use ws_testing::sim::peer::frames;
use ws_testing::sim::{ANY, Server};

/// Eight messages are sent to a peer that reads slowly, in a send queue that holds two: a send that
/// was dropped was not queued, so that each is sent again.
fn assert_a_dropped_send_was_not_queued(
    send: impl AsyncFn(&Server, &mut Connection, &str, bool) + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().send_queue_limit(Some(20));
        let server = builder.bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        peer.link().chop(1);
        peer.link().to_near.capacity = 15;
        let (mut bytes, mut was_dropped) = (Vec::new(), false);
        for number in 0..8 {
            let (message, is_last) = (numbered(number), number == 7);
            let mut was_sent = false;
            for _ in 0..DROPS {
                let sending = send(&server, &mut connection, &message, is_last);
                // The peer lets it wait for a while.
                let meanwhile = |poll| {
                    if poll > 2 {
                        bytes.extend(peer.read());
                    }
                };
                was_sent = polled_while(polls, sending, meanwhile).await.is_some();
                if was_sent {
                    break;
                }
                was_dropped = true;
            }
            if !was_sent {
                let mut sending = pin!(send(&server, &mut connection, &message, is_last));
                for _ in 0..100 {
                    bytes.extend(peer.read());
                    let sent = sim.within(Duration::from_millis(1), sending.as_mut());
                    if sent.await.is_some() {
                        break;
                    }
                }
            }
        }
        bytes.extend(read(&sim, &peer, 8 * (2 + numbered(0).len()) - bytes.len()).await);
        let payloads: Vec<_> = frames(&bytes).into_iter().map(|frame| frame.1).collect();
        let expected: Vec<_> = (0..8).map(|number| numbered(number).into_bytes()).collect();
        assert_eq!(payloads, expected, "dropped after {polls} polls");
        finish(&sim, &server, connection, peer).await;
        !was_dropped
    });
}

#[test]
fn send() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        connection.send(message).await.unwrap();
    });
}

#[test]
fn send_fragment() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, is_last| {
        connection.send_fragment(message, is_last).await.unwrap();
    });
}

#[test]
fn send_prepared() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let message = PreparedMessage::new(message);
        connection.send_prepared(&message).await.unwrap();
    });
}

#[test]
fn send_prepared_of_a_sender() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let message = PreparedMessage::new(message);
        let sender = connection.sender();
        sender.send_prepared(&message).await.unwrap();
    });
}

#[test]
fn send_of_a_sender() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        connection.sender().send(message).await.unwrap();
    });
}

#[test]
fn send_wait() {
    assert_a_dropped_send_was_not_queued(async |server, connection, message, _| {
        let clients = server.clients();
        clients.send_wait(connection.id(), message).await.unwrap();
    });
}

/// What adapters of a sink do: wait until it is ready, then send.
#[test]
fn send_of_a_sink() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let mut sink = Pin::new(connection);
        poll_fn(|cx| sink.as_mut().poll_ready(cx)).await.unwrap();
        sink.as_mut().start_send(message.into()).unwrap();
    });
}

#[test]
fn send_of_a_sink_of_a_sender() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let mut sink = pin!(connection.sender());
        poll_fn(|cx| sink.as_mut().poll_ready(cx)).await.unwrap();
        sink.as_mut().start_send(message.into()).unwrap();
    });
}

/// A flush that was dropped changes nothing: what was queued leaves all the same, once and in order, and a
/// later flush is ready when it has.
fn assert_a_dropped_flush_loses_nothing(
    flush: impl AsyncFn(&mut Connection) -> Result<(), SendError> + Copy,
) {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        peer.link().chop(1);
        peer.link().to_near.capacity = 15;
        for number in 0..4 {
            connection.try_send(numbered(number)).unwrap();
        }
        let (len, mut bytes) = (4 * (2 + numbered(0).len()), Vec::new());
        let mut flushed = {
            let flushing = flush(&mut connection);
            polled_while(polls, flushing, |_| bytes.extend(peer.read())).await
        };
        let is_over = flushed.is_some();
        assert!(polls > 0 || !is_over);
        for _ in 0..100 {
            if flushed.is_some() {
                break;
            }
            bytes.extend(peer.read());
            let flushing = flush(&mut connection);
            flushed = sim.within(Duration::from_millis(1), flushing).await;
        }
        assert_eq!(flushed, Some(Ok(())), "dropped after {polls} polls");
        // All has left: what the peer has not read is in the pipe.
        assert_eq!(connection.buffered_amount(), 0);
        assert!(bytes.len() + 15 >= len, "{} bytes of {len}", bytes.len());
        bytes.extend(read(&sim, &peer, len - bytes.len()).await);
        let payloads: Vec<_> = frames(&bytes).into_iter().map(|frame| frame.1).collect();
        let expected: Vec<_> = (0..4).map(|number| numbered(number).into_bytes()).collect();
        assert_eq!(payloads, expected, "dropped after {polls} polls");
        finish(&sim, &server, connection, peer).await;
        is_over
    });
}

#[test]
fn flush() {
    assert_a_dropped_flush_loses_nothing(async |connection| connection.flush().await);
}

#[test]
fn flush_of_a_sender() {
    assert_a_dropped_flush_loses_nothing(async |connection| connection.sender().flush().await);
}

#[test]
fn flush_of_a_sink() {
    assert_a_dropped_flush_loses_nothing(async |connection| {
        let mut sink = Pin::new(connection);
        poll_fn(|cx| sink.as_mut().poll_flush(cx)).await
    });
}
