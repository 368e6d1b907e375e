//! Who sends writes, where the driver has a task of its own.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_sink::Sink;
use ws_driver::ws_proto::{Message, SendError};
use ws_driver::{Connection, PreparedMessage};

use super::open;
use ws_testing::sim::peer::{frames, masked, text};
use ws_testing::sim::{ANY, Server, Sim, poll_once, seconds};

/// Sends a message, in one poll.
type Send = fn(&Connection, &'static str);

const WAYS: [(&str, Send); 5] = [
    ("send", |connection, message| {
        assert_eq!(poll_once(connection.send(message)), Some(Ok(())));
    }),
    ("send_prepared", |connection, message| {
        let message = PreparedMessage::new(message);
        assert_eq!(poll_once(connection.send_prepared(&message)), Some(Ok(())));
    }),
    ("send_fragment", |connection, message| {
        assert_eq!(
            poll_once(connection.send_fragment(message, true)),
            Some(Ok(()))
        );
    }),
    ("send of a sender", |connection, message| {
        assert_eq!(poll_once(connection.sender().send(message)), Some(Ok(())));
    }),
    ("send_prepared of a sender", |connection, message| {
        let message = PreparedMessage::new(message);
        let sender = connection.sender();
        assert_eq!(poll_once(sender.send_prepared(&message)), Some(Ok(())));
    }),
];

/// What was sent has left when `send` returns, though no task runs after that. Breaks if the message is left
/// to the driver's task.
#[test]
fn what_is_sent_is_written_before_send_returns() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        for (name, send) in WAYS {
            let polls = sim.polls();
            send(&connection, "now");
            send(&connection, "and now");
            assert_eq!(sim.polls(), polls);
            let received = frames(&peer.read());
            let expected = [(0x81, b"now".to_vec()), (0x81, b"and now".to_vec())];
            assert_eq!(received, expected, "{name}");
            assert_eq!(connection.buffered_amount(), 0, "{name}");
        }
    });
}

/// A message that a stream takes in parts leaves as far as it can; the task does the rest, and what is sent
/// behind it stays behind it.
#[test]
fn what_a_stream_does_not_take_at_once_is_left_to_the_task() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 10;
        for message in ["12345678", "abcdefgh", "z"] {
            assert_eq!(poll_once(connection.send(message)), Some(Ok(())));
        }
        assert_eq!(connection.buffered_amount(), 13);
        let mut bytes = Vec::new();
        while bytes.len() < 23 {
            bytes.extend(peer.read());
            sim.settle().await;
        }
        let payloads: Vec<_> = frames(&bytes).into_iter().map(|frame| frame.1).collect();
        assert_eq!(payloads, [&b"12345678"[..], b"abcdefgh", b"z"]);
    });
}

/// While received messages are at hand what answers them leaves together, at the latest with the answer to the
/// last. Breaks if each is written by itself.
#[test]
fn answers_to_one_read_leave_in_one_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        let sent: Vec<u8> = (0..32)
            .flat_map(|number| text(format!("{number:02}")))
            .collect();
        peer.write(&sent).await;
        sim.settle().await;
        peer.link().to_near.writes = Some(Vec::new());
        for _ in 0..32 {
            let message = poll_once(connection.recv()).flatten().expect("it is there");
            assert_eq!(poll_once(connection.send(message)), Some(Ok(())));
        }
        assert_eq!(peer.link().to_near.writes.clone().unwrap(), [32 * 4]);
        assert_eq!(frames(&peer.read()).len(), 32);
    });
}

/// A connection that is dropped at the end of a program leaves nothing behind, its close included.
#[test]
fn a_connection_that_is_dropped_writes_what_is_left() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        connection.try_send("last").unwrap();
        assert_eq!(peer.read(), b"", "it is left to the task");
        drop(connection);
        let expected = [(0x81, b"last".to_vec()), (0x88, vec![0x03, 0xe8])];
        assert_eq!(frames(&peer.read()), expected);
    });
}

/// A driver that is dropped, as by the end of its runtime, writes what the stream takes.
#[test]
fn the_end_of_a_runtime_loses_nothing_that_the_stream_takes() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        connection.try_send("last").unwrap();
        sim.end_runtime();
        assert_eq!(frames(&peer.read()), [(0x81, b"last".to_vec())]);
        let late = connection.try_send("late").map_err(SendError::from);
        assert_eq!(late, Err(SendError::Closed));
    });
}

type Flush = fn(&mut Connection) -> Poll<Result<(), SendError>>;

/// Polls a flush once.
fn polled<F: Future<Output = Result<(), SendError>>>(flush: F) -> Poll<Result<(), SendError>> {
    poll_once(flush).map_or(Poll::Pending, Poll::Ready)
}

const FLUSHES: [(&str, Flush); 3] = [
    ("flush", |connection| polled(connection.flush())),
    ("flush of a sender", |connection| {
        polled(connection.sender().flush())
    }),
    ("poll_flush", |connection| {
        let mut sink = Pin::new(connection);
        polled(poll_fn(|cx| sink.as_mut().poll_flush(cx)))
    }),
];

/// A flush is ready once the stream has taken all, and not before. Breaks if it is ready at once.
#[test]
fn a_flush_waits_until_the_stream_has_taken_all() {
    for (name, flush) in FLUSHES {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (mut connection, peer) = open(&sim, &server).await;
            peer.link().to_near.capacity = 10;
            let message = Message::from("x".repeat(18));
            connection.try_send(message).unwrap();
            assert_eq!(flush(&mut connection), Poll::Pending, "{name}");
            sim.settle().await;
            assert_eq!(flush(&mut connection), Poll::Pending, "{name}");
            assert_eq!(peer.read().len(), 10);
            sim.settle().await;
            assert_eq!(flush(&mut connection), Poll::Ready(Ok(())), "{name}");
            assert_eq!(peer.read().len(), 10);
        });
    }
}

/// What is sent while a flush waits does not keep it: it is ready when what was queued before has left. Breaks
/// if it waits for an empty queue.
#[test]
fn a_flush_does_not_wait_for_what_comes_later() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 10;
        connection.try_send("x".repeat(18)).unwrap();
        let sender = connection.sender();
        let flushed = Arc::new(Mutex::new(None));
        let told = Arc::clone(&flushed);
        sim.spawn_task(async move { *told.lock().unwrap() = Some(sender.flush().await) });
        sim.settle().await;
        connection.try_send("y".repeat(18)).unwrap();
        sim.settle().await;
        assert_eq!(*flushed.lock().unwrap(), None);
        assert_eq!(peer.read().len(), 10);
        sim.settle().await;
        // The pipe is full again, with the first message and what fits of the second.
        assert_eq!(peer.read().len(), 10);
        sim.settle().await;
        assert_eq!(*flushed.lock().unwrap(), Some(Ok(())));
        assert!(connection.buffered_amount() > 0);
    });
}

/// A flush fails when the stream ends before it has taken all, and does not wait longer than the
/// `stall_timeout` for a peer that reads nothing.
#[test]
fn a_flush_that_cannot_be_done_fails() {
    for resets in [true, false] {
        Sim::run(async |sim| {
            let builder = Server::builder().stall_timeout(Some(seconds(5)));
            let server = builder.bind(ANY).await.unwrap();
            let (connection, peer) = open(&sim, &server).await;
            peer.link().to_near.capacity = 10;
            connection.try_send("x".repeat(18)).unwrap();
            if resets {
                assert_eq!(poll_once(connection.flush()), None);
                peer.link().reset();
            }
            let flushed = sim.within(seconds(20), connection.flush()).await;
            assert_eq!(flushed, Some(Err(SendError::Closed)));
        });
    }
}

/// A peer that pings faster than it reads does not keep a flush from its end: each pong counts for its own length, and
/// not for that of the longest one.
#[test]
fn pings_do_not_hold_a_flush() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, mut peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 20_000;
        connection.try_send("x".repeat(30_000)).unwrap();
        let sender = connection.sender();
        let flusher = sender.clone();
        let flushed = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&flushed);
        sim.spawn_task(async move {
            let result = flusher.flush().await;
            *slot.lock().unwrap() = Some(result);
        });
        let mut read = 0;
        while flushed.lock().unwrap().is_none() {
            peer.write(&masked(0x89, b"").repeat(300)).await;
            // Others keep the queue from being empty.
            if connection.buffered_amount() < 100_000 {
                sender.try_send("y".repeat(50_000)).unwrap();
            }
            sim.settle().await;
            read += peer.read().len();
            assert!(read < 400_000, "the flush waits for {read} bytes");
        }
        assert_eq!(*flushed.lock().unwrap(), Some(Ok(())));
    });
}
