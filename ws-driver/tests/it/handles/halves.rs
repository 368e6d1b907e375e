//! The two halves of a connection that is a stream and a sink, in two tasks that share it poll by poll, as
//! `StreamExt::split` does.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use ws_driver::Connection;
use ws_driver::ws_proto::{Message, SendError};

use super::open;
use ws_testing::sim::peer::{close, frames, text};
use ws_testing::sim::{ANY, Server, Sim, poll_once, seconds};

type Told<T> = Arc<Mutex<Option<T>>>;

/// Runs half of a connection as a task; tells what it returns.
fn spawn<T: Send + 'static>(
    sim: &Sim,
    connection: &Arc<Mutex<Connection>>,
    mut half: impl FnMut(Pin<&mut Connection>, &mut Context<'_>) -> Poll<T> + Send + 'static,
) -> Told<T> {
    let (told, connection) = (Told::default(), Arc::clone(connection));
    let slot = Arc::clone(&told);
    sim.spawn_task(async move {
        let polled = poll_fn(|cx| half(Pin::new(&mut connection.lock().unwrap()), cx)).await;
        *slot.lock().unwrap() = Some(polled);
    });
    told
}

/// Collects what arrives, to the end.
fn read(sim: &Sim, connection: &Arc<Mutex<Connection>>) -> Told<Vec<Message>> {
    let mut received = Vec::new();
    spawn(sim, connection, move |mut half, cx| {
        loop {
            match half.as_mut().poll_next(cx) {
                Poll::Ready(Some(message)) => received.push(message),
                Poll::Ready(None) => return Poll::Ready(std::mem::take(&mut received)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
}

fn shut(sim: &Sim, connection: &Arc<Mutex<Connection>>) -> Told<Result<(), SendError>> {
    spawn(sim, connection, |half, cx| half.poll_close(cx))
}

/// The sink half closes while the stream half waits: each answer that still comes reaches the stream half,
/// and both hear of the end, whichever of them was polled last. Breaks if to close takes what arrives, or the
/// waker of the reader.
#[test]
fn a_sink_half_that_closes_takes_nothing_from_the_stream_half() {
    for reads_first in [true, false] {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (connection, mut peer) = open(&sim, &server).await;
            let connection = Arc::new(Mutex::new(connection));
            let (received, closed);
            if reads_first {
                received = read(&sim, &connection);
                sim.settle().await;
                closed = shut(&sim, &connection);
            } else {
                closed = shut(&sim, &connection);
                sim.settle().await;
                received = read(&sim, &connection);
            }
            sim.settle().await;
            assert_eq!(frames(&peer.read()), [(0x88, vec![0x03, 0xe8])]);
            for answer in ["a", "b", "c"] {
                peer.write(&text(answer)).await;
                sim.settle().await;
            }
            assert_eq!(*closed.lock().unwrap(), None, "the peer has not closed");
            peer.write(&close(1000)).await;
            peer.end().await;
            sim.sleep(seconds(1)).await;
            let received = received.lock().unwrap().take();
            assert_eq!(received, Some(vec!["a".into(), "b".into(), "c".into()]));
            assert_eq!(*closed.lock().unwrap(), Some(Ok(())));
        });
    }
}

/// To close again, or after the end, is ready at once.
#[test]
fn a_sink_that_is_closed_stays_closed() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        let mut sink = Pin::new(&mut connection);
        assert_eq!(poll_once(poll_fn(|cx| sink.as_mut().poll_close(cx))), None);
        peer.write(&close(1000)).await;
        peer.end().await;
        sim.sleep(seconds(1)).await;
        for _ in 0..2 {
            let closed = poll_once(poll_fn(|cx| sink.as_mut().poll_close(cx)));
            assert_eq!(closed, Some(Ok(())));
        }
    });
}

/// A close whose stream breaks with messages in it that were sent before says so.
#[test]
fn a_close_that_loses_messages_fails() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 10;
        connection.try_send("x".repeat(18)).unwrap();
        let mut sink = Pin::new(&mut connection);
        assert_eq!(poll_once(poll_fn(|cx| sink.as_mut().poll_close(cx))), None);
        peer.link().reset();
        let closed = sim.within(seconds(1), poll_fn(|cx| sink.as_mut().poll_close(cx)));
        assert_eq!(closed.await, Some(Err(SendError::Closed)));
    });
}

/// A message that `poll_ready` was asked for has a place, also if another sender fills the queue in between.
#[test]
fn a_sink_that_is_ready_takes_a_message() {
    Sim::run(async |sim| {
        let config = Server::builder().send_queue_limit(Some(1000));
        let server = config.bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        let sender = connection.sender();
        let mut sink = Pin::new(&mut connection);
        let ready = poll_once(poll_fn(|cx| sink.as_mut().poll_ready(cx)));
        assert_eq!(ready, Some(Ok(())));
        while sender.try_send("x".repeat(100)).is_ok() {}
        assert_eq!(sink.as_mut().start_send("last".into()), Ok(()));
        // One place was promised, and no more.
        let unasked = sink.as_mut().start_send("more".into());
        assert!(matches!(unasked, Err(SendError::QueueFull { .. })));
        assert_eq!(poll_once(poll_fn(|cx| sink.as_mut().poll_ready(cx))), None);
        sim.settle().await;
        let last = frames(&peer.read()).pop();
        assert_eq!(last, Some((0x81, b"last".to_vec())));
    });
}

/// A sink that is closed is not ready, so that nobody takes a message out of its source for it.
#[test]
fn a_sink_that_is_closed_is_not_ready() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        peer.link().reset();
        sim.settle().await;
        let mut sink = Pin::new(&mut connection);
        let ready = poll_once(poll_fn(|cx| sink.as_mut().poll_ready(cx)));
        assert_eq!(ready, Some(Err(SendError::Closed)));
    });
}
