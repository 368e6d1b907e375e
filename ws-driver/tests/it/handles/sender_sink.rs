//! A sender as a sink of messages: it waits for room, keeps the order, and closes the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_sink::Sink;
use ws_driver::Sender;
use ws_driver::ws_proto::{Message, SendError};

use super::open;
use ws_testing::sim::peer::{close, frames};
use ws_testing::sim::{ANY, Server, Sim, poll_once, seconds};

async fn ready(sender: &mut Sender) -> Result<(), SendError> {
    poll_fn(|cx| Pin::new(&mut *sender).poll_ready(cx)).await
}

async fn flush(sender: &mut Sender) -> Result<(), SendError> {
    poll_fn(|cx| Pin::new(&mut *sender).poll_flush(cx)).await
}

async fn shut(sender: &mut Sender) -> Result<(), SendError> {
    poll_fn(|cx| Pin::new(&mut *sender).poll_close(cx)).await
}

fn start(sender: &mut Sender, message: impl Into<Message>) -> Result<(), SendError> {
    Pin::new(sender).start_send(message.into())
}

fn payloads(bytes: &[u8]) -> Vec<String> {
    let frames = frames(bytes).into_iter();
    let texts = frames.map(|(_, payload)| String::from_utf8(payload).unwrap());
    texts.collect()
}

/// It is not ready while the send queue is full, is woken when there is room, and its flush waits until all has left.
#[test]
fn a_sink_waits_for_room() {
    Sim::run(async |sim| {
        let server = Server::builder().send_queue_limit(Some(4));
        let server = server.bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 4;
        let mut sender = connection.sender();
        let sent = Arc::new(Mutex::new(0));
        let count = Arc::clone(&sent);
        sim.spawn_task(async move {
            for number in 0..4 {
                ready(&mut sender).await.unwrap();
                start(&mut sender, format!("message {number}")).unwrap();
                *count.lock().unwrap() += 1;
            }
            flush(&mut sender).await.unwrap();
            *count.lock().unwrap() += 1;
        });
        sim.settle().await;
        assert_eq!(*sent.lock().unwrap(), 1, "the second has no room");
        let mut bytes = Vec::new();
        for _ in 0..20 {
            bytes.extend(peer.read());
            sim.settle().await;
            assert!(*sent.lock().unwrap() < 5 || connection.buffered_amount() == 0);
        }
        assert_eq!(*sent.lock().unwrap(), 5);
        let expected: Vec<_> = (0..4).map(|number| format!("message {number}")).collect();
        assert_eq!(payloads(&bytes), expected);
    });
}

/// After it was ready a message has a place, also if others have filled the queue since. Breaks if a clone shares the
/// promise.
#[test]
fn a_place_that_was_promised_is_kept() {
    Sim::run(async |sim| {
        let server = Server::builder().send_queue_limit(Some(4));
        let server = server.bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 0;
        let mut sender = connection.sender();
        assert_eq!(poll_once(ready(&mut sender)), Some(Ok(())));
        connection.try_send("fills").unwrap();
        let mut clone = sender.clone();
        assert_eq!(poll_once(ready(&mut clone)), None);
        assert!(matches!(
            start(&mut clone, "x"),
            Err(SendError::QueueFull { .. })
        ));
        start(&mut sender, "promised").unwrap();
        assert!(start(&mut sender, "x").is_err());
        peer.link().to_near.capacity = usize::MAX;
        sim.settle().await;
        assert_eq!(payloads(&peer.read()), ["fills", "promised"]);
    });
}

/// While the holder of the connection sends a message in fragments it is not ready; one that was ready before holds its
/// message, and a flush waits for it.
#[test]
fn a_sink_waits_for_the_end_of_fragments() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        let (mut early, mut late) = (connection.sender(), connection.sender());
        assert_eq!(poll_once(ready(&mut early)), Some(Ok(())));
        connection.send_fragment("fragment", false).await.unwrap();
        start(&mut early, "held").unwrap();
        assert_eq!(poll_once(ready(&mut late)), None);
        assert_eq!(poll_once(flush(&mut early)), None);
        assert_eq!(poll_once(ready(&mut early)), None);
        sim.settle().await;
        assert_eq!(payloads(&peer.read()), ["fragment"]);
        let flushed = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&flushed);
        sim.spawn_task(async move {
            let result = flush(&mut early).await;
            *slot.lock().unwrap() = Some(result);
        });
        sim.settle().await;
        assert_eq!(*flushed.lock().unwrap(), None);
        connection.send_fragment("s", true).await.unwrap();
        sim.settle().await;
        assert_eq!(*flushed.lock().unwrap(), Some(Ok(())));
        assert_eq!(payloads(&peer.read()), ["s", "held"]);
        // It has waited, so it gives way once before it goes on.
        assert_eq!(poll_once(ready(&mut late)), None);
        assert_eq!(poll_once(ready(&mut late)), Some(Ok(())));
    });
}

/// To close the sink closes the connection, behind what was sent, and waits for its end; nothing can be sent then.
#[test]
fn to_close_the_sink_closes_the_connection() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, mut peer) = open(&sim, &server).await;
        let mut sender = connection.sender();
        ready(&mut sender).await.unwrap();
        start(&mut sender, "last").unwrap();
        assert_eq!(poll_once(shut(&mut sender)), None);
        sim.settle().await;
        let end = (0x88, vec![0x03, 0xe8]);
        assert_eq!(frames(&peer.read()), [(0x81, b"last".to_vec()), end]);
        peer.ask(close(1000)).await;
        peer.end().await;
        let closed = sim.within(seconds(1), shut(&mut sender)).await;
        assert_eq!(closed, Some(Ok(())));
        assert!(connection.closed().is_some_and(|closed| closed.clean));
        assert_eq!(poll_once(ready(&mut sender)), Some(Err(SendError::Closed)));
    });
}

/// A sender stays what it was: cheap, and for any thread.
#[test]
fn a_sender_is_for_any_thread() {
    fn assert_for_any_thread<T: Clone + Send + Sync + Unpin + 'static>() {}
    assert_for_any_thread::<Sender>();
    assert!(size_of::<Sender>() <= 3 * size_of::<usize>());
}
