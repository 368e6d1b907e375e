//! Who receives and sends in a loop lets the other tasks of the thread have their turn, though there is always
//! a message at hand, or room for one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_sink::Sink;
use ws_driver::ws_proto::{READ_FRAME_LIMIT, SendError};
use ws_driver::{Connection, PreparedMessage};

use super::open;
use ws_testing::sim::peer::{frames, text};
use ws_testing::sim::{ANY, Server, Sim, poll_once};

/// Writes in a row, at most.
const WRITES: usize = 256;

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a future once and drops it; tells how often it woke its task if it was not ready.
fn poll_to_wait<T>(future: impl Future<Output = T>) -> Result<T, usize> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(wakes.0.load(Ordering::SeqCst)),
    }
}

/// A receiver that always finds something waits once after so many messages, and is woken at once. Breaks if
/// it waits only when nothing is at hand.
#[test]
fn a_receiver_gives_way_though_messages_are_at_hand() {
    Sim::run(async |sim| {
        let server = Server::builder().receive_queue_limit(None::<usize>);
        let server = server.bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        let batch = text("x").repeat(READ_FRAME_LIMIT);
        peer.write(&batch).await;
        sim.settle().await;
        assert!(poll_once(connection.recv()).flatten().is_some());
        peer.write(&text("y")).await;
        sim.settle().await;
        for _ in 1..READ_FRAME_LIMIT {
            assert!(poll_once(connection.recv()).flatten().is_some());
        }
        assert_eq!(poll_to_wait(connection.recv()), Err(1));
        assert_eq!(poll_to_wait(connection.recv()), Ok(Some("y".into())));
        assert_eq!(poll_to_wait(connection.recv()), Err(0), "nothing is left");
    });
}

/// Sends and writes, in one poll.
type Send = fn(&mut Connection) -> Result<Result<(), SendError>, usize>;

const WAYS: [(&str, Send); 7] = [
    ("send", |connection| poll_to_wait(connection.send("x"))),
    ("send of a long one", |connection| {
        poll_to_wait(connection.send("x".repeat(100)))
    }),
    ("send_prepared", |connection| {
        let message = PreparedMessage::new("x");
        poll_to_wait(connection.send_prepared(&message))
    }),
    ("send_fragment", |connection| {
        poll_to_wait(connection.send_fragment("x", true))
    }),
    ("send of a sender", |connection| {
        poll_to_wait(connection.sender().send("x"))
    }),
    ("flush", |connection| {
        connection.try_send("x").unwrap();
        poll_to_wait(connection.flush())
    }),
    ("poll_flush", |connection| {
        connection.try_send("x").unwrap();
        let mut sink = Pin::new(connection);
        poll_to_wait(poll_fn(|cx| sink.as_mut().poll_flush(cx)))
    }),
];

/// A sender whose peer takes all waits once after so many writes, and is woken at once; what it was about to
/// send is not queued then, and nothing is lost. Breaks if it waits only for room.
#[test]
fn a_sender_gives_way_though_there_is_room() {
    for (name, send) in WAYS {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (mut connection, peer) = open(&sim, &server).await;
            peer.link().to_near.capacity = usize::MAX;
            for round in 0..3 {
                let mut count = 0;
                let wakes = loop {
                    match send(&mut connection) {
                        Ok(sent) => sent.unwrap(),
                        Err(wakes) => break wakes,
                    }
                    count += 1;
                    assert!(count <= WRITES, "{name}, round {round}");
                };
                assert_eq!(wakes, 1, "{name}: it waits for its turn, not for room");
                let is_flush = name.contains("flush");
                let expected = count + usize::from(is_flush);
                assert_eq!(frames(&peer.read()).len(), expected, "{name}");
            }
        });
    }
}
